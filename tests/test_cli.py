"""The `slt-hf` command as its users call it: what it prints, what it writes, how it fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli
from typer.testing import CliRunner

import slt_hf
from slt_hf import SignTranslator
from slt_hf.cli.main import app
from slt_hf.errors import RecipeError
from slt_hf.processing.landmarks import convert
from slt_hf.processing.pose_files import PoseClip, write_pose

COMMANDS = {"demo", "translate", "info", "draw", "push", "env"}


def run(*arguments: object) -> str:
    """Standard output of a command that works, run in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def run_json(*arguments: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(*arguments, "--json").splitlines()]


def fail(*arguments: object) -> str:
    """Standard error of a command that fails as it should: exit code 2, one line."""
    done = cli(*arguments)
    lines = [line for line in done.stderr.splitlines() if line.startswith("slt-hf: error:")]
    assert (done.exit_code, len(lines), done.stdout) == (2, 1, ""), done.stderr
    return lines[0]


@pytest.fixture
def pose(tmp_path: Path) -> Path:
    points = np.random.default_rng(0).normal(size=(40, 85, 2)).cumsum(0) * 3 + 200
    points[:, 5], points[:, 6] = (250, 200), (150, 200)
    full, confidence = convert(points, np.ones((40, 85), np.float32), "signing_85", "holistic_543")
    write_pose(PoseClip(full.astype(np.float32), confidence, "holistic_543", 25.0, 640, 480), tmp_path / "clip.pose")
    return tmp_path / "clip.pose"


def test_every_command_is_listed_and_explains_itself():
    shown = run("--help")
    assert all(command in shown for command in COMMANDS) and "..." not in shown.split("Commands:")[1]  # no line is cut
    for command in COMMANDS:
        assert "Usage" in run(command, "--help")


@pytest.mark.parametrize("name", ["clip.gif", "clip.png"])
def test_draw_does_not_overwrite_its_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"somebody's picture")
    assert "overwrite" in fail("draw", name, "--output", name)
    assert Path(name).read_bytes() == b"somebody's picture"


def test_the_drawing_of_a_picture_has_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pose: Path):
    from slt_hf.processing.pose_files import read_pose

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("slt_hf.clips.load_clip", lambda *_, **__: read_pose(pose))  # no extraction here
    assert run("draw", "face.png") == "face_drawn.png\n"


def test_draw_says_how_many_clips_it_left_out(pose: Path, tmp_path: Path):
    shutil.copy(pose, pose.with_name("another.pose"))
    done = cli("draw", pose.parent, "--output", tmp_path / "drawn", "--max-clips", 1)
    assert done.exit_code == 0 and len(done.stdout.splitlines()) == 1 and "the first 1 of 2 clips" in done.stderr


def test_draw_makes_the_folder_of_its_picture(pose: Path, tmp_path: Path):
    run("draw", pose, "--output", tmp_path / "new" / "folder" / "clip.png")
    assert (tmp_path / "new" / "folder" / "clip.png").stat().st_size > 1000
    assert "rename it" in fail("draw", pose, "--output", tmp_path / "clip.txt")


def test_a_place_that_cannot_be_written_is_one_line(pose: Path, tmp_path: Path):
    assert "File exists" in fail("demo", "--output", pose)
    assert "File exists" in fail("draw", pose, "--output", pose / "clip.png")


@pytest.mark.parametrize("name", ["nowhere", "clip.pose"])
def test_push_of_what_is_no_folder_is_one_line(pose: Path, name: str):
    assert "no such folder" in fail("push", pose.with_name(name), "org/name")


def test_options_below_one_are_refused(pose: Path, tiny_checkpoint: Path):
    for option in ("--num-beams", "--batch-size"):
        done = cli("translate", pose, "--model", tiny_checkpoint, option, 0)
        assert done.exit_code == 2 and option in done.stderr.splitlines()[-1]
    translator = SignTranslator.from_pretrained(tiny_checkpoint)
    for named in ("num_beams", "batch_size"):
        with pytest.raises(RecipeError, match=named):
            translator([pose], **{named: 0})  # type: ignore[arg-type]


def test_extract_says_at_once_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("slt_hf.poses.extraction.open_extractor", None)  # opening one takes ten seconds
    assert "found nothing there" in fail("extract", tmp_path / "no.mp4", "--output", tmp_path / "poses")
    assert "none; name another one" in fail("extract", tmp_path, "--output", tmp_path / "poses")
    assert not (tmp_path / "poses").exists()


def test_version_is_that_of_the_package():
    assert run("--version") == f"slt_hf {slt_hf.__version__}\n"


def test_translate_prints_one_json_object_a_clip(pose: Path, tiny_checkpoint: Path):
    found = run_json("translate", pose, pose, "--model", tiny_checkpoint)
    assert len(found) == 2 and found[0]["clip"] == str(pose)
    assert isinstance(found[0]["translation"], str)
    assert 0 <= found[0]["confidence"] <= 1 and found[0]["milliseconds"] > 0


def test_translate_says_what_a_text_owes_to_the_signing_where_asked(pose: Path, tiny_checkpoint: Path):
    (without,) = run_json("translate", pose, "--model", tiny_checkpoint)
    (found,) = run_json("translate", pose, "--model", tiny_checkpoint, "--grounding")
    assert "grounding" not in without and 0 <= found["grounding"] <= 1
    assert found["translation"] == without["translation"]
    assert "grounding 0." in run("translate", pose, "--model", tiny_checkpoint, "--grounding")


def test_without_num_beams_the_command_searches_as_the_checkpoint_says(
    pose: Path, tiny_checkpoint: Path, tmp_path: Path
):
    wide = shutil.copytree(tiny_checkpoint, tmp_path / "wide")
    settings = json.loads((wide / "generation_config.json").read_text())
    (wide / "generation_config.json").write_text(json.dumps(settings | {"num_beams": 4, "length_penalty": -9.0}))
    (own,) = run_json("translate", pose, "--model", wide)
    (asked,) = run_json("translate", pose, "--model", wide, "--num-beams", 4)
    (greedy,) = run_json("translate", pose, "--model", wide, "--num-beams", 1)
    assert own["translation"] == asked["translation"] != greedy["translation"]


def test_translate_prints_the_sentence_alone_or_beside_its_clip(pose: Path, tiny_checkpoint: Path):
    assert run("translate", pose, "--model", tiny_checkpoint).count("\n") == 1
    assert run("translate", pose, pose, "--model", tiny_checkpoint).count(str(pose)) == 2


def test_translate_reads_a_part(pose: Path, tiny_checkpoint: Path):
    (found,) = run_json("translate", pose, "--model", tiny_checkpoint, "--start-ms", 200, "--end-ms", 900)
    assert found["milliseconds"] > 0


def test_info_of_a_clip_says_what_was_detected(pose: Path):
    (found,) = run_json("info", pose)
    assert (found["layout"], found["frames"], found["fps"], found["milliseconds"]) == ("holistic_543", 40, 25.0, 1600.0)
    assert (
        found["detected"]["left_hand"] == found["detected"]["right_hand"] == 1.0 and 0 < found["detected"]["face"] < 1
    )


def test_info_of_adapters_says_whose_they_are_and_what_is_asked(tmp_path: Path):
    from safetensors.numpy import save_file

    from slt_hf.vlm.settings import VlmSettings

    VlmSettings("What is signed?", num_frames=6).save(tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/model", "r": 4}))
    save_file({"lora_A": np.zeros((4, 8), np.float32)}, tmp_path / "adapter_model.safetensors")
    (found,) = run_json("info", tmp_path)
    assert (found["architecture"], found["adapters_of"], found["parameters"]) == ("adapters", "org/model", 32)
    assert (found["question"], found["num_frames"]) == ("What is signed?", 6)


def test_info_of_a_checkpoint_says_how_to_feed_it(tiny_checkpoint: Path):
    (found,) = run_json("info", tiny_checkpoint)
    assert found["architecture"] == "SignToTextForConditionalGeneration" and found["layout"] == "signing_85"
    assert found["provenance"] == {"extractor": "synthetic", "version": "1"} and found["parameters"] > 1000


@pytest.mark.parametrize("name", ["sheet.png", "moving.gif"])
def test_draw_writes_the_picture_it_names(pose: Path, tmp_path: Path, name: str):
    from PIL import Image

    assert run("draw", pose, "--output", tmp_path / name).strip() == str(tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        assert getattr(picture, "n_frames", 1) > 1 or name.endswith(".png")
        assert min(picture.size) > 100


def test_env_names_versions_devices_memory_and_what_is_missing():
    (found,) = run_json("env")
    assert found["versions"]["torch"] and found["devices"][-1]["name"] == "cpu" and found["memory_gib"] > 0
    assert isinstance(found["missing"], dict)
    assert "Python" in run("env")


def test_env_never_prints_the_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret_secret")
    assert "hf_secret" not in run("env", "--json") and '"hub_token": "set"' in run("env", "--json")


def test_demo_signs_draws_and_translates_the_same_for_the_same_seed(tmp_path: Path, tiny_checkpoint: Path):
    options = ["--seed", 5, "--model", tiny_checkpoint, "--output"]
    (one,), (other,) = (run_json("demo", *options, tmp_path / name) for name in "ab")
    assert {"reference", "translation", "confidence", "milliseconds", "pose"} <= set(one)
    for name in ("pose", "sheet", "animation"):
        assert Path(one[name]).stat().st_size > 1000
    assert one["reference"] == other["reference"] and one["translation"] == other["translation"]
    assert Path(one["pose"]).read_bytes() == Path(other["pose"]).read_bytes()


def test_demo_signs_the_sentence_given(tmp_path: Path, tiny_checkpoint: Path):
    (found,) = run_json("demo", "--text", "I love coffee.", "--output", tmp_path, "--model", tiny_checkpoint)
    assert found["reference"] == "I love coffee."


# --- failing -------------------------------------------------------------------------------------------------------


def test_file_that_is_no_pose_is_one_line_and_exit_code_two(tmp_path: Path):
    (tmp_path / "note.pose").write_text("this is a text file")
    assert "note.pose" in fail("info", tmp_path / "note.pose")
    command = [sys.executable, "-m", "slt_hf.cli.main", "info", str(tmp_path / "note.pose")]
    done = subprocess.run(command, capture_output=True, text=True)  # a process of its own: what a shell script sees
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, "")


def test_damaged_clip_fails_translation_with_the_reader_s_own_words(pose: Path, tiny_checkpoint: Path):
    pose.write_bytes(pose.read_bytes()[:2000])
    assert str(pose) in fail("translate", pose, "--model", tiny_checkpoint)


def test_folder_that_is_no_checkpoint_fails(tmp_path: Path, pose: Path):
    assert "config.json" in fail("translate", pose, "--model", tmp_path)


def test_unknown_device_fails(pose: Path, tiny_checkpoint: Path):
    assert "cpu" in fail("translate", pose, "--model", tiny_checkpoint, "--device", "abacus")


def test_clip_that_does_not_exist_fails(tmp_path: Path):
    assert "nothing.pose" in fail("draw", tmp_path / "nothing.pose")


# --- real data -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_videos_are_translated_by_way_of_pose_extraction(shared_data: Path, repository: Path, tiny_checkpoint: Path):
    if not (repository / ".venv-extract" / "bin" / "python").exists():
        pytest.skip("no environment for pose extraction; make extract-env")
    video = min((shared_data / "continuous").rglob("*.mp4"), key=lambda path: path.stat().st_size)
    (found,) = run_json("translate", video, "--model", tiny_checkpoint, "--end-ms", 600)
    assert found["timings"]["process"] > 0 and isinstance(found["translation"], str)
