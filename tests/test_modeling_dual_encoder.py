"""The dual encoder: it learns to pair clips and texts, and gives its encoder on to translation."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from transformers import (  # noqa: E402
    AutoModel,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BertConfig,
    UMT5Config,
    VideoMAEConfig,
)

from slt_hf.modeling import (  # noqa: E402
    PoseEncoderConfig,
    SignTextDualEncoderConfig,
    SignTextDualEncoderModel,
    SignToTextForConditionalGeneration,
    VideoEncoderConfig,
    info_nce,
    same_text,
)

POSE = {
    "num_landmarks": 42, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "graph_hidden_size": 8, "point_hidden_size": 4, "part_hidden_size": 16, "dropout": 0.0,
}  # fmt: skip
BART = {
    "vocab_size": 40, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 32,
}  # fmt: skip
BERT = {
    "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
}  # fmt: skip
UMT5 = {"vocab_size": 40, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4}
TEXT_CONFIGS = {"umt5": UMT5Config(**UMT5), "bart": BartConfig(**BART), "bert": BertConfig(**BERT)}


def dual_encoder(name: str = "umt5") -> SignTextDualEncoderModel:
    torch.manual_seed(0)
    config = SignTextDualEncoderConfig(
        encoder_config=PoseEncoderConfig(**POSE), text_config=TEXT_CONFIGS[name], projection_dim=16
    )
    return SignTextDualEncoderModel(config).eval()


def pairs(rows: int = 5) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    text_mask = torch.ones(rows, 6, dtype=torch.long)
    text_mask[1, 3:] = 0
    return {
        "pose_values": torch.rand(rows, 20, 42, 3, generator=generator),
        "attention_mask": torch.ones(rows, 20, dtype=torch.long),
        "input_ids": torch.randint(3, 40, (rows, 6), generator=generator),
        "text_attention_mask": text_mask,
    }


@pytest.mark.parametrize("name", TEXT_CONFIGS)
def test_it_learns_to_pair_and_every_weight_takes_part(name: str):
    model = dual_encoder(name).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(40):
        model(**pairs()).loss.backward()
        if step == 1:  # the pooling's scores start at zero, so gradients behind them come with the second step
            assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
        optimizer.step()
        optimizer.zero_grad()
    output = model.eval()(**pairs())
    assert output.logits_per_sign.argmax(-1).tolist() == [0, 1, 2, 3, 4]
    assert output.logits_per_text.argmax(-1).tolist() == [0, 1, 2, 3, 4]


def test_features_are_unit_vectors_that_do_not_depend_on_padding():
    model, inputs = dual_encoder(), pairs()
    with torch.no_grad():
        signs = model.get_sign_features(inputs["pose_values"], inputs["attention_mask"])
        texts = model.get_text_features(inputs["input_ids"], inputs["text_attention_mask"])
        short = model.get_text_features(inputs["input_ids"][1:2, :3])
    torch.testing.assert_close(signs.norm(dim=-1), torch.ones(5))
    torch.testing.assert_close(texts.norm(dim=-1), torch.ones(5))
    torch.testing.assert_close(texts[1:2], short, atol=1e-5, rtol=1e-5)


def test_a_video_does_not_depend_on_padding():
    torch.manual_seed(0)
    backbone = VideoMAEConfig(
        image_size=16, patch_size=8, num_frames=4, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, use_mean_pooling=False,
    )  # fmt: skip
    config = SignTextDualEncoderConfig(
        encoder_config=VideoEncoderConfig(backbone_config=backbone.to_dict()), text_config=TEXT_CONFIGS["umt5"]
    )
    model, pixels = SignTextDualEncoderModel(config).eval(), torch.randn(1, 6, 3, 16, 16)
    padded, mask = torch.cat([pixels, torch.zeros(1, 4, 3, 16, 16)], 1), torch.tensor([[1] * 6 + [0] * 4])
    with torch.no_grad():
        alone = model.get_sign_features(pixel_values=pixels)
        found = model.get_sign_features(pixel_values=padded, attention_mask=mask)
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


def test_equal_texts_are_not_negatives_of_each_other():
    texts = torch.tensor([[5, 6, 7], [5, 6, 7], [8, 9, 0]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 1, 0]])
    duplicates = same_text(texts, mask)
    assert duplicates.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    logits = torch.tensor([[9.0, 9.0, 0.0], [9.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    assert info_nce(logits, duplicates) < 1e-3 < 0.4 < info_nce(logits)


def test_padding_token_ids_do_not_make_texts_different():
    texts, mask = torch.tensor([[5, 6, 7], [5, 6, 9]]), torch.tensor([[1, 1, 0], [1, 1, 0]])
    assert same_text(texts, mask).all() and not same_text(texts)[0, 1]


def test_loss_without_pairs_is_absent():
    inputs = pairs()
    output = dual_encoder()(
        pose_values=inputs["pose_values"][:2], input_ids=inputs["input_ids"], text_attention_mask=None
    )
    assert output.loss is None and output.logits_per_sign.shape == (2, 5)


@pytest.mark.parametrize("name", TEXT_CONFIGS)
def test_saved_model_gives_equal_similarities(name: str, tmp_path: Path):
    model = dual_encoder(name)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert type(loaded) is SignTextDualEncoderModel
    torch.testing.assert_close(loaded(**pairs()).logits_per_sign, model(**pairs()).logits_per_sign)


@pytest.mark.parametrize("name", TEXT_CONFIGS)
def test_text_half_keeps_the_weights_it_was_given(name: str, tmp_path: Path):
    whole = AutoModel.from_config(TEXT_CONFIGS[name]).eval()
    whole.save_pretrained(tmp_path)
    ids = pairs()["input_ids"]
    encoder = whole.get_encoder() if name != "bert" else whole
    expected = encoder(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
    for source in (whole, tmp_path, encoder):  # and the half that `get_encoder` gives, as a training run does
        model = SignTextDualEncoderModel.from_encoder_text_pretrained(PoseEncoderConfig(**POSE), source).eval()
        found = model.text_model(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_trained_encoder_goes_on_to_translation(tmp_path: Path):
    model = dual_encoder()
    model.save_pretrained(tmp_path)
    text_model = AutoModelForSeq2SeqLM.from_config(UMT5Config(**UMT5))
    for source in (model, tmp_path):
        translator = SignToTextForConditionalGeneration.from_encoder_text_pretrained(source, text_model)
        for name, tensor in translator.encoder.state_dict().items():
            torch.testing.assert_close(tensor, model.encoder.state_dict()[name], atol=0, rtol=0)
