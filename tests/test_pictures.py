"""A folder of pictures is a video: PHOENIX comes as one PNG a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import slt_hf
from slt_hf.errors import VideoError
from slt_hf.poses.video import VideoBudget, iterate_frames, probe_video, read_video


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    """Twelve frames whose brightness is ten times their number; written in another order."""
    for number in (11, 2, 9, 0, 1, 3, 10, 4, 5, 6, 7, 8):
        Image.fromarray(np.full((26, 21, 3), number * 10, np.uint8)).save(tmp_path / f"images{number}.png")
    return f"{tmp_path}/*.png"


def test_pictures_are_frames_in_the_order_of_their_numbers_at_25_a_second(pictures):
    frames = list(iterate_frames(pictures))
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [10 * number for number in range(12)]
    assert [frame.time_ms for frame in frames] == [40 * number for number in range(12)]
    assert probe_video(pictures) == (21, 26, 25, 480, 12)


def test_a_range_and_evenly_spread_frames_of_pictures(pictures):
    assert [frame.time_ms for frame in iterate_frames(pictures, start_ms=80, end_ms=160)] == [80, 120]
    assert read_video(pictures, num_frames=3).frames[:, 0, 0, 0].tolist() == [20, 60, 100]


def test_missing_and_damaged_pictures_are_video_errors(pictures, tmp_path):
    with pytest.raises(VideoError, match="found nothing there"):
        probe_video(f"{tmp_path}/absent/*.png")
    (tmp_path / "images5.png").write_bytes(b"no picture")
    with pytest.raises(VideoError):
        list(iterate_frames(pictures))


def test_pictures_have_a_budget_too(pictures):
    with pytest.raises(VideoError, match="more than 5 frames"):
        list(iterate_frames(pictures, budget=VideoBudget(max_frames=5)))


def test_phoenix_rows_point_at_their_pictures(tmp_path):
    annotations = tmp_path / "annotations" / "manual"
    annotations.mkdir(parents=True)
    (annotations / "PHOENIX-2014-T.dev.corpus.csv").write_text(
        "name|video|start|end|speaker|orth|translation\nmonday-1|monday-1/1/*.png|-1|-1|Signer01|REGEN|es regnet\n"
    )
    folder = tmp_path / "features" / "fullFrame-210x260px" / "dev" / "monday-1"
    folder.mkdir(parents=True)
    Image.new("RGB", (210, 260)).save(folder / "images0001.png")
    rows = slt_hf.load_dataset("phoenix14t", data_dir=tmp_path, cache_dir=tmp_path / "cache", split="dev")
    assert probe_video(rows[0]["video"]).num_frames == 1
