"""Confidence: a curve beside the weights, and how much a text owes to the signing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import save_recognition

from slt_hf import SignTranslator, bundled_checkpoint
from slt_hf.confidence import FILE, Calibration
from slt_hf.demonstration import sign_unseen
from slt_hf.errors import CheckpointError
from slt_hf.evaluation.calibration import reliability
from slt_hf.pipeline import Preparer
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.synthesis.synthesizer import synthesize


@pytest.fixture(scope="module")
def clips() -> list[PoseClip]:
    return [sign_unseen(seed=seed)[1] for seed in (2, 5)]


@pytest.fixture(scope="module")
def translator() -> SignTranslator:
    return SignTranslator.from_pretrained(device="cpu")


def overconfident(seed: int, count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Scores near 1 that are right as often as their square says."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.6, 1.0, count)
    return scores, rng.random(count) < scores**4


def test_a_fitted_curve_rises_and_says_how_often_others_are_right():
    curve = Calibration.fit(*overconfident(0))
    scores, right = overconfident(1)
    confidences = np.array([curve(score) for score in scores])
    assert (np.diff(curve.scores) > 0).all() and (np.diff(curve.confidences) > 0).all()
    assert reliability(scores, right).expected_error > 0.2
    assert reliability(confidences, right).expected_error < 0.04


def test_scores_that_are_all_the_same_give_one_confidence():
    curve = Calibration.fit(np.ones(50), np.arange(50) < 40)
    assert curve(1.0) == curve(0.3) == 0.8


def test_a_curve_is_read_as_it_was_written(tmp_path: Path):
    curve = Calibration.fit(*overconfident(0), abstain_below=0.4, data="2000 draws")
    curve = replace(curve, slowest_ms=200.0, slowest_sign_ms=1200.0, alone_certainty=0.99)
    curve.save(tmp_path)
    assert Calibration.load(tmp_path) == curve


def test_a_checkpoint_without_a_curve_keeps_its_scores(tmp_path: Path, clips: list[PoseClip]):
    folder = Path(shutil.copytree(bundled_checkpoint(), tmp_path / "checkpoint"))
    (folder / FILE).unlink(missing_ok=True)
    plain = SignTranslator.from_pretrained(folder, device="cpu")
    batch = next(Preparer(plain.processor)(clips[0], 1))
    [hypothesis] = plain.engine.generate(batch.inputs)
    assert plain(clips[0]).confidence == hypothesis.confidence
    assert plain.calibration == Calibration() and plain.calibration.abstain_below == 0


def test_a_checkpoint_with_a_curve_answers_through_it(tmp_path: Path, clips: list[PoseClip]):
    folder = Path(shutil.copytree(bundled_checkpoint(), tmp_path / "checkpoint"))
    Calibration((0.0, 1.0), (0.0, 0.25)).save(folder)
    quarter = SignTranslator.from_pretrained(folder, device="cpu")
    (folder / FILE).unlink()
    plain = SignTranslator.from_pretrained(folder, device="cpu")
    assert quarter(clips[0]).confidence == pytest.approx(plain(clips[0]).confidence / 4)


@pytest.mark.parametrize(
    "values",
    [
        {"scores": [0.2, 0.1], "confidences": [0.1, 0.2]},
        {"scores": [0.1, 0.2], "confidences": [0.2, 0.1]},
        {"scores": [0.1], "confidences": [0.1, 0.2]},
        {"scores": [0.1], "confidences": [1.2]},
        {"scores": [0.1]},
        {"scores": [], "confidences": [], "slowest_ms": "slow"},
        {"scores": [], "confidences": [], "alone_certainty": 1.5},
        {"scores": "high", "confidences": [1]},
    ],
)
def test_a_damaged_curve_is_refused(tmp_path: Path, values: dict):
    (tmp_path / FILE).write_text(json.dumps({"abstain_below": 0.0, "data": "", "slowest_ms": None} | values))
    with pytest.raises(CheckpointError, match="expected"):
        Calibration.load(tmp_path)


# --- grounding ---


def test_given_sentences_score_what_generating_them_scored(translator: SignTranslator, clips: list[PoseClip]):
    batch = next(Preparer(translator.processor)(clips, 2))
    hypotheses = translator.engine.generate(batch.inputs)
    found = translator.engine.log_probabilities(batch.inputs, [each.tokens for each in hypotheses])
    assert found == pytest.approx([each.log_probability for each in hypotheses], abs=1e-4)


def test_a_text_that_is_signed_is_lost_without_the_signing(translator: SignTranslator, clips: list[PoseClip]):
    grounded = translator(clips, grounding=True)
    assert all(each.grounding > 0.3 for each in grounded)
    assert [replace(each, grounding=None, timings={}) for each in grounded] == [
        replace(each, timings={}) for each in translator(clips)
    ]


def test_what_is_said_without_signing_owes_nothing_to_it(translator: SignTranslator, clips: list[PoseClip]):
    batch = next(Preparer(translator.processor)(clips[0], 1))
    hidden = batch.inputs | {"pose_values": 0 * batch.inputs["pose_values"]}
    [hypothesis] = translator.engine.generate(hidden)
    [again] = translator.engine.log_probabilities(hidden, [hypothesis.tokens])
    assert hypothesis.grounding(again) == pytest.approx(0, abs=1e-4)


def test_a_recogniser_is_grounded_too(tmp_path: Path):
    translator = SignTranslator.from_pretrained(save_recognition(tmp_path), device="cpu")
    clip = synthesize("I love my sister", seed=1)
    found = translator(clip, grounding=True)
    assert 0 <= found.grounding <= 1
    batch = next(Preparer(translator.processor)(clip, 1))
    [hypothesis] = translator.engine.generate(batch.inputs)
    [again] = translator.engine.log_probabilities(batch.inputs, [hypothesis.tokens])
    assert again == pytest.approx(hypothesis.log_probability, abs=1e-5)


@pytest.mark.slow
def test_an_export_has_the_confidence_and_the_grounding_of_its_checkpoint(
    tmp_path: Path, translator: SignTranslator, clips: list[PoseClip]
):
    from slt_hf.export.exporting import ExportSettings, export_checkpoint

    folder = export_checkpoint(bundled_checkpoint(), tmp_path / "graphs", ExportSettings())
    exported = SignTranslator.from_pretrained(folder)
    assert exported.calibration == translator.calibration
    for ours, theirs in zip(exported(clips, grounding=True), translator(clips, grounding=True), strict=True):
        assert ours.text == theirs.text
        assert (ours.confidence, ours.grounding) == pytest.approx((theirs.confidence, theirs.grounding), abs=1e-3)
