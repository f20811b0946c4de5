"""PoseClip: one person's landmarks over time, and the checks and rules that every source of clips shares."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .pose_errors import ClipError

if TYPE_CHECKING:
    from .hand_crops import HandPictures

# T frames, P people, V landmarks, C coordinates

MIN_FPS, MAX_FPS = 1.0, 1000.0  # slower shows no signing, and no camera is faster: a rate beyond is damage
NAN_BITS = np.int32(0x7FC00000)  # with these bits set, any float32 is NaN
MAX_COORDINATE = 1e5  # larger than any image side a .pose header can state (65535): beyond it a value is damage


class PoseWarning(UserWarning):
    """Something about a clip that its user should know, and that does not stop the work."""


@dataclass
class PoseClip:
    """One person's landmarks over time.

    Attributes:
        points: (T, V, C) float32, C = x, y[, z] in pixels or any unit, y pointing down; NaN where undetected.
        confidence: (T, V) float32 in [0, 1]; 0 where undetected.
        layout: name of the landmark layout.
        fps: frames per second.
        width, height: image size in the unit of the points, where known.
        num_people: people the source showed; one of them is in the clip.
        source: where the clip comes from, for messages.
        hands: where its hands are to be seen in a video, where that is known (`hand_crops.HandPictures`).
    """

    points: np.ndarray
    confidence: np.ndarray
    layout: str
    fps: float
    width: int | None = None
    height: int | None = None
    num_people: int = 1
    source: str | None = None
    hands: HandPictures | None = None

    @property
    def name(self) -> str:
        """What to call the clip in messages."""
        return self.source or "clip"

    @property
    def num_frames(self) -> int:
        return len(self.points)

    @property
    def duration_ms(self) -> float:
        return 1000.0 * self.num_frames / self.fps


def frame_range(
    num_frames: int, fps: float, start_ms: float | None, end_ms: float | None, name: str = "clip"
) -> tuple[int, int]:
    """Frames [first, last) that show any moment of [start_ms, end_ms); the end is cut to the clip's.

    Raises:
        ClipError: if the range is empty, negative, not finite or begins after the clip ends.
    """
    start, end = (0.0 if start_ms is None else float(start_ms)), (math.inf if end_ms is None else float(end_ms))
    if not 0 <= start < end:
        raise ClipError(
            f"{name}: expected 0 <= start_ms < end_ms, found start_ms {start_ms} and end_ms {end_ms}; correct the range"
        )
    slack = 1e-6  # 1000 ms at 29.97 fps is frame 29.97, but 40 ms at 25 fps is frame 1, not 1.0000000001
    first = math.floor(start / 1000 * fps + slack)
    last = num_frames if math.isinf(end) else min(num_frames, math.ceil(end / 1000 * fps - slack))
    if first >= last:
        raise ClipError(
            f"{name}: start_ms {start:g} is after the end of the clip ({num_frames} frames at {fps:g} fps, "
            f"{1000 * num_frames / fps:.0f} ms); "
            "correct the range"
        )
    return first, last


def check_fps(fps: float, name: str) -> float:
    """The frame rate, if it is one.

    Raises:
        ClipError: for zero, negative, absurd or non-finite rates.
    """
    if not MIN_FPS <= fps <= MAX_FPS:  # NaN compares false
        raise ClipError(
            f"{name}: expected a frame rate from {MIN_FPS:g} to {MAX_FPS:g} fps, found {fps:g}; "
            "pass fps= with the true rate"
        )
    return float(fps)


def all_axes(values: np.ndarray) -> np.ndarray:
    """`values.all(axis=-1)` for booleans (..., C), axis by axis: numpy is slow to reduce a last axis of 2 or 3."""
    if values.shape[-1] == 2 and values.flags.c_contiguous:
        return values.view(np.uint16)[..., 0] == 0x0101  # two booleans are one number: several times faster
    result = values[..., 0].copy()
    for axis in range(1, values.shape[-1]):
        result &= values[..., axis]
    return result


def within(points: np.ndarray, limit: float) -> np.ndarray:
    """Points (..., C) whose every coordinate is a number smaller than `limit`, either way."""
    with np.errstate(invalid="ignore"):
        return all_axes(np.abs(points) < limit)


def clean(points: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mark as undetected whatever cannot be a landmark: NaN, infinite or absurd coordinates, confidence NaN, zero or
    negative.

    Args:
        points: (..., C).
        confidence: (...).

    Returns:
        New float32 arrays: points with NaN where undetected, confidence in [0, 1].
    """
    with np.errstate(invalid="ignore", over="ignore"):
        confidence = np.minimum(np.asarray(confidence, dtype=np.float32), 1)
        good = within(points, MAX_COORDINATE) & (confidence > 0)
        points = np.array(points, dtype=np.float32)
    if good.all():
        return points, confidence
    real = np.negative(good, dtype=np.int32)  # all bits set where real; by bits it takes a third of the time
    bits, missing = points.view(np.int32), ~real & NAN_BITS
    for axis in range(points.shape[-1]):
        np.bitwise_or(bits[..., axis], missing, out=bits[..., axis])
    bits = confidence.view(np.int32)
    np.bitwise_and(bits, real, out=bits)
    return points, confidence


def choose_person(points: np.ndarray, confidence: np.ndarray, name: str = "clip") -> tuple[np.ndarray, np.ndarray]:
    """The person most surely seen over the whole clip: the largest sum of confidences; the first of equals.

    Args:
        points: (T, P, V, C).
        confidence: (T, P, V).

    Returns:
        Points (T, V, C) and confidence (T, V) of that person. Warns where there was a choice.
    """
    if points.shape[1] == 1:
        return points[:, 0], confidence[:, 0]
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.clip(np.nan_to_num(confidence, nan=0, posinf=1, neginf=0), 0, 1).sum(axis=(0, 2))
    person = int(total.argmax())
    warnings.warn(
        f"{name} shows {points.shape[1]} people; person {person + 1} is read, the one seen most surely. "
        "Give each signer a clip of their own to choose otherwise",
        PoseWarning,
        stacklevel=3,
    )
    return points[:, person], confidence[:, person]
