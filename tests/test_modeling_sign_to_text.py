"""Sign-to-text: it learns, loses as the Trainer expects, keeps the head it was given, and generates in every mode."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from transformers import (  # noqa: E402
    AutoConfig,
    AutoModel,
    AutoModelForSeq2SeqLM,
    BartConfig,
    MBartConfig,
    MT5Config,
    T5Config,
    UMT5Config,
    UMT5ForConditionalGeneration,
    VideoMAEConfig,
)

from slt_hf.modeling import (  # noqa: E402
    PoseEncoderConfig,
    PoseEncoderForSignClassification,
    PoseEncoderModel,
    SignToTextConfig,
    SignToTextForConditionalGeneration,
)

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
POSE = {
    "num_landmarks": 42, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "graph_hidden_size": 8, "point_hidden_size": 4, "part_hidden_size": 16, "dropout": 0.0,
}  # fmt: skip
T5 = {
    "vocab_size": 40, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4, "dropout_rate": 0.0,
    "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
BART = {
    "vocab_size": 40, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 32,
    "dropout": 0.0,
}  # fmt: skip
GREEDY = {"max_new_tokens": 8, "do_sample": False, "num_beams": 1}


def tiny_model(text_config=None, **changes) -> SignToTextForConditionalGeneration:
    torch.manual_seed(0)
    text_config = UMT5Config(**T5) if text_config is None else text_config
    config = SignToTextConfig(encoder_config=PoseEncoderConfig(**POSE), text_config=text_config, **changes)
    return SignToTextForConditionalGeneration(config).eval()


def batch(rows: int = 4, frames: int = 24) -> dict[str, torch.Tensor]:
    """Clips of different lengths and texts of different lengths, no two alike."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(rows, frames, dtype=torch.long)
    labels = torch.randint(2, 40, (rows, 6), generator=generator)
    for row in range(rows):
        mask[row, frames - 3 * row :] = 0
        labels[row, 5 - row % 3] = 1
        labels[row, 6 - row % 3 :] = -100
    values = torch.randn(rows, frames, 42, 3, generator=generator)
    values[..., -1] = 0.9
    return {"pose_values": values, "attention_mask": mask, "labels": labels}


def clips(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in inputs.items() if name != "labels"}


def train(model, inputs: dict[str, torch.Tensor], steps: int, learning_rate: float = 1e-2):
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for _ in range(steps):
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.fixture(scope="module")
def learned() -> SignToTextForConditionalGeneration:
    return train(tiny_model(), batch(), steps=40)


def texts(tokens: torch.Tensor) -> list[list[int]]:
    """Generated or label rows without start, end and padding."""
    return [[token for token in row if token not in (0, 1, -100)] for row in tokens.tolist()]


def test_it_learns(learned):
    assert texts(learned.generate(**clips(batch()), **GREEDY)) == texts(batch()["labels"])


def test_it_learns_without_the_text_encoder():
    model = train(tiny_model(text_encoder="skip"), batch(), steps=40)
    assert texts(model.generate(**clips(batch()), **GREEDY)) == texts(batch()["labels"])


@pytest.mark.parametrize(
    "mode",
    [
        {"num_beams": 3},
        {"num_beams": 1, "cache_implementation": "static", "disable_compile": True},
        {"num_beams": 1, "use_cache": False},
        {"num_beams": 4, "num_return_sequences": 1, "length_penalty": 0.5},
    ],
)
def test_every_way_to_generate_finds_what_was_learned(learned, mode: dict):
    tokens = learned.generate(**clips(batch()), max_new_tokens=8, do_sample=False, **mode)
    assert texts(tokens) == texts(batch()["labels"])


def test_sampling_draws_several_texts_for_each_clip(learned):
    torch.manual_seed(0)
    tokens = learned.generate(
        **clips(batch()), max_new_tokens=8, do_sample=True, temperature=5.0, num_return_sequences=3
    )
    assert tokens.shape[0] == 12
    assert len({tuple(row) for row in tokens.tolist()}) > 4


def test_each_row_ends_at_its_own_end_token(learned):
    tokens = learned.generate(**clips(batch()), **GREEDY)
    ends = [row.index(1) for row in tokens.tolist()]
    assert len(set(ends)) > 1
    assert all(token == 0 for row, end in zip(tokens.tolist(), ends, strict=True) for token in row[end + 1 :])


def test_row_of_a_batch_equals_batch_of_one(learned):
    inputs = batch()
    with torch.no_grad():
        together = learned(**inputs).logits
        for row, length in enumerate(inputs["attention_mask"].sum(-1).tolist()):
            alone = learned(
                pose_values=inputs["pose_values"][row : row + 1, :length], labels=inputs["labels"][row : row + 1]
            ).logits
            torch.testing.assert_close(together[row : row + 1], alone, **CLOSE)


def test_eager_attention_equals_sdpa_and_can_be_set_for_each_part(tmp_path: Path):
    model = tiny_model(BartConfig(**BART))
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(**batch()).logits
        parts = {"encoder_config": "eager", "text_config": "sdpa"}
        for implementation in ("eager", "sdpa", parts):
            loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, attn_implementation=implementation).eval()
            torch.testing.assert_close(loaded(**batch()).logits, expected, **CLOSE)
    assert loaded.encoder.config._attn_implementation == "eager"
    assert loaded.text_model.config._attn_implementation == "sdpa"
    loaded.set_attn_implementation({"encoder_config": "sdpa", "text_config": "eager"})
    assert loaded.encoder.config._attn_implementation == "sdpa"
    assert loaded.text_model.config._attn_implementation == "eager"


def test_accumulated_loss_equals_the_loss_of_one_batch():
    model, inputs = tiny_model(), batch()
    whole = model(**inputs).loss
    items = (inputs["labels"] != -100).sum()
    halves = [{name: tensor[rows] for name, tensor in inputs.items()} for rows in (slice(0, 2), slice(2, 4))]
    accumulated = sum(model(**half, num_items_in_batch=items).loss for half in halves)
    torch.testing.assert_close(accumulated, whole)
    mean_of_means = sum(model(**half).loss for half in halves) / 2
    assert (mean_of_means - whole).abs() > 1e-4  # the texts differ in length, so this test can fail


def test_trainer_accumulates_to_the_same_loss(tmp_path: Path):
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

    inputs = batch(8)
    rows = [{name: tensor[row] for name, tensor in inputs.items()} for row in range(8)]
    losses = []
    for size, accumulation in ((8, 1), (2, 4)):
        arguments = Seq2SeqTrainingArguments(
            output_dir=str(tmp_path), per_device_train_batch_size=size, gradient_accumulation_steps=accumulation,
            max_steps=1, logging_steps=1, use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = Seq2SeqTrainer(model=tiny_model(), args=arguments, train_dataset=rows)
        trainer.train()
        losses.append(trainer.state.log_history[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def umt5(tied: bool) -> UMT5ForConditionalGeneration:
    """A UMT5 as `from_pretrained` gives it: released ones have a head of their own while their config says tied."""
    torch.manual_seed(1)
    model = UMT5ForConditionalGeneration(UMT5Config(**T5)).eval()
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(torch.randn(40, 32))
    return model


def decoder_states(model: SignToTextForConditionalGeneration, inputs) -> torch.Tensor:
    """What the text model's head gets to see."""
    seen = []
    handle = model.text_model.decoder.register_forward_hook(lambda _, __, output: seen.append(output[0]))
    model(**inputs)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("tied", [True, False])
def test_logit_scale_is_right_before_and_after_a_save(tied: bool, tmp_path: Path):
    text_model = umt5(tied)
    head = text_model.lm_head.weight.detach().clone()
    model = SignToTextForConditionalGeneration.from_encoder_text_pretrained(
        PoseEncoderConfig(**POSE), text_model
    ).eval()
    assert model.config.text_head_tied is tied
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    loaded.save_pretrained(tmp_path / "again")
    again = SignToTextForConditionalGeneration.from_pretrained(tmp_path / "again").eval()
    with torch.no_grad():
        for each in (model, loaded, again):
            torch.testing.assert_close(each.text_model.lm_head.weight, head)  # kept, never drawn anew
            expected = decoder_states(each, batch()) @ head.T * (32**-0.5 if tied else 1.0)
            torch.testing.assert_close(each(**batch()).logits, expected, **CLOSE)


@pytest.mark.parametrize("config", [T5Config(**T5), MT5Config(**T5), T5Config(**T5, tie_word_embeddings=False)])
def test_heads_of_the_t5_family_survive_a_save(config, tmp_path: Path):
    text_model = AutoModelForSeq2SeqLM.from_config(config).eval()
    text_model.lm_head.weight = torch.nn.Parameter(torch.randn(40, 32))
    inputs = batch()
    model = SignToTextForConditionalGeneration.from_encoder_text_pretrained(
        PoseEncoderConfig(**POSE), text_model
    ).eval()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    assert not torch.equal(loaded.text_model.lm_head.weight, loaded.text_model.shared.weight)
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, **CLOSE)


def test_encoder_and_text_model_may_be_folders(tmp_path: Path):
    classifier = PoseEncoderForSignClassification(PoseEncoderConfig(**POSE, num_labels=3))
    classifier.save_pretrained(tmp_path / "encoder")
    text_model = umt5(tied=False)
    text_model.generation_config.num_beams = 3
    text_model.save_pretrained(tmp_path / "text")
    model = SignToTextForConditionalGeneration.from_encoder_text_pretrained(tmp_path / "encoder", tmp_path / "text")
    torch.testing.assert_close(model.encoder.merge.weight, classifier.encoder.merge.weight)
    torch.testing.assert_close(model.text_model.lm_head.weight, text_model.lm_head.weight)
    assert model.generation_config.num_beams == 3 and model.config.text_head_tied is False


def test_sign_features_start_at_the_size_of_token_embeddings():
    text_model = umt5(tied=True)
    with torch.no_grad():
        text_model.shared.weight.mul_(7)
    model = SignToTextForConditionalGeneration.from_encoder_text_pretrained(PoseEncoderConfig(**POSE), text_model)
    features = model.projector(torch.randn(50, 32))
    assert features.square().mean().sqrt().item() == pytest.approx(
        text_model.shared.weight.square().mean().sqrt().item(), rel=0.05
    )


def test_generation_config_is_the_text_models_own(tmp_path: Path):
    config = MBartConfig(**BART, decoder_start_token_id=5, forced_eos_token_id=2)
    model = tiny_model(config)
    own = model.text_model.generation_config
    assert model.generation_config.to_dict() == {**own.to_dict(), "decoder_start_token_id": 5}
    model.generation_config.forced_bos_token_id = 9
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    tokens = loaded.generate(**clips(batch()), **GREEDY)
    assert (tokens[:, 0] == 5).all() and (tokens[:, 1] == 9).all()


def test_language_code_stays_in_front_of_mbart_labels():
    model = tiny_model(MBartConfig(**BART))
    labels = torch.tensor([[7, 8, 2, 30], [9, 2, 31, -100]])  # text, end, language code
    shifted = model.prepare_decoder_input_ids_from_labels(labels)
    assert shifted[:, 0].tolist() == [30, 31]


def test_crops_for_a_model_without_them_are_refused(learned):
    crops = {"crop_values": torch.zeros(4, 24, 2, 3, 16, 16, dtype=torch.uint8), "crop_mask": torch.ones(4, 24, 2)}
    with pytest.raises(ValueError, match="hand_crop_width"):
        learned(**batch(), **crops)


def test_prompt_is_read_and_padding_in_it_is_not(learned):
    inputs = batch()
    with torch.no_grad():
        plain = learned(**inputs).logits
        prompt = torch.tensor([[5, 6, 0]] * 4)
        mask = torch.tensor([[1, 1, 0]] * 4)
        prompted = learned(**inputs, prompt_input_ids=prompt, prompt_attention_mask=mask).logits
        other = learned(**inputs, prompt_input_ids=torch.tensor([[5, 6, 9]] * 4), prompt_attention_mask=mask).logits
    assert (prompted - plain).abs().max() > 1e-3
    torch.testing.assert_close(other, prompted, **CLOSE)
    tokens = learned.generate(**clips(inputs), prompt_input_ids=prompt, prompt_attention_mask=mask, **GREEDY)
    assert tokens.shape[0] == 4
    beams = learned.generate(
        **clips(inputs), prompt_input_ids=prompt, prompt_attention_mask=mask, max_new_tokens=4, num_beams=3
    )
    assert beams.shape[0] == 4


@pytest.mark.parametrize("text_config", [UMT5Config(**T5), BartConfig(**BART)], ids=["umt5", "bart"])
def test_a_longer_prompt_beside_it_does_not_change_a_row(text_config):
    model, inputs = tiny_model(text_config), batch(2)
    with torch.no_grad():
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        prompts = {
            "prompt_input_ids": torch.tensor([[0, 5, 6], [5, 6, 7]]),
            "prompt_attention_mask": torch.tensor([[0, 1, 1], [1, 1, 1]]),
        }
        together = model(**inputs, **prompts).logits
        first = {name: values[:1] for name, values in inputs.items()}
        alone = model(**first, prompt_input_ids=torch.tensor([[5, 6]])).logits
    torch.testing.assert_close(together[:1], alone, **CLOSE)


def test_too_long_a_clip_for_the_text_encoder_is_refused_with_advice():
    model = tiny_model(BartConfig(**BART))
    with pytest.raises(ValueError, match="positions for 32 steps, found 40.*stride"):
        model.generate(pose_values=torch.rand(1, 80, 42, 3))
    skip = tiny_model(BartConfig(**BART), text_encoder="skip")
    assert skip.generate(pose_values=torch.rand(1, 80, 42, 3), **GREEDY).shape[0] == 1


def test_gloss_head_adds_its_loss_and_accumulates():
    model = tiny_model(ctc_vocab_size=6)
    inputs = batch()
    glosses = torch.tensor([[1, 2, 3], [4, -100, -100], [5, 1, -100], [2, 2, -100]])
    plain = model(**inputs).loss
    output = model(**inputs, gloss_labels=glosses)
    assert output.ctc_logits.shape == (4, 12, 6)
    assert output.loss > plain
    items = (inputs["labels"] != -100).sum()
    parts = [
        model(
            **{name: tensor[rows] for name, tensor in inputs.items()},
            gloss_labels=glosses[rows],
            num_items_in_batch=items,
        ).loss
        for rows in (slice(0, 2), slice(2, 4))
    ]
    torch.testing.assert_close(sum(parts), output.loss)


def test_video_encoder_by_model_type(tmp_path: Path):
    video = VideoMAEConfig(
        image_size=16, patch_size=8, num_frames=4, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    torch.manual_seed(0)
    config = SignToTextConfig(encoder_config=video.to_dict(), text_config=UMT5Config(**T5))
    model = SignToTextForConditionalGeneration(config).eval()
    pixels, labels = torch.randn(2, 4, 3, 16, 16), torch.tensor([[5, 6, 1], [7, 1, -100]])
    model(pixel_values=pixels, labels=labels).loss.backward()
    assert model.main_input_name == "pixel_values"
    tokens = model.generate(pixel_values=pixels, max_new_tokens=4, num_beams=2)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert torch.equal(loaded.generate(pixel_values=pixels, max_new_tokens=4, num_beams=2), tokens)


def test_both_auto_classes_return_the_generating_class(tmp_path: Path):
    model = tiny_model()
    model.save_pretrained(tmp_path)
    assert isinstance(AutoModel.from_pretrained(tmp_path), SignToTextForConditionalGeneration)
    assert isinstance(AutoModelForSeq2SeqLM.from_pretrained(tmp_path), SignToTextForConditionalGeneration)
    auto_map = AutoConfig.from_pretrained(tmp_path).auto_map
    assert auto_map["AutoModel"] == auto_map["AutoModelForSeq2SeqLM"]


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        model = tiny_model().train()
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert model.encoder.layers[0].gradient_checkpointing and model.text_model.encoder.gradient_checkpointing
        model(**batch()).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        torch.testing.assert_close(gradients[1][name], gradient, **CLOSE)


def test_bfloat16_trains_and_generates():
    model = tiny_model().to(torch.bfloat16).train()
    inputs = batch()
    inputs["pose_values"] = inputs["pose_values"].to(torch.bfloat16)
    loss = model(**inputs).loss
    loss.backward()
    assert loss.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = tiny_model().train()(**batch()).loss
    assert mixed.item() == pytest.approx(loss.item(), rel=0.05)
    assert model.eval().generate(**clips(inputs), **GREEDY).shape[0] == 4


@pytest.mark.parametrize("task_type", [None, "SEQ_2_SEQ_LM", "FEATURE_EXTRACTION"])
def test_lora_trains_adapters_alone_and_survives_a_save(task_type: str | None, tmp_path: Path):
    peft = pytest.importorskip("peft")
    targets = ["q", "v", "qkv_proj"]
    config = peft.LoraConfig(r=4, target_modules=targets, task_type=task_type, modules_to_save=["projector"])
    model = peft.get_peft_model(tiny_model(), config)
    output = model(**batch())
    output.loss.backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained and all(re.search("lora_|projector", name) for name in trained)
    assert any("encoder.layers" in name for name in trained) and any("decoder" in name for name in trained)
    train(model, batch(), steps=3)
    tokens = model.generate(**clips(batch()), **GREEDY)
    model.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(tiny_model(), tmp_path).eval()
    assert torch.equal(loaded.generate(**clips(batch()), **GREEDY), tokens)
    assert torch.equal(loaded.merge_and_unload().generate(**clips(batch()), **GREEDY), tokens)


def test_wrapped_for_features_ignores_text_inputs():
    output = tiny_model()(**batch(), input_ids=None, inputs_embeds=None)
    assert output.loss is not None


def test_token_embeddings_can_grow(tmp_path: Path):
    model = tiny_model()
    model.resize_token_embeddings(48)
    assert model(**batch()).logits.shape[-1] == 48
    model.save_pretrained(tmp_path)
    assert AutoModelForSeq2SeqLM.from_pretrained(tmp_path)(**batch()).logits.shape[-1] == 48


def test_live_encoder_inside_a_translator_equals_offline():
    torch.manual_seed(0)
    pose = PoseEncoderConfig(**POSE, chunk_frames=4)
    model = SignToTextForConditionalGeneration(
        SignToTextConfig(encoder_config=pose, text_config=UMT5Config(**T5))
    ).eval()
    clip = batch()["pose_values"]
    with torch.no_grad():
        offline = model.encode(clip)
        state, parts = model.encoder.initial_state(batch_size=4), []
        for start in range(0, 24, 4):
            output, state = model.encoder.stream(clip[:, start : start + 4], state)
            parts.append(output.last_hidden_state)
        streamed = model.encode(sign_states=torch.cat(parts, dim=1))
    torch.testing.assert_close(streamed.last_hidden_state, offline.last_hidden_state, **CLOSE)
    tokens = model.generate(encoder_outputs=streamed, **GREEDY)
    assert torch.equal(tokens, model.generate(pose_values=clip, **GREEDY))


@pytest.mark.slow
def test_compiled_forward_equals_eager():
    model = tiny_model()
    compiled = torch.compile(model)
    with torch.no_grad():
        torch.testing.assert_close(compiled(**batch()).logits, model(**batch()).logits, **CLOSE)


def test_encoder_is_never_drawn_anew():
    encoder = PoseEncoderModel(PoseEncoderConfig(**POSE))
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    model = SignToTextForConditionalGeneration.from_encoder_text_pretrained(encoder, umt5(tied=True))
    for name, tensor in model.encoder.state_dict().items():
        torch.testing.assert_close(tensor, before[name], atol=0, rtol=0)
