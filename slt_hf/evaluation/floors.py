"""What a score is worth: the score of outputs that have nothing to do with their clip.

chrF of unrelated English is already in the teens, and a BLEU of 1-4 may carry nothing beyond length and templates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from statistics import fmean

import numpy as np

from slt_hf.evaluation.bootstrap import SEED

ROUNDS = 5  # a floor is the mean over this many shuffles

Pairing = Callable[[Sequence[str], np.random.Generator], np.ndarray]


def shuffled(references: Sequence[str], generator: np.random.Generator) -> np.ndarray:
    """Whose hypothesis each item gets, (N,): anyone's but its own (a random cycle, so nothing stays in place)."""
    return _one_cycle(np.arange(len(references)), len(references), generator)


def length_matched(references: Sequence[str], generator: np.random.Generator) -> np.ndarray:
    """Whose hypothesis each item gets, (N,): that of a reference with as many words, or its own if there is none.

    What is left of the score is length, templates and the commonest words.
    """
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for item, reference in enumerate(references):
        groups[len(reference.split())].append(item)
    source = np.arange(len(references))
    for members in groups.values():
        source = _one_cycle(np.array(members), len(references), generator, source)
    return source


PAIRINGS: dict[str, Pairing] = {"shuffled": shuffled, "length_matched": length_matched}


def floor_scores(
    hypotheses: Sequence[str],
    references: Sequence[str],
    score: Callable[[Sequence[str], Sequence[str]], dict[str, float]],
    pairing: Pairing,
    seed: int = SEED,
    rounds: int = ROUNDS,
) -> dict[str, float]:
    """Mean score of hypotheses that were exchanged among items; items that nobody could exchange with are left out.

    Returns:
        The metrics of `score`, and `share_exchanged`: how much of the test set the floor speaks of.
    """
    generator = np.random.default_rng(seed)
    results = []
    share = 0.0
    for _ in range(rounds):
        source = pairing(references, generator)
        moved = np.flatnonzero(source != np.arange(len(references))).tolist()
        share = len(moved) / len(references)
        if len(moved):
            results.append(score([hypotheses[source[item]] for item in moved], [references[item] for item in moved]))
    means = {name: fmean(result[name] for result in results) for name in results[0]} if results else {}
    return means | {"share_exchanged": share}


def distinct_references(references: Sequence[str]) -> list[int]:
    """Items whose reference was not seen before, in order: test sets repeat sentences, and an easy one counts once."""
    first = {reference.strip(): item for item, reference in reversed(list(enumerate(references)))}
    return sorted(first.values())


def _one_cycle(
    members: np.ndarray, size: int, generator: np.random.Generator, source: np.ndarray | None = None
) -> np.ndarray:
    """Pass hypotheses round one random cycle of the members."""
    source = np.arange(size) if source is None else source.copy()
    order = generator.permutation(members)
    source[order] = np.roll(order, 1)
    return source
