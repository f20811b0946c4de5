"""Everything about one system's texts, as one dictionary: scores with intervals, floors, census and the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from slt_hf.errors import EvaluationError
from slt_hf.evaluation.bootstrap import SAMPLES, SEED, paired_report, resampling_weights, scored
from slt_hf.evaluation.calibration import reliability, risk_coverage
from slt_hf.evaluation.census import take_census
from slt_hf.evaluation.floors import PAIRINGS, distinct_references, floor_scores
from slt_hf.evaluation.integrity import RoundTrip, check_integrity
from slt_hf.evaluation.learned_metrics import learned_scores
from slt_hf.evaluation.overlap import loosely, seen_in_training, training_overlap
from slt_hf.evaluation.predictions import Predictions
from slt_hf.evaluation.reduced import CLOSED_CLASSES, function_words, without
from slt_hf.evaluation.text_metrics import score_text, text_metrics

BRIEF = ("bleu_4", "bleu_1", "chrf", "rouge_l", "wer", "cer")  # floors, groups and subsets: fewer numbers, same meaning
LATIN_SHARE = 0.5  # of letters; below it rouge-score sees too little of the text to mean anything


@dataclass(frozen=True)
class TextOptions:
    """What to report beyond the scores.

    Attributes:
        tokenize: sacrebleu tokeniser of BLEU.
        samples, seed: of bootstrap, randomization and floors.
        language: two-letter code of the text, for the list of function words.
        removed_words: instead of the derived list.
        training: training sentences, for the overlap and the list of function words.
        tokenizer: of the model, for raw-reference integrity and the count of cut outputs.
        max_tokens: limit of generation, for the count of cut outputs.
        group_by: columns of the references to give scores per value of.
        bleurt, comet: checkpoints of the learned metrics.
    """

    tokenize: str = "13a"
    samples: int = SAMPLES
    seed: int = SEED
    language: str | None = "en"
    removed_words: Sequence[str] | None = None
    training: Sequence[str] | None = None
    tokenizer: RoundTrip | None = None
    max_tokens: int | None = None
    group_by: Sequence[str] = ()
    bleurt: str | None = None
    comet: str | None = None


def text_report(
    predictions: Predictions, options: TextOptions | None = None, baseline: Predictions | None = None
) -> dict:
    """Score one system, and test it against `baseline` on the same items if there is one.

    Returns:
        What `--json` writes: only dictionaries, lists, strings, numbers and None.
    """
    options = options or TextOptions()
    said, asked = predictions.hypotheses, predictions.references
    names = metric_names(asked)
    metrics = text_metrics(said, asked, options.tokenize, names)
    weights = resampling_weights(len(asked), options.samples, options.seed)
    brief = _scorer(options)
    report: dict[str, Any] = {
        "task": "text",
        "scores": {name: scored(metric, weights) for name, metric in metrics.items()},
        "learned": learned_scores(said, asked, options.bleurt, options.comet),
        "floors": {name: floor_scores(said, asked, brief, pairing, options.seed) for name, pairing in PAIRINGS.items()},
        "distinct_references": _distinct(said, asked, brief),
        "reduced": _reduced(said, asked, options),
        "census": _census(predictions, options),
        "overlap": _overlap(said, asked, options, brief),
        "integrity": _integrity(said, asked, options),
        "groups": grouped(
            predictions, options.group_by, lambda items: brief(_subset(said, items), _subset(asked, items))
        ),
        "confidence": _confidence(predictions, metrics["chrf"].item_scores),
        "grounding": _grounding(predictions, metrics["chrf"].item_scores),
        "notes": notes(said, asked, options.tokenize),
        "examples": _examples(predictions, metrics["chrf"].item_scores),
        "plots": {
            "words": [[len(h.split()), len(r.split())] for h, r in zip(said, asked, strict=True)],
            "sentence_chrf": metrics["chrf"].item_scores.tolist(),
        },
    }
    if baseline is not None:
        check_same_items(predictions, baseline)
        others = text_metrics(baseline.hypotheses, baseline.references, options.tokenize, names)
        report["paired"] = {
            "missing": len(baseline.missing),
            "metrics": paired_report(metrics, others, weights, options.seed),
        }
    return report


def metric_names(references: Sequence[str]) -> list[str]:
    """All metrics, less ROUGE where rouge-score would throw most of the text away."""
    from slt_hf.evaluation.text_metrics import BUILDERS

    return [name for name in BUILDERS if is_latin(references) or not name.startswith("rouge")]


def is_latin(texts: Sequence[str]) -> bool:
    letters = [character for text in texts for character in text if character.isalpha()]
    return sum(character.isascii() for character in letters) >= LATIN_SHARE * len(letters)


def notes(hypotheses: Sequence[str], references: Sequence[str], tokenize: str) -> list[str]:
    """What a reader of these scores should know about the texts."""
    found = []
    text = "".join(references)
    if not is_latin(references):
        found.append(
            "ROUGE is left out: rouge-score keeps only a-z and 0-9, and these references are in another script."
        )
    if tokenize == "13a" and sum("\u3040" <= c <= "\u9fff" for c in text) > 0.2 * max(len(text), 1):
        found.append("References are in a script without blanks between words; use --tokenize zh (or char).")
    if text == text.lower() and "".join(hypotheses) != "".join(hypotheses).lower():
        found.append("References are all lower case and hypotheses are not: every capital counts as an error.")
    if sum(reference.endswith((" .", " ?", " !")) for reference in references) > 0.5 * len(references):
        found.append(
            "References look tokenised (blank before the full stop); compare only with scores on the same text."
        )
    return found


def _scorer(options: TextOptions) -> Callable[[Sequence[str], Sequence[str]], dict[str, float]]:
    """Scores some of the items in few numbers; a language whose script ROUGE cannot read gets none of it."""

    def score(said: Sequence[str], asked: Sequence[str]) -> dict[str, float]:
        possible = metric_names(asked)
        return score_text(said, asked, options.tokenize, [name for name in BRIEF if name in possible])

    return score


def _subset(texts: Sequence[str], items: Sequence[int]) -> list[str]:
    return [texts[item] for item in items]


def _distinct(said: Sequence[str], asked: Sequence[str], brief: Callable) -> dict[str, Any]:
    first = distinct_references(asked)
    return {"items": len(first), "scores": brief(_subset(said, first), _subset(asked, first))}


def _reduced(said: Sequence[str], asked: Sequence[str], options: TextOptions) -> dict[str, Any]:
    source = (
        "given list" if options.removed_words is not None else "training text" if options.training else "references"
    )
    removed = options.removed_words
    if removed is None:
        removed = function_words(options.training or asked, options.language)
    said, asked = without(said, removed), without(asked, removed)
    return {
        "scores": score_text(said, asked, "none", ("bleu_4", "bleu_1")),  # words are apart already
        "removed_words": list(removed),
        "derived_from": source,
        "closed_classes": options.language if options.language in CLOSED_CLASSES else None,
        "empty_references": sum(not reference for reference in asked),
    }


def _census(predictions: Predictions, options: TextOptions) -> dict[str, Any]:
    count = options.tokenizer.count_tokens if options.tokenizer is not None else None
    taken = take_census(
        predictions.hypotheses, predictions.references, predictions.truncated, count, options.max_tokens
    )
    return asdict(taken)


def _overlap(said: Sequence[str], asked: Sequence[str], options: TextOptions, brief: Callable) -> dict[str, Any] | None:
    if options.training is None:
        return None
    found: dict[str, Any] = asdict(training_overlap(said, asked, options.training))
    seen = seen_in_training(asked, {loosely(sentence) for sentence in options.training})
    unseen = [item for item, known in enumerate(seen) if not known]
    found["scores_on_unseen"] = brief(_subset(said, unseen), _subset(asked, unseen)) if unseen else None
    return found


def _integrity(said: Sequence[str], asked: Sequence[str], options: TextOptions) -> dict[str, Any] | None:
    """With what the score would have been against references that went through the tokenizer."""
    if options.tokenizer is None:
        return None
    checked = asdict(check_integrity(asked, options.tokenizer))
    decoded = checked.pop("decoded")
    checked["bleu_4_raw"] = score_text(said, asked, options.tokenize, ("bleu_4",))["bleu_4"]
    checked["bleu_4_decoded"] = score_text(said, decoded, options.tokenize, ("bleu_4",))["bleu_4"]
    return checked


def grouped(
    predictions: Predictions, columns: Sequence[str], score: Callable[[list[int]], dict[str, float]]
) -> dict[str, Any]:
    """column -> value -> items and scores, for columns of the references such as language or signer."""
    groups: dict[str, Any] = {}
    for column in columns:
        if column not in predictions.columns:
            raise EvaluationError(
                f"expected a reference column {column!r}, found {', '.join(predictions.columns) or 'none'}; "
                "leave --by out or name one of those"
            )
        members: dict[str, list[int]] = {}
        for item, value in enumerate(predictions.columns[column]):
            members.setdefault(str(value), []).append(item)
        groups[column] = {v: {"items": len(items), "scores": score(items)} for v, items in sorted(members.items())}
    return groups


def _confidence(predictions: Predictions, chrf: np.ndarray) -> dict[str, Any] | None:
    """Risk against coverage with sentence chrF as quality, reliability against exact matches."""
    items = [i for i, confidence in enumerate(predictions.confidences) if confidence is not None]
    if not items:
        return None
    confidences = np.array([predictions.confidences[item] for item in items], dtype=np.float64)
    exact = np.array([predictions.hypotheses[i].strip() == predictions.references[i].strip() for i in items])
    return confidence_report(confidences, chrf[items] / 100, exact)


def _grounding(predictions: Predictions, chrf: np.ndarray) -> dict[str, Any] | None:
    """What texts owe to the signing, and the risk of answering those that owe the most first."""
    items = [i for i, value in enumerate(predictions.groundings) if value is not None]
    if not items:
        return None
    owed = np.array([predictions.groundings[item] for item in items], dtype=np.float64)
    curve = risk_coverage(owed, chrf[items] / 100)
    return {
        "items": len(items),
        "mean": float(owed.mean()),
        "percentiles": {str(share): float(np.percentile(owed, share)) for share in (5, 25, 50, 75, 95)},
        "risk_area": curve.area,
        "ideal_risk_area": curve.ideal_area,
    }


def confidence_report(confidences: np.ndarray, quality: np.ndarray, correct: np.ndarray) -> dict[str, Any]:
    """Curves of at most 101 points, areas and the calibration error."""
    curve, bins = risk_coverage(confidences, quality), reliability(confidences, correct)
    shown = np.unique(np.linspace(0, len(confidences) - 1, 101).astype(int))
    return {
        "items": len(confidences),
        "risk_coverage": {
            "coverage": curve.coverage[shown].tolist(),
            "risk": curve.risk[shown].tolist(),
            "least_confidence": np.sort(confidences)[::-1][shown].tolist(),
            "area": curve.area,
            "ideal_area": curve.ideal_area,
        },
        "reliability": asdict(bins),
    }


def _examples(predictions: Predictions, chrf: np.ndarray, each: int = 8) -> dict[str, list[dict[str, Any]]]:
    """Best, worst and middle items by sentence chrF; ties in file order."""
    order = np.argsort(-chrf, kind="stable").tolist()
    middle = order[max(0, len(order) // 2 - each // 2) :][:each]
    shown = {"best": order[:each], "middle": middle, "worst": order[::-1][:each]}
    return {name: [_example(predictions, item, float(chrf[item])) for item in items] for name, items in shown.items()}


def _example(predictions: Predictions, item: int, chrf: float) -> dict[str, Any]:
    return {
        "id": predictions.ids[item],
        "reference": predictions.references[item],
        "hypothesis": predictions.hypotheses[item],
        "chrf": chrf,
    }


def check_same_items(system: Predictions, baseline: Predictions) -> None:
    """A paired test needs the same references in the same order."""
    if system.ids != baseline.ids or system.references != baseline.references:
        raise EvaluationError(
            f"expected both systems on the same {len(system.references)} items, found other ids or references in the "
            "baseline; give both the same reference file"
        )
