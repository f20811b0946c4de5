"""Which label follows which: an n-gram model over CTC labels, counted on text and kept beside the weights.

A recogniser of spelled words sees letters; this knows the letters of words. Interpolated Witten-Bell smoothing (Witten
and Bell 1991), so that what was never seen stays possible.

# V labels of the vocabulary; END is one more, the end of the sequence
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

FILE = "label_ngrams.json"
START = -1


class LabelNgrams:
    """Log-probabilities of the next label after a prefix.

    Args:
        counts: context, joined by spaces -> label -> how often; contexts of 0 to `order - 1` labels.
        order: longest n-gram.
        num_labels: V.
        weight: of these log-probabilities against the recogniser's.
        bonus: added for each label, since every factor makes longer sequences less likely.
    """

    def __init__(self, counts: dict[str, dict[str, int]], order: int, num_labels: int, weight: float, bonus: float):
        self.counts, self.order, self.num_labels = counts, order, num_labels
        self.weight, self.bonus = weight, bonus
        self._after = lru_cache(maxsize=100_000)(self._smoothed)

    @classmethod
    def count(
        cls,
        sequences: Iterable[Sequence[int]],
        num_labels: int,
        order: int = 4,
        weight: float = 2.0,
        bonus: float = 3.0,
    ) -> LabelNgrams:
        """Counted on label sequences; the end of a sequence is label `num_labels`."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for sequence in sequences:
            padded = [START] * (order - 1) + [*sequence, num_labels]
            for place in range(order - 1, len(padded)):
                for size in range(order):
                    counts[_key(padded[place - size : place])][str(padded[place])] += 1
        return cls({key: dict(found) for key, found in counts.items()}, order, num_labels, weight, bonus)

    @classmethod
    def load(cls, folder: str | Path) -> LabelNgrams | None:
        """The model beside a checkpoint's weights, or None."""
        path = Path(folder) / FILE
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def save(self, folder: str | Path) -> None:
        names = ("counts", "order", "num_labels", "weight", "bonus")
        text = json.dumps({name: getattr(self, name) for name in names}, sort_keys=True)
        (Path(folder) / FILE).write_text(text + "\n", encoding="utf-8")

    def after(self, prefix: Sequence[int]) -> np.ndarray:
        """Weighted score of every label after `prefix`, the bonus included, and of the end: (V + 1,)."""
        padded = [START] * (self.order - 1) + [*prefix]
        return self._after(tuple(padded[len(padded) - self.order + 1 :]))

    def _smoothed(self, context: tuple[int, ...]) -> np.ndarray:
        probabilities = np.full(self.num_labels + 1, 1 / (self.num_labels + 1))
        for size in range(self.order):
            found = self.counts.get(_key(context[len(context) - size :]))
            if found is None:
                break
            total, distinct = sum(found.values()), len(found)
            probabilities = distinct * probabilities
            for label, times in found.items():
                probabilities[int(label)] += times
            probabilities /= total + distinct
        scores = self.weight * np.log(probabilities)
        scores[:-1] += self.bonus
        return scores


def _key(context: Sequence[int]) -> str:
    return " ".join(map(str, context))
