"""Isolated signs: accuracy per instance and class, retrieval, thresholds, calibration."""

from __future__ import annotations

import numpy as np
import pytest

from slt_hf.errors import EvaluationError
from slt_hf.evaluation.calibration import reliability, risk_coverage
from slt_hf.evaluation.predictions import Predictions
from slt_hf.evaluation.sign_metrics import (
    calibrate_unknown_threshold,
    confusions,
    cross_retrieval,
    hits_at,
    rank_by_similarity,
    retrieval_metrics,
    topk_accuracy,
)
from slt_hf.evaluation.sign_report import sign_report

RANKED = [["a", "b"], ["b", "a"], ["a", "c"], [], ["c", "b", "a"]]
ASKED = ["a", "a", "b", "b", "c"]


def test_per_class_accuracy_lets_rare_signs_count():
    scores = topk_accuracy([["a"], ["a"], ["a"], ["a"]], ["a", "a", "a", "b"], ks=(1,))
    assert scores == {"top_1": 0.75, "top_1_per_class": 0.5}


def test_a_clip_without_a_prediction_counts_as_wrong():
    scores = topk_accuracy(RANKED, ASKED, ks=(1, 2))
    assert scores["top_1"] == pytest.approx(2 / 5) and scores["top_2"] == pytest.approx(3 / 5)
    with pytest.raises(EvaluationError, match="empty list"):
        hits_at(RANKED[:-1], ASKED, 1)


def test_retrieval_metrics_follow_their_formulas():
    scores = retrieval_metrics([["x", "a"], ["b"], ["x"]], ["a", "b", "c"], ks=(1, 2))
    assert scores["dcg"] == pytest.approx((1 / np.log2(3) + 1 + 0) / 3)
    assert scores["mrr"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert (scores["recall_at_1"], scores["recall_at_2"]) == pytest.approx((1 / 3, 2 / 3))


def test_dictionary_retrieval_ranks_each_label_once_by_its_nearest_entry():
    dictionary = np.array([[1, 0], [0, 1], [0.9, 0.1], [-1, 0]], dtype=float)
    assert rank_by_similarity(np.array([[2.0, 0.0]]), dictionary, ["a", "b", "a", "c"]) == [["a", "b", "c"]]


def test_cross_retrieval_is_perfect_on_the_diagonal_and_nothing_for_a_constant():
    assert set(cross_retrieval(np.eye(20), ks=(1,)).values()) == {1.0}
    assert set(cross_retrieval(np.ones((20, 20)), ks=(1, 10)).values()) == {0.0}


def test_confusions_list_the_commonest_mistake_first():
    assert confusions([["b"], ["b"], ["c"], ["a"]], ["a", "a", "a", "a"]) == [("a", "b", 2), ("a", "c", 1)]


def test_unknown_threshold_separates_what_can_be_separated():
    confidences = np.array([0.9, 0.8, 0.7, 0.3, 0.2])
    correct, known = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 1, 0, 0])
    found = calibrate_unknown_threshold(confidences, correct, known)
    assert 0.3 < found.threshold <= 0.7
    assert (found.accuracy, found.coverage, found.rejected) == (1.0, 1.0, 1.0)


def test_unknown_threshold_for_a_precision_answers_as_much_as_it_allows():
    confidences = np.array([0.9, 0.8, 0.7, 0.6])
    found = calibrate_unknown_threshold(confidences, np.array([1, 1, 0, 0]), target_precision=0.6)
    assert found.threshold == 0.7 and found.coverage == 0.75 and found.rejected is None
    with pytest.raises(EvaluationError, match="precision"):
        calibrate_unknown_threshold(confidences, np.array([0, 0, 0, 0]), target_precision=0.5)
    with pytest.raises(EvaluationError, match="unknown signs"):
        calibrate_unknown_threshold(confidences, np.array([1, 1, 0, 0]))


def test_risk_falls_with_coverage_when_confidence_knows():
    quality = np.array([1.0, 1.0, 0.0, 0.0])
    knows = risk_coverage(np.array([0.9, 0.8, 0.2, 0.1]), quality)
    assert knows.risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2]) and knows.area == knows.ideal_area
    reverse = risk_coverage(np.array([0.1, 0.2, 0.8, 0.9]), quality)
    assert reverse.area > knows.area


def test_equal_confidences_give_the_mean_risk_whatever_the_order():
    one = risk_coverage(np.full(4, 0.5), np.array([1.0, 0, 1, 0]))
    assert one.risk.tolist() == pytest.approx([0.5] * 4)


def test_calibration_error_is_zero_for_an_honest_model_and_the_gap_for_a_boaster():
    honest = reliability(np.array([0.75] * 4), np.array([1, 1, 1, 0]))
    assert honest.expected_error == pytest.approx(0) and honest.count == [4]
    assert reliability(np.array([1.0] * 4), np.array([0, 0, 1, 0])).expected_error == pytest.approx(0.75)


def test_report_gives_intervals_floors_and_groups():
    predictions = Predictions(
        [str(i) for i in range(5)], ASKED, [r[0] if r else "" for r in RANKED], RANKED,
        confidences=[0.9, 0.4, 0.6, None, 0.8], columns={"signer": ["s", "s", "t", "t", "t"]}, missing=["3"],
    )  # fmt: skip
    report = sign_report(predictions, samples=50, group_by=("signer",))
    entry = report["scores"]["top_1"]
    assert entry["low"] <= entry["score"] <= entry["high"] and entry["score"] == pytest.approx(0.4)
    assert report["scores"]["top_1_per_class"]["score"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert report["floors"]["most_frequent_class"] == pytest.approx(0.4) and report["floors"][
        "chance"
    ] == pytest.approx(1 / 3)
    assert report["groups"]["signer"]["s"]["scores"]["top_1"] == 0.5
    assert report["per_class"]["b"] == {"items": 2, "top_1": 0.0, "top_5": 0.0}
    assert report["confidence"]["items"] == 4


def test_two_classifiers_are_tested_on_the_same_clips():
    asked = ["a", "b"] * 30
    good, bad = [[label] for label in asked], [["a"] for _ in asked]
    ids = [str(i) for i in range(60)]
    one = Predictions(ids, asked, [r[0] for r in good], good)
    other = Predictions(ids, asked, [r[0] for r in bad], bad)
    test = sign_report(one, other, samples=100)["paired"]["metrics"]["top_1"]
    assert test["better"] == "system" and test["difference"] == pytest.approx(0.5)
    with pytest.raises(EvaluationError, match="same 60 items"):
        sign_report(one, Predictions(ids, asked[::-1], [r[0] for r in bad], bad), samples=10)
