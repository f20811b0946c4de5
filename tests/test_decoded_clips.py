"""Decoded clips: the frames and times of the videos, small, in shards that training reads."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")

from command_line import cli  # noqa: E402
from test_video_training import corpus  # noqa: E402, F401

from slt_hf.data.collator import SignCollator, video_clip_of  # noqa: E402
from slt_hf.data.decoded_clips import DecodedSettings, decode_clips, decoded_row, motion_jpeg, shrunk  # noqa: E402
from slt_hf.data.manifest import read_manifest  # noqa: E402
from slt_hf.data.sample import Sample  # noqa: E402
from slt_hf.data.storage import ShardDataset  # noqa: E402
from slt_hf.errors import PreparationError  # noqa: E402
from slt_hf.processing import VideoFeatureExtractor  # noqa: E402
from slt_hf.processing.video_frames import Frame  # noqa: E402
from slt_hf.processing.video_reading import iterate_frames, read_video  # noqa: E402


def test_frames_keep_their_times_and_nearly_their_colours() -> None:
    rng = np.random.default_rng(0)
    images = [np.full((32, 48, 3), rng.integers(0, 255, 3), np.uint8) for _ in range(12)]
    times = np.cumsum(rng.uniform(20, 60, 12)) - 20  # a rate that varies
    read = list(iterate_frames(motion_jpeg(images, times - times[0], 2)))
    np.testing.assert_allclose([frame.time_ms for frame in read], times - times[0], atol=0.02)
    assert max(np.abs(frame.image.astype(int) - image).max() for frame, image in zip(read, images, strict=True)) <= 6


def test_pictures_are_shrunk_to_even_sides_and_never_enlarged() -> None:
    assert shrunk(np.zeros((480, 643, 3), np.uint8), 256).shape == (256, 342, 3)
    assert shrunk(np.zeros((100, 120, 3), np.uint8), 256).shape == (100, 120, 3)


@pytest.fixture(scope="module")
def shards(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("decoded")
    done = list(decode_clips(read_manifest(corpus / "manifest.csv"), folder, shard_bytes=20_000))
    assert all(error is None for _, error in done)
    return folder


def test_a_model_is_given_the_same_frames_from_shards_as_from_videos(corpus: Path, shards: Path) -> None:  # noqa: F811
    assert len(list(shards.glob("train-*.parquet"))) > 1
    samples = [sample for sample in read_manifest(corpus / "manifest.csv") if sample.split == "train"]
    rows = ShardDataset(shards, "train")
    assert [row["id"] for row in rows] == [sample.id for sample in samples]
    extractor = VideoFeatureExtractor(num_frames=6, image_size=48)
    for row, sample in zip(rows, samples, strict=True):
        stored, video = video_clip_of(row), read_video(sample.video or "", 6, sample.start_ms, sample.end_ms)
        assert np.abs(extractor.frames(stored).astype(int) - video.frames).mean() < 4
    assert rows[0]["gloss"] == samples[0].gloss and rows[0]["num_frames"] == 20


def test_training_reads_them(shards: Path) -> None:
    from slt_hf.training.dataset import open_dataset

    rows = open_dataset([str(shards)], "train", 25.0).with_classes("gloss")
    collator = SignCollator(VideoFeatureExtractor(num_frames=4, image_size=16), label_column="class_id")
    batch = collator([rows[0], rows[1]])
    assert batch["pixel_values"].shape == (2, 4, 3, 16, 16)
    assert batch["labels"].tolist() == rows.class_ids[:2]


def test_a_video_that_changes_its_size_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Frame(0.0, np.zeros((64, 96, 3), np.uint8)), Frame(40.0, np.zeros((96, 64, 3), np.uint8))]
    monkeypatch.setattr("slt_hf.data.decoded_clips.iterate_frames", lambda *_: iter(frames))
    ((sample, error),) = decode_clips([Sample("turned", video="turned.mp4")], tmp_path)
    assert sample.id == "turned" and "to one size" in str(error)


def test_a_long_clip_is_stored_picture_by_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def hour(*_: Any) -> Iterator[Frame]:
        for number in range(200):
            yield Frame(40.0 * number, np.zeros((256, 456, 3), np.uint8))

    monkeypatch.setattr("slt_hf.data.decoded_clips.iterate_frames", hour)
    tracemalloc.start()
    try:
        row = decoded_row(Sample("long", video="long.mp4"), DecodedSettings())
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert row["num_frames"] == 200 and (row["width"], row["height"]) == (456, 256) and row["fps"] == pytest.approx(25)
    assert taken < 10 * 256 * 456 * 3, "of two hundred pictures a few at a time are in memory"


def test_clips_that_cannot_be_read_are_left_out_and_named(corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    good = read_manifest(corpus / "manifest.csv")[:1]
    samples = [Sample("gone", video=str(tmp_path / "gone.mp4")), Sample("none"), *good]
    found = {sample.id: error for sample, error in decode_clips(samples, tmp_path / "shards", DecodedSettings(24))}
    assert "found nothing there" in str(found["gone"]) and "expected a video" in str(found["none"])
    assert len(ShardDataset(tmp_path / "shards")) == 1
    with pytest.raises(PreparationError, match="without shards"):
        list(decode_clips(samples, tmp_path / "shards"))


def test_the_command_says_how_many(corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    done: Any = cli("decode-clips", corpus / "manifest.csv", tmp_path / "shards", "--short-side", 24)
    assert done.exit_code == 0
    assert "12 clips" in done.stdout
    assert ShardDataset(tmp_path / "shards", "validation")[0]["height"] == 24
