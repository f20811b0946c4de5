"""Training clips made on the fly: what a store holds, how it is batched, and that it ends."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from slt_hf.data.example_store import Example, ExampleStore, frame_classes, pack
from slt_hf.demonstration import all_targets, sentence, spelled, target_spans, targets_of, word
from slt_hf.processing.pose_transforms import PoseSettings


def example(frames: int) -> Example:
    return Example(np.zeros((frames, 85, 3), np.float16), None, [1], np.zeros(frames, np.int64))


def test_batches_stay_within_their_frames_with_padding():
    packed = pack([example(frames) for frames in (10, 20, 30, 40, 100)], frames=90)
    assert [len(batch) for batch in packed] == [3, 1, 1]
    assert sum(len(batch) for batch in packed) == 5


def test_frames_show_what_is_made_at_their_time():
    spans = np.array([[40.0, 120.0], [200.0, 240.0]])
    assert frame_classes(8, [5, 6], spans, fps=25.0).tolist() == [0, 5, 5, 5, 0, 6, 6, 0]


def test_unknown_times_are_not_taken_for_rest():
    assert frame_classes(3, [5], None, fps=25.0).tolist() == [-1, -1, -1]


def test_store_fills_from_its_sources_renews_itself_and_ends():
    before = threading.active_count()
    with ExampleStore({"word": (word, 1.0)}, all_targets(), PoseSettings(), capacity=12, seed=1) as store:
        store.wait_for(12)
        batches = store.batches(np.random.default_rng(0), frames=300)
        drawn = [len(each.targets) for _ in range(4) for each in next(batches)]
        assert len(store.examples) == 12 and min(drawn) >= 1
    assert threading.active_count() <= before + 2  # the store's own thread ends within half a second


def test_fingerspelled_words_are_targets_letter_by_letter():
    assert targets_of(["MY", "NAME", "fs:NORA"]) == ["MY", "NAME", "n", "o", "r", "a"]
    assert spelled("NAME") == []
    assert set(targets_of(["MY", "fs:ZOE"])) <= set(all_targets())


def test_every_target_of_a_sentence_has_its_time_in_order():
    rng = np.random.default_rng(3)
    for _ in range(10):
        clip, text, targets, spans_ms = sentence(rng)
        assert text and len(spans_ms) == len(targets)
        assert (np.diff(spans_ms.ravel()) >= 0).all() and spans_ms[-1, 1] <= clip.duration_ms


def test_letters_share_the_keyframes_of_their_word():
    spans = target_spans(["fs:AB", "MY"], ((2, 5), (6, 8)))
    assert spans[0, 0] == 2 and spans[1, 1] == 5 and spans[2].tolist() == [6, 8] and spans[1, 0] == spans[0, 1] + 1


def broken(rng: np.random.Generator) -> None:
    raise ValueError("this source is broken")


def test_a_source_that_fails_ends_training_instead_of_making_it_wait():
    with ExampleStore({"broken": (broken, 1.0)}, all_targets(), PoseSettings(), capacity=4) as store:
        with pytest.raises(RuntimeError, match="exit code 1"):
            store.wait_for(1)
