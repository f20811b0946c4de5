"""How sure a score is: bootstrap intervals, and paired tests of two systems on the same items.

A metric is a matrix of counts with one row per item, (N, K), and a function from their sum (K,) to the score: the sum
of all rows gives the corpus score, the sum of a resample of them one bootstrap score. Resamples are weights (R, N), how
often each item was drawn, so `weights @ counts` sums every resample at once: a thousand resamples of two thousand
sentences take milliseconds, and n-grams are counted once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from slt_hf.errors import EvaluationError

SAMPLES = 1000
SEED = 12345  # sacrebleu's default
SMALLER_IS_BETTER = frozenset({"wer", "cer"})
RESAMPLES_AT_ONCE = 100  # bounds the memory of 33,000 items (ASL Citizen's test set) to 30 MB a step


@dataclass(frozen=True)
class CountedMetric:
    """One metric over one test set.

    Attributes:
        counts: what each item contributes, (N, K) float64; their sum is all that the score needs.
        score: from summed counts (K,) to the score; BLEU, chrF and exact match in 0-100, ROUGE and accuracy in 0-1,
            error rates from 0 up.
        signature: how it was counted; two scores may be compared when these are equal.
    """

    name: str
    counts: np.ndarray
    score: Callable[[np.ndarray], float]
    signature: str

    @property
    def corpus_score(self) -> float:
        return self.score(self.counts.sum(axis=0))

    @property
    def item_scores(self) -> np.ndarray:
        """The score of each item alone, (N,); meant for chrF, ROUGE and error rates, not for BLEU."""
        return np.array([self.score(row) for row in self.counts])


@dataclass(frozen=True)
class Interval:
    """A score with the central `level` of its bootstrap distribution."""

    score: float
    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True)
class PairedTest:
    """Two systems on the same items.

    Attributes:
        difference: system minus baseline.
        low, high: 95 % paired bootstrap interval of the difference.
        p_bootstrap: share of resamples in which the better system is not better (Koehn, 2004), one-sided.
        p_randomization: share of random exchanges that differ as much (Riezler and Maxwell, 2005), two-sided.
    """

    system: float
    baseline: float
    difference: float
    low: float
    high: float
    p_bootstrap: float
    p_randomization: float

    @property
    def significant(self) -> bool:
        """Whether the difference would be surprising, at 5 %, if the two systems were equally good."""
        return self.p_randomization < 0.05


def resampling_weights(num_items: int, samples: int = SAMPLES, seed: int = SEED) -> np.ndarray:
    """How often each item is drawn in each resample, (R, N) uint16; each row sums to N."""
    generator = np.random.default_rng(seed)
    draws = (generator.integers(num_items, size=num_items) for _ in range(samples))
    return np.stack([np.bincount(row, minlength=num_items).astype(np.uint16) for row in draws])


def bootstrap_scores(metric: CountedMetric, weights: np.ndarray) -> np.ndarray:
    """The score of each resample, (R,)."""
    scores = []
    for start in range(0, len(weights), RESAMPLES_AT_ONCE):
        sums = weights[start : start + RESAMPLES_AT_ONCE].astype(np.float64) @ metric.counts  # (100, K)
        scores += [metric.score(row) for row in sums]
    return np.array(scores)


def confidence_interval(metric: CountedMetric, weights: np.ndarray, level: float = 0.95) -> Interval:
    """Corpus score with its percentile interval."""
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(bootstrap_scores(metric, weights), [tail, 100 - tail])
    return Interval(metric.corpus_score, float(low), float(high), level)


def paired_test(system: CountedMetric, baseline: CountedMetric, weights: np.ndarray, seed: int = SEED) -> PairedTest:
    """Is `system` better than `baseline`? Both must be the same metric over the same items in the same order.

    Args:
        weights: resamples from `resampling_weights`, (R, N); their number is also that of the random exchanges.
        seed: of the exchanges.

    Raises:
        EvaluationError: if the two count differently or over different items.
    """
    if system.signature != baseline.signature or system.counts.shape != baseline.counts.shape:
        raise EvaluationError(
            f"expected two systems scored alike on the same items, found {system.signature} over "
            f"{len(system.counts)} and {baseline.signature} over {len(baseline.counts)}; score both in one run"
        )
    difference = system.corpus_score - baseline.corpus_score
    resampled = bootstrap_scores(system, weights) - bootstrap_scores(baseline, weights)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return PairedTest(
        system=system.corpus_score,
        baseline=baseline.corpus_score,
        difference=difference,
        low=float(low),
        high=float(high),
        p_bootstrap=_one_sided(resampled, difference),
        p_randomization=_randomization(system, baseline, len(weights), seed),
    )


def scored(metric: CountedMetric, weights: np.ndarray) -> dict[str, Any]:
    """Score, 95 % interval and signature, as reports write them."""
    interval = confidence_interval(metric, weights)
    return {"score": interval.score, "low": interval.low, "high": interval.high, "signature": metric.signature}


def paired_report(
    system: dict[str, CountedMetric], baseline: dict[str, CountedMetric], weights: np.ndarray, seed: int = SEED
) -> dict[str, Any]:
    """Metric -> interval of the difference, p-values, and who is better at 5 %."""
    found: dict[str, Any] = {}
    for name, metric in system.items():
        test = paired_test(metric, baseline[name], weights, seed)
        winner = "system" if is_better(name, test.difference) else "baseline"
        found[name] = asdict(test) | {"better": winner if test.significant else "undecided"}
    return found


def is_better(name: str, difference: float) -> bool:
    """Whether a difference (system minus baseline) of this metric is an improvement."""
    return difference < 0 if name in SMALLER_IS_BETTER else difference > 0


def _one_sided(resampled: np.ndarray, difference: float) -> float:
    """Share of resamples that go against the whole test set; one is added to both counts, so that it is never 0."""
    against = resampled <= 0 if difference > 0 else resampled >= 0
    return float((against.sum() + 1) / (len(resampled) + 1))


def _randomization(system: CountedMetric, baseline: CountedMetric, trials: int, seed: int) -> float:
    """Exchange the outputs of a random half of the items: how often is the difference as large as the real one?"""
    generator = np.random.default_rng(seed)
    advantage = baseline.counts - system.counts  # (N, K)
    gained = [generator.integers(2, size=len(advantage)).astype(np.float64) @ advantage for _ in range(trials)]
    system_sum, baseline_sum = system.counts.sum(axis=0), baseline.counts.sum(axis=0)
    real = abs(system.corpus_score - baseline.corpus_score)
    differences = [abs(system.score(system_sum + gain) - baseline.score(baseline_sum - gain)) for gain in gained]
    at_least = sum(difference >= real - 1e-12 for difference in differences)
    return float((at_least + 1) / (trials + 1))
