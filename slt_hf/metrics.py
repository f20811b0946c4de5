"""The numbers of the field, in one place: `from slt_hf.metrics import score_text`.

Scores only, for a Trainer's `compute_metrics`, a notebook or a test; intervals, floors and the census around them are
in `slt_hf.evaluation`.
"""

from __future__ import annotations

from slt_hf.evaluation.sign_metrics import (
    calibrate_unknown_threshold,
    cross_retrieval,
    rank_by_similarity,
    retrieval_metrics,
    topk_accuracy,
)
from slt_hf.evaluation.text_metrics import score_text

__all__ = [
    "calibrate_unknown_threshold",
    "cross_retrieval",
    "rank_by_similarity",
    "retrieval_metrics",
    "score_text",
    "topk_accuracy",
]
