"""Poses as a file has them, before they become a clip: missing points are marked, people chosen, frames in place."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slt_hf.errors import PoseFileError
from slt_hf.processing.pose_clip import PoseWarning

# T frames, P people, V landmarks, C coordinates


@dataclass
class RawPoses:
    """Landmarks and what the file says about them.

    Attributes:
        points: (T, V, C) as in the file; NaN where the file says that a point is absent.
        confidence: (T, V), or None where the file has none: whatever is not NaN counts as seen.
        layout: name of the landmark layout.
        fps: frames per second, where the file says so.
        num_people: people the file shows.
        fraction: coordinates are fractions of image width and height, not pixels.
    """

    points: np.ndarray
    confidence: np.ndarray | None
    layout: str
    fps: float | None = None
    num_people: int = 1
    fraction: bool = False


def frame_places(files: Sequence[Path]) -> dict[int, Path]:
    """Frame number by the last number in each name, counted from the first file; a frame without file is a gap.

    Raises:
        PoseFileError: a name without number, one number twice, or gaps of more than ten times the files.
    """
    places: dict[int, Path] = {}
    for file in files:
        numbers = re.findall(r"\d+", file.stem)
        if not numbers:
            raise PoseFileError(
                f"{file}: expected the frame number in the name, found none; name files like 000017.json"
            )
        if int(numbers[-1]) in places:
            raise PoseFileError(
                f"{file}: expected one file a frame, found frame {int(numbers[-1])} twice; keep one clip a folder"
            )
        places[int(numbers[-1])] = file
    first, last = min(places), max(places)
    if last - first >= 10 * len(places) + 100:
        raise PoseFileError(
            f"{files[0].parent}: expected frames close together, found {len(places)} files numbered {first} to {last}; "
            f"keep one clip a folder"
        )
    return {number - first: file for number, file in sorted(places.items())}


def mark_missing(points: np.ndarray, value: float | None) -> np.ndarray:
    """A float32 copy in which points whose x and y both equal `value` are NaN; None marks nothing.

    Args:
        points: (..., C).
    """
    points = np.array(points, dtype=np.float32)
    if value is not None:
        points[(points[..., :2] == value).all(axis=-1)] = np.nan
    return points


def follow_person(frames: Sequence[np.ndarray], name: str) -> tuple[np.ndarray, int]:
    """One person through all frames: the most surely seen one where it is seen best, then whoever is nearest to it.

    Detectors list people in any order, so places in the list mean nothing from frame to frame.

    Args:
        frames: per frame (P, V, C + 1), the confidence last; P may be 0 and may change.

    Returns:
        The person (T, V, C + 1), NaN with confidence 0 in frames that show nobody, and the largest P. Warns if above 1.
    """
    most = max((len(people) for people in frames), default=0)
    shape = next((people.shape[1:] for people in frames if len(people)), None)
    if shape is None:
        raise ValueError("no frame shows anybody")
    person = np.full((len(frames), *shape), np.nan, dtype=np.float32)
    person[..., -1] = 0
    if most > 1:
        warnings.warn(
            f"{name} shows {most} people; the one seen most surely is followed. Give each signer a clip to "
            f"choose otherwise",
            PoseWarning,
            stacklevel=3,
        )
    best = max(
        range(len(frames)), key=lambda frame: frames[frame][..., -1].sum(axis=1).max() if len(frames[frame]) else -1
    )
    for order in (range(best, len(frames)), range(best, -1, -1)):
        last: np.ndarray | None = None
        for frame in order:
            if len(frames[frame]):
                person[frame] = last = _nearest(frames[frame], last)
    return person, most


def _nearest(people: np.ndarray, last: np.ndarray | None) -> np.ndarray:
    """Of several people the one whose points moved least; the most surely seen one where there is no frame before."""
    if len(people) == 1:
        return people[0]
    if last is not None:
        both = (people[..., -1] > 0) & (last[..., -1] > 0)
        moved = np.linalg.norm(people[..., :2] - last[..., :2], axis=-1)
        distance = [
            np.median(moved[index][both[index]]) if both[index].any() else np.inf for index in range(len(people))
        ]
        if np.isfinite(min(distance)):
            return people[int(np.argmin(distance))]
    return people[int(people[..., -1].sum(axis=1).argmax())]


def in_places(frames: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    """Stack one array a frame; frames that are missing in between are NaN, (T, ...)."""
    found = dict(frames)
    shape = next(iter(found.values())).shape
    stacked = np.full((max(found) + 1, *shape), np.nan, dtype=np.float32)
    for place, values in found.items():
        stacked[place] = values
    return stacked
