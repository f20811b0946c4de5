"""Does confidence mean anything? Risk against coverage, and reliability.

N answers with a confidence in 0-1 and a quality in 0-1 (right or wrong for signs, sentence chrF / 100 for text).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RiskCoverage:
    """What remains when only the most confident answers are given.

    Attributes:
        coverage: share of items answered, (N,), rising.
        risk: mean of 1 - quality over those, (N,).
        area: mean risk over all coverages (AURC): smaller is better.
        ideal_area: the same if confidence ordered the items by their true quality: the floor of `area`.
    """

    coverage: np.ndarray
    risk: np.ndarray
    area: float
    ideal_area: float


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in equal-width bins; empty bins are left out.

    Attributes:
        confidence, accuracy: means of each bin; count: items in it.
        expected_error: |confidence - accuracy| weighted by count (ECE, arxiv:1706.04599).
    """

    confidence: list[float]
    accuracy: list[float]
    count: list[int]
    expected_error: float


def risk_coverage(confidences: np.ndarray, quality: np.ndarray) -> RiskCoverage:
    """Answer the most confident items first; ties share the mean risk of their group, so file order says nothing."""
    confidences, loss = np.asarray(confidences, dtype=np.float64), 1 - np.asarray(quality, dtype=np.float64)
    loss_of_group = {value: loss[confidences == value].mean() for value in np.unique(confidences)}
    expected = np.array([loss_of_group[value] for value in -np.sort(-confidences)])
    answered = np.arange(1, len(loss) + 1)
    risk = np.cumsum(expected) / answered
    ideal = np.cumsum(np.sort(loss)) / answered
    return RiskCoverage(answered / len(loss), risk, float(risk.mean()), float(ideal.mean()))


def reliability(confidences: np.ndarray, correct: np.ndarray, bins: int = 10) -> Reliability:
    """Bins are right-closed, as in the paper: (0, 0.1], (0.1, 0.2] …; 0 falls into the first."""
    confidences, correct = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    place = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    used = [index for index in range(bins) if (place == index).any()]
    confidence = [float(confidences[place == index].mean()) for index in used]
    accuracy = [float(correct[place == index].mean()) for index in used]
    count = [int((place == index).sum()) for index in used]
    gaps = np.abs(np.array(confidence) - np.array(accuracy))
    return Reliability(confidence, accuracy, count, float(np.average(gaps, weights=count)) if used else 0.0)
