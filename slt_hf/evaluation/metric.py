"""All text metrics as one `evaluate.Metric`, for code that speaks that interface.

    from slt_hf.evaluation.metric import SignTranslationMetric
    SignTranslationMetric().compute(predictions=["hello world"], references=["hello world"])["bleu_4"]

Instantiated directly, since `evaluate.load` wants the network. The class is made on first use: importing this module
imports neither `evaluate` nor `datasets`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from slt_hf.evaluation.text_metrics import score_text

DESCRIPTION = (
    "sacrebleu BLEU-1 to 4 and chrF, rouge-score ROUGE, jiwer WER and CER, exact match, as slt-hf evaluate has them."
)


def SignTranslationMetric(tokenize: str = "13a", **options: Any) -> Any:
    """An `evaluate.Metric`; `options` are those of its constructor (experiment_id, num_process, process_id, …)."""
    return _metric_class()(tokenize=tokenize, **options)


@cache
def _metric_class() -> type:
    import datasets

    library: Any = import_module("evaluate")  # by name: to a type checker scripts/evaluate.py is `evaluate`

    class Metric(library.Metric):  # type: ignore[misc, name-defined, unused-ignore]
        """See the module."""

        def __init__(self, tokenize: str = "13a", **options: Any) -> None:
            self.tokenize = tokenize
            super().__init__(**options)

        def _info(self) -> Any:
            text = datasets.Value("string")
            return library.MetricInfo(
                description=DESCRIPTION,
                citation="",
                inputs_description="predictions: outputs; references: one raw reference each.",
                features=datasets.Features({"predictions": text, "references": text}),
            )

        def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
            return score_text(predictions, references, self.tokenize)

    return Metric
