"""Translation scores by the field's own libraries, kept as per-sentence counts for a cheap bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version

import numpy as np

from slt_hf.errors import EvaluationError
from slt_hf.evaluation.bootstrap import CountedMetric

MAX_ORDER = 4  # BLEU-4


def text_metrics(
    hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a", names: Sequence[str] | None = None
) -> dict[str, CountedMetric]:
    """Every text metric of one system, best-known first: bleu_4 … bleu_1, chrf, rouge_l, wer, cer, exact_match.

    Args:
        hypotheses: system outputs; an empty string is a system that said nothing.
        references: raw reference sentences, as many as hypotheses.
        tokenize: sacrebleu tokeniser for BLEU: cased 13a is what papers mean; `zh` for Chinese, `char` without words.
        names: only these metrics; None for all.

    Raises:
        EvaluationError: if the two differ in length, are empty, or the tokeniser is unknown.
    """
    check_pairs(hypotheses, references)
    wanted = list(BUILDERS) if names is None else list(names)
    if unknown := [name for name in wanted if name not in BUILDERS]:
        raise EvaluationError(f"expected metrics among {', '.join(BUILDERS)}, found {unknown[0]!r}; choose from those")
    built: dict[str, CountedMetric] = {}
    for name in wanted:
        if name not in built:  # one count serves all four BLEU orders, and all three ROUGE
            built |= {metric.name: metric for metric in BUILDERS[name](hypotheses, references, tokenize)}
    return {name: built[name] for name in wanted}


def score_text(
    hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a", names: Sequence[str] | None = None
) -> dict[str, float]:
    """Corpus scores by name, for a Trainer's `compute_metrics` or a quick look; see `text_metrics`."""
    return {name: metric.corpus_score for name, metric in text_metrics(hypotheses, references, tokenize, names).items()}


def check_pairs(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        raise EvaluationError(
            f"expected one hypothesis per reference, found {len(hypotheses)} hypotheses for {len(references)} "
            "references; give both files an id column, so that missing items can be told and counted as empty"
        )
    if not references:
        raise EvaluationError("expected at least one hypothesis with its reference, found none; check file and columns")


def bleu(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> list[CountedMetric]:
    """sacrebleu's corpus BLEU up to orders 4, 3, 2 and 1, brevity penalty included (BLEU-1 is not bare precision)."""
    from sacrebleu.metrics import BLEU

    try:
        metric = BLEU(tokenize=tokenize)
    except Exception as error:  # an assertion for an unknown name; ImportError or RuntimeError for a missing add-on
        raise EvaluationError(
            f"expected a sacrebleu tokeniser that works here (13a, zh, intl, char, none), found {tokenize!r}: {error}; "
            "choose another one or install what it needs"
        ) from error
    metric._force = True  # silences a hint about tokenised text that the report gives in its own words
    # Private, but what sacrebleu's own significance test calls; a test holds the sum against `corpus_score`.
    rows = np.array(metric._extract_corpus_statistics(list(hypotheses), [list(references)]), dtype=np.float64)

    def up_to(order: int) -> Callable[[np.ndarray], float]:
        def score(sums: np.ndarray) -> float:
            correct, total = sums[2 : 2 + order], sums[2 + MAX_ORDER : 2 + MAX_ORDER + order]
            return BLEU.compute_bleu(
                correct.astype(int).tolist(), total.astype(int).tolist(), int(sums[0]), int(sums[1]),
                smooth_method="exp", max_ngram_order=order,
            ).score  # fmt: skip

        return score

    full = metric.get_signature().format()
    signatures = {order: full if order == MAX_ORDER else f"{full}|order:{order}" for order in range(MAX_ORDER, 0, -1)}
    return [CountedMetric(f"bleu_{order}", rows, up_to(order), text) for order, text in signatures.items()]


def chrf(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> list[CountedMetric]:
    """sacrebleu's chrF2; takes no tokeniser."""
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    rows = np.array(metric._extract_corpus_statistics(list(hypotheses), [list(references)]), dtype=np.float64)

    def score(sums: np.ndarray) -> float:
        return metric._compute_f_score(sums.tolist())

    return [CountedMetric("chrf", rows, score, metric.get_signature().format())]


def rouge(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> list[CountedMetric]:
    """ROUGE-L, 1 and 2 F-measures averaged over sentences, without stemming.

    rouge-score lower-cases and throws away whatever is not a-z or 0-9, so the score means nothing in other scripts;
    `slt_hf.evaluation.text_report` leaves it out there.
    """
    from rouge_score.rouge_scorer import RougeScorer

    kinds = {"rouge_l": "rougeL", "rouge_1": "rouge1", "rouge_2": "rouge2"}
    scorer = RougeScorer(list(kinds.values()), use_stemmer=False)
    scores = [scorer.score(reference, hypothesis) for hypothesis, reference in zip(hypotheses, references, strict=True)]
    signature = f"rouge-score:{version('rouge-score')}|stem:no|f:mean"
    return [
        CountedMetric(name, np.array([[score[kind].fmeasure, 1.0] for score in scores]), _ratio, signature)
        for name, kind in kinds.items()
    ]


def word_error_rate(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> list[CountedMetric]:
    """jiwer's WER over the corpus: all edits by all reference words, split at white space, cased, punctuation kept."""
    import jiwer

    rows = [
        _edits(jiwer.process_words, reference, hypothesis)
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    return [CountedMetric("wer", np.array(rows), _ratio, f"jiwer:{version('jiwer')}|unit:word|case:mixed")]


def character_error_rate(
    hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a"
) -> list[CountedMetric]:
    """jiwer's CER over the corpus: all edits by all reference characters, spaces included."""
    import jiwer

    rows = [
        _edits(jiwer.process_characters, reference, hypothesis)
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    return [CountedMetric("cer", np.array(rows), _ratio, f"jiwer:{version('jiwer')}|unit:character|case:mixed")]


def exact_match(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> list[CountedMetric]:
    """Percent of hypotheses that are the reference, surrounding white space aside."""
    rows = [
        [100.0 * (hypothesis.strip() == reference.strip()), 1.0]
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    return [CountedMetric("exact_match", np.array(rows), _ratio, "strip:yes|case:mixed")]


def _edits(process: Callable, reference: str, hypothesis: str) -> list[float]:
    """[edits, reference length]; jiwer refuses an empty reference, where every hypothesis unit is an insertion."""
    if not reference.strip():
        alone = process(hypothesis, hypothesis) if hypothesis.strip() else None
        return [float(alone.hits) if alone else 0.0, 0.0]
    counted = process(reference, hypothesis)
    edits = counted.substitutions + counted.deletions + counted.insertions
    return [float(edits), float(counted.hits + counted.substitutions + counted.deletions)]


def _ratio(sums: np.ndarray) -> float:
    """Numerator by denominator; with nothing to count against, 0 when nothing was said and 1 otherwise."""
    if sums[1] == 0:
        return float(sums[0] > 0)
    return float(sums[0] / sums[1])


BUILDERS: dict[str, Callable[[Sequence[str], Sequence[str], str], list[CountedMetric]]] = {
    "bleu_4": bleu,
    "bleu_3": bleu,
    "bleu_2": bleu,
    "bleu_1": bleu,
    "chrf": chrf,
    "rouge_l": rouge,
    "rouge_1": rouge,
    "rouge_2": rouge,
    "wer": word_error_rate,
    "cer": character_error_rate,
    "exact_match": exact_match,
}
