"""LandmarkLayout: one way to list landmarks. Parts, mirror and edges follow from the canonical names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .landmark_names import PUPILS
from .landmark_relations import CHAINS, mirrored_name
from .pose_errors import LandmarkError


@dataclass(frozen=True)
class LandmarkLayout:
    """One way to list landmarks.

    Attributes:
        name: for example "holistic_543".
        points: canonical landmark names in order, V of them.
        parts: indices of "body", "left_hand", "right_hand", "face", "world"; an absent part has no key.
        mirror: index of each point's partner on the other side; its own on the midline, or where the layout lacks the
            partner.
        edges: index pairs along the skeleton.
        num_axes: coordinates its extractors write: 3 (x, y, z) for MediaPipe, 2 for most others. An array with one
            coordinate more carries the confidence in the last place.
        description: where the layout comes from.
    """

    name: str
    points: tuple[str, ...]
    parts: dict[str, tuple[int, ...]]
    mirror: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    num_axes: int = 3
    description: str = ""

    @property
    def num_points(self) -> int:
        return len(self.points)

    def index(self, name: str) -> int | None:
        """Place of a landmark, or None where the layout lacks it."""
        return self.points.index(name) if name in self.points else None


def part_of(name: str) -> str:
    """The part a canonical landmark name belongs to."""
    if name.startswith("face_") or name in PUPILS:
        return "face"
    if name.startswith(("left_hand_", "right_hand_")):
        return name[: name.index("_hand_") + 5]
    return "world" if name.startswith("world_") else "body"


def _edges(points: Sequence[str]) -> tuple[tuple[int, int], ...]:
    places = {name: index for index, name in enumerate(points)}
    edges: dict[tuple[int, int], None] = {}
    for chain in CHAINS:
        walk = [places[name] for name in chain if name in places]
        for start, end in zip(walk, walk[1:], strict=False):
            if start != end and (end, start) not in edges:
                edges[start, end] = None
    return tuple(edges)


def make_layout(name: str, points: Iterable[str], num_axes: int = 3, description: str = "") -> LandmarkLayout:
    """A layout from canonical landmark names in order; parts, mirror and edges follow from the names."""
    points = tuple(points)
    places = {point: index for index, point in enumerate(points)}
    if len(places) != len(points):
        raise LandmarkError(
            f"layout {name}: expected distinct landmark names, found a name twice; name each point once"
        )
    parts: dict[str, list[int]] = {}
    for index, point in enumerate(points):
        parts.setdefault(part_of(point), []).append(index)
    mirror = tuple(places.get(mirrored_name(point), index) for index, point in enumerate(points))
    frozen_parts = {part: tuple(indices) for part, indices in parts.items()}
    return LandmarkLayout(name, points, frozen_parts, mirror, _edges(points), num_axes, description)
