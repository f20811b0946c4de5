"""Clips become model input that does not depend on camera, image size or distance; what cannot is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from pose_signers import hidden, signer

from slt_hf.errors import ClipError, LandmarkError
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_augmentation import mirror_clip
from slt_hf.processing.pose_files import PoseClip, PoseWarning, read_pose
from slt_hf.processing.pose_inputs import to_clip
from slt_hf.processing.pose_normalization import SignerFrame
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip, signer_frame

FRAME_RATES = [24, 25, 30, 50, 60]

# Space


@pytest.mark.parametrize("normalization", ["shoulders", "hands", "box"])
def test_translation_scale_and_image_size_do_not_matter(real_clip, normalization):
    settings = PoseSettings(normalization=normalization)
    moved = dataclasses.replace(
        real_clip,
        points=(real_clip.points * 2.5 + np.float32([300, -70, 0][: real_clip.points.shape[-1]])),
        width=4000,
        height=None,
    )
    np.testing.assert_allclose(prepare_clip(moved, settings), prepare_clip(real_clip, settings), atol=2e-4)


def test_shoulders_are_one_unit_apart_around_the_origin(real_clip):
    values = prepare_clip(real_clip, PoseSettings(fps=real_clip.fps))
    layout = get_layout("signing_85")
    left, right = values[:, layout.index("left_shoulder"), :2], values[:, layout.index("right_shoulder"), :2]
    assert np.median(np.linalg.norm(left - right, axis=1)) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(np.median((left + right) / 2, axis=0), 0, atol=1e-5)
    assert np.median(left[:, 0]) > np.median(right[:, 0])  # the signer's left is on the image's right


def test_a_few_wrong_frames_do_not_change_the_scale():
    clip = signer(frames=20)
    wrong = clip.points.copy()
    wrong[:5, 5] += 5000
    frame = signer_frame(dataclasses.replace(clip, points=wrong))
    assert (frame.scale, frame.kind) == (pytest.approx(200), "shoulders")


def test_the_scale_is_taken_where_both_shoulders_are_seen():
    clip = hidden(signer(), "left_shoulder", frames=slice(1, None))
    assert signer_frame(clip).scale == pytest.approx(200)


def test_hand_only_clips_are_taken_with_a_warning_and_get_a_like_size(shared_data):
    path = next((shared_data / "isolated/asl_words/pose_subset").rglob("*.pose"))
    with pytest.warns(PoseWarning, match="hands"):
        values = prepare_clip(read_pose(path), PoseSettings())
    assert 0.2 < np.abs(values[..., :2]).max() < 4


@pytest.mark.parametrize("layout", ["hands_42", "hands_21", "islr_118"])
def test_layouts_without_shoulders_fall_back_to_the_hands(layout):
    with pytest.warns(PoseWarning, match="no frame shows both shoulders"):
        frame = signer_frame(signer(layout=layout))
    assert frame.kind == "hands"


def test_hand_scale_agrees_with_shoulder_scale_on_real_signers(shared_data):
    ratios = []
    for path in sorted((shared_data / "isolated/fingerspelling/poses").rglob("*.pose"))[::20]:
        clip = read_pose(path)
        ratios.append(signer_frame(clip, "hands").scale / signer_frame(clip).scale)
    assert 0.7 < np.median(ratios) < 1.4


def test_asking_for_the_hands_frame_does_not_warn(recwarn):
    assert signer_frame(signer(layout="hands_42"), "hands").kind == "hands"
    assert not [warning for warning in recwarn if warning.category is PoseWarning]


def test_without_shoulders_and_palms_the_box_of_all_points_is_the_last_resort():
    clip = hidden(signer(), "left_shoulder", "left_hand", "right_hand")
    with pytest.warns(PoseWarning, match="box"):
        assert signer_frame(clip).kind == "points"


def test_shoulders_at_one_place_count_as_not_seen():
    clip = signer()
    clip.points[:, 5] = clip.points[:, 6]
    with pytest.warns(PoseWarning, match="both shoulders"):
        assert np.isfinite(prepare_clip(clip, PoseSettings())).all()


def test_nobody_in_the_clip_is_an_error():
    clip = signer()
    with pytest.raises(ClipError, match="expected a person"):
        prepare_clip(dataclasses.replace(clip, confidence=np.zeros_like(clip.confidence)), PoseSettings())
    with pytest.raises(ClipError, match="expected a person"):
        signer_frame(dataclasses.replace(clip, points=np.full_like(clip.points, np.nan)))


def test_box_is_the_published_formula():
    clip = signer(layout="unisign_69")
    clip.confidence[3, 5] = clip.confidence[3, 9] = 0.3  # at the threshold: masked; a wrist still carries its hand
    values = prepare_clip(clip, PoseSettings(layout="unisign_69", normalization="box"))
    points = clip.points.astype(np.float64)
    good = np.where((clip.confidence > 0.3)[..., None], points, np.nan)
    low, high = np.nanmin(good[:, :9], axis=(0, 1)), np.nanmax(good[:, :9], axis=(0, 1))
    side = (high - low).max()
    body = np.clip(2 * (points[:, :9] - (low + high) / 2) / side, -1, 1)
    left = np.clip((points[:, 9:30] - points[:, 9:10]) / side, -1, 1)
    face = np.clip((points[:, 51:] - points[:, 68:69]) / side, -1, 1)
    expected = np.concatenate([body, left, np.clip((points[:, 30:51] - points[:, 30:31]) / side, -1, 1), face], axis=1)
    expected[3, 5] = expected[3, 9] = 0
    np.testing.assert_allclose(values[..., :2], expected, atol=1e-5)
    assert values[3, 5, 2] == 0


def test_box_masks_a_hand_whose_wrist_is_not_seen():
    clip = hidden(signer(), "left_hand_wrist")
    values = prepare_clip(clip, PoseSettings(normalization="box"))
    assert not values[:, 11:32].any() and values[:, 32:53, 2].all()


def test_box_without_a_body_is_refused():
    with pytest.raises(LandmarkError, match="body"):
        prepare_clip(signer(layout="hands_42"), PoseSettings(layout="hands_42", normalization="box"))


def test_max_divides_by_the_largest_coordinate_of_the_clip():
    clip = signer()
    values = prepare_clip(clip, PoseSettings(layout=clip.layout, normalization="max"))
    np.testing.assert_allclose(values[..., :2], clip.points / np.abs(clip.points).max(), rtol=1e-6)


def test_none_keeps_the_units():
    clip = signer()
    values = prepare_clip(clip, PoseSettings(layout=clip.layout, normalization="none"))
    np.testing.assert_array_equal(values[..., :2], clip.points)


def test_world_landmarks_have_a_frame_of_their_own():
    clip = signer(layout="holistic_576", axes=3)
    moved = clip.points.copy()
    moved[:, :543, :2] += 1000
    settings = PoseSettings(layout="holistic_576", num_coordinates=4)
    values = prepare_clip(dataclasses.replace(clip, points=moved), settings)
    np.testing.assert_allclose(values, prepare_clip(clip, settings), atol=2e-4)
    assert np.ptp(values[:, 543:, 0]) > 0.1


def test_a_frame_measured_before_is_used_as_it_is():
    clip = signer()
    values = prepare_clip(clip, PoseSettings(layout=clip.layout), SignerFrame((0.0, 0.0), 100.0, "shoulders"))
    np.testing.assert_allclose(values[..., :2], clip.points / 100, rtol=1e-6)


def test_a_wild_coordinate_is_masked():
    clip = signer()
    clip.points[4, 20] = 9e4
    values = prepare_clip(clip, PoseSettings(layout=clip.layout))
    assert not values[4, 20].any() and values[3, 20].any()


def test_depth_is_scaled_and_zero_for_flat_clips():
    solid, flat = signer(layout="holistic_543", axes=3), signer(layout="holistic_543")
    settings = PoseSettings(num_coordinates=4, layout="holistic_543")
    values = prepare_clip(solid, settings)
    np.testing.assert_allclose(values[..., 2], solid.points[..., 2] / 200, rtol=1e-5)
    assert values.shape[-1] == 4 and not prepare_clip(flat, settings)[..., 2].any()


def test_missing_points_are_zero_with_confidence_zero():
    values = prepare_clip(hidden(signer(), "left_hand", "nose"), PoseSettings())
    assert not values[:, 11:32].any() and not values[:, 0].any()
    assert values[:, 32:, 2].all()


def test_hands_in_swapped_slots_give_the_same_input(real_clip):
    schema = get_layout(real_clip.layout)
    order = np.arange(schema.num_points)
    left, right = list(schema.parts["left_hand"]), list(schema.parts["right_hand"])
    order[left], order[right] = right, left
    swapped = dataclasses.replace(
        real_clip, points=real_clip.points[:, order], confidence=real_clip.confidence[:, order]
    )
    same = np.isclose(prepare_clip(swapped, PoseSettings()), prepare_clip(real_clip, PoseSettings()), atol=1e-4)
    # Frames in which the hands touch are left alone, in both.
    assert same.all(axis=(1, 2)).mean() > 0.9


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("fps", [25.0, 30.0])
def test_the_pass_that_does_all_at_once_gives_what_the_single_steps_give(axes, fps, monkeypatch):
    rng = np.random.default_rng(3)
    points = rng.normal(500, 120, (60, 85, 3)).astype(np.float32)
    confidence = rng.uniform(-0.2, 1.3, (60, 85)).astype(np.float32)
    points[rng.random((60, 85)) < 0.1] = np.nan
    points[rng.random((60, 85)) < 0.02] = 5e4  # beyond MAX_UNITS
    points[4, 60, 2], points[5, 61, 0], confidence[6, 62] = np.inf, 2e5, np.nan
    clip, settings = PoseClip(points, confidence, "signing_85", fps), PoseSettings(num_coordinates=axes + 1)
    at_once = prepare_clip(clip, settings)
    monkeypatch.setattr("slt_hf.processing.pose_transforms.normalize_at_once", lambda *_: None)
    np.testing.assert_array_equal(at_once, prepare_clip(clip, settings))
    assert (at_once[..., -1] == 0).any() and (at_once[..., -1] > 0).any()


def test_the_clip_itself_is_not_changed(real_clip):
    points, confidence = real_clip.points.copy(), real_clip.confidence.copy()
    for normalization in ("shoulders", "hands", "box", "max", "none"):
        prepare_clip(real_clip, PoseSettings(layout=real_clip.layout, normalization=normalization, max_gap_ms=200))
    np.testing.assert_array_equal(real_clip.points, points)
    np.testing.assert_array_equal(real_clip.confidence, confidence)


def test_a_mirrored_signer_gives_the_same_input_where_the_signing_hand_is_set(shared_data):
    settings = PoseSettings(signing_hand="right")
    for path in sorted((shared_data / "isolated/fingerspelling/poses").rglob("*.pose"))[::40]:
        clip = read_pose(path)
        expected = prepare_clip(clip, settings)
        np.testing.assert_allclose(prepare_clip(mirror_clip(clip), settings), expected, atol=2e-4, err_msg=str(path))


def test_hand_depth_does_not_depend_on_the_extractors_unit(real_clip):
    if real_clip.points.shape[-1] < 3:
        pytest.skip("a flat clip")
    settings = PoseSettings(num_coordinates=4, depth="hands")
    deeper = dataclasses.replace(real_clip, points=real_clip.points * np.float32([1, 1, 7]))
    np.testing.assert_allclose(prepare_clip(deeper, settings), prepare_clip(real_clip, settings), atol=1e-3)


# Refusals


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"layout": "holistic"}, "holistic_543"),
        ({"num_coordinates": 2}, "num_coordinates"),
        ({"normalization": "mean"}, "shoulders"),
        ({"fps": 0}, "fps"),
    ],
)
def test_impossible_settings_are_refused(options, found):
    with pytest.raises((LandmarkError, ClipError), match=found):
        PoseSettings(**options)


def test_a_layout_that_cannot_feed_the_model_is_refused():
    from slt_hf.processing.landmarks import LAYOUTS, make_layout

    LAYOUTS["body_17"] = make_layout("body_17", get_layout("coco_wholebody_133").points[:17], 2)
    try:
        with pytest.raises(LandmarkError, match="no hands.*checkpoint for body_17"):
            prepare_clip(signer(layout="body_17"), PoseSettings())
    finally:
        del LAYOUTS["body_17"]


def test_a_clip_that_is_not_its_layout_is_refused():
    with pytest.raises(LandmarkError, match="75 points.*133"):
        prepare_clip(dataclasses.replace(signer(), layout="holistic_75"), PoseSettings())


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"points": np.zeros((0, 133, 2)), "confidence": np.zeros((0, 133))}, "at least one frame"),
        ({"confidence": np.ones((5, 133))}, "confidence"),
        ({"fps": float("nan")}, "fps"),
        ({"fps": 0.0}, "fps"),
    ],
)
def test_impossible_clips_are_refused(change, found):
    with pytest.raises(ClipError, match=found):
        prepare_clip(dataclasses.replace(signer(), **change), PoseSettings())


# Cost


def test_longer_clips_cost_no_more_calls_and_little_memory():
    """No loop over frames, few copies of the points: `benchmarks/transform_speed.py` says what that takes in time."""

    def cost(frames: int) -> tuple[int, float]:
        array = signer(frames=frames, fps=30, layout="holistic_543", axes=3).points
        prepare_clip(to_clip(array, "holistic_543", 30.0), PoseSettings())  # tables are made at first use
        calls: list[str] = []
        sys.setprofile(lambda _, event, __: calls.append(event) if event.endswith("call") else None)
        try:
            prepare_clip(to_clip(array, "holistic_543", 30.0), PoseSettings())
        finally:
            sys.setprofile(None)
        tracemalloc.start()
        try:
            prepare_clip(to_clip(array, "holistic_543", 30.0), PoseSettings())
            return len(calls), tracemalloc.get_traced_memory()[1] / array.nbytes
        finally:
            tracemalloc.stop()

    few, many = cost(30), cost(300)
    assert many[0] == few[0] < 500
    assert many[1] < 1.5  # copies of the clip at the most, at one time


def test_preparing_clips_needs_numpy_alone(tmp_path):
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'pose_format', 'huggingface_hub'): sys.modules[name] = None\n"
        "import numpy as np\n"
        "import slt_hf.processing\n"
        "from slt_hf.processing import PoseClip, PoseSettings, prepare_clip, read_pose, write_pose\n"
        "from slt_hf.processing.pose_inputs import to_clip\n"
        "array = np.random.default_rng(0).uniform(0, 500, (9, 133, 3)).astype('f')\n"
        "clip = to_clip(array, 'coco_wholebody_133', 30.0)\n"
        f"write_pose(clip, {str(tmp_path / 'clip.pose')!r})\n"
        f"print(prepare_clip(read_pose({str(tmp_path / 'clip.pose')!r}), PoseSettings()).shape)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "(8, 85, 3)", result.stderr
