"""Drawings show what is in a clip and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from slt_hf.processing.landmarks import LAYOUTS, convert, get_layout
from slt_hf.processing.pose_files import PoseClip, read_pose
from slt_hf.synthesis import Signer, synthesize
from slt_hf.visualization import (
    BACKGROUND,
    MIN_CONFIDENCE,
    draw_animation,
    draw_comparison,
    draw_frame,
    draw_gallery,
    draw_grid,
    draw_sheet,
    viewport,
)

LEFT, RIGHT = slice(11, 32), slice(32, 53)


@pytest.fixture(scope="module")
def clip() -> PoseClip:
    return synthesize("I love my sister.", signer=Signer(), layout="signing_85")


def ink(picture: Image.Image) -> np.ndarray:
    """Which pixels are not background: (H, W) bool."""
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    return np.abs(pixels - np.array(BACKGROUND)).sum(axis=-1) > 0


def changed(clip: PoseClip, points: np.ndarray | None = None, confidence: np.ndarray | None = None) -> PoseClip:
    """The clip with other values."""
    return PoseClip(
        clip.points if points is None else points,
        clip.confidence if confidence is None else confidence,
        clip.layout, clip.fps, clip.width, clip.height,
    )  # fmt: skip


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout_is_drawn(layout: str) -> None:
    full = synthesize(["I"], signer=Signer())
    points, confidence = convert(full.points, full.confidence, full.layout, layout)
    picture = draw_frame(PoseClip(points, confidence, layout, 25.0, 1280, 720), full.num_frames // 2, size=100)
    assert picture.size == (100, 100)
    has_points = (confidence > 0.5).sum(axis=1).max() > 10
    assert ink(picture).any() == has_points


def test_missing_points_are_not_drawn(clip: PoseClip) -> None:
    middle, box = clip.num_frames // 2, viewport(clip)
    points, confidence = clip.points.copy(), clip.confidence.copy()
    points[:, RIGHT], confidence[:, RIGHT] = np.nan, 0
    with_hand, without = (ink(draw_frame(each, middle, 200, box)) for each in (clip, changed(clip, points, confidence)))
    assert without.sum() < with_hand.sum() and not (without & ~with_hand).any()
    nothing = changed(clip, np.full_like(points, np.nan), np.zeros_like(confidence))
    assert not ink(draw_frame(nothing, middle, 200)).any()


def test_confidence_is_opacity(clip: PoseClip) -> None:
    box = viewport(clip)
    darkness = []
    for share in (1.0, 0.6, 0.3):
        picture = draw_frame(changed(clip, confidence=clip.confidence * share), 20, 200, box)
        darkness.append(255 - np.asarray(picture.convert("L")).astype(float).mean())
    assert darkness[0] > 1.3 * darkness[1] > 1.3 * 1.3 * darkness[2] > 0


def test_left_and_right_have_their_own_colours(clip: PoseClip) -> None:
    def colour(side: slice) -> np.ndarray:
        confidence = np.zeros_like(clip.confidence)
        confidence[:, side] = 1
        alone = changed(clip, confidence=confidence)
        picture = draw_frame(alone, 20, 200)
        return np.asarray(picture)[ink(picture)].mean(axis=0)

    left, right = colour(LEFT), colour(RIGHT)
    assert left[2] > left[0] + 20 and right[0] > right[2] + 20  # blue and red


def test_sheet_has_its_frames_and_caption(clip: PoseClip, tmp_path: Path) -> None:
    plain = draw_sheet(clip, num_frames=6, columns=3, size=80)
    sheet = draw_sheet(clip, tmp_path / "sheet.png", num_frames=6, columns=3, size=80, caption="I love my sister.")
    assert plain.width == 240 and sheet.height > plain.height
    assert ink(sheet)[plain.height :].any()  # the caption
    assert Image.open(tmp_path / "sheet.png").size == sheet.size
    first_column = ink(plain)[:, :80]
    assert first_column[: plain.height // 2].any() and first_column[plain.height // 2 :].any()


def test_sheet_of_a_short_clip_has_each_frame_once(clip: PoseClip) -> None:
    short = PoseClip(clip.points[:3], clip.confidence[:3], clip.layout, clip.fps)
    assert draw_sheet(short, num_frames=10, columns=10, size=60).width == 180


def test_animation_lasts_as_long_as_the_clip(clip: PoseClip, tmp_path: Path) -> None:
    path = draw_animation(clip, tmp_path / "clip.gif", text="I love my sister.", size=120)
    with Image.open(path) as film:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(film)]
        assert film.height > 120 and film.format == "GIF"
    assert len(durations) >= 10 and sum(durations) == pytest.approx(clip.duration_ms, abs=150)
    assert path.stat().st_size < 400_000


def test_frames_of_the_video_lie_behind(clip: PoseClip, tmp_path: Path) -> None:
    video = np.zeros((12, 72, 128, 3), np.uint8)
    video[..., 1] = 90
    small = PoseClip(clip.points[20:32] / 10, clip.confidence[20:32], clip.layout, clip.fps)
    picture = np.asarray(draw_frame(small, 10, 128, background=video[10]))
    assert (picture[5, 5] == [0, 90, 0]).all() and (picture[-2, 5] == BACKGROUND).all()  # wider than high
    assert ((picture[:72] != [0, 90, 0]).any(axis=-1)).sum() > 50
    draw_sheet(small, tmp_path / "with_video.png", frames=video, num_frames=2)
    draw_animation(small, tmp_path / "with_video.gif", frames=video)
    assert (tmp_path / "with_video.gif").stat().st_size > 1000


def test_comparison_has_a_row_for_each(clip: PoseClip, tmp_path: Path) -> None:
    normalised = changed(clip, clip.points / 200 - 1)
    sheet = draw_comparison(clip, normalised, tmp_path / "both.png", num_frames=3, size=60)
    assert sheet.width == 180 and sheet.height > 120
    top, bottom = np.split(ink(sheet)[: sheet.height // 2 * 2], 2)
    assert top.any() and bottom.any()


def test_gallery_and_grid_keep_order(clip: PoseClip) -> None:
    gallery = draw_gallery([("a", clip, 0), ("b", clip, 10), ("c", clip, 20)], columns=2, size=50)
    assert gallery.width == 100
    colours = [Image.new("RGB", (4, 4), colour) for colour in ("red", "green", "blue")]
    grid = draw_grid(colours, 2)
    assert grid.size == (8, 8) and grid.getpixel((5, 1)) == (0, 128, 0) and grid.getpixel((1, 5)) == (0, 0, 255)


def test_a_stray_point_does_not_shrink_the_signer(clip: PoseClip) -> None:
    points = clip.points.copy()
    points[3, 0, :2] = 50_000
    left, _, right, _ = viewport(clip)
    stray_left, _, stray_right, _ = viewport(changed(clip, points))
    assert stray_right - stray_left == pytest.approx(right - left, rel=0.05)


def test_an_arm_stretched_out_in_few_frames_is_not_cut(clip: PoseClip) -> None:
    """Neither is a hand that the extractor is hardly sure of: what is drawn is in the picture."""
    points, confidence = clip.points.copy(), clip.confidence.copy()
    points[5, LEFT, 0] += 300
    confidence[:, LEFT] = 0.3
    _, _, right, bottom = viewport(changed(clip, points, confidence))
    assert np.nanmax(points[5, LEFT, 0]) < right and np.nanmax(points[:, LEFT, 1]) < bottom


def test_guessed_legs_do_not_shrink_the_signer() -> None:
    full = synthesize("I love my sister.", signer=Signer(), layout="holistic_75")
    points, confidence = full.points.copy(), full.confidence.copy()
    names = get_layout("holistic_75").points
    legs = [i for i, name in enumerate(names) if name.endswith(("knee", "ankle", "heel", "foot_index"))]
    points[:, legs, :2], confidence[:, legs] = (640, 2000), 0.2
    assert viewport(changed(full, points, confidence))[3] < 1500
    confidence[:, legs] = 0.9
    assert viewport(changed(full, points, confidence))[3] > 2000


def test_real_clips_are_drawn_whole(shared_data: Path) -> None:
    clip = read_pose(shared_data / "poses" / "pose_format" / "openpose.pose")
    left, top, right, bottom = viewport(clip)
    hands = [i for i, name in enumerate(get_layout(clip.layout).points) if "_hand_" in name]
    drawn = clip.points[:, hands, :2][clip.confidence[:, hands] >= MIN_CONFIDENCE]
    assert (drawn > (left, top)).all() and (drawn < (right, bottom)).all()


def test_real_clips_are_drawn(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "poses" / "holistic586").glob("*.pose"))
    for path in files:
        assert ink(draw_sheet(read_pose(path), num_frames=4, columns=4, size=80)).mean() > 0.01
    assert files
