"""StreamingTranslator: landmarks in as they are seen, text out while the person signs; the rest is in its neighbours.

# T frames, V landmarks, C coordinates
"""

from __future__ import annotations

import os
import warnings
from collections import deque
from typing import Any

import numpy as np

from slt_hf.pipeline import SignTranslator, Translation
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_clip import PoseClip, clean
from slt_hf.processing.pose_errors import ClipError
from slt_hf.streaming.activity import SigningActivity
from slt_hf.streaming.agreement import Agreement
from slt_hf.streaming.events import StreamEvent, StreamPolicy
from slt_hf.streaming.frame_clock import FrameClock
from slt_hf.streaming.live_encoder import live_encoder


class StreamingTranslator:
    """One stream of one person. Many streams share one loaded `SignTranslator`. NOT thread-safe.

    While hands are up, the chunked encoder computes every chunk once and the text model guesses whenever another sign
    was read; when they are down, the whole utterance is read the way `SignTranslator` reads a clip, and that is what
    stands. So what is committed at the end of an utterance is, to the letter, the offline translation of its frames.

    Args:
        translator: a loaded translator.
        layout: of the landmarks that are pushed.
        policy: fields of `StreamPolicy`.

    Example:
        ```python
        stream = StreamingTranslator(SignTranslator.from_pretrained(), layout="holistic_543")
        for points, time_ms in camera:
            for event in stream.push(points, time_ms):
                print(event.committed, event.tentative)
        ```
    """

    def __init__(self, translator: SignTranslator, layout: str = "holistic_543", **policy: Any):
        self.translator, self.layout = translator, layout
        self.policy = StreamPolicy(**policy)
        own = translator.calibration.abstain_below
        self.min_confidence = own if self.policy.min_confidence is None else self.policy.min_confidence
        self.num_points = get_layout(layout).num_points
        settings = translator.processor.feature_extractor.settings
        self.fps = settings.fps
        self.clock = FrameClock(self.fps, self.policy.max_gap_ms)
        self.activity = SigningActivity(layout, self.policy, self.fps)
        self.live = live_encoder(translator.engine, settings)
        self.agreement = Agreement(self.policy)
        self.lookback: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=self._frames(self.policy.lookback_ms))
        self.utterance: list[tuple[np.ndarray, np.ndarray]] = []
        self.first_frame = 0  # of the utterance, as the clock counts
        self.frames = 0  # frames of the model's rate so far
        self.seq = 0

    @classmethod
    def from_pretrained(
        cls,
        repo_or_dir: str | os.PathLike | None = None,
        layout: str = "holistic_543",
        device: str | None = None,
        **policy: Any,
    ) -> StreamingTranslator:
        """A stream with a checkpoint of its own; without a name, the bundled one."""
        return cls(SignTranslator.from_pretrained(repo_or_dir, device=device), layout, **policy)

    def push(self, points: Any, time_ms: float, confidence: Any = None) -> list[StreamEvent]:
        """The next frame.

        Args:
            points: (V, C) in `layout`, in any unit, y pointing down; NaN where undetected.
            time_ms: when it was taken, on any clock that goes forward. A frame older than the last is left out.
            confidence: (V,), 0 where undetected; all ones where not given.

        Raises:
            ClipError: if the frame has another shape than the layout, or the time is not a number.
        """
        points = np.asarray(points, np.float32)
        if points.ndim != 2 or points.shape[0] != self.num_points or points.shape[1] not in (2, 3):
            raise ClipError(
                f"expected a frame of {self.num_points} points with 2 or 3 coordinates for layout {self.layout}, found "
                f"{points.shape}; name the layout of your landmarks"
            )
        seen = np.ones(len(points), np.float32) if confidence is None else np.asarray(confidence, np.float32)
        events: list[StreamEvent] = []
        if self.clock.was_away(time_ms):
            events += self.finish()
            self.lookback.clear()
        for place, visible in zip(*self.clock.push(*clean(points, seen), time_ms), strict=True):
            events += self._frame(place, visible)
        return events + self._guess()

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
            "live": self.live and self.live.state(),
            "agreement": self.agreement.state(),
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
        if self.live is not None:
            self.live.restore(state["live"])
        self.agreement.restore(state["agreement"])
        self.lookback = deque(state["lookback"], maxlen=self.lookback.maxlen)
        self.utterance = list(state["utterance"])
        self.first_frame, self.frames, self.seq = state["first_frame"], state["frames"], state["seq"]

    # --- one frame at the model's rate ---

    def _frame(self, points: np.ndarray, confidence: np.ndarray) -> list[StreamEvent]:
        was_signing = self.activity.signing
        change = self.activity.push(points, confidence)
        self.frames += 1
        if was_signing or change == "start":
            if change == "start":
                self._begin()
            self.utterance.append((points, confidence))
            if change == "end":
                return self._end()
            if len(self.utterance) >= self._frames(self.policy.longest_ms):
                self.activity.end()
                return self._end()
            return []
        self.lookback.append((points, confidence))
        return []

    def _begin(self) -> None:
        self.utterance = list(self.lookback)
        self.first_frame = self.frames - 1 - len(self.utterance)
        self.lookback.clear()

    def _guess(self) -> list[StreamEvent]:
        """One piece of the work on what is being signed: the next chunk, or a step towards a guess."""
        live = self.live
        if live is None or not self.activity.signing:
            return []
        if len(self.utterance) >= live.frames_read + live.chunk_frames:
            live.push(self._clip(live.frames_read, live.frames_read + live.chunk_frames))
            return []
        guess = live.guess()
        if guess is None:
            return []
        text = self.translator.processor.batch_decode([guess.tokens], skip_special_tokens=True)[0].strip()
        self.agreement.take(text)
        confidence = self.translator.calibration(guess.confidence)
        return [self._event(self.agreement.committed, self.agreement.rest(text), False, confidence)]

    def _end(self) -> list[StreamEvent]:
        """Read the whole utterance; words that stand already stay what they are."""
        translation = self._read()
        heard = translation is not None and (self.agreement.committed or translation.confidence >= self.min_confidence)
        text = self.agreement.finish(translation.text) if heard and translation is not None else ""
        confidence, grounding = (translation.confidence, translation.grounding) if translation else (0.0, None)
        event = self._event(text, "", True, confidence, grounding)
        self.lookback.extend(self.utterance)
        self.utterance = []
        self.agreement = Agreement(self.policy)
        if self.live is not None:
            self.live.forget()
        return [event]

    def _read(self) -> Translation | None:
        """The offline translation of the utterance; None where nobody is seen."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # said once when a file is read; here it would be said all day
                return self.translator(self._clip(), grounding=self.policy.grounding)
        except ClipError:
            return None

    def _clip(self, start: int = 0, stop: int | None = None) -> PoseClip:
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
