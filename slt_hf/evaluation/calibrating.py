"""Fit what a translator's confidence means, on a split that it was not trained on: `slt-hf evaluate --calibrate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from slt_hf.confidence import Calibration
from slt_hf.errors import EvaluationError
from slt_hf.evaluation.checkpoint import Checkpoint
from slt_hf.evaluation.predictions import Predictions

LEAST_ITEMS = 20  # one pool of the curve


def uncalibrated(checkpoint: Checkpoint, name: str | None, split: str) -> Checkpoint:
    """The checkpoint with its scores as they are, to fit a curve to.

    Raises:
        EvaluationError: if this checkpoint, or this split, cannot have a curve.
    """
    if checkpoint.classifies:
        raise EvaluationError(
            "--calibrate: expected a translator, found a classifier; its unknown_threshold is set when training ends"
        )
    if name is None or not Path(name).is_dir():
        raise EvaluationError(f"--calibrate: expected a folder to write into, found {name}; download the checkpoint")
    if split == "test":
        raise EvaluationError(
            "--calibrate: expected dev, found the test split, which is for the report; name --split dev"
        )
    checkpoint.model.calibration = Calibration()
    return checkpoint


def calibrate(predictions: Predictions, folder: str, data: str) -> Calibration:
    """Write the curve from score to share of exact answers beside the weights.

    Raises:
        EvaluationError: if there are too few answers.
    """
    scores, right = [], []
    for said, asked, score in zip(predictions.hypotheses, predictions.references, predictions.confidences, strict=True):
        if score is not None:
            scores.append(score)
            right.append(said.strip() == asked.strip())
    if len(scores) < LEAST_ITEMS:
        raise EvaluationError(
            f"--calibrate: expected at least {LEAST_ITEMS} clips that were read, found {len(scores)}; take a larger one"
        )
    curve = Calibration.fit(np.array(scores), np.array(right), data=f"{data}, {len(scores)} clips")
    limits = Calibration.load(folder)  # of streams; they stay what they were
    fitted = replace(limits, scores=curve.scores, confidences=curve.confidences, data=curve.data)
    fitted.save(folder)
    return fitted
