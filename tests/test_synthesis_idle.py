"""Hands that say nothing: drawn like signs, kept apart for tests, and without a target in training."""

from __future__ import annotations

import numpy as np
import pytest

from slt_hf.data.example_store import frame_classes
from slt_hf.demonstration import SOURCES, all_targets, idle_unseen
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip
from slt_hf.streaming.activity import SigningActivity
from slt_hf.streaming.events import StreamPolicy
from slt_hf.synthesis.idle import draw_idle, idle_clip, idle_movements
from slt_hf.synthesis.signer import Signer


def test_the_same_seed_gives_the_same_bytes_and_another_one_another_clip():
    first, again, other = (idle_clip(seed, Signer(), layout="signing_85") for seed in (3, 3, 4))
    assert first.movements == again.movements and first.clip.points.tobytes() == again.clip.points.tobytes()
    assert first.clip.points.shape != other.clip.points.shape or (first.clip.points != other.clip.points).any()


def test_movements_for_tests_are_not_those_of_training():
    assert not set(idle_movements()) & set(idle_movements(unseen=True))
    rng = np.random.default_rng(0)
    drawn = {name for name, _ in (draw_idle(rng) for _ in range(300))}
    assert drawn <= {*idle_movements(), "still", "wander", "touch"} and len(drawn) > 20
    for seed in range(5):
        movements, _ = idle_unseen(seed, unseen=True)
        assert set(movements) <= set(idle_movements(unseen=True))


@pytest.mark.parametrize("name", ["scratch_head", "rub_eye", "adjust_collar", "cross_arms"])
def test_a_movement_raises_a_hand_so_that_a_stream_listens(name: str):
    unseen = name in idle_movements(unseen=True)
    drawing = (np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0]) for seed in range(400))
    seed = next(seed for seed, rng in enumerate(drawing) if draw_idle(rng, unseen)[0] == name)
    clip, movements = idle_clip(seed, Signer(), 1, unseen)
    assert movements == [name]
    activity = SigningActivity(clip.layout, StreamPolicy(), clip.fps)
    changes = [activity.push(*frame) for frame in zip(clip.points, clip.confidence, strict=True)]
    assert "start" in changes


def test_a_brief_movement_takes_no_longer_than_a_sign():
    rng = np.random.default_rng(3)
    brief, any_length = (np.mean([_seconds(rng, how) for _ in range(25)]) for how in (True, False))
    assert brief < 1.0 < any_length


def _seconds(rng: np.random.Generator, brief: bool) -> float:
    """Of a movement's own, rest not counted; a way that the signer times takes 0.3 s."""
    durations = draw_idle(rng, brief=brief)[1].durations_ms
    return float(np.nan_to_num(durations, nan=300.0).sum() / 1000)


def test_idle_clips_of_training_have_no_targets_but_those_of_a_sentence_beside_them():
    rng, alone, beside = np.random.default_rng(1), 0, 0
    for _ in range(12):
        draft = SOURCES["idle"](rng)
        classes = [all_targets()[target] for target in draft.targets]
        frames = len(prepare_clip(draft.clip, PoseSettings(signing_hand="right")))
        made = frame_classes(frames, classes, draft.spans_ms, 25.0)
        assert bool(draft.text) == bool(draft.targets) == bool(made.any())
        alone, beside = alone + (not draft.targets), beside + bool(draft.targets)
    assert alone and beside
