"""Sentences put together from pieces: encoder states of single signs, cut out of clips and joined anew.

Running the encoder is nearly all of the work of training a translation model from poses. A decoder that is to learn a
grammar needs many more sentences than an encoder needs clips; here it gets them at the price of a look-up. The idea is
that of splicing in speech (and of CutMix): the parts are real, their order is new.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np

# S steps, D width of the encoder

REST = 0  # kind of what is before the first and after the last target


class StateLibrary:
    """Encoder states by what they show.

    Args:
        kinds: class -> kind, such as 1 for signs and 2 for letters: what lies between two targets is taken from between
            two targets of the same kinds.
    """

    def __init__(self, kinds: dict[int, int]):
        self.kinds = kinds
        self.pieces: dict[int, list[np.ndarray]] = defaultdict(list)
        self.gaps: dict[tuple[int, int], list[np.ndarray]] = defaultdict(list)

    def add(self, states: np.ndarray, classes: np.ndarray) -> None:
        """Cut a clip's states (S, D) where its classes (S,) change; 0 is between two targets."""
        bounds = [0, *(np.flatnonzero(np.diff(classes)) + 1), len(classes)]
        before, gap = REST, states[:0]
        for start, end in pairwise(bounds):
            number = int(classes[start])
            if number == 0:
                gap = states[start:end]
                continue
            self.gaps[before, self.kinds[number]].append(gap)
            self.pieces[number].append(states[start:end])
            before, gap = self.kinds[number], states[:0]
        self.gaps[before, REST].append(gap)

    def can_make(self, targets: list[int]) -> bool:
        return all(self.pieces[target] for target in targets)

    def summarize(self, targets: list[int], rng: np.random.Generator) -> np.ndarray:
        """One state a target, the middle of a piece: what a decoder learns to read first, and quickly."""
        pieces = [self.pieces[target][rng.integers(len(self.pieces[target]))] for target in targets]
        return np.stack([piece[len(piece) // 2] for piece in pieces])

    def splice(self, targets: list[int], rng: np.random.Generator) -> np.ndarray:
        """States (S, D) of a clip that never was: the targets, each from a clip of its own."""
        kinds = [REST, *(self.kinds[target] for target in targets), REST]
        joined = []
        for target, pair in zip([*targets, None], pairwise(kinds), strict=True):
            gaps = self.gaps[pair] or [gap for several in self.gaps.values() for gap in several]
            joined.append(gaps[rng.integers(len(gaps))])
            if target is not None:
                joined.append(self.pieces[target][rng.integers(len(self.pieces[target]))])
        return np.concatenate(joined)
