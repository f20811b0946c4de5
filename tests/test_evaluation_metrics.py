"""Scores are the libraries' own, to the last digit; intervals and tests follow from the same counts."""

from __future__ import annotations

import csv
import random
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import jiwer
import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from slt_hf.errors import EvaluationError
from slt_hf.evaluation.bootstrap import bootstrap_scores, confidence_interval, paired_test, resampling_weights
from slt_hf.evaluation.learned_metrics import learned_scores
from slt_hf.evaluation.text_metrics import score_text, text_metrics

WORDS = "the a rain sun comes in from north south tomorrow and wind , weak strong . ?".split()


def corpus(size: int = 40, seed: int = 0) -> tuple[list[str], list[str]]:
    """Hypotheses that are noisy copies of their references, some of them empty."""
    rng = random.Random(seed)
    references = [" ".join(rng.choices(WORDS, k=rng.randint(1, 12))) for _ in range(size)]
    noisy = [" ".join(w if rng.random() < 0.7 else rng.choice(WORDS) for w in text.split()) for text in references]
    return [text if rng.random() > 0.05 else "" for text in noisy], references


@pytest.fixture(scope="module")
def isl_signer(shared_data: Path) -> tuple[list[str], list[str]]:
    """iSign's second translations beside its own sentences."""
    with (shared_data / "annotations/isign/ISL-signer_validation.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [row[1] for row in rows], [row[2] for row in rows]


def test_published_isign_numbers_come_out_to_the_last_digit(isl_signer: tuple[list[str], list[str]]):
    scores = score_text(*isl_signer)
    shown = {name: f"{scores[name]:.2f}" for name in ("bleu_4", "bleu_3", "bleu_2", "bleu_1")}
    assert shown == {"bleu_4": "48.93", "bleu_3": "51.43", "bleu_2": "55.07", "bleu_1": "60.66"}
    rates = {name: f"{scores[name]:.4f}" for name in ("wer", "rouge_1", "rouge_2", "rouge_l")}
    assert rates == {"wer": "0.6188", "rouge_1": "0.6140", "rouge_2": "0.4728", "rouge_l": "0.6035"}


@pytest.mark.parametrize("tokenize", ["13a", "none", "char"])
def test_bleu_and_chrf_equal_sacrebleu_on_the_whole_corpus(tokenize: str):
    said, asked = corpus()
    scores = score_text(said, asked, tokenize)
    for order in (1, 2, 3, 4):
        expected = BLEU(tokenize=tokenize, max_ngram_order=order, force=True).corpus_score(said, [asked]).score
        assert scores[f"bleu_{order}"] == pytest.approx(expected, abs=1e-9)
    assert scores["chrf"] == pytest.approx(CHRF().corpus_score(said, [asked]).score, abs=1e-9)


def test_error_rates_and_rouge_equal_their_libraries():
    said, asked = corpus()
    scores = score_text(said, asked)
    assert scores["wer"] == pytest.approx(jiwer.wer(asked, said))
    assert scores["cer"] == pytest.approx(jiwer.cer(asked, said))
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    mean = np.mean([scorer.score(a, s)["rougeL"].fmeasure for s, a in zip(said, asked, strict=True)])
    assert scores["rouge_l"] == pytest.approx(mean)


def test_signature_names_tokeniser_case_and_version():
    metrics = text_metrics(["a b"], ["a b"])
    assert metrics["bleu_4"].signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert metrics["bleu_1"].signature.endswith("|order:1")


def test_casing_and_tokeniser_change_the_score_and_the_signature():
    said, asked = ["The rain , comes ."], ["the rain, comes."]
    cased, none = text_metrics(said, asked)["bleu_1"], text_metrics(said, asked, "none")["bleu_1"]
    assert cased.corpus_score != none.corpus_score and cased.signature != none.signature


def test_an_empty_reference_counts_every_word_said_as_an_error():
    assert score_text(["two words"], [""])["wer"] == 1.0
    assert score_text(["", "a"], ["", "a"])["wer"] == 0.0
    assert score_text(["two words", "a b c d"], ["", "a b c d"])["wer"] == pytest.approx(0.5)


def test_all_empty_hypotheses_score_zero_and_not_an_error():
    scores = score_text(["", ""], ["a b", "c"])
    assert scores["bleu_4"] == 0 and scores["chrf"] == 0 and scores["wer"] == 1


def test_interval_equals_a_bootstrap_done_the_slow_way():
    said, asked = corpus(30)
    weights = resampling_weights(30, samples=50, seed=3)
    fast = bootstrap_scores(text_metrics(said, asked)["bleu_4"], weights)
    for row, score in zip(weights[:10], fast[:10], strict=True):
        drawn = [item for item, times in enumerate(row) for _ in range(times)]
        slow = BLEU(force=True).corpus_score([said[i] for i in drawn], [[asked[i] for i in drawn]]).score
        assert score == pytest.approx(slow, abs=1e-9)


def test_interval_holds_the_score_and_narrows_with_more_sentences():
    widths = []
    for size in (30, 300):
        metric = text_metrics(*corpus(size))["chrf"]
        interval = confidence_interval(metric, resampling_weights(size))
        assert interval.low < interval.score < interval.high
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0] / 2


@pytest.mark.parametrize("size", [30, 2000])
def test_a_resample_costs_one_score_however_many_sentences_there_are(size: int):
    """No sentence is counted anew: a thousand resamples of two thousand take about a second."""
    for metric in text_metrics(*corpus(size), names=("bleu_4", "chrf", "wer")).values():
        score = Mock(side_effect=metric.score)
        confidence_interval(replace(metric, score=score), resampling_weights(size, samples=100))
        assert score.call_count == 100 + 1 and score.call_args.args[0].shape == metric.counts.shape[1:]


def test_paired_test_agrees_with_sacrebleu_on_who_is_better():
    from sacrebleu.significance import PairedTest

    said, asked = corpus(60)
    better = [a if i % 3 == 0 else s for i, (s, a) in enumerate(zip(said, asked, strict=True))]
    metrics = {"BLEU": BLEU(references=[asked])}
    kind = PairedTest([("base", said), ("new", better)], metrics, None, test_type="ar", n_samples=1000)
    theirs = kind()[1]["BLEU"][1]
    ours = paired_test(
        text_metrics(better, asked)["bleu_4"], text_metrics(said, asked)["bleu_4"], resampling_weights(60)
    )
    assert ours.difference > 0 and ours.significant
    assert ours.p_randomization == pytest.approx(theirs.p_value, abs=0.01)
    assert ours.low < ours.difference < ours.high and ours.p_bootstrap < 0.05


def test_a_system_is_never_significantly_better_than_itself():
    metric = text_metrics(*corpus())["bleu_4"]
    result = paired_test(metric, metric, resampling_weights(40))
    assert result.difference == 0 and result.p_randomization == 1 and not result.significant


def test_noise_of_equal_quality_is_not_significant():
    asked = corpus(80)[1]
    one, other = ([w.replace("rain", "x") if (i + k) % 2 else w for i, w in enumerate(asked)] for k in (0, 1))
    result = paired_test(text_metrics(one, asked)["wer"], text_metrics(other, asked)["wer"], resampling_weights(80))
    assert not result.significant


def test_systems_scored_differently_are_not_compared():
    said, asked = corpus()
    one, other = text_metrics(said, asked)["bleu_4"], text_metrics(said, asked, "char")["bleu_4"]
    with pytest.raises(EvaluationError, match="scored alike"):
        paired_test(one, other, resampling_weights(40))


@pytest.mark.parametrize(
    ("said", "asked", "options", "message"),
    [
        (["a"], ["a", "b"], {}, "id column"),
        ([], [], {}, "found none"),
        (["a"], ["a"], {"tokenize": "14b"}, "13a"),
        (["a"], ["a"], {"names": ["blue"]}, "'blue'"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_what_to_do(said: list, asked: list, options: dict, message: str):
    with pytest.raises(EvaluationError, match=message):
        text_metrics(said, asked, **options)


def test_learned_metrics_that_are_not_installed_are_reported_as_absent():
    found = learned_scores(["a"], ["a"])
    assert {name: entry["status"] for name, entry in found.items()} == {"bleurt": "absent", "comet": "absent"}
    assert "pip install" in found["comet"]["what_to_do"]


def test_learned_metrics_that_are_installed_are_scored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """With stand-ins of the two packages' interfaces: what is handed over, and how sentence scores become one."""
    seen: dict[str, Any] = {}

    class BleurtScorer:
        def __init__(self, checkpoint: str) -> None:
            seen["bleurt"] = checkpoint

        def score(self, references: list[str], candidates: list[str]) -> list[float]:
            return [float(len(a) - len(b)) for a, b in zip(references, candidates, strict=True)]

    def predict(rows: list[dict[str, str]], **options: Any) -> SimpleNamespace:
        seen["rows"] = rows
        return SimpleNamespace(scores=[0.25, 0.75])

    bleurt, score, comet = ModuleType("bleurt"), ModuleType("bleurt.score"), ModuleType("comet")
    score.BleurtScorer = BleurtScorer  # type: ignore[attr-defined]
    comet.load_from_checkpoint = lambda path: SimpleNamespace(predict=predict)  # type: ignore[attr-defined]
    comet.download_model = str  # type: ignore[attr-defined]
    for module in (bleurt, score, comet):
        module.__spec__ = SimpleNamespace(name=module.__name__)  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, module.__name__, module)
    found = learned_scores(["a", "b"], ["aa", "bbb"], bleurt="BLEURT-20", comet="Unbabel/wmt22-comet-da")
    assert found["bleurt"]["score"] == 1.5 and found["comet"]["score"] == 0.5
    assert seen["rows"][0] == {"src": "", "mt": "a", "ref": "aa"} and "BLEURT-20" in found["bleurt"]["signature"]
    assert learned_scores(["a"], ["a"])["bleurt"]["status"] == "no checkpoint"


def test_the_evaluate_metric_gives_the_same_numbers_in_one_go_and_in_batches():
    from slt_hf.evaluation.metric import SignTranslationMetric

    said, asked = corpus(12)
    metric = SignTranslationMetric()
    whole = metric.compute(predictions=said, references=asked)
    assert whole == pytest.approx(score_text(said, asked))
    metric.add_batch(predictions=said[:5], references=asked[:5])
    metric.add_batch(predictions=said[5:], references=asked[5:])
    assert metric.compute() == pytest.approx(whole)
