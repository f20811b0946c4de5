"""I3D through the trainer, classifier and evaluator of the pose path: transfer, top-k, and not knowing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from test_video_training import WORDS, corpus, run  # noqa: E402, F401

from slt_hf import SignClassifier  # noqa: E402
from slt_hf.convert_i3d import i3d_extractor  # noqa: E402
from slt_hf.errors import RecipeError  # noqa: E402
from slt_hf.modeling import I3DConfig, I3DForVideoClassification  # noqa: E402
from slt_hf.training.arguments import DataArguments, ModelArguments  # noqa: E402
from slt_hf.training.models import build_classification_model, build_translation_model  # noqa: E402


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An I3D that was trained on seven other things."""
    folder = tmp_path_factory.mktemp("i3d")
    torch.manual_seed(0)
    model = I3DForVideoClassification(I3DConfig(width_multiplier=0.12, num_frames=8, image_size=32, num_labels=7))
    model.save_pretrained(folder)
    i3d_extractor(model.config).save_pretrained(folder)
    return folder


def test_transfer_keeps_everything_but_the_head(kinetics: Path) -> None:
    model, extractor = build_classification_model(
        ModelArguments(encoder=str(kinetics), encoder_config={"batch_statistics": False}), DataArguments(), ["A", "B"]
    )
    before = I3DForVideoClassification.from_pretrained(kinetics).i3d.state_dict()
    after = model.i3d.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.classifier.weight.shape[0] == 2 and model.config.id2label == {0: "A", 1: "B"}
    assert not model.i3d.layers["Mixed_3b"].b0.bn.batch_statistics
    assert (extractor.num_frames, extractor.image_size, extractor.short_side) == (8, 32, 37)
    assert extractor.image_mean == [0.5, 0.5, 0.5]


def test_transfer_reads_pictures_as_its_encoder_did(kinetics: Path, tmp_path: Path) -> None:
    """One that was shown squashed pictures goes on with them; the recipe may ask for every frame."""
    folder = Path(shutil.copytree(kinetics, tmp_path / "wlasl"))
    config = I3DConfig.from_pretrained(folder)
    i3d_extractor(config, fit="squash").save_pretrained(folder)
    data = DataArguments(processor_settings={"num_frames": None, "fps": 25})
    _, extractor = build_classification_model(ModelArguments(encoder=str(folder)), data, ["A", "B"])
    assert (extractor.fit, extractor.num_frames, extractor.fps, extractor.short_side) == ("squash", None, 25, 37)


def test_a_flow_checkpoint_wants_flow_and_no_translation_starts_from_an_i3d(kinetics: Path) -> None:
    fields = {"model_type": "slt_i3d", "num_channels": 2, "width_multiplier": 0.06}
    model, extractor = build_classification_model(ModelArguments(encoder_config=fields), DataArguments(), ["A", "B"])
    assert extractor.flow and model.config.num_channels == 2
    data = DataArguments(processor_settings={"flow": False})
    with pytest.raises(RecipeError, match="flow: expected True"):
        build_classification_model(ModelArguments(encoder_config=fields), data, ["A", "B"])
    with pytest.raises(RecipeError, match="expected a VideoMAE for translation, found an I3D"):
        build_translation_model(ModelArguments(encoder=str(kinetics)), DataArguments())


@pytest.mark.slow
def test_a_run_names_signs_and_says_when_it_does_not_know(
    repository: Path, corpus: Path, kinetics: Path, tmp_path: Path  # noqa: F811
) -> None:
    folder = run(
        "train_isolated_signs.py", repository, corpus, tmp_path / "run", encoder=str(kinetics), target="gloss",
        tokenizer=None, class_balanced=True, max_steps=40, eval_steps=40, learning_rate=0.002,
        encoder_config={"dropout": 0.0, "batch_statistics": False},
    )  # fmt: skip
    classifier: Any = SignClassifier.from_pretrained(folder, device="cpu")
    assert type(classifier.engine.model) is I3DForVideoClassification
    answers = classifier([corpus / f"{number}.mp4" for number in (4, 5)], top_k=2, end_ms=900)
    assert [answer.label for answer in answers] == ["WORD0", "WORD2"]
    assert all(len(answer.labels) == 2 for answer in answers)
    assert classifier.labels == [word.upper() for word in WORDS[:4]]
    assert 0 < (classifier.unknown_threshold or 0) <= 1
    assert "mrr" in (folder / "dictionary_results.json").read_text().lower()
    assert "4 signs" in (folder / "README.md").read_text()
