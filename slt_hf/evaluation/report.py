"""One report from predictions: text or signs, with what was scored, how, and by which versions."""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slt_hf.errors import EvaluationError
from slt_hf.evaluation.predictions import Predictions
from slt_hf.evaluation.sign_report import sign_report
from slt_hf.evaluation.text_report import TextOptions, text_report

FORMAT = 1  # of the report; grows when a key changes its meaning
PLACES = 6  # after the point; rounding keeps two runs equal byte for byte whatever order a library sums in
LISTED = 20  # ids of missing items that a report names; all are counted
PACKAGES = ("slt_hf", "sacrebleu", "rouge-score", "jiwer", "numpy")


def evaluate_predictions(
    predictions: Predictions,
    options: TextOptions | None = None,
    baseline: Predictions | None = None,
    name: str = "system",
    baseline_name: str = "baseline",
) -> dict[str, Any]:
    """The whole report on one system, optionally tested against a baseline on the same items.

    Returns:
        Only dictionaries, lists, strings, numbers and None. Nothing in it depends on the clock, the machine's name or a
        path, so equal predictions give equal reports.

    Raises:
        EvaluationError: if system and baseline differ in task or items.
    """
    options = options or TextOptions()
    if baseline is not None and baseline.task != predictions.task:
        raise EvaluationError(
            f"expected a baseline for the task {predictions.task!r}, found {baseline.task!r}; compare like with like"
        )
    if predictions.task == "text":
        body = text_report(predictions, options, baseline)
    else:
        body = sign_report(predictions, baseline, options.samples, options.seed, options.group_by)
    report = {
        "format": FORMAT,
        "name": name,
        "baseline": baseline_name if baseline is not None else None,
        "items": _items(predictions),
        "settings": {"tokenize": options.tokenize, "samples": options.samples, "seed": options.seed, "level": 0.95},
        "packages": {package: version(package) for package in PACKAGES},
    }
    return rounded(report | body)


def write_json(report: dict[str, Any], path: str | Path) -> None:
    """Sorted keys and fixed places: two identical runs write identical bytes."""
    Path(path).write_text(to_json(report), encoding="utf-8")


def to_json(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _items(predictions: Predictions) -> dict[str, Any]:
    return {
        "references": len(predictions.references),
        "missing": len(predictions.missing),
        "missing_ids": predictions.missing[:LISTED],
        "unexpected": len(predictions.unexpected),
        "unexpected_ids": predictions.unexpected[:LISTED],
        "failures": dict(sorted(predictions.failures.items())[:LISTED]),
        "sha256": predictions.sha256,
    }


def rounded(value: Any) -> Any:
    """Floats rounded, tuples to lists; what is not a number becomes None, since JSON has no word for it."""
    if isinstance(value, dict):
        return {str(key): rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    if isinstance(value, float):
        return round(value, PLACES) if math.isfinite(value) else None
    return value
