"""What was prepared opens and streams with plain `datasets`, where slt_hf is not installed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slt_hf.data.manifest import write_manifest
from slt_hf.data.preparation import PreparationSettings, prepare
from slt_hf.data.publish import push_dataset_folder
from slt_hf.data.sample import Sample
from slt_hf.errors import PreparationError
from slt_hf.processing.pose_files import PoseClip, write_pose

READ = """
import hashlib, json, os
import numpy as np
from datasets import load_dataset

rows = load_dataset("signs/words")
stream = load_dataset("signs/words", split="validation", streaming=True)
row = next(iter(stream))
shape = row["num_frames"], row["num_landmarks"], row["num_coordinates"]
points = np.frombuffer(row["pose"], "<f2").reshape(shape) * np.float32(row["scale"]) + np.float32(row["offset"])
print(json.dumps({
    "rows": {split: len(rows[split]) for split in rows},
    "same": row == rows["validation"][0],
    "text": row["text"], "layout": row["layout"], "fps": row["fps"],
    "first": points[0, 0].tolist(), "types": sorted({str(f) for f in rows["train"].features.values()}),
}))
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("publish")
    rng = np.random.default_rng(0)
    samples = []
    for i in range(6):
        points = rng.normal((640, 360, 0), (100, 150, 30), (20, 75, 3)).astype(np.float32)
        points[0, 0] = (100, 200, 3)
        clip = PoseClip(points, np.ones((20, 75), np.float32), "holistic_75", 25.0, 1280, 720)
        write_pose(clip, folder / f"{i}.pose")
        split = "train" if i < 4 else "validation"
        samples.append(Sample(str(i), pose=f"{i}.pose", text=f"Satz {i}", split=split, language="de"))
    samples.append(Sample("gone", pose="gone.pose", text="x", split="train", language="de"))
    write_manifest(samples, folder / "manifest.csv")
    settings = PreparationSettings(workers=1, shard_clips=3, licence="cc-by-4.0")
    prepare(folder / "manifest.csv", folder / "shards", settings)
    return folder / "shards"


def test_pushed_dataset_opens_and_streams_without_slt_hf(prepared, hub_server):
    command = [sys.executable, "-m", "slt_hf.cli.main", "push-dataset", str(prepared), "signs/words", "--json"]
    assert "signs/words" in json.loads(hub_server.run(command).stdout)["commit"]
    files = hub_server.files("signs/words", "dataset")
    assert {name for name in files if name != ".gitattributes"} == {
        "README.md", "census.json", "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
        "data/validation-00000-of-00001.parquet",
    }  # fmt: skip
    assert not any(b".prepare" in content or str(prepared).encode() in content for content in files.values())
    card = files["README.md"].decode()
    assert "license: cc-by-4.0" in card and "| train | 5 | 4 |" in card and "| `pose` | binary |" in card
    assert 'load_dataset("signs/words", split="train", streaming=True)' in card
    example = card.split("```python\n")[1].split("```")[0]
    program = f"{example}\nassert points.shape == (20, 75, 3)\n{READ}"
    told = json.loads(hub_server.python(program, without=["slt_hf"]).strip().splitlines()[-1])
    assert told["rows"] == {"train": 4, "validation": 2} and told["same"]
    assert (told["text"], told["layout"], told["fps"]) == ("Satz 4", "holistic_75", 25.0)
    np.testing.assert_allclose(told["first"], (100, 200, 3), atol=0.5)
    assert all(kind.startswith(("Value(", "List(Value(")) for kind in told["types"])


@pytest.mark.slow
def test_pushing_again_leaves_no_old_shard(prepared, hub_server, tmp_path):
    settings = PreparationSettings(workers=1, shard_clips=30, licence="cc-by-4.0")
    for folder, how in ((tmp_path / "a", replace(settings, shard_clips=2)), (tmp_path / "b", settings)):
        prepare(prepared.parent / "manifest.csv", folder, how)
        hub_server.run([sys.executable, "-m", "slt_hf.cli.main", "push-dataset", str(folder), "signs/again"])
    shards = {name for name in hub_server.files("signs/again", "dataset") if name.startswith("data/")}
    assert shards == {"data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"}


def test_unfinished_folder_is_not_published(prepared, tmp_path):
    with pytest.raises(PreparationError, match="expected shards"):
        push_dataset_folder(tmp_path, "signs/words")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train-0.parquet").write_bytes((prepared / "data/train-00000-of-00002.parquet").read_bytes())
    with pytest.raises(PreparationError, match="found no README.md and no census.json"):
        push_dataset_folder(tmp_path, "signs/words")


def test_dataset_without_a_single_clip_is_not_published(tmp_path):
    write_manifest([Sample("gone", pose="gone.pose", text="x")], tmp_path / "m.csv")
    prepare(tmp_path / "m.csv", tmp_path / "shards", PreparationSettings(workers=1))
    with pytest.raises(PreparationError, match="expected clips in .*found none; slt-hf prepare --report"):
        push_dataset_folder(tmp_path / "shards", "signs/nothing")


def test_changed_licence_changes_the_card_and_no_shard(prepared, tmp_path):
    manifest = prepared.parent / "manifest.csv"
    settings = PreparationSettings(workers=1, shard_clips=3, licence="cc-by-4.0")
    before = {path.name: path.stat().st_mtime_ns for path in (prepared / "data").iterdir()}
    prepare(manifest, prepared, replace(settings, licence="cc0-1.0"))
    assert "license: cc0-1.0" in (prepared / "README.md").read_text()
    assert {path.name: path.stat().st_mtime_ns for path in (prepared / "data").iterdir()} == before
