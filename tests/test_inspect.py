"""inspect: the numbers of the table are those of the clips, by split; what cannot be read is listed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from slt_hf.cli.inspect import inspect
from slt_hf.data.collection import open_collection
from slt_hf.data.inspection import inspect_dataset, render_table, summary_rows
from slt_hf.data.manifest import Sample, write_manifest
from slt_hf.errors import PoseFileError
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_files import write_pose


def clip(num_frames: int, left_hand_missing: int, fps: float = 25.0) -> PoseClip:
    layout = get_layout("holistic_75")
    points = np.random.default_rng(0).uniform(100, 400, (num_frames, 75, 3)).astype(np.float32)
    confidence = np.ones((num_frames, 75), np.float32)
    confidence[:left_hand_missing, list(layout.parts["left_hand"])] = 0
    points[confidence == 0] = np.nan
    return PoseClip(points, confidence, "holistic_75", fps, 512, 512)


@pytest.fixture
def dataset(tmp_path):
    """Three clips in two splits, and a manifest of them."""
    write_pose(clip(10, 5), tmp_path / "a.pose")
    write_pose(clip(30, 0), tmp_path / "b.pose")
    write_pose(clip(20, 20, fps=50), tmp_path / "c.pose")
    samples = [
        Sample(id="a", pose="a.pose", gloss="BOOK", signer="1", split="train"),
        Sample(id="b", pose="b.pose", gloss="DRINK", signer="2", split="train"),
        Sample(id="c", pose="c.pose", gloss="BOOK", signer="2", split="test"),
    ]
    write_manifest(samples, tmp_path / "manifest.csv")
    return tmp_path


def test_the_table_has_counts_lengths_rates_and_missing_hands_by_split(dataset):
    train, test, everything = summary_rows(inspect_dataset(dataset))
    assert (train["split"], train["rows"], train["glosses"], train["signers"]) == ("train", 2, 2, 2)
    assert (train["frames_min"], train["frames_median"], train["frames_max"], train["fps"]) == (10, 20, 30, "25")
    assert train["missing_left_hand"] == pytest.approx(0.25) and train["missing_right_hand"] == 0
    assert (test["split"], test["missing_left_hand"], test["fps"]) == ("test", 1, "50")
    assert everything["rows"] == 3 and everything["minutes"] == pytest.approx((40 / 25 + 20 / 50) / 60, abs=0.005)


def test_a_folder_of_pose_files_is_a_dataset_too(dataset):
    (dataset / "manifest.csv").unlink()
    inspection = inspect_dataset(dataset)
    assert inspection.kind == "folder" and summary_rows(inspection)[0]["rows"] == 3


def test_shards_give_the_same_numbers_as_the_files(dataset, tmp_path_factory):
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    from slt_hf.data.storage import SCHEMA, encode_clip

    collection = open_collection(dataset)
    rows = [
        {"id": s.id, "gloss": s.gloss, "signer": s.signer, "split": s.split} | encode_clip(collection.load(number))
        for number, s in enumerate(collection.samples)
    ]
    folder = tmp_path_factory.mktemp("shards")
    parquet.write_table(pyarrow.Table.from_pylist(rows, SCHEMA), folder / "train-00000.parquet")
    from_shards = inspect_dataset(folder)
    assert from_shards.kind == "shards"
    assert summary_rows(from_shards) == summary_rows(inspect_dataset(dataset))


def test_unreadable_clips_are_listed_and_counted(dataset):
    (dataset / "b.pose").write_bytes(b"")
    inspection = inspect_dataset(dataset)
    assert len(inspection.facts) == 2 and inspection.problems[0].startswith("b: ")
    assert "problems: 1" in render_table(inspection)


def test_shared_signers_are_noted(dataset):
    assert "column signer: expected each signer in one split, found '2'" in render_table(inspect_dataset(dataset))


def test_at_most_so_many_clips_are_opened(dataset):
    assert [len(inspect_dataset(dataset, max_clips=count).facts) for count in (0, 2, 9)] == [0, 2, 3]


def test_the_command_prints_a_table_and_draws_a_figure(dataset, capsys):
    inspect(dataset, png=dataset / "out.png")
    assert "missing_left_hand" in capsys.readouterr().out
    picture = np.asarray(Image.open(dataset / "out.png").convert("RGB"))
    assert picture.shape[0] > 500 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
    inspect(dataset, png=dataset / "out.png", json=True)
    assert [json.loads(line)["split"] for line in capsys.readouterr().out.splitlines()] == ["train", "test", "all"]


@pytest.mark.parametrize("words", [[1, 1, 1], [2, 9, 4], [1, 300, 120]])
def test_bars_and_ticks_are_whole_numbers(words):
    from matplotlib.figure import Figure

    from slt_hf.data.inspection_plot import COLORS, _histogram

    figure = Figure()
    axes = figure.subplots()
    _histogram(axes, {"train": words}, {"train": COLORS[0]})
    figure.canvas.draw()
    for axis in (axes.xaxis, axes.yaxis):
        assert all(float(tick).is_integer() for tick in axis.get_ticklocs())
    edges = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches if bar.get_height()]
    assert all(any(left < word < right for left, right in edges) for word in words) and len(axes.patches) <= 40
    assert sum(bar.get_height() for bar in axes.patches) == len(words)


def test_nothing_to_inspect_is_an_error(tmp_path):
    with pytest.raises(PoseFileError, match="expected a manifest, shards, or pose files, found no pose file"):
        inspect_dataset(tmp_path)


def test_a_folder_of_frames_is_one_clip(shared_data):
    collection = open_collection(shared_data / "continuous" / "how2sign_openpose" / "json")
    assert len(collection.samples) == 3
    collection = open_collection(shared_data / "isolated" / "asl_words" / "per_frame_npy")
    assert len(collection.samples) == 2 and collection.load(0).num_frames == 30


def test_real_fingerspelling(shared_data):
    rows = summary_rows(inspect_dataset(shared_data / "isolated" / "fingerspelling", max_clips=40))
    assert [(row["split"], row["rows"]) for row in rows] == [("train", 360), ("validation", 62), ("all", 422)]
    assert 0 < rows[0]["missing_left_hand"] < 1


def test_shards_beside_the_manifest_of_their_corpus_are_what_is_looked_at(dataset, tmp_path):
    """`slt-hf prepare FOLDER --corpus NAME` leaves its manifest with the shards; they hold what is left of it."""
    from slt_hf.data.preparation import PreparationSettings, prepare

    (dataset / "b.pose").unlink()
    (dataset / "shards").mkdir()
    rows = [
        Sample(id=name, pose=f"../{name}.pose", gloss="BOOK", split="train" if name < "c" else "test") for name in "abc"
    ]
    write_manifest(rows, dataset / "shards" / "manifest.jsonl")
    prepare(dataset / "shards" / "manifest.jsonl", dataset / "shards", PreparationSettings(workers=1))
    collection = open_collection(dataset / "shards")
    assert (collection.kind, {sample.id for sample in collection.samples}) == ("shards", {"a", "c"})
