"""Where one sign ends and the next begins, by a classifier of single signs: the best cut of an utterance into signs.

Semi-Markov decoding over windows of all lengths that a sign may have: a window counts with the logarithm of its best
label's probability for every frame it covers, frames that belong to no sign with that of `NO_SIGN`. The best cut up to
every boundary is kept with the one before it, so that each new boundary costs the same, however long somebody signs.

# frames are those of the utterance, at the model's rate; boundaries lie on a grid of `step` frames
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

NO_SIGN = 0.35  # probability that a frame between signs counts with


@dataclass(frozen=True)
class Segment:
    """A sign and where it was made."""

    label: str
    probability: float
    first: int
    last: int  # frame behind it


@dataclass(frozen=True)
class Boundary:
    """The best cut of everything up to a frame."""

    score: float
    before: int | None = None  # boundary where its last piece begins
    label: str | None = None  # None: no sign
    probability: float = 0.0


def joined(segments: Sequence[Segment], longest: int) -> list[Segment]:
    """Halves of one sign as one: neighbours with the same label that together are no longer than a sign may be."""
    found: list[Segment] = []
    for each in segments:
        before = found[-1] if found else None
        if before and before.label == each.label and each.last - before.first <= longest:
            found[-1] = Segment(each.label, max(before.probability, each.probability), before.first, each.last)
        else:
            found.append(each)
    return found


class SignSegments:
    """Boundaries of an utterance, as far as it was decoded.

    Args:
        step: frames from one boundary to the next.
        shortest, longest: frames of a sign.
        behind: only cuts whose score is at most so far below the best one stay possible.
    """

    def __init__(self, step: int, shortest: int, longest: int, behind: float):
        self.step, self.longest, self.behind = step, longest, behind
        self.lengths = range(max(step, shortest - shortest % step), longest + 1, step)
        self.forget()

    def forget(self) -> None:
        self.boundaries: dict[int, Boundary] = {0: Boundary(0.0)}
        self.reached = 0

    def windows(self, last: int) -> list[tuple[int, int]]:
        """What must be classified before a boundary at frame `last` can be decoded."""
        return [(last - length, last) for length in self.lengths if last - length in self.boundaries]

    def decode(self, last: int, found: Sequence[tuple[tuple[int, int], str, float]]) -> None:
        """The next boundary, from its windows' best labels and their probabilities."""
        skipped = self.boundaries[self.reached]
        pieces = [Boundary(skipped.score + (last - self.reached) * math.log(NO_SIGN), self.reached)]
        for (first, _), label, probability in found:
            score = self.boundaries[first].score + (last - first) * math.log(max(probability, 1e-6))
            pieces.append(Boundary(score, first, label, probability))
        self.boundaries[last] = max(pieces, key=lambda piece: piece.score)
        self.reached = last
        self._forget_old()

    def best(self) -> list[Segment]:
        """The signs of the best cut so far."""
        return self._segments(self.reached)

    def certain(self) -> list[Segment]:
        """The signs that all cuts share which are still possible: whatever comes, a sign begins at one of them."""
        open_ones = [frame for frame in self.boundaries if frame > self.reached - self.longest]
        top = max(self.boundaries[frame].score for frame in open_ones)
        cuts = [self._segments(frame) for frame in open_ones if self.boundaries[frame].score >= top - self.behind]
        return [same[0] for same in takewhile(lambda same: len(set(same)) == 1, zip(*cuts, strict=False))]

    def _segments(self, frame: int | None) -> list[Segment]:
        return list(self._back(frame))[::-1]

    def _back(self, frame: int | None) -> Iterator[Segment]:
        while frame is not None:
            piece = self.boundaries[frame]
            if piece.label is not None and piece.before is not None:
                yield Segment(piece.label, piece.probability, piece.before, frame)
            frame = piece.before

    def state(self) -> dict[str, Any]:
        return {
            "reached": self.reached,
            "boundaries": {str(k): list(vars(v).values()) for k, v in self.boundaries.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.reached = state["reached"]
        self.boundaries = {int(frame): Boundary(*values) for frame, values in state["boundaries"].items()}

    def _forget_old(self) -> None:
        """Boundaries that no possible cut goes through."""
        kept = {frame for frame in self.boundaries if frame > self.reached - self.longest - self.step}
        waiting = list(kept)
        while waiting:
            before = self.boundaries[waiting.pop()].before
            if before is not None and before not in kept:
                kept.add(before)
                waiting.append(before)
        self.boundaries = {frame: piece for frame, piece in self.boundaries.items() if frame in kept}
