"""Clips at any frame rate become model input at the model's: resampling, gaps, clips that are too long."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pose_signers import hidden, signer

from slt_hf.processing.pose_files import PoseWarning
from slt_hf.processing.pose_transforms import PoseSettings, fill_gaps, prepare_clip, resample

FRAME_RATES = [24, 25, 30, 50, 60]


@pytest.mark.parametrize("fps", FRAME_RATES)
def test_the_same_signing_at_any_frame_rate_gives_nearly_the_same_input(fps):
    reference = prepare_clip(signer(frames=75, fps=25), PoseSettings())
    values = prepare_clip(signer(frames=3 * fps, fps=fps), PoseSettings())
    assert values.shape == reference.shape
    assert np.abs(values - reference).max() < 0.02  # shoulder widths; the hand moves by 0.6


@pytest.mark.parametrize("fps", FRAME_RATES)
def test_real_clips_survive_another_frame_rate(real_clip, fps):
    points, confidence = resample(real_clip.points, real_clip.confidence, real_clip.fps, fps)
    other = dataclasses.replace(real_clip, points=points, confidence=confidence, fps=fps)
    settings = PoseSettings(fps=real_clip.fps)
    direct, around = prepare_clip(real_clip, settings), prepare_clip(other, settings)
    assert abs(len(direct) - len(around)) <= 1
    frames = min(len(direct), len(around)) - 1
    both = (direct[:frames, :, 2] > 0) & (around[:frames, :, 2] > 0)
    assert both.sum() > 0.9 * (direct[:frames, :, 2] > 0).sum()
    assert np.abs(direct[:frames] - around[:frames])[..., :2][both].mean() < 0.02


def test_the_same_rate_changes_nothing():
    clip = signer()
    points, confidence = resample(clip.points, clip.confidence, 25, 25)
    assert points is clip.points and confidence is clip.confidence


@pytest.mark.parametrize(("source", "target"), [(24, 25), (60, 25), (25, 60), (29.97, 30)])
def test_resampling_keeps_straight_motion_and_duration(source, target):
    points = np.repeat(np.arange(48, dtype=np.float32)[:, None, None] / source, 2, axis=2)  # one unit a second
    moved, _ = resample(points, np.ones((48, 1), np.float32), source, target)
    assert len(moved) == round(48 * target / source)
    expected = np.minimum(np.arange(len(moved)) / target, 47 / source)
    np.testing.assert_allclose(moved[:, 0, 0], expected, atol=1e-5)


def test_resampling_takes_the_nearer_frame_where_only_one_shows_a_point():
    points = np.float32([[[0, 0]], [[np.nan, np.nan]], [[2, 2]], [[3, 3]]])
    confidence = np.float32([[1], [0], [1], [0.5]])
    moved, seen = resample(points, confidence, 1, 4)
    assert seen[:, 0].tolist() == [1, 1, 0, 0, 0, 0, 1, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.5, 0.5, 0.5]
    assert moved[1, 0, 0] == 0 and moved[6, 0, 0] == 2 and moved[10, 0, 0] == 2.5


def test_one_frame_is_enough():
    assert prepare_clip(signer(frames=1, fps=30), PoseSettings()).shape == (1, 85, 3)
    assert prepare_clip(signer(frames=1, fps=60), PoseSettings()).shape == (1, 85, 3)


def test_short_gaps_are_filled_on_a_straight_line_with_half_the_confidence():
    points = np.arange(6, dtype=np.float32)[:, None, None].repeat(2, axis=2)
    confidence = np.float32([[0], [1], [0], [0], [0.5], [0]])
    points[confidence == 0] = np.nan
    filled, seen = fill_gaps(points, confidence, 2)
    assert seen[:, 0].tolist() == [0, 1, 0.25, 0.25, 0.5, 0] and filled[2, 0, 0] == 2 and filled[3, 0, 1] == 3
    untouched, still = fill_gaps(points, confidence, 1)
    assert untouched is not None and still[:, 0].tolist() == confidence[:, 0].tolist()


def test_gap_length_is_in_milliseconds_whatever_the_frame_rate():
    for fps in (25, 50):
        clip = hidden(signer(frames=2 * fps, fps=fps), "right_hand", frames=slice(fps, fps + fps // 5))  # 200 ms
        assert prepare_clip(clip, PoseSettings(max_gap_ms=200))[:, 32:53, 2].all()
        assert not prepare_clip(clip, PoseSettings(max_gap_ms=150))[:, 32:53, 2].all()


def test_clips_beyond_the_models_length_are_cut_with_a_warning():
    with pytest.warns(PoseWarning, match="75 frames.*first 50"):
        assert len(prepare_clip(signer(frames=75), PoseSettings(max_frames=50))) == 50
