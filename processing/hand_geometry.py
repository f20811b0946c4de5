"""Hands by themselves: which one signs, how deep they are, the same hand seen or built a little differently.

Signers and cameras differ in what means nothing (handedness, depth units, finger lengths, the wrist's turn); the first
two are taken out of every clip, the others are varied in training.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .landmarks import get_layout

# T frames, V landmarks, C coordinates

WRIST, MIDDLE_KNUCKLE = 0, 9
PARENTS = (0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)  # of MediaPipe's 21 points
CLEARLY_MORE_SEEN = 0.2  # share of frames; below it, the hand that moves more is the one that signs
DEPTH_RATIO = 0.5  # depth of a hand against its extent in the image, RMS over a clip; MediaPipe's own is about this


def hands_of(layout: str) -> dict[str, np.ndarray]:
    """Indices of "left_hand" and "right_hand" where they have MediaPipe's 21 points."""
    parts = get_layout(layout).parts
    return {side: np.array(parts[side]) for side in ("left_hand", "right_hand") if len(parts.get(side, ())) == 21}


def signs_with_left(points: np.ndarray, confidence: np.ndarray, layout: str) -> bool:
    """Whether the left hand is the signing one: seen in clearly more frames, else moving further.

    Args:
        points: (T, V, C). confidence: (T, V); 0 where undetected.
    """
    hands = hands_of(layout)
    if len(hands) < 2:
        return False
    seen = {side: confidence[:, indices[WRIST]] > 0 for side, indices in hands.items()}
    more = float(seen["left_hand"].mean() - seen["right_hand"].mean())
    if abs(more) > CLEARLY_MORE_SEEN:
        return more > 0
    moved = {side: _path(points[:, indices, :2], seen[side]) for side, indices in hands.items()}
    return moved["left_hand"] > moved["right_hand"]


def _path(hand: np.ndarray, seen: np.ndarray) -> float:
    """Distance that a hand's points cover, (T, 21, 2); only between neighbouring frames that both show it."""
    both = seen[1:] & seen[:-1]
    return float(np.nansum(np.abs(np.diff(hand, axis=0))[both]))


def mirrored(points: np.ndarray, confidence: np.ndarray, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """The signer in a mirror at x = 0: x reversed, left and right landmarks swapped."""
    partners = np.array(get_layout(layout).mirror)
    points, confidence = points[:, partners].copy(), confidence[:, partners]
    points[..., 0] *= -1
    return points, confidence


def hand_depth(points: np.ndarray, layout: str) -> np.ndarray:
    """z from each wrist, scaled so that its RMS is `DEPTH_RATIO` of that of x and y; 0 for what is no hand.

    Extractors and files disagree about the unit and origin of z (metres, image widths, pixels), clips only about scale.

    Args:
        points: (T, V, 3); NaN where undetected.
    """
    points = points.copy()
    depth = np.where(np.isnan(points[..., 2]), np.float32(np.nan), np.float32(0))
    for indices in hands_of(layout).values():
        local = points[:, indices] - points[:, indices[:1]]
        depth[:, indices] = local[..., 2] * depth_scale(local)
    points[..., 2] = depth
    return points


def depth_scale(local: np.ndarray) -> np.float32:
    """Factor on the z of one hand relative to its wrist, (T, 21, 3); 1 where there is no depth."""
    seen = local[np.isfinite(local).all(-1)]
    flat, deep = np.square(seen[:, :2]).mean() if len(seen) else 0.0, np.square(seen[:, 2]).mean() if len(seen) else 0.0
    return np.float32(DEPTH_RATIO * np.sqrt(flat / deep)) if deep > 0 else np.float32(1)


def vary_hands(points: np.ndarray, layout: str, rng: np.random.Generator, sizes: Mapping[str, float]) -> np.ndarray:
    """Both hands as another person's: other bone lengths, fingers bent otherwise, the wrist turned. Fixed over a clip.

    Args:
        points: (T, V, 3), z growing away from the camera; changed in place where a hand is seen.
        rng: of every draw.
        sizes: standard deviations: `bone_length` (of the logarithm), `finger_bend` and `hand_turn` (degrees).
    """
    for indices in hands_of(layout).values():
        hand = points[:, indices]
        if np.isfinite(hand).all(-1).any():
            points[:, indices] = _other_hand(hand, rng, **sizes)
    return points


def _other_hand(
    hand: np.ndarray, rng: np.random.Generator, bone_length: float, finger_bend: float, hand_turn: float
) -> np.ndarray:
    """(T, 21, 3) -> (T, 21, 3), the wrist at its place."""
    wrist = hand[:, :1]
    local = hand - wrist
    local[..., 2] *= depth_scale(local) * np.float32(np.exp(rng.normal(0, bone_length)))
    bones = local - local[:, PARENTS]
    lengths = np.exp(rng.normal(0, bone_length, 21) + np.repeat(rng.normal(0, bone_length, 6), (1, 4, 4, 4, 4, 4)))
    bones *= lengths[:, None].astype(np.float32)
    bends = rotations(np.radians(rng.normal(0, finger_bend, (5, 4, 3))))
    turns = np.empty((21, 3, 3), np.float32)
    turns[WRIST] = turn = rotations(np.radians(rng.normal(0, hand_turn, 3)))
    for place in range(4):
        turn = turn @ bends[:, place]  # all five fingers, each joint turned with the one before it
        turns[place + 1 :: 4] = turn
    bones = np.matmul(turns, bones[..., None])[..., 0]
    built = np.zeros_like(local)
    built[:, 1:] = bones[:, 1:].reshape(len(hand), 5, 4, 3).cumsum(2).reshape(len(hand), 20, 3)
    built[np.isnan(hand).any(-1)] = np.nan
    return wrist + built


def rotations(angles: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) float32 from turns around x, then y, then z, in radians (..., 3)."""
    (a, b, c), (sa, sb, sc) = np.moveaxis(np.cos(angles), -1, 0), np.moveaxis(np.sin(angles), -1, 0)
    rows = [c * b, c * sb * sa - sc * a, c * sb * a + sc * sa, sc * b, sc * sb * sa + c * a, sc * sb * a - c * sa]
    return np.stack([*rows, -sb, b * sa, b * a], -1).reshape(*angles.shape[:-1], 3, 3).astype(np.float32)
