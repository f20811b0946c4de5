"""Shards: native types, exact round trip, random access, lengths without opening a clip."""

from __future__ import annotations

import pickle
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slt_hf.data.storage import SCHEMA, ShardDataset, decode_clip, decode_points, encode_clip
from slt_hf.errors import ClipError, PreparationError
from slt_hf.processing.pose_files import PoseClip


def make_clip(frames: int, seed: int = 0, landmarks: int = 85) -> PoseClip:
    rng = np.random.default_rng(seed)
    points = rng.normal((640, 360), (120, 200), (frames, landmarks, 2)).astype(np.float32)
    confidence = rng.uniform(0.2, 1, (frames, landmarks)).astype(np.float32)
    lost = rng.random((frames, landmarks)) < 0.1
    points[lost], confidence[lost] = np.nan, 0
    return PoseClip(points, confidence, "signing_85", 25.0, 1280, 720, source=f"clip {seed}")


def write_shard(path: Path, clips: list[PoseClip]) -> Path:
    rows = [{**encode_clip(clip), "id": f"{path.stem}-{i}", "text": f"text {i}"} for i, clip in enumerate(clips)]
    path.parent.mkdir(parents=True, exist_ok=True)
    full = [{name: row.get(name) for name in SCHEMA.names} for row in rows]
    pq.write_table(pa.Table.from_pylist(full, schema=SCHEMA), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder / "data/train-00000-of-00002.parquet", [make_clip(20 + i, i) for i in range(7)])
    write_shard(folder / "data/train-00001-of-00002.parquet", [make_clip(40 + i, 10 + i) for i in range(5)])
    write_shard(folder / "data/validation-00000-of-00001.parquet", [make_clip(9, 99)])
    return folder


@pytest.fixture(scope="module")
def train(folder, tmp_path_factory) -> ShardDataset:
    return ShardDataset(folder, "train", cache_dir=tmp_path_factory.mktemp("cache"))


def test_clip_survives_storage_to_a_fraction_of_a_pixel():
    clip = make_clip(30)
    back = decode_clip(encode_clip(clip))
    assert (back.layout, back.fps, back.width, back.height) == ("signing_85", 25.0, 1280, 720)
    np.testing.assert_array_equal(np.isnan(back.points), np.isnan(clip.points))
    np.testing.assert_array_equal(back.confidence == 0, clip.confidence == 0)
    extent = np.nanmax(clip.points, (0, 1)) - np.nanmin(clip.points, (0, 1))
    assert np.nanmax(np.abs(back.points - clip.points) / extent) < 1 / 4000
    assert np.abs(back.confidence - clip.confidence).max() < 1e-3


def test_encoding_what_was_decoded_changes_nothing_more_than_rounding():
    once = decode_clip(encode_clip(make_clip(30)))
    twice = decode_clip(encode_clip(once))
    np.testing.assert_allclose(twice.points, once.points, atol=0.1)


def test_values_far_from_zero_and_constant_ones_keep_their_place():
    clip = make_clip(5)
    clip.points[..., 0] = 60_000
    back = decode_clip(encode_clip(clip))
    np.testing.assert_array_equal(back.points[..., 0], 60_000)


def test_clip_without_any_landmark_is_refused():
    clip = make_clip(4)
    clip.points[:] = np.nan
    with pytest.raises(ClipError, match="found none in 4 frames"):
        encode_clip(clip)


def test_rows_of_all_shards_are_reached_by_number(train):
    assert len(train) == 12
    assert train[7]["id"] == "train-00001-of-00002-0"
    assert train[-1]["num_frames"] == 44
    assert [row["index"] for row in train] == list(range(12))
    with pytest.raises(IndexError, match="below 12"):
        train[12]


def test_random_row_decodes_to_its_clip(train):
    points, confidence = decode_points(train[8])
    assert points.dtype == np.float16 and points.shape == (41, 85, 2) and confidence.shape == (41, 85)
    np.testing.assert_allclose(train.clip(8).points, make_clip(41, 11).points, atol=0.5)


def test_lengths_come_without_opening_a_clip(train):
    assert train.lengths.tolist() == [*range(20, 27), *range(40, 45)]


def test_split_and_columns_are_chosen(folder, tmp_path):
    validation = ShardDataset(folder, "validation", columns=["text"], cache_dir=tmp_path)
    assert len(validation) == 1
    assert "text" in validation[0] and "gloss" not in validation[0]
    assert len(ShardDataset(folder, cache_dir=tmp_path)) == 13


def test_missing_split_says_how_to_make_it(folder):
    with pytest.raises(PreparationError, match="split 'test'.*slt-hf prepare"):
        ShardDataset(folder, "test")


def test_rows_carry_the_epoch(train):
    train.set_epoch(3)
    assert train[0]["epoch"] == 3
    train.set_epoch(0)


def test_dataset_travels_to_another_process_as_a_path(train):
    payload = pickle.dumps(train)
    assert len(payload) < 50_000
    assert pickle.loads(payload)[8]["id"] == train[8]["id"]


def test_arrow_files_read_like_parquet(folder, tmp_path):
    table = pq.read_table(next(folder.rglob("validation-*.parquet")))
    with pa.OSFile(str(tmp_path / "validation-00000.arrow"), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as writer:
        writer.write_table(table)
    assert ShardDataset(tmp_path, "validation").clip(0).num_frames == 9


@pytest.mark.parametrize("frames", [60, 600])
def test_a_row_is_a_few_views_and_copies_nothing(frames: int, tmp_path):
    """What makes 20,000 rows a second of it: `benchmarks/data_speed.py` measures the rate."""
    write_shard(tmp_path / "train-00000-of-00001.parquet", [make_clip(frames)] * 20)
    dataset = ShardDataset(tmp_path, "train", columns=["text"], cache_dir=tmp_path / "cache")
    decode_points(dataset[3])
    calls: list[str] = []
    sys.setprofile(lambda _, event, __: calls.append(event) if event.endswith("call") else None)
    try:
        decode_points(dataset[7])
    finally:
        sys.setprofile(None)
    tracemalloc.start()
    try:
        points, _ = decode_points(dataset[9])
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(calls) < 40
    assert taken < 5_000 < points.nbytes
