"""SignClassifier with transformers' own VideoMAE class and our processor: class list, ranking, unknown signs."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_video import make_video
from tiny_checkpoints import WORDS, save_video_classification

torch = pytest.importorskip("torch")

from slt_hf import SignClassifier, SignTranslator  # noqa: E402
from slt_hf.errors import CheckpointError  # noqa: E402


def test_labels_are_the_checkpoints_ranked_by_the_models_own_probability(tmp_path: Path):
    classifier = SignClassifier.from_pretrained(save_video_classification(tmp_path / "model"), device="cpu")
    assert classifier.labels == [word.upper() for word in WORDS] and classifier.unknown_threshold is None
    video = make_video(tmp_path / "clip.mp4", frames=30)
    inputs = classifier.processor(videos=video, return_tensors="pt")
    assert inputs["pixel_values"].shape == (1, 8, 3, 16, 16)
    with torch.no_grad():
        expected = classifier.engine.model(**inputs).logits[0].softmax(-1)  # type: ignore[attr-defined]
    answer = classifier(video, top_k=3)
    best = expected.argsort(descending=True)[:3].tolist()
    assert [label for label, _ in answer.labels] == [WORDS[place].upper() for place in best]
    assert [value for _, value in answer.labels] == pytest.approx(expected[best].tolist(), abs=1e-6)
    assert answer.known


def test_a_clip_does_not_depend_on_its_batch_mates(tmp_path: Path):
    classifier = SignClassifier.from_pretrained(save_video_classification(tmp_path / "model"), device="cpu")
    videos = [make_video(tmp_path / f"{frames}.mp4", frames=frames) for frames in (1, 30, 50)]
    together = classifier(videos, top_k=40)
    for video, answer in zip(videos, together, strict=True):
        alone = classifier(video, top_k=40)
        assert dict(alone.labels) == pytest.approx(dict(answer.labels), abs=1e-5)


@pytest.mark.parametrize(("threshold", "known"), [(0.0, True), (1.1, False)])
def test_below_its_threshold_a_sign_is_unknown(tmp_path: Path, threshold: float, known: bool):
    folder = save_video_classification(tmp_path / "model", unknown_threshold=threshold)
    classifier = SignClassifier.from_pretrained(folder, device="cpu")
    assert classifier.unknown_threshold == threshold
    assert classifier(make_video(tmp_path / "clip.mp4", frames=10)).known is known


def test_a_translator_sends_a_classifier_on(tmp_path: Path):
    with pytest.raises(CheckpointError, match="use SignClassifier for classifiers"):
        SignTranslator.from_pretrained(save_video_classification(tmp_path / "model"))
