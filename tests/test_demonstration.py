"""What the demo signs and what its checkpoint is trained on: kept apart, and every target has a text of its own."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from slt_hf.demonstration import REAL_SIGNS, all_targets, sign_unseen, text_of_sign, text_targets, training_texts
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip
from slt_hf.synthesis.grammar import sentences
from slt_hf.synthesis.vocabulary import names
from slt_hf.training.word_tokenizer import train_word_tokenizer


def test_targets_are_classes_from_one_on_and_hold_the_signs_of_recordings():
    assert sorted(all_targets().values()) == list(range(1, len(all_targets()) + 1))
    assert {target for target, _ in REAL_SIGNS.values()} <= all_targets().keys()


def test_a_sign_that_stands_alone_says_its_word_with_one_full_stop():
    assert [text_of_sign(sign) for sign in ("HELP", "SORRY", "I-LOVE-YOU")] == ["Help.", "I am sorry.", "I love you."]


def test_drawn_texts_are_sentences_lone_signs_and_letters():
    rng = np.random.default_rng(0)
    drawn = [text_targets(rng, alone=0.5) for _ in range(200)]
    assert all(1 <= target <= len(all_targets()) for targets, _ in drawn for target in targets)
    lone = [text for targets, text in drawn if len(targets) == 1 and text.endswith(".")]
    spelled = [text for targets, text in drawn if text.isalpha() and len(text) == len(targets)]
    assert len(lone) > 20 and len(spelled) > 20


def test_no_sentence_of_the_demo_is_one_that_training_can_draw():
    alone = {text_of_sign(target) for target in all_targets() if target not in "abcdefghijklmnopqrstuvwxyz0123456789"}
    seen = {pair.text for seed in range(300) for pair in islice(sentences("train", seed), 1)} | alone
    assert not seen & {sign_unseen(seed=seed)[0] for seed in range(40)}


def test_names_are_spelled_letter_by_letter_whether_training_has_them_or_not():
    tokenizer = train_word_tokenizer(training_texts(2000, 0), spelled=names("train"))
    for name in (names("train")[0], names("test")[0]):
        assert len(tokenizer(name)["input_ids"]) == len(name) + 2  # the space before it and the end


def test_recordings_give_clips_that_the_checkpoint_can_read(shared_data: Path, repository: Path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(repository / "scripts"), *sys.path])
    import bundled_recordings

    rng = np.random.default_rng(0)
    for source in bundled_recordings.sources(shared_data).values():
        for draft in (source(rng) for _ in range(5)):
            assert set(draft.targets) <= all_targets().keys()
            with pytest.warns(UserWarning) if draft.clip.layout == "hands_42" else nullcontext():
                assert prepare_clip(draft.clip, PoseSettings(signing_hand="right")).any()
    tests = bundled_recordings.test_recordings(shared_data)
    assert {name: len(clips) for name, clips in tests.items()} == {
        "real letters": 52,
        "real spelled names": 58,
        "real words": 100,
    }
