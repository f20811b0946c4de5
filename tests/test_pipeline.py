"""SignTranslator and SignClassifier: any clip in, text or labels out, whole checkpoints or none."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_checkpoints import WORDS, save_classification, save_recognition

from slt_hf import SignClassifier, SignTranslator
from slt_hf.engines import Hypothesis, ctc_hypothesis, hypothesis_until_end
from slt_hf.errors import CheckpointError, ClipError, RecipeError
from slt_hf.processing.pose_files import PoseClip, write_pose


def moving_points(seed: int, frames: int = 40) -> np.ndarray:
    """A signer of random points around two shoulders, (T, V, 2), pixels."""
    points = np.random.default_rng(seed).normal(size=(frames, 85, 2)).cumsum(0) * 3 + 200
    points[:, 5], points[:, 6] = (250, 200), (150, 200)
    return points.astype(np.float32)


def make_clip(seed: int, frames: int = 40) -> PoseClip:
    points = moving_points(seed, frames)
    return PoseClip(points, np.ones(points.shape[:2], np.float32), "signing_85", 25.0, 640, 480)


@pytest.fixture
def translator(tiny_checkpoint: Path) -> SignTranslator:
    return SignTranslator.from_pretrained(tiny_checkpoint, device="cpu")


def same(found: Any, other: Any) -> bool:
    return found.text == other.text and found.confidence == pytest.approx(other.confidence, abs=1e-5)


def test_one_clip_gives_one_translation_and_a_list_gives_a_list(translator: SignTranslator):
    clip = make_clip(0)
    single = translator(clip, max_new_tokens=8)
    (listed,) = translator([clip], max_new_tokens=8)
    assert same(single, listed)


def test_every_way_to_hand_over_a_clip_gives_the_same_translation(translator: SignTranslator, tmp_path: Path):
    clip = make_clip(0)
    array = np.concatenate([clip.points, clip.confidence[..., None]], axis=-1)
    expected = translator(clip, max_new_tokens=8)
    assert same(translator(array, layout="signing_85", fps=25.0, max_new_tokens=8), expected)
    assert same(translator(np.asarray(clip.points), layout="signing_85", fps=25.0, max_new_tokens=8), expected)


def test_files_bytes_and_pose_objects_agree(translator: SignTranslator, tmp_path: Path):
    from pose_format import Pose

    from slt_hf.processing.landmarks import convert

    clip = make_clip(0)
    points, confidence = convert(clip.points, clip.confidence, "signing_85", "holistic_543")
    path = tmp_path / "clip.pose"
    write_pose(PoseClip(points, confidence, "holistic_543", 25.0, 640, 480), path)
    content = path.read_bytes()
    by_path, by_name, by_bytes, by_pose = translator(
        [path, str(path), content, Pose.read(content)], max_new_tokens=8, batch_size=1
    )
    assert same(by_path, by_name) and same(by_path, by_bytes) and same(by_path, by_pose)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}])
def test_batch_mates_change_neither_text_nor_confidence(translator: SignTranslator, options: dict[str, Any]):
    clips = [make_clip(seed, frames) for seed, frames in enumerate((20, 55, 33))]
    together = translator(clips, batch_size=3, max_new_tokens=8, **options)
    alone = translator(clips, batch_size=1, max_new_tokens=8, **options)
    assert all(same(one, other) for one, other in zip(together, alone, strict=True))


def test_a_part_of_a_clip_is_the_clip_of_that_part(translator: SignTranslator):
    clip = make_clip(0, frames=60)
    part = PoseClip(clip.points[25:50], clip.confidence[25:50], "signing_85", 25.0, 640, 480)
    assert same(translator(clip, start_ms=1000, end_ms=2000, max_new_tokens=8), translator(part, max_new_tokens=8))


@pytest.mark.parametrize("options", [{}, {"num_beams": 4}, {"do_sample": True, "temperature": 3.0, "top_k": 5}])
def test_confidence_is_the_geometric_mean_of_the_model_s_own_token_probabilities(
    translator: SignTranslator, options: dict[str, Any]
):
    torch.manual_seed(0)
    clip = make_clip(1)
    inputs = translator.processor(poses=clip, return_tensors="pt")
    (found,) = translator.engine.generate(inputs, max_new_tokens=6, **options)
    model = translator.engine.model  # type: ignore[attr-defined]
    start = [model.generation_config.decoder_start_token_id]
    with torch.inference_mode():
        logits = model(**inputs, decoder_input_ids=torch.tensor([start + found.tokens[:-1]])).logits[0]
    chosen = logits.log_softmax(-1)[range(len(found.tokens)), found.tokens]
    assert found.confidence == pytest.approx(math.exp(chosen.mean()), rel=1e-3)


def test_confidence_counts_the_end_and_nothing_behind_it():
    found = hypothesis_until_end([7, 8, 1, 0, 0], [-1.0, -2.0, -3.0, -50.0, -50.0], ends=1)
    assert found == Hypothesis([7, 8, 1], -6.0, 3)
    assert found.confidence == pytest.approx(math.exp(-2))


def test_timings_add_up_to_milliseconds(translator: SignTranslator):
    found = translator(make_clip(0), max_new_tokens=4)
    assert set(found.timings) == {"read", "process", "model"}
    assert found.milliseconds == pytest.approx(sum(found.timings.values())) and found.milliseconds > 0


def test_several_sequences_a_clip_are_refused(translator: SignTranslator):
    with pytest.raises(RecipeError, match="one sentence"):
        translator(make_clip(0), num_beams=2, num_return_sequences=2)


def test_a_column_of_datasets_is_a_list_of_clips(translator: SignTranslator, tmp_path: Path):
    import datasets

    np.save(tmp_path / "clip.npy", moving_points(0))
    rows = datasets.Dataset.from_list([{"pose": str(tmp_path / "clip.npy")}] * 2)
    said = translator(tmp_path / "clip.npy", fps=25.0, max_new_tokens=8).text
    assert [found.text for found in translator(rows["pose"], fps=25.0, max_new_tokens=8)] == [said, said]


def test_an_empty_list_is_refused(translator: SignTranslator):
    with pytest.raises(ClipError, match="empty list"):
        translator([])


# --- recognition and classification --------------------------------------------------------------------------------


def test_recognition_checkpoint_decodes_glosses_by_ctc(tmp_path: Path):
    translator = SignTranslator.from_pretrained(save_recognition(tmp_path), device="cpu")
    greedy, searched = translator(make_clip(0)), translator(make_clip(0), num_beams=4)
    assert set(greedy.text.split()) <= set(WORDS)
    assert 0 <= greedy.confidence <= 1 and 0 <= searched.confidence <= 1


def test_ctc_of_a_clip_does_not_depend_on_its_batch_mates(tmp_path: Path):
    translator = SignTranslator.from_pretrained(save_recognition(tmp_path), device="cpu")
    clips = [make_clip(0, 20), make_clip(1, 60)]
    alone = [translator(clip) for clip in clips]
    assert all(same(one, other) for one, other in zip(translator(clips), alone, strict=True))


def test_ctc_confidence_is_the_mean_over_labels():
    log_probs = np.log(np.array([[0.1, 0.9], [0.1, 0.9]]))
    assert ctc_hypothesis(log_probs, blank=0).confidence == pytest.approx(0.9 * 0.9 + 2 * 0.9 * 0.1)


def test_classifier_returns_labels_best_first(tmp_path: Path):
    classifier = SignClassifier.from_pretrained(save_classification(tmp_path), device="cpu")
    found = classifier(make_clip(0), top_k=40)
    probabilities = [probability for _, probability in found.labels]
    assert probabilities == sorted(probabilities, reverse=True) and sum(probabilities) == pytest.approx(1.0)
    assert found.label in {word.upper() for word in WORDS} and found.confidence == probabilities[0] and found.known
    assert len(classifier(make_clip(0)).labels) == 5


def test_classifier_says_when_it_does_not_know_the_sign(tmp_path: Path):
    classifier = SignClassifier.from_pretrained(save_classification(tmp_path, unknown_threshold=0.999), device="cpu")
    assert [found.known for found in classifier([make_clip(0), make_clip(1)])] == [False, False]


# --- loading is safe -----------------------------------------------------------------------------------------------


def edit_config(folder: Path, **changes: Any) -> None:
    values = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(values))


def test_missing_weight_is_an_error_and_not_a_random_weight(tiny_checkpoint: Path):
    from safetensors.torch import load_file, save_file

    weights = load_file(tiny_checkpoint / "model.safetensors")
    weights.pop("projector.linear.weight")
    save_file(weights, tiny_checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"missing keys.*projector\.linear\.weight"):
        SignTranslator.from_pretrained(tiny_checkpoint)


def test_weight_of_another_shape_is_an_error(tiny_checkpoint: Path):
    from safetensors.torch import load_file, save_file

    weights = load_file(tiny_checkpoint / "model.safetensors")
    weights["projector.linear.weight"] = weights["projector.linear.weight"][:5].contiguous()
    save_file(weights, tiny_checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError):
        SignTranslator.from_pretrained(tiny_checkpoint)


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


DAMAGE: dict[str, Any] = {
    "no config": lambda folder: (folder / "config.json").unlink(),
    "config that is no JSON": lambda folder: (folder / "config.json").write_text("{"),
    "config that is a list": lambda folder: (folder / "config.json").write_text("[]"),
    "unknown architecture": lambda folder: edit_config(folder, architectures=["BertModel"]),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "cut weights": cut_weights,
    "pickled weights": lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
    "no processor": lambda folder: (folder / "processor_config.json").unlink(),
    "processor that is no JSON": lambda folder: (folder / "processor_config.json").write_text("nothing"),
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_checkpoint_is_one_error_of_ours_that_names_the_folder(tiny_checkpoint: Path, damage: Any):
    damage(tiny_checkpoint)
    with pytest.raises(CheckpointError, match=str(tiny_checkpoint)):
        SignTranslator.from_pretrained(tiny_checkpoint)


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "nothing"])
def test_path_without_checkpoint_is_not_looked_up_on_the_hub(name: str):
    with pytest.raises(CheckpointError, match="no such folder"):
        SignTranslator.from_pretrained(name)


def test_classifier_and_translator_send_each_other_s_checkpoints_on(tiny_checkpoint: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match="SignTranslator"):
        SignClassifier.from_pretrained(tiny_checkpoint)
    with pytest.raises(CheckpointError, match="SignClassifier"):
        SignTranslator.from_pretrained(save_classification(tmp_path / "classifier"))
