"""One vector for each recognised gloss: what it is, what it must not depend on; it streams, learns and travels."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from test_modeling_sign_to_text import CLOSE, GREEDY, POSE, T5, batch, clips  # noqa: E402
from transformers import T5Config, UMT5Config  # noqa: E402

from slt_hf.modeling import PoseEncoderConfig, SignToTextConfig, SignToTextForConditionalGeneration  # noqa: E402
from slt_hf.modeling.ctc_compression import compress_runs  # noqa: E402

GLOSSES = 6  # with the blank


def compressing_model(text_encoder: str = "skip", **encoder) -> SignToTextForConditionalGeneration:
    torch.manual_seed(0)
    config = SignToTextConfig(
        encoder_config=PoseEncoderConfig(**{**POSE, **encoder}), text_config=UMT5Config(**T5),
        text_encoder=text_encoder, ctc_vocab_size=GLOSSES, ctc_compression=True,
    )  # fmt: skip
    model = SignToTextForConditionalGeneration(config).eval()
    torch.nn.init.normal_(model.ctc_head.weight)  # of a size that lets every gloss win somewhere
    return model


def count_runs(encoded) -> torch.Tensor:
    return encoded.attention_mask.sum(1)


def only_blanks(model: SignToTextForConditionalGeneration) -> None:
    torch.nn.init.zeros_(model.ctc_head.weight)
    with torch.no_grad():
        model.ctc_head.bias[0] = 10.0


def test_runs_become_their_means():
    states = torch.arange(16.0).reshape(2, 8, 1)
    labels = torch.tensor([[0, 3, 3, 0, 3, 2, 2, 2], [5, 5, 0, 0, 0, 4, 1, 1]])
    mask = torch.tensor([[1] * 8, [1] * 6 + [0] * 2])  # the last two steps of the second are padding
    means, present = compress_runs(states, mask, labels)
    assert means[..., 0].tolist() == [[1.5, 4.0, 6.0], [8.5, 13.0, 0.0]]
    assert present.tolist() == [[1, 1, 1], [1, 1, 0]]


def test_a_clip_with_no_run_keeps_one_vector_of_zeros():
    means, present = compress_runs(torch.rand(2, 4, 3), torch.ones(2, 4).long(), torch.tensor([[0] * 4, [1, 0, 1, 2]]))
    assert means[0].abs().max() == 0 and present.tolist() == [[1, 0, 0], [1, 1, 1]]


def test_nothing_recognised_still_translates_and_learns():
    model, inputs = compressing_model(), batch()
    only_blanks(model)
    assert model.encode(**clips(inputs)).last_hidden_state.shape[1] == 1
    assert model.generate(**clips(inputs), **GREEDY).shape[0] == 4
    loss = model(**inputs).loss
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("text_encoder", ["use", "skip"])
def test_a_row_does_not_depend_on_batch_mates_or_padding(text_encoder: str):
    model, inputs = compressing_model(text_encoder), batch()
    lengths = inputs["attention_mask"].sum(1).tolist()
    with torch.no_grad():
        together = model(**inputs).logits
        steps = count_runs(model.encode(**clips(inputs)))
        for row, length in enumerate(lengths):
            alone = {name: values[row : row + 1, :length] for name, values in clips(inputs).items()}
            assert count_runs(model.encode(**alone)) == steps[row]
            logits = model(**alone, labels=inputs["labels"][row : row + 1]).logits
            torch.testing.assert_close(logits[0], together[row], **CLOSE)
    assert steps.max() > steps.min() >= 1, "the rows have different numbers of runs, or this proves nothing"


def test_what_lies_under_the_padding_does_not_matter():
    model, inputs = compressing_model(), batch()
    changed = inputs["pose_values"].clone()
    changed[inputs["attention_mask"] == 0] = 100.0
    with torch.no_grad():
        torch.testing.assert_close(model(**{**inputs, "pose_values": changed}).logits, model(**inputs).logits, **CLOSE)


@pytest.mark.parametrize("text_encoder", ["use", "skip"])
def test_a_stream_equals_offline(text_encoder: str):
    model = compressing_model(text_encoder, chunk_frames=4, attention_window=4)
    clip = clips(batch(rows=1))["pose_values"]
    with torch.no_grad():
        offline = model.encode(pose_values=clip)
        state, parts = model.encoder.initial_state(), []
        for start in range(0, clip.shape[1], 4):
            output, state = model.encoder.stream(clip[:, start : start + 4], state)
            parts.append(output.last_hidden_state)
        streamed = model.encode(sign_states=torch.cat(parts, dim=1))
    assert offline.last_hidden_state.shape[1] > 1
    torch.testing.assert_close(streamed.last_hidden_state, offline.last_hidden_state, **CLOSE)
    tokens = model.generate(encoder_outputs=streamed, **GREEDY)
    assert torch.equal(tokens, model.generate(pose_values=clip, **GREEDY))


def test_the_translation_loss_reaches_the_encoder_and_glosses_reach_the_head():
    model, inputs = compressing_model(), batch()
    model(**inputs).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.layers.parameters())
    assert model.ctc_head.weight.grad is None, "which gloss wins is not differentiable"
    model(**inputs, gloss_labels=torch.tensor([[1, 2], [3, -100], [2, 1], [4, 5]])).loss.backward()
    assert model.ctc_head.weight.grad.abs().sum() > 0


def test_it_learns():
    model, inputs = compressing_model().train(), batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = model(**inputs).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_saved_and_loaded_it_compresses_and_gives_the_same(tmp_path: Path):
    model, inputs = compressing_model(), batch()
    model.save_pretrained(tmp_path)
    loaded = SignToTextForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert loaded.config.ctc_compression
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, **CLOSE)


@pytest.mark.parametrize(
    "options", [{"num_beams": 3}, {"num_beams": 1, "do_sample": True}, {"cache_implementation": "static"}]
)
def test_every_way_to_generate_reads_runs(options: dict):
    model, inputs = compressing_model(), clips(batch())
    torch.manual_seed(1)
    whole = model.generate(**inputs, max_new_tokens=6, **options)
    torch.manual_seed(1)
    encoded = model.encode(**inputs)
    assert encoded.last_hidden_state.shape[1] < 12, "fewer vectors than steps"
    assert torch.equal(model.generate(encoder_outputs=encoded, max_new_tokens=6, **options), whole)


def test_without_a_head_there_are_no_runs_to_compress():
    with pytest.raises(ValueError, match="ctc_vocab_size"):
        SignToTextConfig(encoder_config=PoseEncoderConfig(**POSE), text_config=T5Config(**T5), ctc_compression=True)
