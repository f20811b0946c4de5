"""Varied clips are still signers, drawn from the generator alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pose_signers import signer

from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_augmentation import AugmentationSettings, augment_clip, mirror_clip, turn_camera
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip

EVERYTHING = AugmentationSettings(0.2, 0.15, 0.5, 0.5, 5, 0.1, 0.1, 0.01, 10)


def test_no_augmentation_leaves_the_clip_as_it_is(real_clip):
    copy = augment_clip(real_clip, np.random.default_rng(0), AugmentationSettings())
    np.testing.assert_array_equal(copy.points, real_clip.points)
    assert (copy.confidence == real_clip.confidence).all() and copy.fps == real_clip.fps


def test_augmentation_is_drawn_from_the_generator_alone(real_clip):
    points = real_clip.points.copy()
    first, again, other = (augment_clip(real_clip, np.random.default_rng(seed), EVERYTHING) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.points, again.points)
    assert first.fps == again.fps != other.fps
    assert not np.array_equal(first.points, other.points, equal_nan=True)
    np.testing.assert_array_equal(real_clip.points, points)


def test_augmented_clips_are_still_signers(real_clip):
    for seed in range(10):
        values = prepare_clip(augment_clip(real_clip, np.random.default_rng(seed), EVERYTHING), PoseSettings())
        assert np.isfinite(values).all() and np.abs(values).max() < 16


def test_mirroring_twice_is_the_identity(real_clip):
    twice = mirror_clip(mirror_clip(real_clip))
    np.testing.assert_allclose(twice.points, real_clip.points, atol=2e-4)
    np.testing.assert_array_equal(twice.confidence, real_clip.confidence)


def test_mirrored_input_is_the_mirrored_model_input(real_clip):
    layout = get_layout("signing_85")
    values = prepare_clip(real_clip, PoseSettings())
    mirrored = prepare_clip(mirror_clip(real_clip), PoseSettings())
    np.testing.assert_allclose(mirrored, values[:, list(layout.mirror)] * [-1, 1, 1], atol=2e-4)


def test_the_camera_turns_around_the_signer_wherever_the_mirror_puts_them():
    settings = AugmentationSettings(mirror=1.0, camera=30.0)
    aside = dataclasses.replace(signer(), width=4000)  # mirrored within a wide picture, or around the signer
    seen = [
        prepare_clip(augment_clip(clip, np.random.default_rng(3), settings), PoseSettings())
        for clip in (aside, dataclasses.replace(aside, width=None))
    ]
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-3)


def test_tempo_changes_the_duration_alone():
    clip = signer()
    fast = augment_clip(clip, np.random.default_rng(3), AugmentationSettings(tempo=0.2))
    assert fast.duration_ms != clip.duration_ms and 0.5 <= fast.duration_ms / clip.duration_ms <= 2
    np.testing.assert_array_equal(fast.points, clip.points)


def test_noise_has_the_stated_size():
    noisy = augment_clip(signer(), np.random.default_rng(0), AugmentationSettings(noise=0.01))
    assert np.std(noisy.points - signer().points) == pytest.approx(0.01 * 200, rel=0.05)


def test_hidden_frames_and_parts_are_masked_and_never_everything():
    clip = signer(frames=200)
    frames = augment_clip(clip, np.random.default_rng(0), AugmentationSettings(frame_dropout=0.15))
    assert 0.08 < 1 - frames.confidence.any(axis=1).mean() < 0.22
    part = augment_clip(clip, np.random.default_rng(0), AugmentationSettings(part_dropout=1.0))
    schema = get_layout(clip.layout)
    gone = [name for name, indices in schema.parts.items() if not part.confidence[:, list(indices)].any()]
    assert len(gone) == 1 and gone[0] in ("left_hand", "right_hand", "face")
    hand = signer(layout="hands_21")
    assert augment_clip(
        hand, np.random.default_rng(0), AugmentationSettings(frame_dropout=1, part_dropout=1)
    ).confidence.any()


def test_a_turned_camera_takes_one_side_away():
    x, y, z = np.float32([0.5, -0.5, 0]), np.float32([0, 0, 1]), np.zeros(3, np.float32)
    turned, height, depth = turn_camera(x, y, z, 30)
    assert 0 < turned[0] < -turned[1] < 0.5 and depth[0] > 0 > depth[1]
    assert turned[2] == 0 and height[2] == 1
    for before, after in zip((x, y, z), turn_camera(x, y, z, 0), strict=True):
        np.testing.assert_allclose(after, before)


def test_augmentation_leaves_the_world_in_metres():
    clip = signer(layout="holistic_576", axes=3)
    varied = augment_clip(clip, np.random.default_rng(0), AugmentationSettings(rotation=10, noise=0.1, camera=10))
    np.testing.assert_array_equal(varied.points[:, 543:], clip.points[:, 543:])
    assert not np.allclose(varied.points[:, :543], clip.points[:, :543])


def test_hands_are_varied_around_their_wrists_alone():
    clip = signer(layout="holistic_75", axes=3)
    schema = get_layout("holistic_75")
    varied = augment_clip(
        clip, np.random.default_rng(0), AugmentationSettings(bone_length=0.1, finger_bend=10, hand_turn=10)
    )
    wrists = [schema.points.index(f"{side}_hand_wrist") for side in ("left", "right")]
    fingers = [index for side in ("left", "right") for index in schema.parts[f"{side}_hand"] if index not in wrists]
    np.testing.assert_allclose(varied.points[:, wrists], clip.points[:, wrists], atol=1e-4)
    np.testing.assert_array_equal(varied.points[:, :33], clip.points[:, :33])
    moved = np.linalg.norm((varied.points - clip.points)[:, fingers, :2], axis=-1)
    assert (moved > 0).mean() > 0.99 and np.median(moved) < 60  # pixels; the hand is about 60 wide


def test_trimming_takes_frames_from_the_ends_alone():
    clip = signer(frames=40)
    trimmed = augment_clip(clip, np.random.default_rng(1), AugmentationSettings(trim=0.2))
    assert 24 <= trimmed.num_frames < 40
    starts = [
        start for start in range(9) if np.array_equal(clip.points[start : start + trimmed.num_frames], trimmed.points)
    ]
    assert len(starts) == 1


def test_a_clip_without_a_person_is_not_augmented():
    clip = dataclasses.replace(signer(), confidence=np.zeros((20, 133), np.float32))
    assert augment_clip(clip, np.random.default_rng(0), EVERYTHING) is clip
