"""Named places on and around the body, the points of a hand that touch them, and words for directions.

Places are metres in the own-side frame of ``kinematics`` (x inwards, y down, z back) for a signer of reference size.
"""

from __future__ import annotations

import numpy as np

DIRECTIONS = {
    "in": (1.0, 0.0, 0.0), "out": (-1.0, 0.0, 0.0), "up": (0.0, -1.0, 0.0),
    "down": (0.0, 1.0, 0.0), "forward": (0.0, 0.0, -1.0), "back": (0.0, 0.0, 1.0),
}  # fmt: skip

# On the head: moves and scales with it.
HEAD_PLACES = {
    "head_top": (-0.01, -0.365, -0.02), "forehead": (0.0, -0.300, -0.105), "temple": (-0.068, -0.275, -0.055),
    "eye": (-0.034, -0.245, -0.110), "nose": (0.0, -0.200, -0.130), "mouth": (0.0, -0.162, -0.120),
    "chin": (0.0, -0.122, -0.105), "cheek": (-0.055, -0.180, -0.075), "ear": (-0.080, -0.220, -0.010),
    "neck": (0.0, -0.065, -0.070),
}  # fmt: skip
# On the trunk: scale with its width and height.
TRUNK_PLACES = {
    "shoulder": (-0.165, 0.0, -0.070), "contra_shoulder": (0.165, 0.045, -0.080), "chest": (0.0, 0.120, -0.110),
    "ipsi_chest": (-0.085, 0.075, -0.110), "contra_chest": (0.075, 0.085, -0.115), "belly": (0.0, 0.260, -0.120),
    "waist": (-0.190, 0.380, -0.050), "lap": (-0.070, 0.400, -0.150), "hanging": (-0.230, 0.500, -0.020),
}  # fmt: skip
# In front of the body: scale with the arms and with how large somebody signs.
SPACE_PLACES = {
    "neutral": (-0.105, 0.110, -0.270), "neutral_center": (0.0, 0.110, -0.270), "base": (-0.030, 0.140, -0.270),
    "spell": (-0.215, -0.010, -0.215), "high": (-0.250, -0.100, -0.230), "side": (-0.300, 0.160, -0.200),
}  # fmt: skip

PLACES = {**HEAD_PLACES, **TRUNK_PLACES, **SPACE_PLACES}
PLACE_NAMES = tuple(PLACES)
SPACE_CENTER = np.array([-0.08, 0.08, -0.12])  # larger signing moves the places in front of the body away from here

# Points of a hand by landmark: weights are equal; then a step along the hand's own axes (r, f, p) in metres.
CONTACTS: dict[str, tuple[tuple[int, ...], tuple[float, float, float]]] = {
    "palm": ((0, 5, 9, 13, 17), (0.0, 0.012, 0.012)),
    "back": ((0, 5, 9, 13, 17), (0.0, 0.012, -0.012)),
    "heel": ((0, 0, 0, 9), (0.0, 0.0, 0.014)),
    "wrist": ((0,), (0.0, 0.0, 0.0)),
    "radial": ((5,), (0.012, 0.0, 0.0)),
    "ulnar": ((17,), (-0.012, 0.0, 0.0)),
    "knuckles": ((6, 10, 14), (0.0, 0.0, 0.0)),
    "index_pip": ((6,), (0.0, 0.0, 0.0)),
    "hook": ((7,), (0.0, 0.0, 0.0)),
    "fingers": ((6, 7, 10, 11), (0.0, 0.0, 0.0)),
    "fingertips": ((8, 12), (0.0, 0.0, 0.0)),
    "index_tip": ((8,), (0.0, 0.0, 0.0)),
    "middle_tip": ((12,), (0.0, 0.0, 0.0)),
    "thumb_tip": ((4,), (0.0, 0.0, 0.0)),
}
CONTACT_NAMES = tuple(CONTACTS)
BASE_PLACES = tuple(f"base_{name.removesuffix('_tip') if name == 'thumb_tip' else name}" for name in CONTACT_NAMES)
PLACE_IDS = {name: i for i, name in enumerate((*PLACE_NAMES, *BASE_PLACES))}
FIRST_BASE_PLACE = len(PLACE_NAMES)


def contact_points(hand: np.ndarray) -> np.ndarray:
    """The contacts of hands (..., 21, 3) in hand axes, in the order of ``CONTACT_NAMES``: (..., contacts, 3)."""
    points = [hand[..., list(landmarks), :].mean(axis=-2) + np.array(step) for landmarks, step in CONTACTS.values()]
    return np.stack(points, axis=-2)


def direction(words: str) -> np.ndarray:
    """``"up forward"`` as a unit vector (3,)."""
    vector = np.sum([DIRECTIONS[word] for word in words.split()], axis=0)
    return vector / np.linalg.norm(vector)


def displacement(words: list[str]) -> np.ndarray:
    """``["down", "5", "in", "2"]``, centimetres, as metres (3,)."""
    steps = zip(words[::2], words[1::2], strict=True)
    return np.sum([np.zeros(3), *(np.array(DIRECTIONS[word]) * float(cm) / 100 for word, cm in steps)], axis=0)


def place(text: str, start: tuple[int, np.ndarray] | None = None) -> tuple[int, np.ndarray]:
    """``"chin forward 3"`` as (place id, offset in metres). Without a place, the offset counts from ``start``."""
    words = text.split()
    if words[0] in DIRECTIONS:
        if start is None:
            raise ValueError(f"place {text!r} begins with a direction; begin with one of: {', '.join(PLACE_IDS)}")
        return start[0], start[1] + displacement(words)
    return PLACE_IDS[words[0]], displacement(words[1:])
