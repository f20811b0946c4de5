"""Landmark saliency: how much each landmark of each frame speaks for an answer, by gradient times input.

# T frames, V landmarks, C coordinates of which the last is the confidence
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from slt_hf.explanation.answers import Score


def landmark_saliency(inputs: dict[str, Any], score: Score) -> np.ndarray:
    """What the landmarks of one clip contribute to its answer, (T, V), 0 and more.

    A landmark's input is taken from where it is on average in the clip: what a hand says lies in where it moves, and
    a point that happens to be far from the origin is no more telling for that.
    """
    values = inputs["pose_values"].detach().clone().requires_grad_(True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(score({**inputs, "pose_values": values}), values)
    points, seen = values.detach()[0, ..., :-1].float(), (values.detach()[0, ..., -1:] > 0).float()
    average = (points * seen).sum(0) / seen.sum(0).clamp(min=1)
    contribution = gradient[0, ..., :-1].float() * (points - average) * seen
    return contribution.sum(-1).abs().cpu().numpy()


def shares_of_parts(saliency: np.ndarray, parts: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Share of all saliency (T, V) that lies in each part of the body, 1 altogether."""
    by_part = {name: float(saliency[:, list(points)].sum()) for name, points in parts.items()}
    total = sum(by_part.values()) or 1.0
    return {name: value / total for name, value in by_part.items()}
