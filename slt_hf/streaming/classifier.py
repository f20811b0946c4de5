"""StreamingClassifier: signs that stand alone, one after the other, with pauses between them or without.

# T frames, V landmarks, C coordinates
"""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import replace
from typing import Any

from slt_hf.engines import TorchClassifier
from slt_hf.pipeline import SignClassifier
from slt_hf.processing.pose_errors import ClipError
from slt_hf.streaming.events import StreamEvent, StreamPolicy
from slt_hf.streaming.sign_segments import Segment, SignSegments, joined
from slt_hf.streaming.utterance_stream import UtteranceStream, pose_settings

Found = tuple[tuple[int, int], str, float]  # window, its best label and probability
BEHIND = 12.0  # log-probability: cuts further behind the best one are given up
WINDOWS = 5  # classified together for one frame that comes: at 10 frames a second they keep up
STEP_MS, SHORTEST_MS, LONGEST_MS = 160.0, 480.0, 1600.0  # between boundaries; of a sign


class StreamingClassifier(UtteranceStream):
    """Words of isolated signs while they are made. `committed` are the signs that stand, `tentative` those that follow.

    Args:
        classifier: a loaded classifier of single signs.
        layout: of the landmarks that are pushed.
        policy: fields of `StreamPolicy`; below `min_confidence`, and below the checkpoint's own threshold for signs it
            has never seen, a sign is left out.

    Example:
        ```python
        stream = StreamingClassifier(SignClassifier.from_pretrained("org/isolated-signs"), layout="hands_42")
        for points, time_ms in camera:
            for event in stream.push(points, time_ms):
                print(event.committed, event.tentative)
        ```
    """

    def __init__(self, classifier: SignClassifier, layout: str = "holistic_543", **policy: Any):
        super().__init__(pose_settings(classifier).fps, layout, StreamPolicy(**policy))
        self.classifier = classifier
        if isinstance(classifier.engine, TorchClassifier):
            classifier.engine.quicken()  # once for all streams of an engine
        self.min_confidence = max(self.policy.min_confidence or 0.0, classifier.unknown_threshold or 0.0)
        step = max(1, round(STEP_MS * self.fps / 1000))
        shortest, longest = (self._frames(duration) for duration in (SHORTEST_MS, LONGEST_MS))
        self.segments = SignSegments(step, shortest, longest, BEHIND)
        self._forget()

    def _forget(self) -> None:
        self.segments.forget()
        self.asked = 0  # boundary whose windows were asked for last
        self.waiting: list[tuple[int, int]] = []  # windows that are to be classified
        self.found: list[Found] = []  # of boundaries that are not decoded yet
        self.stands: list[Segment] = []

    @classmethod
    def from_pretrained(
        cls, repo_or_dir: str | os.PathLike, layout: str = "holistic_543", device: str | None = None, **policy: Any
    ) -> StreamingClassifier:
        """A stream with a checkpoint of its own."""
        return cls(SignClassifier.from_pretrained(repo_or_dir, device=device), layout, **policy)

    @property
    def state(self) -> dict[str, Any]:
        stands = [list(vars(segment).values()) for segment in self.stands]
        own = {"segments": self.segments.state(), "waiting": list(self.waiting), "found": list(self.found)}
        return super().state | own | {"asked": self.asked, "stands": stands}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.segments.restore(state["segments"])
        self.asked, self.waiting, self.found = state["asked"], list(state["waiting"]), list(state["found"])
        self.stands = [Segment(*values) for values in state["stands"]]

    def _work(self) -> list[StreamEvent]:
        """A few windows; events where they change what is known."""
        self._ask()
        self.found += self._classified(self.waiting[:WINDOWS])
        self.waiting = self.waiting[WINDOWS:]
        events = []
        while self.segments.reached < (self.waiting[0][1] - self.segments.step if self.waiting else self.asked):
            events += self._decode()
        return events

    def _ask(self) -> None:
        """Windows of the next boundary, or of two: then all of them begin where boundaries are decoded."""
        step = self.segments.step
        most = min(len(self.utterance), self.segments.reached + 2 * step)
        while len(self.waiting) < WINDOWS and self.asked + step <= most:
            self.asked += step
            self.waiting += self.segments.windows(self.asked)

    def _decode(self) -> list[StreamEvent]:
        """The next boundary, all windows of which are classified."""
        before, last = self.segments.best(), self.segments.reached + self.segments.step
        self.segments.decode(last, [each for each in self.found if each[0][1] == last])
        self.found = [each for each in self.found if each[0][1] != last]
        certain = self.segments.certain()
        if len(certain) > len(self.stands):
            self.stands = [*self.stands, *certain[len(self.stands) :]]
        elif [each.label for each in self.segments.best()] == [each.label for each in before]:
            return []
        return [self._told(self.segments.best()[len(self.stands) :], False)]

    def _close(self) -> StreamEvent:
        """Decode what is left; an utterance shorter than any sign is one."""
        event = self._told(self._rest(), True)
        self._forget()
        return event

    def _rest(self) -> list[Segment]:
        while self.segments.reached + self.segments.step <= len(self.utterance):
            self._work()
        signs = self.segments.best()
        if not signs:
            whole = (0, len(self.utterance))
            signs = [Segment(label, probability, *whole) for _, label, probability in self._classified([whole])]
        return signs[len(self.stands) :]

    def _told(self, rest: list[Segment], final: bool) -> StreamEvent:
        """Signs that stand and signs that follow; those that nobody can be sure of are left out."""
        stands, every = (self._sure(some) for some in (self.stands, [*self.stands, *rest]))
        confidence = math.exp(sum(math.log(each.probability) for each in every) / len(every)) if every else 0.0
        parts = (every, []) if final else (stands, every[len(stands) :])
        committed, follows = (" ".join(each.label for each in part) for part in parts)
        return self._event(committed, follows, final, confidence)

    def _sure(self, segments: list[Segment]) -> list[Segment]:
        sure = [self._shown(each) for each in segments if each.probability >= self.min_confidence]
        return joined(sure, self.segments.longest)

    def _shown(self, segment: Segment) -> Segment:
        """Without the frames at its ends in which nothing is seen."""
        inside = range(segment.first, min(segment.last, len(self.utterance)))
        seen = [frame for frame in inside if self.utterance[frame][1].any()]
        return replace(segment, first=seen[0], last=seen[-1] + 1) if seen else segment

    def _classified(self, windows: list[tuple[int, int]]) -> list[Found]:
        """Best label and probability of each window in which somebody is seen."""
        seen = [window for window in windows if any(each.any() for _, each in self.utterance[slice(*window)])]
        try:
            return self._named(seen)
        except ClipError:  # of one of them; which one is told when they come alone
            return [found for window in seen for found in self._alone(window)]

    def _alone(self, window: tuple[int, int]) -> list[Found]:
        try:
            return self._named([window])
        except ClipError:
            return []

    def _named(self, windows: list[tuple[int, int]]) -> list[Found]:
        if not windows:
            return []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said once when a file is read; here it would be said all day
            found = self.classifier([self._clip(*window) for window in windows], top_k=1)
        return [(window, *each.labels[0]) for window, each in zip(windows, found, strict=True)]
