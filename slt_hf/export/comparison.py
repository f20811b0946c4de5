"""How a graph's answer is held against PyTorch's: numbers within a tolerance, tokens exactly, and where they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RELATIVE = 1e-4  # of the largest value of the tensor, in float32
CONFIDENCE = 1e-3  # probabilities of what is answered


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        what: the quantity, such as "logits".
        case: the input, such as "3 clips of 1 to 150 frames, random".
        worst: the largest difference found, in the unit of `limit`.
        passed: whether it is within `limit`.
        where: place and values of the first difference beyond it, None where there is none.
    """

    what: str
    case: str
    worst: float
    limit: float
    passed: bool
    where: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare_numbers(what: str, case: str, ours: np.ndarray, theirs: np.ndarray, limit: float = RELATIVE) -> Check:
    """Arrays of the graph and of PyTorch, within `limit` of the latter's largest value."""
    if ours.shape != theirs.shape:
        return Check(what, case, float("inf"), limit, False, f"shape {ours.shape}, PyTorch has {theirs.shape}")
    if not theirs.size:
        return Check(what, case, 0.0, limit, True)
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    scale = max(float(np.abs(theirs).max()), 1e-6)
    difference = np.abs(ours - theirs) / scale
    difference = np.where(np.isfinite(difference), difference, np.inf)  # NaN compares false with every limit
    worst = float(difference.max())
    if worst <= limit:
        return Check(what, case, worst, limit, True)
    place = tuple(int(index) for index in np.argwhere(difference > limit)[0])
    where = f"{what}{list(place)}: {ours[place]:.6g}, PyTorch has {theirs[place]:.6g}"
    return Check(what, case, worst, limit, False, where)


def compare_sequences(what: str, case: str, ours: Sequence[Any], theirs: Sequence[Any]) -> Check:
    """Rows of tokens or texts, exactly; `worst` counts the rows that differ."""
    differing = [row for row, (mine, other) in enumerate(zip(ours, theirs, strict=True)) if mine != other]
    if not differing:
        return Check(what, case, 0.0, 0.0, True)
    row = differing[0]
    mine, other = ours[row], theirs[row]
    place = next((i for i, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b), min(len(mine), len(other)))
    found = mine[place] if place < len(mine) else "the end"
    expected = other[place] if place < len(other) else "the end"
    where = f"row {row}, place {place}: {found}, PyTorch {expected}"
    return Check(what, case, float(len(differing)), 0.0, False, where)


def compare_confidences(what: str, case: str, ours: Sequence[float], theirs: Sequence[float]) -> Check:
    """Probabilities, to an absolute `CONFIDENCE`."""
    difference = np.abs(np.asarray(ours) - np.asarray(theirs))
    worst = float(difference.max())
    passed = worst <= CONFIDENCE
    row = int(difference.argmax())
    where = None if passed else f"row {row}: {ours[row]:.6g}, PyTorch has {theirs[row]:.6g}"
    return Check(what, case, worst, CONFIDENCE, passed, where)
