"""Handshapes by name, read from ``handshapes.yaml``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import yaml

from slt_hf.synthesis.kinematics import NUM_HAND_ANGLES

HANDSHAPE_FILE = Path(__file__).with_name("handshapes.yaml")
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is ten times faster, where it was built


@cache
def handshapes() -> dict[str, np.ndarray]:
    """Name to joint angles in degrees, (21,), in the order of ``kinematics``."""
    table = yaml.load(HANDSHAPE_FILE.read_text(encoding="utf-8"), YAML_LOADER)
    return {str(name): _angles(shape, table) for name, shape in table["shapes"].items()}


@cache
def handshape_table() -> tuple[tuple[str, ...], np.ndarray]:
    """Names and their angles as one array (N, 21), so that a sentence's handshapes are one indexing operation."""
    shapes = handshapes()
    return tuple(shapes), np.stack(list(shapes.values()))


@cache
def handshape_index(name: str) -> int:
    names, _ = handshape_table()
    if name not in names:
        raise KeyError(f"handshape {name!r} is not in {HANDSHAPE_FILE.name}; known: {', '.join(names)}")
    return names.index(name)


def _angles(shape: dict, table: dict) -> np.ndarray:
    angles = np.zeros(NUM_HAND_ANGLES)
    fingers = angles[:16].reshape(4, 4)  # index, middle, ring, pinky; mcp, abduction, pip, dip
    spread = shape.get("spread", "together")
    fingers[:, 1] = table["spread"][spread] if isinstance(spread, str) else spread
    fingers[:, [0, 2, 3]] = _finger_postures(shape["fingers"], table["fingers"])
    angles[16:] = table["thumbs"][shape["thumb"]]
    return angles


def _finger_postures(text: str, postures: dict[str, list[float]]) -> list[list[float]]:
    """Four times [mcp, pip, dip] from one word for all fingers or one for each."""
    chosen = [postures[word] for word in text.split()]
    return chosen * 4 if len(chosen) == 1 else chosen
