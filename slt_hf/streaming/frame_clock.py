"""Frames as they come -> frames at the model's rate: any camera, jitter, frames lost on the way.

# T frames, V landmarks, C coordinates
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from slt_hf.errors import ClipError
from slt_hf.processing.pose_resampling import sample_frames

MAX_STEPS = 256  # made at once: after a longer silence of the camera the clock starts anew


class FrameClock:
    """Resamples a stream to `fps`: frame k stands at k / fps seconds after the first frame.

    Between two frames that came, points move on a straight line, as `pose_resampling.resample` has it for whole clips;
    between two further apart than `max_gap_ms`, nothing is seen.
    """

    def __init__(self, fps: float, max_gap_ms: float):
        self.step_ms = 1000.0 / fps
        self.max_gap_ms = max_gap_ms
        self.first_ms: float | None = None
        self.made = 0  # frames given out so far
        self.last: tuple[float, np.ndarray, np.ndarray] | None = None
        self.late = 0  # frames that came out of order and were left out

    def push(self, points: np.ndarray, confidence: np.ndarray, time_ms: float) -> tuple[np.ndarray, np.ndarray]:
        """One frame (V, C), (V,) -> the frames that stand before or at its time: (T, V, C), (T, V), mostly one.

        Raises:
            ClipError: if the time is not a number.
        """
        if not math.isfinite(time_ms):
            raise ClipError(f"expected a time in milliseconds, found {time_ms}; give each frame the time it was taken")
        if self.last is not None and time_ms <= self.last[0]:
            self.late += 1
            return points[None][:0], confidence[None][:0]
        if self.last is None or self.first_ms is None or self.was_away(time_ms):
            self.first_ms = time_ms - self.made * self.step_ms  # frames are counted on: `time_of` the new one is now
            self.made, self.last = self.made + 1, (time_ms, points, confidence)
            return points[None], confidence[None]
        start_ms, before, before_seen = self.last
        due = math.floor((time_ms - self.first_ms) / self.step_ms + 1e-6) + 1
        times = self.first_ms + np.arange(self.made, due) * self.step_ms
        self.made, self.last = due, (time_ms, points, confidence)
        if not len(times):
            return points[None][:0], confidence[None][:0]
        if len(times) == 1 and abs(time_ms - times[0]) <= 1e-9 * (time_ms - start_ms):
            return points[None], confidence[None]  # a camera at the model's own rate: what interpolation would give
        pair, seen = np.stack([before, points]), np.stack([before_seen, confidence])
        new_points, new_seen = sample_frames(pair, seen, (times - start_ms) / (time_ms - start_ms))
        if time_ms - start_ms > self.max_gap_ms:
            between = (times > start_ms + self.step_ms / 2) & (times < time_ms - self.step_ms / 2)
            new_points[between], new_seen[between] = np.nan, 0
        return new_points, new_seen

    def was_away(self, time_ms: float) -> bool:
        """Whether the camera was silent for so long before this time that the clock starts anew."""
        return self.last is not None and MAX_STEPS * self.step_ms < time_ms - self.last[0] < math.inf

    def time_of(self, frame: int) -> float:
        """When a frame stands, ms."""
        return (self.first_ms or 0.0) + frame * self.step_ms

    def state(self) -> dict[str, Any]:
        last = self.last and {"time_ms": self.last[0], "points": self.last[1], "confidence": self.last[2]}
        return {"first_ms": self.first_ms, "made": self.made, "late": self.late, "last": last}

    def restore(self, state: dict[str, Any]) -> None:
        self.first_ms, self.made, self.late = state["first_ms"], state["made"], state["late"]
        last = state["last"]
        self.last = last and (last["time_ms"], np.array(last["points"]), np.array(last["confidence"]))
