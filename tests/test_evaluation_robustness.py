"""Disturbances change what they say and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from slt_hf.evaluation.robustness import CONDITIONS
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_files import PoseClip


def clip(layout: str = "signing_85", frames: int = 30, width: int | None = 640) -> PoseClip:
    points = np.random.default_rng(0).normal(size=(frames, get_layout(layout).num_points, 2)).cumsum(0) * 3 + 200
    for name, place in (("left_shoulder", (250, 200)), ("right_shoulder", (150, 200))):
        points[:, get_layout(layout).points.index(name)] = place
    confidence = np.ones(points.shape[:2], np.float32)
    confidence[:10, list(get_layout(layout).parts["left_hand"])] = 0
    points[confidence == 0] = np.nan
    return PoseClip(points.astype(np.float32), confidence, layout, 25.0, width, 480)


def disturbed(name: str, source: PoseClip) -> PoseClip:
    return CONDITIONS[name](source, np.random.default_rng(1))


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("layout", ["signing_85", "holistic_543", "holistic_586", "hands_42"])
def test_every_condition_leaves_its_input_alone_and_fits_its_layout(name: str, layout: str):
    if layout == "hands_42":
        points = np.random.default_rng(0).normal(size=(30, 42, 3)).astype(np.float32)
        source = PoseClip(points, np.ones((30, 42), np.float32), layout, 25.0, 640)
    else:
        source = clip(layout)
    before = source.points.copy(), source.confidence.copy()
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(UserWarning)
        changed = disturbed(name, source)
    assert np.array_equal(source.points, before[0], equal_nan=True) and np.array_equal(source.confidence, before[1])
    assert changed.points.shape[:2] == changed.confidence.shape and changed.layout == layout


def test_the_hand_seen_more_is_the_one_that_goes():
    parts = get_layout("signing_85").parts
    confidence = disturbed("hand_hidden", clip()).confidence
    assert not confidence[:, list(parts["right_hand"])].any() and confidence[:, list(parts["left_hand"])].any()


def test_without_a_face_the_rest_stays():
    source = clip()
    changed, face = disturbed("no_face", source), list(get_layout("signing_85").parts["face"])
    assert not changed.confidence[:, face].any() and np.isnan(changed.points[:, face]).all()
    others = np.setdiff1d(np.arange(85), face)
    assert np.array_equal(changed.points[:, others], source.points[:, others], equal_nan=True)


def test_faster_signing_takes_two_thirds_of_the_time_at_the_same_rate():
    changed = disturbed("tempo_1.5", clip())
    assert changed.fps == 25 and changed.num_frames == 20
    assert np.allclose(changed.points[::2], clip().points[::3], equal_nan=True)  # every third frame is hit exactly


@pytest.mark.parametrize(("name", "fps"), [("10_fps", 10), ("15_fps", 15), ("30_fps", 30)])
def test_another_frame_rate_keeps_the_duration(name: str, fps: int):
    changed = disturbed(name, clip())
    assert changed.fps == fps and changed.duration_ms == pytest.approx(clip().duration_ms)


@pytest.mark.parametrize("width", [640, None])
def test_mirroring_twice_is_the_identity_and_once_swaps_the_hands(width: int | None):
    source = clip(width=width)
    once = disturbed("mirrored", source)
    layout = get_layout("signing_85")
    left, right = list(layout.parts["left_hand"]), list(layout.parts["right_hand"])
    assert np.array_equal(once.confidence[:, right], source.confidence[:, left])
    wide = 640 if width else 400  # without a width, about the middle of the shoulders
    assert np.allclose(once.points[:, left, 0], wide - source.points[:, right, 0])
    assert np.allclose(disturbed("mirrored", once).points, source.points, equal_nan=True, atol=1e-3)


def test_jitter_is_small_seeded_and_scales_with_the_signer():
    source = clip()
    one, again = disturbed("jitter", source), disturbed("jitter", source)
    assert np.array_equal(one.points, again.points, equal_nan=True)
    moved = np.nanstd(one.points - source.points)
    assert moved == pytest.approx(0.02 * 100, rel=0.1)  # shoulders are 100 pixels apart
