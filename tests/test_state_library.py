"""Spliced clips hold what was asked for, in order, and only what was cut out of real ones."""

from __future__ import annotations

import numpy as np

from slt_hf.training.state_library import StateLibrary

KINDS = {1: 1, 2: 1, 3: 2}


def states_of(classes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """States whose first value is their class, whose second is their place in the clip."""
    numbers = np.array(classes)
    return np.stack([numbers, np.arange(len(numbers))], axis=-1).astype(np.float32), numbers


def library() -> StateLibrary:
    found = StateLibrary(KINDS)
    found.add(*states_of([0, 1, 1, 0, 2, 2, 2, 0, 0]))
    found.add(*states_of([0, 0, 3, 1, 0]))
    return found


def test_spliced_states_show_the_targets_in_their_order():
    rng = np.random.default_rng(0)
    made = library().splice([2, 3, 1, 1], rng)[:, 0]
    shown = [int(each) for place, each in enumerate(made) if each and (place == 0 or made[place - 1] != each)]
    assert shown in ([2, 3, 1, 1], [2, 3, 1])  # the same target twice may be joined without a gap


def test_targets_that_touch_have_an_empty_gap_between_them():
    assert [len(gap) for gap in library().gaps[2, 1]] == [0]


def test_rest_before_and_after_comes_from_the_ends_of_clips():
    made = library().splice([1], np.random.default_rng(0))
    assert made[0, 0] == 0 and made[-1, 0] == 0


def test_target_without_a_piece_cannot_be_made():
    assert library().can_make([1, 2, 3]) and not library().can_make([4])


def test_summary_has_one_state_a_target():
    assert library().summarize([3, 1, 2], np.random.default_rng(0))[:, 0].tolist() == [3, 1, 2]
