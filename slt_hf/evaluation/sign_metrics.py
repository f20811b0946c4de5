"""Isolated signs: top-k per instance and per class, dictionary retrieval, the unknown-sign threshold, and calibration.

N clips, C classes, R ranks. Ranked labels come best first; a clip without a prediction has none and counts as wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from slt_hf.errors import EvaluationError


def hits_at(ranked: Sequence[Sequence[Hashable]], references: Sequence[Hashable], k: int) -> np.ndarray:
    """1 where the reference is among the first `k` ranked labels, else 0; (N,) float64."""
    if len(ranked) != len(references):
        raise EvaluationError(
            f"expected ranked labels for every reference, found {len(ranked)} for {len(references)}; "
            "give a clip without a prediction an empty list"
        )
    hits = [reference in labels[:k] for labels, reference in zip(ranked, references, strict=True)]
    return np.array(hits, dtype=np.float64)


def per_class(hits: np.ndarray, references: Sequence[Hashable]) -> dict[Hashable, float]:
    """Mean hit of each class, in order of first appearance."""
    grouped: dict[Hashable, list[float]] = defaultdict(list)
    for hit, reference in zip(hits, references, strict=True):
        grouped[reference].append(float(hit))
    return {label: float(np.mean(values)) for label, values in grouped.items()}


def topk_accuracy(
    ranked: Sequence[Sequence[Hashable]], references: Sequence[Hashable], ks: Sequence[int] = (1, 5)
) -> dict[str, float]:
    """`top_k` per instance and `top_k_per_class` (mean over classes, so that rare signs count), all in 0-1."""
    scores: dict[str, float] = {}
    for k in ks:
        hits = hits_at(ranked, references, k)
        scores[f"top_{k}"] = float(hits.mean())
        scores[f"top_{k}_per_class"] = float(np.mean(list(per_class(hits, references).values())))
    return scores


def confusions(
    ranked: Sequence[Sequence[Hashable]], references: Sequence[Hashable], most: int = 20
) -> list[tuple[Hashable, Hashable, int]]:
    """(reference, predicted, times) of the most frequent mistakes; ties in alphabetical order."""
    counts: dict[tuple[Hashable, Hashable], int] = defaultdict(int)
    for labels, reference in zip(ranked, references, strict=True):
        if labels and labels[0] != reference:
            counts[reference, labels[0]] += 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    return [(reference, predicted, times) for (reference, predicted), times in ordered[:most]]


def retrieval_metrics(
    ranked: Sequence[Sequence[Hashable]], references: Sequence[Hashable], ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """Dictionary retrieval as ASL Citizen scores it (arxiv:2304.05934): DCG, MRR and R@k, all in 0-1.

    One sign is right, so DCG is the mean of 1 / log2(rank + 1) and needs no ideal to divide by; a sign that is not
    ranked at all adds 0 to each.
    """
    ranks = reference_ranks(ranked, references)
    found = np.isfinite(ranks)
    scores = {
        "dcg": float(np.where(found, 1 / np.log2(np.where(found, ranks, 1) + 1), 0.0).mean()),
        "mrr": float(np.where(found, 1 / np.where(found, ranks, 1), 0.0).mean()),
    }
    return scores | {f"recall_at_{k}": float((ranks <= k).mean()) for k in ks}


def reference_ranks(ranked: Sequence[Sequence[Hashable]], references: Sequence[Hashable]) -> np.ndarray:
    """Rank of the reference counted from 1, (N,) float64; infinite where it is not ranked."""
    ranks = [
        1 + list(labels).index(reference) if reference in labels else np.inf
        for labels, reference in zip(ranked, references, strict=True)
    ]
    return np.array(ranks, dtype=np.float64)


def rank_by_similarity(queries: np.ndarray, dictionary: np.ndarray, labels: Sequence[Hashable]) -> list[list[Hashable]]:
    """Labels of a dictionary by cosine similarity to each query, each label once (its nearest entry), best first.

    Args:
        queries: embeddings (N, D).
        dictionary: embeddings of the entries (M, D); several entries may share a label.
        labels: of the entries, M of them.
    """
    similarity = _unit(queries) @ _unit(dictionary).T  # (N, M)
    order = np.argsort(-similarity, axis=1, kind="stable")
    return [list(dict.fromkeys(labels[entry] for entry in row)) for row in order]


def cross_retrieval(similarity: np.ndarray, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """R@k both ways from a similarity matrix of N clips and their N texts, (N, N) with pairs on the diagonal."""
    scores: dict[str, float] = {}
    for name, matrix in (("pose_to_text", similarity), ("text_to_pose", similarity.T)):
        own = np.diag(matrix)[:, None]
        # Ties count against the pair, so that a constant similarity scores chance or less and never 1.
        ranks = (matrix >= own).sum(axis=1)
        scores |= {f"{name}_recall_at_{k}": float((ranks <= k).mean()) for k in ks}
    return scores


@dataclass(frozen=True)
class UnknownThreshold:
    """Below `threshold` a classifier should answer "unknown sign"; calibrated on dev, never on test.

    Attributes:
        accuracy: share of dev clips answered rightly: known signs named, unknown signs refused.
        coverage: share of known dev clips that keep an answer.
        rejected: share of unknown dev clips that are refused; None if dev had none.
    """

    threshold: float
    accuracy: float
    coverage: float
    rejected: float | None


def calibrate_unknown_threshold(
    confidences: np.ndarray, correct: np.ndarray, known: np.ndarray | None = None, target_precision: float | None = None
) -> UnknownThreshold:
    """The threshold that answers most dev clips rightly, or the lowest one whose answers are right often enough.

    Args:
        confidences: probability of the first label, (N,).
        correct: whether the first label is right, (N,); False for signs outside the vocabulary.
        known: whether the clip shows a sign of the vocabulary, (N,); None if all do, then `target_precision` is needed.
        target_precision: wanted share of right answers among those given.

    Raises:
        EvaluationError: if there is nothing to calibrate on, or no threshold reaches the precision.
    """
    confidences, correct = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=bool)
    known = np.ones(len(correct), dtype=bool) if known is None else np.asarray(known, dtype=bool)
    if not len(confidences) or (known.all() and target_precision is None):
        raise EvaluationError(
            f"expected dev clips of unknown signs or a target precision, found {len(confidences)} clips, "
            f"{int((~known).sum())} of them unknown; add clips of signs outside the vocabulary, or name a precision"
        )
    # Nothing changes between neighbouring confidences, so these are all the thresholds there are.
    candidates = np.append(np.unique(confidences), np.inf)
    answered = confidences[None, :] >= candidates[:, None]  # (candidates, N)
    right = (answered & correct).sum(axis=1)
    if target_precision is None:
        best = int(np.argmax(right + (~answered & ~known).sum(axis=1)))  # the first, so the lowest, of equals
    else:
        precise = right >= target_precision * np.maximum(answered.sum(axis=1), 1)
        precise &= answered.any(axis=1)
        if not precise.any():
            raise EvaluationError(
                f"expected a threshold with precision {target_precision}, found none on {len(correct)} dev clips; "
                "ask for less, or train on"
            )
        best = int(np.argmax(precise))
    kept, refused = answered[best], ~answered[best]
    return UnknownThreshold(
        threshold=float(candidates[best]),
        accuracy=float(((kept & correct) | (refused & ~known)).mean()),
        coverage=float(kept[known].mean()) if known.any() else 0.0,
        rejected=float(refused[~known].mean()) if (~known).any() else None,
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a zero row stays zero, similar to nothing."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths == 0, 1, lengths)
