"""FrameBudgetBatchSampler: budget, padding, ranks, resume."""

from __future__ import annotations

import csv
import resource
from pathlib import Path

import numpy as np
import pytest

from slt_hf.data.sampler import FrameBudgetBatchSampler, split_until_divisible
from slt_hf.errors import ClipError


@pytest.fixture(scope="module")
def lengths() -> np.ndarray:
    """Like How2Sign's: 31,000 sentences, median 4.5 s at 24 fps, long tail, longest 60 s."""
    drawn = np.random.default_rng(3).lognormal(np.log(108), 0.75, 31_000)
    return np.clip(drawn, 12, 1440).astype(np.int64)


def test_padding_is_at_most_five_percent_on_lengths_like_how2sign(lengths):
    sampler = FrameBudgetBatchSampler(lengths, max_frames=8192, seed=1)
    assert sampler.padding() <= 0.05
    assert FrameBudgetBatchSampler(lengths, max_frames=8192, seed=1, world_size=4).padding() <= 0.05


def test_padding_is_at_most_five_percent_on_real_how2sign_sentences(shared_data):
    path = shared_data / "annotations/how2sign/how2sign_realigned_val.csv"
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    seconds = np.array([float(row["END_REALIGNED"]) - float(row["START_REALIGNED"]) for row in rows])
    sampler = FrameBudgetBatchSampler(np.maximum(seconds * 24, 1).astype(int), max_frames=4096)
    assert len(rows) == 1741
    assert sampler.padding() <= 0.05


def test_no_batch_is_over_budget_and_each_clip_comes_once(lengths):
    sampler = FrameBudgetBatchSampler(lengths, max_frames=4096, max_samples=64)
    batches = list(sampler)
    assert max(lengths[b].max() * len(b) for b in batches) <= 4096
    assert max(map(len, batches)) <= 64
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))


@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_ranks_share_the_epoch_without_loss_or_repetition(lengths, world_size):
    ranks = [FrameBudgetBatchSampler(lengths, 8192, rank=r, world_size=world_size) for r in range(world_size)]
    drawn = [list(rank) for rank in ranks]
    assert len({len(batches) for batches in drawn}) == 1 == len({len(rank) for rank in ranks})
    assert sorted(i for batches in drawn for b in batches for i in b) == list(range(len(lengths)))


def test_ranks_have_about_equally_much_to_do(lengths):
    ranks = [list(FrameBudgetBatchSampler(lengths, 8192, rank=r, world_size=4)) for r in range(4)]
    longest = np.array([[lengths[batch].max() for batch in batches] for batches in ranks])
    assert np.mean(longest.max(0) / longest.min(0)) < 1.1


def test_epoch_depends_on_seed_and_epoch_alone(lengths):
    one, two = (FrameBudgetBatchSampler(lengths, 8192, seed=5) for _ in range(2))
    first = list(one)
    assert first == list(two)
    one.set_epoch(1)
    assert list(one) != first
    assert list(FrameBudgetBatchSampler(lengths, 8192, seed=6)) != first
    one.set_epoch(0)
    assert list(one) == first


def test_resume_continues_with_the_very_next_batch(lengths):
    whole = FrameBudgetBatchSampler(lengths, 8192, seed=2, rank=1, world_size=2)
    whole.set_epoch(3)
    expected = list(whole)
    interrupted = FrameBudgetBatchSampler(lengths, 8192, seed=2, rank=1, world_size=2)
    interrupted.set_epoch(3)
    batches = iter(interrupted)
    seen = [next(batches) for _ in range(17)]
    resumed = FrameBudgetBatchSampler(lengths, 8192, rank=1, world_size=2)
    resumed.load_state_dict(interrupted.state_dict())
    assert seen + list(resumed) == expected


def test_clip_longer_than_the_budget_is_named():
    with pytest.raises(ClipError, match="clip 1 with 500.*raise max_frames"):
        FrameBudgetBatchSampler([10, 500, 20], max_frames=100)
    with pytest.raises(ClipError, match="clip 1 has no frames"):
        FrameBudgetBatchSampler([10, 0], max_frames=100)


def test_fewer_clips_than_ranks_gives_every_rank_a_batch():
    assert len(split_until_divisible([[0]], 3)) == 3
    ranks = [list(FrameBudgetBatchSampler([5, 6], 100, rank=r, world_size=3)) for r in range(3)]
    assert [len(batches) for batches in ranks] == [1, 1, 1]


def test_sampler_drives_a_data_loader():
    from torch.utils.data import DataLoader

    sampler = FrameBudgetBatchSampler([3, 9, 4, 8, 5], max_frames=16)
    loader = DataLoader(list(range(5)), batch_sampler=sampler, collate_fn=list)  # type: ignore[arg-type]
    assert sorted(i for batch in loader for i in batch) == [0, 1, 2, 3, 4]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory in use from /proc, as Linux has it")
def test_memory_stays_flat_over_ten_epochs(tmp_path):
    """Shards, sampler, processor, collator, loader: what eight more epochs read is ten times what they may keep."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from torch.utils.data import DataLoader

    from slt_hf.data.collator import SignCollator
    from slt_hf.data.storage import SCHEMA, ShardDataset, encode_clip
    from slt_hf.processing.feature_extraction_pose import PoseFeatureExtractor
    from slt_hf.processing.pose_files import PoseClip

    rng = np.random.default_rng(0)
    clips = [
        PoseClip(rng.normal(300, 99, (100, 85, 2)).astype("f4"), np.ones((100, 85), "f4"), "signing_85", 25.0)
        for _ in range(100)
    ]
    rows = [{name: None for name in SCHEMA.names} | encode_clip(clip) | {"id": str(i)} for i, clip in enumerate(clips)]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), tmp_path / "train-00000-of-00001.parquet")
    dataset = ShardDataset(tmp_path, "train", columns=["id"], cache_dir=tmp_path / "cache")
    sampler = FrameBudgetBatchSampler(dataset.lengths, max_frames=800)
    collator = SignCollator(PoseFeatureExtractor(), text_column=None)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=collator)  # type: ignore[arg-type,var-annotated]
    used, read = [], 0
    for epoch in range(10):
        sampler.set_epoch(epoch)
        dataset.set_epoch(epoch)
        read = sum(batch["pose_values"].nbytes for batch in loader)
        used.append(resident_bytes())
    assert read > 9_000_000  # bytes of model input an epoch
    assert max(used[2:]) - max(used[:2]) < 0.8 * read
