"""CTC decoding against its definition: summing over every alignment of a short clip."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from slt_hf.ctc import beam_labels, greedy_labels, sequence_log_probability

BLANK = 0


def scores(steps: int, labels: int, seed: int = 0, sharpness: float = 2.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(steps, labels)) * sharpness
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def merged(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(label for label, _ in itertools.groupby(path) if label != BLANK)


def by_definition(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Probability of every label sequence, by going through every alignment."""
    total: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        probability = np.exp(sum(log_probs[step, label] for step, label in enumerate(path)))
        total[merged(path)] = total.get(merged(path), 0.0) + probability
    return total


@pytest.mark.parametrize("seed", range(5))
def test_sequence_probability_is_the_sum_over_its_alignments(seed: int):
    log_probs = scores(5, 4, seed)
    for labels, probability in by_definition(log_probs).items():
        assert np.exp(sequence_log_probability(log_probs, list(labels), BLANK)) == pytest.approx(probability)


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_finds_the_likeliest_sequence(seed: int):
    log_probs = scores(5, 4, seed, sharpness=1.0)
    expected = by_definition(log_probs)
    found = beam_labels(log_probs, BLANK, num_beams=500)
    assert expected[tuple(found)] == pytest.approx(max(expected.values()))


def test_greedy_merges_repetitions_and_keeps_what_a_blank_separates():
    path = [0, 3, 3, 0, 3, 1, 1, 2, 0]
    assert greedy_labels(np.log(np.eye(4)[path] + 1e-9), BLANK) == [3, 3, 1, 2]


def test_a_clip_of_blanks_says_nothing():
    log_probs = np.log(np.eye(4)[[0, 0]] + 1e-9)
    assert greedy_labels(log_probs, BLANK) == beam_labels(log_probs, BLANK, 4) == []
    assert sequence_log_probability(log_probs, [], BLANK) == pytest.approx(0.0, abs=1e-6)
