"""Extraction: the same video gives the same landmarks; whatever is wrong with a video is a typed error."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from slt_hf.errors import ClipError, LandmarkError, PreparationError, VideoError
from slt_hf.poses.extraction import EXTRACTORS, open_extractor
from slt_hf.poses.extractor import constant_rate
from slt_hf.poses.mediapipe_extractor import MediaPipe, find_extraction_python, task_model
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_files import read_pose

CLIP = "continuous/how2sign_clips/videos/_15CDIexNDM_0-5-rgb_front.mp4"  # 15 frames at 24 fps, 448 x 252


@pytest.fixture(scope="module")
def extraction_python() -> Path:
    try:
        return find_extraction_python()
    except PreparationError:
        pytest.skip("no extraction environment; make one with `make extract-env`")


@pytest.fixture(scope="module")
def mediapipe(extraction_python):
    with MediaPipe(extraction_python, timeout_seconds=900) as extractor:
        yield extractor


@pytest.fixture(scope="module")
def clip(mediapipe, shared_data):
    return mediapipe.extract(shared_data / CLIP)


def make_video(path: Path, frames: int = 10, fps: int = 25) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(frames):
            image = np.full((48, 64, 3), 10 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_video_becomes_a_holistic_clip_with_size_and_rate(clip):
    assert clip.points.shape == (15, 543, 3) and clip.confidence.shape == (15, 543)
    assert (clip.layout, clip.fps, clip.width, clip.height) == ("holistic_543", 24.0, 448, 252)
    nose = clip.points[:, 0]
    assert ((nose[:, :2] > 0) & (nose[:, :2] < (448, 252))).all()
    shoulders = clip.points[:, 11, 0] - clip.points[:, 12, 0]
    assert (shoulders > 20).all()  # the signer's left is on the picture's right
    assert ((clip.confidence > 0) == ~np.isnan(clip.points).any(-1)).all()


def test_same_video_gives_the_same_landmarks_whatever_came_before(mediapipe, clip, shared_data):
    other = sorted((shared_data / "continuous/how2sign_clips/videos").glob("*.mp4"))[1]
    mediapipe.extract(other, end_ms=300)
    again = mediapipe.extract(shared_data / CLIP)
    np.testing.assert_array_equal(again.points, clip.points)


def test_part_of_a_video_is_cut_by_time(mediapipe, shared_data):
    done: list[int] = []
    part = mediapipe.extract(shared_data / CLIP, start_ms=250, end_ms=500, progress=done.append)
    assert part.num_frames == 6 == done[-1]
    with pytest.raises(ClipError, match="the video is shorter"):
        mediapipe.extract(shared_data / CLIP, start_ms=60_000)


def test_malformed_videos_are_typed_errors_and_the_extractor_lives_on(mediapipe, clip, shared_data, tmp_path):
    for name in ("empty", "head_only", "cut_half", "no_index", "text_as_mp4"):
        with pytest.raises(VideoError, match=f"{name}.mp4: expected a readable video"):
            mediapipe.extract(shared_data / f"malformed/video/{name}.mp4")
    with pytest.raises(VideoError, match="nothing there"):
        mediapipe.extract(tmp_path / "gone.mp4")
    assert mediapipe.extract(shared_data / CLIP, end_ms=100).num_frames == 3


def test_video_without_a_person_has_no_landmarks(mediapipe, tmp_path):
    clip = mediapipe.extract(make_video(tmp_path / "grey.mp4"))
    assert clip.num_frames == 10 and not clip.confidence.any() and np.isnan(clip.points).all()


def test_extractor_that_takes_too_long_is_stopped_and_replaced(extraction_python, shared_data):
    with MediaPipe(extraction_python) as extractor:
        assert extractor.tools["mediapipe"] == "0.10.21"
        extractor.timeout_seconds = 0.2
        with pytest.raises(PreparationError, match="ended after 0.2 s"):
            extractor.extract(shared_data / "continuous/how2sign_clips/videos/_15CDIexNDM_2-5-rgb_front.mp4")
        extractor.timeout_seconds = None
        assert extractor.extract(shared_data / CLIP, end_ms=100).num_frames == 3


def test_extract_command_writes_pose_files_and_continues(extraction_python, shared_data, tmp_path, monkeypatch, capsys):
    from slt_hf.cli.main import app

    monkeypatch.setenv("SLT_HF_EXTRACT_PYTHON", str(extraction_python))
    command = ["extract", str(shared_data / CLIP), "--output", str(tmp_path)]
    app(command, standalone_mode=False)
    assert "1 extracted, 0 there already" in capsys.readouterr().out
    written = read_pose(tmp_path / (Path(CLIP).stem + ".pose"))
    assert (written.num_frames, written.layout, written.fps, written.width) == (15, "holistic_543", 24.0, 448)
    app(command, standalone_mode=False)
    assert "0 extracted, 1 there already" in capsys.readouterr().out


def test_no_python_of_the_current_folder_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    theirs = tmp_path / ".venv-extract" / "bin" / "python"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    monkeypatch.delenv("SLT_HF_EXTRACT_PYTHON", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "elsewhere" / "env"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PreparationError, match="elsewhere"):
        find_extraction_python()


def test_missing_environment_says_how_to_make_one(monkeypatch, tmp_path):
    monkeypatch.setenv("SLT_HF_EXTRACT_PYTHON", str(tmp_path / "python"))
    with pytest.raises(PreparationError, match="make extract-env"):
        open_extractor("mediapipe_holistic")


def test_environment_without_mediapipe_says_what_its_python_said():
    with MediaPipe(sys.executable) as extractor, pytest.raises(PreparationError, match="No module named 'mediapipe'"):
        extractor.extract("any.mp4")


def test_file_that_is_no_model_is_told_apart_from_a_bad_video(extraction_python, tmp_path):
    (tmp_path / "holistic.task").write_bytes(b"no model")
    with open_extractor("mediapipe_tasks", model=tmp_path / "holistic.task", python=extraction_python) as extractor:
        with pytest.raises(PreparationError, match="the extractor ended with code 1"):
            extractor.extract("any.mp4")


def test_unknown_extractor_lists_the_known_ones():
    with pytest.raises(PreparationError, match="mediapipe_holistic, mediapipe_tasks, transformers, rtmlib"):
        open_extractor("openpose")
    with pytest.raises(PreparationError, match="no.such.module:Thing"):
        open_extractor("no.such.module:Thing")
    assert set(EXTRACTORS) == {"mediapipe_holistic", "mediapipe_tasks", "transformers", "rtmlib"}


def test_model_file_of_mediapipe_tasks_is_checked(tmp_path):
    (tmp_path / "holistic.task").write_bytes(b"model")
    right = hashlib.sha256(b"model").hexdigest()
    assert task_model(tmp_path / "holistic.task", right).name == "holistic.task"
    with pytest.raises(PreparationError, match="expected SHA-256 0000"):
        task_model(tmp_path / "holistic.task", "0000")
    with pytest.raises(PreparationError, match="expected a .task file"):
        task_model(tmp_path / "absent.task", None)
    with pytest.raises(PreparationError, match="checksum of the model to fetch"):
        task_model(None, None)


def test_model_of_mediapipe_tasks_is_fetched_once_and_only_with_its_checksum(tmp_path, monkeypatch):
    """From a server on loopback, into the cache; the second time nobody is asked."""
    asked: list[str] = []

    class Server(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    served = tmp_path / "served"
    served.mkdir()
    (served / "holistic.task").write_bytes(b"a model")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=str(served))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/holistic.task"
        with pytest.raises(PreparationError, match="checksum of the model to fetch"):
            task_model(address, None)
        right = hashlib.sha256(b"a model").hexdigest()
        assert task_model(address, right).read_bytes() == b"a model"
        assert task_model(address, right).read_bytes() == b"a model" and asked == ["/holistic.task"]
        with pytest.raises(PreparationError, match="expected SHA-256 0000"):
            task_model(address, "0000")
        server.shutdown()


FAKE_MEDIAPIPE = '''
"""As much of MediaPipe 1.x as the worker touches; finds one hand and a body that moves with time."""
from types import SimpleNamespace as N
__version__ = "1.2.2"
Image, ImageFormat = (lambda image_format, data: data), N(SRGB=1)
def points(count, x): return [N(x=x, y=0.5, z=0.1, visibility=0.9, presence=0.9) for _ in range(count)]
class Landmarker:
    last = -1
    def detect_for_video(self, image, time_ms):
        assert time_ms > self.last; self.last = time_ms
        return N(pose_landmarks=points(33, time_ms / 1000), face_landmarks=points(478, 0.5), left_hand_landmarks=[],
                 right_hand_landmarks=points(21, 0.25))
    def close(self): pass
vision = N(RunningMode=N(VIDEO=1), HolisticLandmarkerOptions=lambda **options: options,
           HolisticLandmarker=N(create_from_options=lambda options: Landmarker()))
tasks = N(vision=vision, BaseOptions=lambda model_asset_path: model_asset_path)
'''


def test_mediapipe_tasks_become_a_holistic_clip(tmp_path, monkeypatch):
    """The worker with a stand-in for MediaPipe 1.x, whose model cannot be had offline: 478 face points become 468."""
    (tmp_path / "mediapipe.py").write_text(FAKE_MEDIAPIPE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "holistic.task").write_bytes(b"model")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nshift  # -I, which keeps stand-ins out\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    video = make_video(tmp_path / "clip.mp4", frames=10)
    with open_extractor("mediapipe_tasks", model=tmp_path / "holistic.task", python=python) as extractor:
        clip = extractor.extract(video)
    assert (clip.layout, clip.num_frames, clip.fps) == ("holistic_543", 10, 25)
    assert extractor.tools["mediapipe"] == "1.2.2" and extractor.tools["task"] == "holistic.task"
    parts = get_layout("holistic_543").parts
    assert not clip.confidence[:, list(parts["left_hand"])].any() and clip.confidence[:, list(parts["face"])].all()
    np.testing.assert_allclose(clip.points[:, 0, 0], np.arange(10) * 0.04 * clip.width, atol=0.1)


class FakeRtmlib:
    """Wholebody of rtmlib: two people in the first picture, the second one nearer; nobody in the last."""

    calls = 0

    def __init__(self, to_openpose: bool, mode: str, backend: str, device: str):
        assert (to_openpose, mode, backend, device) == (False, "balanced", "onnxruntime", "cpu")

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        people = (2, 1, 0)[self.calls]
        self.calls += 1
        sizes = np.arange(1, people + 1)[:, None, None] * 10
        return np.random.default_rng(0).uniform(0, 1, (people, 133, 2)) * sizes, np.full((people, 133), 0.8)


def test_rtmlib_gives_the_nearest_person_and_nobody_where_nobody_is(tmp_path, monkeypatch):
    import importlib.metadata
    from types import SimpleNamespace

    with pytest.raises(PreparationError, match="pip install rtmlib"):
        open_extractor("rtmlib")
    monkeypatch.setitem(sys.modules, "rtmlib", SimpleNamespace(Wholebody=FakeRtmlib))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.16")
    with open_extractor("rtmlib") as extractor:
        clip = extractor.extract(make_video(tmp_path / "clip.mp4", frames=3))
    assert clip.points.shape == (3, 133, 2) and clip.layout == "coco_wholebody_133"
    assert clip.points[0].max() > 15 and clip.points[1].max() < 10
    assert clip.confidence[:2].min() == pytest.approx(0.8) and not clip.confidence[2].any()


def test_what_is_no_pose_model_says_so(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(PreparationError, match="expected a pose estimation model of transformers"):
        open_extractor("transformers", model=tmp_path)


def save_vitpose(folder: Path, points: int) -> Path:
    """A ViTPose of one layer with random weights."""
    import torch
    from transformers import VitPoseConfig, VitPoseForPoseEstimation

    torch.manual_seed(0)
    backbone = {"model_type": "vitpose_backbone", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    size = {"image_size": [64, 48], "patch_size": [16, 16], "out_features": ["stage1"]}
    labels: Any = {"num_labels": points}
    config = VitPoseConfig(backbone_config=backbone | size, use_simple_decoder=True, **labels)
    VitPoseForPoseEstimation(config).save_pretrained(folder)
    about = {"image_processor_type": "VitPoseImageProcessor", "size": {"height": 64, "width": 48}}
    (folder / "preprocessor_config.json").write_text(json.dumps(about))
    return folder


def test_transformers_pose_model_gives_whole_body_points(tmp_path):
    video = make_video(tmp_path / "clip.mp4", frames=20)
    with open_extractor("transformers", model=save_vitpose(tmp_path / "model", 133)) as extractor:
        clip = extractor.extract(video, end_ms=720)
        boxed = extractor.extract(video, end_ms=720, bbox=[10, 10, 40, 40])
    assert clip.points.shape == (18, 133, 2) and clip.layout == "coco_wholebody_133" and clip.fps == 25
    assert not np.array_equal(boxed.points, clip.points)
    assert set(extractor.tools) >= {"transformers", "model"}


def test_sapiens_gives_whole_body_points(tmp_path):
    pytest.importorskip("torchvision", reason="Sapiens' image processor needs torchvision", exc_type=Exception)
    from transformers import Sapiens2Config, Sapiens2ForPoseEstimation

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    head = {"upsample_out_channels": [16, 16], "conv_out_channels": [16]}
    more: Any = {"image_size": [64, 48], "num_key_value_attention_heads": 2, "num_labels": 133, "head_config": head}
    Sapiens2ForPoseEstimation(Sapiens2Config(**sizes, **more)).save_pretrained(tmp_path / "model")
    about = {"image_processor_type": "Sapiens2ImageProcessor", "size": {"height": 64, "width": 48}}
    (tmp_path / "model/preprocessor_config.json").write_text(json.dumps(about))
    with open_extractor("transformers", model=tmp_path / "model") as extractor:
        clip = extractor.extract(make_video(tmp_path / "clip.mp4", frames=5))
    assert clip.points.shape == (5, 133, 2) and clip.layout == "coco_wholebody_133"


def test_pose_model_of_other_points_is_refused(tmp_path):
    video = make_video(tmp_path / "clip.mp4", frames=2)
    with open_extractor("transformers", model=save_vitpose(tmp_path / "model", 17)) as extractor:
        with pytest.raises(LandmarkError, match="133 points of COCO-WholeBody, found 17"):
            extractor.extract(video)


def test_even_frames_are_taken_once_each_and_uneven_ones_by_the_clock():
    frames, rate = constant_rate(np.arange(10) * 40.0 + np.array([0, 3, -3] * 3 + [0]), 25.0)
    assert frames.tolist() == list(range(10)) and rate == 25
    frames, rate = constant_rate(np.array([0.0, 40.0, 80.0, 320.0, 360.0]), 25.0)
    assert frames.tolist() == [0, 1, 2, 2, 2, 2, 3, 3, 3, 4]
    assert constant_rate(np.array([0.0, 20.0, 40.0]), None)[1] == 50
    assert constant_rate(np.array([0.0]), None)[1] == 25


def test_a_wrong_time_in_a_video_does_not_fill_the_memory():
    later = 40.0 * np.arange(25_000)  # ten minutes and more, then the clock of a broadcast begins anew
    for times in ([0.0, 40.0, 95_443_717.7], [*later, later[-1] + 95_443_717.7], 9000.0 * np.arange(30)):
        with pytest.raises(VideoError, match="whose times are damaged"):
            constant_rate(np.array(times), 25.0)
    assert len(constant_rate(np.array([0.0, 1000.0, 2000.0]), 25.0)[0]) == 51  # a slide show


@pytest.mark.slow
def test_real_video_becomes_a_shard_end_to_end(extraction_python, shared_data, tmp_path):
    from slt_hf.data.manifest import write_manifest
    from slt_hf.data.preparation import PreparationSettings, prepare
    from slt_hf.data.preparation_item import ItemSettings
    from slt_hf.data.sample import Sample
    from slt_hf.data.storage import ShardDataset

    long = "continuous/how2sign_clips/videos/_15CDIexNDM_4-5-rgb_front.mp4"
    rows = [
        Sample("whole", video=str(shared_data / CLIP), text="Hi!"),
        Sample("part", video=str(shared_data / long), start_ms=500, end_ms=1500, text="It's a very simple recipe."),
        Sample("late", video=str(shared_data / CLIP), start_ms=9000, end_ms=9500, text="x"),
        Sample("cut", video=str(shared_data / "malformed/video/cut_half.mp4"), text="x"),
    ]
    write_manifest(rows, tmp_path / "m.csv")
    item = ItemSettings(extractor_options={"python": str(extraction_python)})
    for workers in (1, 2):
        settings = PreparationSettings(item=item, workers=workers)
        census = prepare(tmp_path / "m.csv", tmp_path / str(workers) / "shards", settings)
        assert census.statuses == {"ok": 2, "corrupt": 1, "mistimed": 1}
    one, two = ((tmp_path / n / "shards/data/train-00000-of-00001.parquet").read_bytes() for n in "12")
    assert one == two
    shards = ShardDataset(tmp_path / "1/shards", "train", cache_dir=tmp_path / "cache")
    assert shards.lengths.tolist() == [15, 24] and "0.10.21" in shards[0]["extractor"]


@pytest.mark.slow
def test_real_video_becomes_a_shard_and_a_translation(extraction_python, shared_data, tmp_path):
    """Through the commands that a user types; what the shard says is what the video itself says."""
    from command_line import cli

    from slt_hf.data.manifest import write_manifest
    from slt_hf.data.sample import Sample
    from slt_hf.data.storage import ShardDataset
    from slt_hf.pipeline import SignTranslator

    # in the shortest clips the bundled checkpoint sees nobody sign, and an empty text would prove little
    video = shared_data / "continuous/how2sign_clips/videos/_20g7MG8K1U_13-8-rgb_front.mp4"
    text = "Check the same thing on this side."
    write_manifest([Sample("one", video=str(video), text=text, split="train")], tmp_path / "m.csv")
    python = ("--extract-python", extraction_python)
    assert cli("prepare", tmp_path / "m.csv", "--output", tmp_path / "shards", *python).exit_code == 0
    assert cli("extract", video, "--output", tmp_path, *python).exit_code == 0
    shards = ShardDataset(tmp_path / "shards", "train", cache_dir=tmp_path / "cache")
    assert len(shards) == 1 and shards[0]["text"] == text and shards[0]["layout"] == "holistic_543"
    translator = SignTranslator.from_pretrained()
    from_shard = translator(shards.clip(0)).text
    assert from_shard and from_shard == translator(tmp_path / f"{video.stem}.pose").text
