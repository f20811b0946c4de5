"""A folder of clips is a corpus: signs by folders, texts beside clips, splits around both."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import cli

import slt_hf
from slt_hf.data.corpora import CORPORA
from slt_hf.data.manifest import read_manifest
from slt_hf.errors import CorpusError
from slt_hf.processing.pose_files import write_pose
from slt_hf.synthesis.synthesizer import synthesize


def lay_out(folder: Path, *names: str) -> Path:
    for name in names:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return folder


def test_folders_are_signs_and_texts_lie_beside_their_clips(tmp_path: Path):
    clips = lay_out(tmp_path, "train/HELLO/a.mp4", "train/HELLO/a.pose", "dev/HELLO/b.MOV", "train/day 1/talk.webm")
    (clips / "train/day 1/talk.txt").write_text("\ufeffGood morning.\n", encoding="utf-8")
    rows = {row.id: row for row in CORPORA["folder"].read(clips).samples}
    hello, talk = rows["train/HELLO/a"], rows["train/day 1/talk"]
    assert (hello.gloss, hello.text, hello.split) == ("HELLO", None, "train")
    assert hello.pose == str(clips / "train/HELLO/a.pose") and hello.video == str(clips / "train/HELLO/a.mp4")
    assert (talk.gloss, talk.text, talk.split) == (None, "Good morning.", "train")
    assert (rows["dev/HELLO/b"].split, len(rows)) == ("validation", 3)


def test_a_clip_that_says_nothing_is_named(tmp_path: Path):
    found = CORPORA["folder"].read(lay_out(tmp_path, "HELLO/a.mp4", "lost.mp4"))
    assert len(found.samples) == 1 and "lost.txt" in found.problems[0]


def test_what_is_no_folder_of_clips_gets_directions(tmp_path: Path):
    for path in (lay_out(tmp_path, "notes.txt"), tmp_path / "absent"):
        with pytest.raises(CorpusError, match="HELLO/anna_1.mp4"):
            CORPORA["folder"].read(path)


def test_the_command_writes_a_manifest_that_reads_its_clips(tmp_path: Path):
    for number in range(10):
        (tmp_path / "clips" / "MAYBE").mkdir(parents=True, exist_ok=True)
        write_pose(synthesize("MAYBE", number), tmp_path / "clips" / "MAYBE" / f"{number}.pose")
    done = cli("manifest", "folder", tmp_path / "clips", "--output", tmp_path / "rows.csv")
    assert done.exit_code == 0, done.stderr
    rows = read_manifest(tmp_path / "rows.csv")
    assert {row.split for row in rows} == {"train", "validation", "test"} and all(row.gloss == "MAYBE" for row in rows)
    data = slt_hf.load_dataset("folder", data_dir=tmp_path / "clips", split="train", cache_dir=tmp_path / "cache")
    assert len(data) == 8 and Path(data[0]["pose"]).is_file()
