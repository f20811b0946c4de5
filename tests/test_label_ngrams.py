"""A recogniser of spelled words prefers letters that follow each other in words."""

from __future__ import annotations

import numpy as np
import pytest

from slt_hf.ctc import beam_labels
from slt_hf.label_ngrams import LabelNgrams

BLANK, A, B, C = 0, 1, 2, 3


@pytest.fixture
def ngrams() -> LabelNgrams:
    return LabelNgrams.count([[A, B], [A, B], [A, B, C]], num_labels=4, weight=1.0, bonus=0.0)


def test_probabilities_after_any_prefix_sum_to_one(ngrams):
    for prefix in ([], [A], [A, B], [C, C, C, C]):
        assert np.exp(ngrams.after(prefix)).sum() == pytest.approx(1)


def test_what_was_counted_is_likelier_and_nothing_is_impossible(ngrams):
    after_a = ngrams.after([A])
    assert after_a.argmax() == B
    assert np.isfinite(after_a).all()


def test_a_search_with_the_model_settles_what_the_clip_leaves_open(ngrams):
    unsure = np.log(np.array([[0.04, 0.9, 0.03, 0.03], [0.9, 0.04, 0.03, 0.03], [0.02, 0.02, 0.47, 0.49]]))
    assert beam_labels(unsure, BLANK, 8) == [A, C]
    assert beam_labels(unsure, BLANK, 8, language_model=ngrams) == [A, B]


def test_it_is_the_same_after_saving_and_loading(ngrams, tmp_path):
    assert LabelNgrams.load(tmp_path) is None
    ngrams.save(tmp_path)
    loaded = LabelNgrams.load(tmp_path)
    assert loaded is not None
    np.testing.assert_allclose(loaded.after([A, B]), ngrams.after([A, B]))
