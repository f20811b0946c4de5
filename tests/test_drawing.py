"""draw: video, poses and model input of the same moments, for one clip and for many."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from slt_hf.cli.draw import draw, is_collection
from slt_hf.drawing import as_model_sees_it, draw_collection, draw_stages
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_files import write_pose
from slt_hf.processing.pose_transforms import PoseSettings


def clip(num_frames: int = 20) -> PoseClip:
    points = np.random.default_rng(0).uniform(100, 300, (num_frames, 75, 3)).astype(np.float32)
    return PoseClip(points, np.ones((num_frames, 75), np.float32), "holistic_75", 25.0, 400, 400)


def test_what_is_drawn_as_model_input_is_the_model_input():
    settings = PoseSettings()
    seen = as_model_sees_it(clip(), settings)
    points = get_layout("signing_85").points
    shoulders = seen.points[:, [points.index("left_shoulder"), points.index("right_shoulder")]]
    assert seen.layout == "signing_85" and np.isnan(seen.points[seen.confidence == 0]).all()
    assert np.median(np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=-1)) == pytest.approx(1, abs=0.01)


def test_stages_with_the_video_are_three_rows(shared_data):
    folder = shared_data / "poses" / "dwpose_frames"
    from slt_hf.poses.formats import read_clip

    poses = read_clip(folder / "json", fps=30)
    two, three = draw_stages(poses), draw_stages(poses, video=folder / "human_signer_480.mp4")
    assert three.height > 1.3 * two.height
    top = np.asarray(three)[: three.height // 3]
    assert len(np.unique(top.reshape(-1, 3), axis=0)) > 2000  # a photograph, not a drawing


def test_many_clips_get_a_picture_each_and_reasons_for_the_rest(tmp_path, capsys):
    write_pose(clip(), tmp_path / "good.pose")
    (tmp_path / "bad.pose").write_bytes(b"")
    assert is_collection(tmp_path)
    draw(tmp_path, output=tmp_path / "out", stages=True)
    pictures = sorted((tmp_path / "out").glob("*.png"))
    assert [picture.name for picture in pictures] == ["0001_good.pose.png"]
    assert Image.open(pictures[0]).size[0] == 1000
    assert "bad.pose" in capsys.readouterr().err


def test_only_the_first_clips_are_drawn_where_asked(tmp_path):
    for name in "abc":
        write_pose(clip(2), tmp_path / f"{name}.pose")
    assert len(list(draw_collection(tmp_path, tmp_path / "out", max_clips=2))) == 2


def test_a_folder_of_frames_is_drawn_as_one_clip(shared_data, tmp_path):
    folder = shared_data / "continuous" / "how2sign_openpose" / "json" / "_2FBDaOPYig_4-3-rgb_front"
    assert not is_collection(folder)
    draw(folder, output=tmp_path / "one.png", fps=24)
    assert (tmp_path / "one.png").is_file()
