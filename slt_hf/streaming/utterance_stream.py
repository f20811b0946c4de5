"""UtteranceStream: frames of one person, cut into utterances; what is said in them is for its subclasses.

# T frames, V landmarks, C coordinates
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import numpy as np

from slt_hf.pipeline import SignClassifier, SignTranslator
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_clip import PoseClip, clean
from slt_hf.processing.pose_errors import ClipError
from slt_hf.processing.pose_transforms import PoseSettings
from slt_hf.streaming.activity import SigningActivity
from slt_hf.streaming.events import StreamEvent, StreamPolicy
from slt_hf.streaming.frame_clock import FrameClock


def pose_settings(model: SignTranslator | SignClassifier) -> PoseSettings:
    """How a model's processor prepares poses.

    Raises:
        ClipError: if the model sees frames.
    """
    if model.reads_video:
        raise ClipError("expected a model that reads poses, found one that sees frames; give it whole clips")
    return getattr(model.processor, "feature_extractor", model.processor).settings  # itself, where alone


class UtteranceStream(ABC):
    """One stream of one person. NOT thread-safe.

    Args:
        fps: of the model.
        layout: of the landmarks that are pushed.
        policy: when to listen.
    """

    def __init__(self, fps: float, layout: str, policy: StreamPolicy):
        self.fps, self.layout, self.policy = fps, layout, policy
        self.num_points = get_layout(layout).num_points
        self.clock = FrameClock(fps, policy.max_gap_ms)
        self.activity = SigningActivity(layout, policy, fps)
        self.lookback: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=self._frames(policy.lookback_ms))
        self.utterance: list[tuple[np.ndarray, np.ndarray]] = []
        self.first_frame = 0  # of the utterance, as the clock counts
        self.frames = 0  # frames of the model's rate so far
        self.seq = 0

    def push(self, points: Any, time_ms: float, confidence: Any = None) -> list[StreamEvent]:
        """The next frame.

        Args:
            points: (V, C) in `layout`, in any unit, y pointing down; NaN where undetected.
            time_ms: when it was taken, on any clock that goes forward. A frame older than the last is left out.
            confidence: (V,), 0 where undetected; all ones where not given.

        Raises:
            ClipError: if the frame or its confidence has another shape than the layout, or the time is not a number.
        """
        points = np.asarray(points, np.float32)
        if points.ndim != 2 or points.shape[0] != self.num_points or points.shape[1] not in (2, 3):
            raise ClipError(
                f"expected a frame of {self.num_points} points with 2 or 3 coordinates for layout {self.layout}, found "
                f"{points.shape}; name the layout of your landmarks"
            )
        seen = np.ones(len(points), np.float32) if confidence is None else np.asarray(confidence, np.float32)
        if seen.shape != points.shape[:1]:
            raise ClipError(f"expected a confidence for each of {len(points)} points, found {seen.shape}; pass (V,)")
        events: list[StreamEvent] = []
        if self.clock.was_away(time_ms):
            events += self.finish()
            self.lookback.clear()
        for place, visible in zip(*self.clock.push(*clean(points, seen), time_ms), strict=True):
            events += self._frame(place, visible)
        return events + (self._work() if self.activity.signing else [])

    def finish(self) -> list[StreamEvent]:
        """The stream ends: an utterance that is going on ends with it."""
        events = self._end() if self.activity.signing else []
        self.activity.end()
        return events

    def translate(self, clip: PoseClip) -> list[StreamEvent]:
        """A whole clip, frame by frame: the last event of each of its utterances."""
        events: list[StreamEvent] = []
        for frame, (points, confidence) in enumerate(zip(clip.points, clip.confidence, strict=True)):
            events += self.push(points, 1000.0 * frame / clip.fps, confidence)
        return [event for event in events + self.finish() if event.final]

    @property
    def state(self) -> dict[str, Any]:
        """All that the stream knows: arrays, numbers and strings, of bounded size; `restore` goes on from it."""
        return {
            "clock": self.clock.state(),
            "activity": self.activity.state(),
            "lookback": list(self.lookback),
            "utterance": list(self.utterance),
            "first_frame": self.first_frame,
            "frames": self.frames,
            "seq": self.seq,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where another stream of the same checkpoint, layout and policy was."""
        self.clock.restore(state["clock"])
        self.activity.restore(state["activity"])
        self.lookback = deque(state["lookback"], maxlen=self.lookback.maxlen)
        self.utterance = list(state["utterance"])
        self.first_frame, self.frames, self.seq = state["first_frame"], state["frames"], state["seq"]

    # --- for subclasses ---

    @abstractmethod
    def _work(self) -> list[StreamEvent]:
        """One piece of work on the utterance that goes on; called once for each frame that is pushed."""

    def _is_whole(self) -> bool:
        """Hands seem to go down: whether the utterance can end here. If not, it ends when they have stayed down."""
        return True

    def _split(self) -> list[StreamEvent]:
        """The utterance is over: what its first part says, if it is more than one; the rest is left."""
        return []

    @abstractmethod
    def _close(self) -> StreamEvent:
        """The utterance is over: what it says, and forget it."""

    # --- one frame at the model's rate ---

    def _frame(self, points: np.ndarray, confidence: np.ndarray) -> list[StreamEvent]:
        was_signing = self.activity.signing
        change = self.activity.push(points, confidence)
        self.frames += 1
        if was_signing or change == "start":
            if change == "start":
                self._begin()
            self.utterance.append((points, confidence))
            too_long = len(self.utterance) >= self._frames(self.policy.longest_ms)
            if change == "end" or too_long or (change == "settling" and self._is_whole()):
                self.activity.end()
                return self._end()
            return []
        self.lookback.append((points, confidence))
        return []

    def _begin(self) -> None:
        self.utterance = list(self.lookback)
        self.first_frame = self.frames - 1 - len(self.utterance)
        self.lookback.clear()

    def _end_before(self, frame: int) -> StreamEvent:
        """One utterance ends before a frame of what is being signed, and another begins with it."""
        rest, self.utterance = self.utterance[frame:], self.utterance[:frame]
        event = self._close()
        self.utterance, self.first_frame = rest, self.first_frame + frame
        return event

    def _end(self) -> list[StreamEvent]:
        events = [*self._split(), self._close()]
        self.lookback.extend(self.utterance)
        self.utterance = []
        return events

    def _clip(self, start: int = 0, stop: int | None = None) -> PoseClip:
        """Frames of the utterance."""
        points, confidence = zip(*self.utterance[start:stop], strict=True)
        return PoseClip(np.stack(points), np.stack(confidence), self.layout, self.fps)

    def _event(
        self, committed: str, tentative: str, final: bool, confidence: float, grounding: float | None = None
    ) -> StreamEvent:
        start, end = self.clock.time_of(self.first_frame), self.clock.time_of(self.first_frame + len(self.utterance))
        event = StreamEvent(self.seq, committed, tentative, final, start, end, confidence, grounding)
        self.seq += 1
        return event

    def _frames(self, duration_ms: float) -> int:
        return max(1, round(duration_ms * self.fps / 1000))
