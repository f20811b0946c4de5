"""Everything about one classifier's answers, as one dictionary: accuracy, retrieval, confusions, calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from slt_hf.evaluation.bootstrap import SAMPLES, SEED, CountedMetric, paired_report, resampling_weights, scored
from slt_hf.evaluation.predictions import Predictions
from slt_hf.evaluation.sign_metrics import confusions, hits_at, per_class, retrieval_metrics, topk_accuracy
from slt_hf.evaluation.text_report import check_same_items, confidence_report, grouped


def sign_report(
    predictions: Predictions,
    baseline: Predictions | None = None,
    samples: int = SAMPLES,
    seed: int = SEED,
    group_by: Sequence[str] = (),
    top_k: int = 5,
) -> dict[str, Any]:
    """Score one classifier, and test it against `baseline` on the same clips if there is one.

    Returns:
        What `--json` writes: only dictionaries, lists, strings, numbers and None.
    """
    ranked, asked = predictions.ranked or [], predictions.references
    weights = resampling_weights(len(asked), samples, seed)
    metrics = accuracy_metrics(ranked, asked, (1, top_k))
    report: dict[str, Any] = {
        "task": "signs",
        "scores": _scores(metrics, ranked, asked, weights, (1, top_k)),
        "retrieval": retrieval_metrics(ranked, asked) | {"longest_ranking": max(map(len, ranked), default=0)},
        "floors": {
            "most_frequent_class": _most_frequent(asked),
            "chance": 1 / len(set(asked)),
            "classes": len(set(asked)),
        },
        "per_class": _per_class(ranked, asked, top_k),
        "confusions": [list(row) for row in confusions(ranked, asked)],
        "census": {"items": len(asked), "empty": sum(not labels for labels in ranked)},
        "groups": grouped(predictions, group_by, lambda items: _subset_accuracy(ranked, asked, items, (1, top_k))),
        "confidence": _confidence(predictions, metrics["top_1"].counts[:, 0]),
        "notes": [],
    }
    if baseline is not None:
        check_same_items(predictions, baseline)
        others = accuracy_metrics(baseline.ranked or [], baseline.references, (1, top_k))
        report["paired"] = {"missing": len(baseline.missing), "metrics": paired_report(metrics, others, weights, seed)}
    return report


def accuracy_metrics(
    ranked: Sequence[Sequence[str]], references: Sequence[str], ks: Sequence[int]
) -> dict[str, CountedMetric]:
    """top_k per instance, as counts that the bootstrap and the paired test take."""
    columns = {f"top_{k}": hits_at(ranked, references, k) for k in ks}
    return {
        name: CountedMetric(name, np.stack([hits, np.ones_like(hits)], axis=1), _mean, f"{name}|per:instance")
        for name, hits in columns.items()
    }


def _mean(sums: np.ndarray) -> float:
    return float(sums[0] / sums[1])


def _scores(
    metrics: dict[str, CountedMetric],
    ranked: Sequence[Sequence[str]],
    references: Sequence[str],
    weights: np.ndarray,
    ks: Sequence[int],
) -> dict[str, Any]:
    """Per instance and per class, each with its interval."""
    scores: dict[str, Any] = {}
    for k in ks:
        scores[f"top_{k}"] = scored(metrics[f"top_{k}"], weights)
        hits = hits_at(ranked, references, k)
        low, high = _per_class_interval(hits, references, weights)
        mean = float(np.mean(list(per_class(hits, references).values())))
        signature = f"top_{k}|per:class"
        scores[f"top_{k}_per_class"] = {"score": mean, "low": low, "high": high, "signature": signature}
    return scores


def _per_class_interval(hits: np.ndarray, references: Sequence[str], weights: np.ndarray) -> tuple[float, float]:
    """Percentile interval of the mean over classes; a class that a resample misses is left out of that resample."""
    names, classes = np.unique(np.array(references), return_inverse=True)
    means = []
    for row in weights:
        drawn = np.bincount(classes, weights=row, minlength=len(names))
        right = np.bincount(classes, weights=row * hits, minlength=len(names))
        means.append((right[drawn > 0] / drawn[drawn > 0]).mean())
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _subset_accuracy(
    ranked: Sequence[Sequence[str]], references: Sequence[str], items: Sequence[int], ks: Sequence[int]
) -> dict[str, float]:
    return topk_accuracy([ranked[item] for item in items], [references[item] for item in items], ks)


def _most_frequent(references: Sequence[str]) -> float:
    """Accuracy of always naming the test set's commonest sign."""
    return max(Counter(references).values()) / len(references)


def _per_class(ranked: Sequence[Sequence[str]], references: Sequence[str], top_k: int) -> dict[str, dict[str, float]]:
    counts = Counter(references)
    first = per_class(hits_at(ranked, references, 1), references)
    among = per_class(hits_at(ranked, references, top_k), references)
    return {
        label: {"items": counts[label], "top_1": first[label], f"top_{top_k}": among[label]} for label in sorted(counts)
    }


def _confidence(predictions: Predictions, correct: np.ndarray) -> dict[str, Any] | None:
    items = [index for index, confidence in enumerate(predictions.confidences) if confidence is not None]
    if not items:
        return None
    confidences = np.array([predictions.confidences[item] for item in items], dtype=np.float64)
    return confidence_report(confidences, correct[items], correct[items])
