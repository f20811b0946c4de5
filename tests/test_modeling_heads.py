"""Classification and CTC heads: they learn, accumulate as the Trainer expects, and load through their Auto classes."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from transformers import AutoModel, AutoModelForCTC, AutoModelForVideoClassification  # noqa: E402

from slt_hf.modeling import (  # noqa: E402
    PoseEncoderConfig,
    PoseEncoderForCTC,
    PoseEncoderForSignClassification,
    PoseEncoderModel,
)

TINY = {
    "num_landmarks": 42, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "graph_hidden_size": 8, "point_hidden_size": 4, "part_hidden_size": 16, "dropout": 0.0,
}  # fmt: skip
SIGNS = ["book", "chair", "drink"]


def classifier() -> PoseEncoderForSignClassification:
    torch.manual_seed(0)
    return PoseEncoderForSignClassification(PoseEncoderConfig(**TINY, id2label=dict(enumerate(SIGNS)))).eval()


def recogniser() -> PoseEncoderForCTC:
    torch.manual_seed(0)
    return PoseEncoderForCTC(PoseEncoderConfig(**TINY, vocab_size=6, pad_token_id=0)).eval()


def clips(rows: int = 6, frames: int = 24) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(rows, frames, 42, 3, generator=generator)
    values[..., -1] = 0.9
    mask = torch.ones(rows, frames, dtype=torch.long)
    mask[1, 10:] = 0
    mask[4, 17:] = 0
    return {"pose_values": values, "attention_mask": mask}


def train(model, steps: int, **inputs):
    optimizer = torch.optim.Adam(model.train().parameters(), lr=1e-2)
    for _ in range(steps):
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def collapse(path: list[int]) -> list[int]:
    """A CTC path without repeats and blanks."""
    return [now for before, now in zip([0, *path], path, strict=False) if now != before and now != 0]


def test_classifier_learns_and_embeds():
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    model = train(classifier(), steps=30, **clips(), labels=labels)
    output = model(**clips())
    assert output.logits.argmax(-1).equal(labels)
    assert output.embeddings.shape == (6, 32)


def test_recogniser_learns_glosses_in_order():
    labels = torch.tensor([[1, 2, 3], [4, -100, -100], [5, 1, -100], [2, 2, -100], [3, 1, 2], [5, 4, 3]])
    model = train(recogniser(), steps=60, **clips(), labels=labels)
    output = model(**clips())
    paths = output.logits.argmax(-1).masked_fill(output.attention_mask == 0, 0)
    assert [collapse(path) for path in paths.tolist()] == [[g for g in row if g > 0] for row in labels.tolist()]


@pytest.mark.parametrize(
    ("make", "labels"),
    [
        (classifier, torch.tensor([0, 1, -100, 2, 1, 0])),
        (recogniser, torch.tensor([[1, 2, 3], [4, -100, -100], [5, 1, -100], [2, 2, -100], [3, 1, 2], [5, 4, 3]])),
    ],
)
def test_accumulated_loss_equals_the_loss_of_one_batch(make, labels: torch.Tensor):
    model, inputs = make(), {**clips(), "labels": labels}
    items = (labels != -100).sum()
    whole = model(**inputs).loss
    parts = [
        model(**{name: tensor[rows] for name, tensor in inputs.items()}, num_items_in_batch=items).loss
        for rows in (slice(0, 2), slice(2, 6))
    ]
    torch.testing.assert_close(sum(parts), whole)


@pytest.mark.parametrize("make", [classifier, recogniser])
def test_padding_does_not_change_logits(make):
    model, inputs = make(), clips()
    together = model(**inputs).logits
    alone = model(pose_values=inputs["pose_values"][1:2, :10]).logits
    kept = together[1:2] if together.ndim == 2 else together[1:2, : alone.shape[1]]
    torch.testing.assert_close(kept, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "auto"), [(classifier, AutoModelForVideoClassification), (recogniser, AutoModelForCTC)]
)
def test_auto_classes_load_the_head_or_the_bare_encoder(make, auto, tmp_path: Path):
    model, inputs = make(), clips()
    model.save_pretrained(tmp_path)
    loaded = auto.from_pretrained(tmp_path).eval()
    assert type(loaded) is type(model)
    torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, atol=0, rtol=0)
    encoder = AutoModel.from_pretrained(tmp_path).eval()
    assert type(encoder) is PoseEncoderModel
    torch.testing.assert_close(
        encoder(**inputs).last_hidden_state, model.encoder(**inputs).last_hidden_state, atol=0, rtol=0
    )
    assert loaded.config.id2label == model.config.id2label


def test_recogniser_without_vocabulary_is_refused():
    with pytest.raises(ValueError, match="vocab_size"):
        PoseEncoderForCTC(PoseEncoderConfig(**TINY))
