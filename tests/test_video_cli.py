"""`slt-hf translate` of folders, videos and pictures, for checkpoints that see frames and for those that read poses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli
from test_video import make_video
from tiny_checkpoints import save_classification, save_video_classification, save_video_translation

pytest.importorskip("torch")

from PIL import Image  # noqa: E402

from slt_hf import SignClassifier, SignTranslator  # noqa: E402
from slt_hf.clips import clips_in  # noqa: E402
from slt_hf.errors import ClipError  # noqa: E402
from slt_hf.processing.pose_files import PoseClip, write_pose  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_video_translation(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two videos, one of them in a subfolder, a picture, a damaged video and a note."""
    place = tmp_path / "clips"
    (place / "more").mkdir(parents=True)
    make_video(place / "a.mp4", frames=30)
    make_video(place / "more" / "b.mp4", frames=12)
    Image.fromarray(np.full((30, 40, 3), 80, np.uint8)).save(place / "still.png")
    (place / "broken.mp4").write_bytes(b"no video")
    (place / "note.txt").write_text("not a clip")
    return place


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_folder_is_one_json_object_a_clip_and_what_fails_is_told(folder: Path, checkpoint: Path):
    done = cli("translate", folder, "--model", checkpoint, "--device", "cpu", "--batch-size", 3)
    found = {Path(line["clip"]).name: line for line in lines(done.stdout)}
    assert list(found) == ["a.mp4", "broken.mp4", "b.mp4", "still.png"]  # by path
    assert "expected a readable video" in found["broken.mp4"]["error"] and "translation" not in found["broken.mp4"]
    translator = SignTranslator.from_pretrained(checkpoint, device="cpu")
    for name, path in (
        ("a.mp4", folder / "a.mp4"),
        ("b.mp4", folder / "more/b.mp4"),
        ("still.png", folder / "still.png"),
    ):
        assert found[name]["translation"] == translator(path).text
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == "4 of 4 clips, 1 failed"


def test_a_picture_is_a_clip_of_one_frame(folder: Path, checkpoint: Path):
    done = cli("translate", folder / "still.png", "--model", checkpoint, "--device", "cpu", "--json")
    assert done.exit_code == 0 and set(lines(done.stdout)[0]["timings"]) == {"read", "process", "model"}
    translator = SignTranslator.from_pretrained(checkpoint, device="cpu")
    inputs = translator.processor(videos=folder / "still.png", return_tensors="pt")
    assert inputs["pixel_values"].shape[:2] == (1, 1)


def test_one_named_clip_that_is_damaged_fails_the_command(folder: Path, checkpoint: Path):
    done = cli("translate", folder / "broken.mp4", folder / "a.mp4", "--model", checkpoint)
    assert done.exit_code == 2 and "slt-hf: error:" in done.stderr and done.stdout == ""


def test_info_of_a_checkpoint_says_how_frames_are_read(checkpoint: Path):
    (found,) = lines(cli("info", checkpoint, "--json").stdout)
    assert (found["image_size"], found["num_frames"], found["fps"], found["fit"]) == (16, None, 12.5, "crop")
    assert "layout" not in found


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_video_classification(tmp_path_factory.mktemp("classifier"), unknown_threshold=0.3)


def test_a_classifier_names_the_signs_of_a_folder(folder: Path, classifier: Path):
    """The picture, grey all over, is surer than the threshold or not, as `SignClassifier` says."""
    done = cli("translate", folder, "--model", classifier, "--device", "cpu", "--top-k", 3, "--batch-size", 3)
    found = {Path(line["clip"]).name: line for line in lines(done.stdout)}
    assert list(found) == ["a.mp4", "broken.mp4", "b.mp4", "still.png"] and done.exit_code == 1
    assert "expected a readable video" in found["broken.mp4"]["error"]
    model = SignClassifier.from_pretrained(classifier, device="cpu")
    for name in ("a.mp4", "more/b.mp4", "still.png"):
        answer, line = model(folder / name, top_k=3), found[Path(name).name]
        assert [label["label"] for label in line["labels"]] == [label for label, _ in answer.labels]
        assert line["labels"][0]["probability"] == pytest.approx(answer.confidence, abs=1e-3)
        assert line["known"] == answer.known and line["sign"] == (answer.label if answer.known else "unknown")


def test_a_sign_under_the_threshold_is_unknown_and_one_above_is_named(folder: Path, tmp_path: Path):
    for threshold, known in ((0.0, True), (1.0, False)):
        model = save_video_classification(tmp_path / str(threshold), unknown_threshold=threshold)
        (line,) = lines(cli("translate", folder / "a.mp4", "--model", model, "--device", "cpu", "--json").stdout)
        assert line["known"] is known and (line["sign"] == line["labels"][0]["label"]) is known
        assert len(line["labels"]) == 5
        shown = cli("translate", folder / "a.mp4", "--model", model, "--device", "cpu", "--top-k", 2).stdout
        assert shown.startswith("unknown  (WORD") is not known and shown.count("%") == 2


def test_a_classifier_of_poses_names_signs_too(tmp_path: Path):
    model = save_classification(tmp_path / "model")
    done = cli("translate", pose(tmp_path / "a.pose"), "--model", model, "--device", "cpu", "--json")
    (line,) = lines(done.stdout)
    assert line["sign"] == SignClassifier.from_pretrained(model, device="cpu")(tmp_path / "a.pose").label


@pytest.mark.parametrize(
    ("kind", "option", "message"),
    [("classifier", ("--num-beams", 3), "--num-beams: expected a checkpoint that writes text, found a checkpoint that"),
     ("classifier", ("--grounding",), "--grounding: expected a checkpoint that writes text"),
     ("checkpoint", ("--top-k", 2), "--top-k: expected a checkpoint that names signs, found a checkpoint that writes"),
     ("classifier", ("--quantization", "4bit"), "expected a vision-language model for 4bit")],
)  # fmt: skip
def test_options_of_another_kind_of_checkpoint_are_refused(
    request: pytest.FixtureRequest, folder: Path, kind: str, option: tuple[Any, ...], message: str
):
    done = cli("translate", folder / "a.mp4", "--model", request.getfixturevalue(kind), "--device", "cpu", *option)
    assert done.exit_code == 2 and message in done.stderr and done.stdout == ""


def test_an_address_is_refused_and_not_fetched(checkpoint: Path):
    done = cli("translate", "https://example.org/a.mp4", "--model", checkpoint, "--device", "cpu")
    assert done.exit_code == 2 and "found an address; fetch the file first" in done.stderr


def pose(path: Path, frames: int = 20) -> Path:
    points = np.random.default_rng(0).normal(size=(frames, 543, 3)).astype(np.float32).cumsum(0) * 3 + 200
    write_pose(PoseClip(points, np.ones((frames, 543), np.float32), "holistic_543", 25.0, 640, 480), path)
    return path


def test_a_folder_of_poses_is_translated_in_batches(tmp_path: Path, tiny_checkpoint: Path):
    (tmp_path / "poses").mkdir()
    paths = [pose(tmp_path / "poses" / f"{number}.pose", 20 + number) for number in range(5)]
    done = cli("translate", tmp_path / "poses", "--model", tiny_checkpoint, "--device", "cpu", "--batch-size", 2)
    translator = SignTranslator.from_pretrained(tiny_checkpoint, device="cpu")
    assert [line["translation"] for line in lines(done.stdout)] == [translator(path).text for path in paths]
    assert done.exit_code == 0 and done.stderr.splitlines()[-1] == "5 of 5 clips"


def test_clips_of_a_folder_by_what_the_checkpoint_reads(folder: Path, tmp_path: Path):
    pose(folder / "a.pose")
    assert [path.name for path in clips_in(folder, frames=True)] == ["a.mp4", "broken.mp4", "b.mp4", "still.png"]
    assert [path.name for path in clips_in(folder)] == ["a.pose", "broken.mp4", "b.mp4", "still.png"]
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "000_keypoints.json").write_text("{}")
    assert clips_in(tmp_path / "frames") == [tmp_path / "frames"]  # one clip, a file a frame
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClipError, match="expected a folder with poses, videos or pictures, found none"):
        clips_in(tmp_path / "empty")


@pytest.mark.slow
def test_pictures_and_videos_of_people_become_poses_by_one_extractor(
    shared_data: Path, repository: Path, tiny_checkpoint: Path, tmp_path: Path
):
    if not (repository / ".venv-extract" / "bin" / "python").exists():
        pytest.skip("no environment for pose extraction; make extract-env")
    from slt_hf.processing.video_reading import read_video

    video = shared_data / "continuous/how2sign_clips/videos/_15CDIexNDM_0-5-rgb_front.mp4"
    Image.fromarray(read_video(video, num_frames=1).frames[0]).save(tmp_path / "still.jpg")
    (tmp_path / "clip.mp4").write_bytes(video.read_bytes())
    done = cli("translate", tmp_path, "--model", tiny_checkpoint)
    assert done.exit_code == 0, done.stdout
    assert [Path(line["clip"]).name for line in lines(done.stdout)] == ["clip.mp4", "still.jpg"]
