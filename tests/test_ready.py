"""Inputs prepared once are the processor's own numbers, and are made anew when anything that shapes them changes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from slt_hf.data.collator import SignCollator
from slt_hf.data.ready import ReadyInputs
from slt_hf.data.storage import SCHEMA, ShardDataset, encode_clip
from slt_hf.errors import ManifestError
from slt_hf.processing.feature_extraction_pose import PoseFeatureExtractor
from slt_hf.synthesis import make_sample


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> ShardDataset:
    folder = tmp_path_factory.mktemp("shards")
    samples = [make_sample(i, noisy=True) for i in range(4)]
    rows = [{**encode_clip(sample.clip), "id": sample.id, "text": f"word{i}"} for i, sample in enumerate(samples)]
    table = pa.Table.from_pylist([{name: row.get(name) for name in SCHEMA.names} for row in rows], schema=SCHEMA)
    pq.write_table(table, folder / "train-00000-of-00001.parquet")
    return ShardDataset(folder, "train", cache_dir=folder / "cache")


@pytest.fixture(scope="module")
def processor() -> Any:
    from tiny_checkpoints import tiny_processor

    return tiny_processor()


def test_ready_inputs_are_the_processor_s_numbers(dataset, processor, tmp_path):
    ready = ReadyInputs(dataset, processor, tmp_path)
    collator = SignCollator(processor)
    fresh, kept = collator([dataset[i] for i in range(4)]), collator([ready[i] for i in range(4)])
    assert torch.equal(kept["labels"], fresh["labels"]) and torch.equal(kept["attention_mask"], fresh["attention_mask"])
    torch.testing.assert_close(kept["pose_values"], fresh["pose_values"], atol=2e-3, rtol=0)
    assert ready.lengths.tolist() == fresh["attention_mask"].sum(1).tolist()
    assert torch.equal(kept["pose_values"][..., -1] > 0, fresh["pose_values"][..., -1] > 0)


def test_second_opening_makes_nothing_and_other_settings_make_their_own(dataset, processor, tmp_path):
    ReadyInputs(dataset, processor, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    ReadyInputs(dataset, processor, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    short = ReadyInputs(dataset, PoseFeatureExtractor(max_frames=10), tmp_path)
    assert short.lengths.tolist() == [10, 10, 10, 10] and len(list(Path(tmp_path).iterdir())) == 2


def test_ready_rows_travel_to_workers_and_refuse_augmentation(dataset, processor, tmp_path):
    ready = ReadyInputs(dataset, processor, tmp_path)
    again = pickle.loads(pickle.dumps(ready))
    np.testing.assert_array_equal(again[-1]["pose_values"], ready[3]["pose_values"])
    with pytest.raises(IndexError):
        ready[4]
    with pytest.raises(ManifestError, match="found finished inputs"):
        SignCollator(processor, augmentation=lambda clip, rng: clip)([ready[0]])
