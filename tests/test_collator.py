"""SignCollator: any kind of row becomes the same model input, augmentation is a function of seed, epoch and index."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from slt_hf.data.collator import SignCollator, clip_of
from slt_hf.data.sample import Sample
from slt_hf.data.storage import encode_clip
from slt_hf.errors import ManifestError
from slt_hf.processing.pose_files import PoseClip, write_pose
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip


def make_clip(frames: int, seed: int = 0) -> PoseClip:
    rng = np.random.default_rng(seed)
    points = rng.normal((640, 360, 0), (100, 150, 30), (frames, 75, 3)).astype(np.float32)
    return PoseClip(points, rng.uniform(0.3, 1, (frames, 75)).astype(np.float32), "holistic_75", 25.0, 1280, 720)


@pytest.fixture(scope="module")
def processor() -> Any:
    from tiny_checkpoints import tiny_processor

    return tiny_processor()


def jitter(clip: PoseClip, rng: np.random.Generator) -> PoseClip:
    return replace(clip, points=clip.points + rng.normal(0, 5, clip.points.shape).astype(np.float32))


@pytest.mark.parametrize("coordinates", [3, 4])
def test_decoding_only_what_the_model_reads_changes_no_bit(coordinates):
    rng = np.random.default_rng(0)
    points = rng.normal(500, 120, (30, 543, 3)).astype(np.float32)
    points[rng.random((30, 543)) < 0.1] = np.nan
    clip = PoseClip(points, np.isfinite(points[..., 0]).astype(np.float32), "holistic_543", 25.0)
    row, settings = encode_clip(clip), PoseSettings(num_coordinates=coordinates)
    little = clip_of(row, settings.layout, coordinates - 1)
    assert little.points.shape == (30, 85, coordinates - 1)
    np.testing.assert_array_equal(prepare_clip(little, settings), prepare_clip(clip_of(row), settings))


def test_batch_is_what_the_processor_makes_of_the_clips(processor):
    clips = [make_clip(20), make_clip(30, 1)]
    batch = SignCollator(processor)([{"clip": clip, "text": f"word{i}"} for i, clip in enumerate(clips)])
    expected = processor(poses=clips, text=["word0", "word1"], return_tensors="pt")
    assert set(batch) == {"pose_values", "attention_mask", "labels"}
    assert all(torch.equal(batch[name], expected[name]) for name in batch)
    assert batch["attention_mask"].sum(1).tolist() == [20, 30]


def test_shard_row_sample_and_path_give_the_same_input(processor, tmp_path):
    clip = make_clip(20)
    write_pose(clip, tmp_path / "a.pose")
    sample = Sample("a", pose=str(tmp_path / "a.pose"), text="word1")
    collator = SignCollator(processor)
    from_clip, from_sample, from_row, from_shard = (
        collator([row])["pose_values"]
        for row in ({"clip": clip, "text": "word1"}, sample, sample.to_row(), {**encode_clip(clip), "text": "word1"})
    )
    assert torch.equal(from_sample, from_clip) and torch.equal(from_row, from_clip)
    torch.testing.assert_close(from_shard, from_clip, atol=2e-3, rtol=0)  # float16


def test_times_of_a_manifest_row_cut_the_clip(processor, tmp_path):
    write_pose(make_clip(50), tmp_path / "a.pose")
    row = Sample("a", pose=str(tmp_path / "a.pose"), text="word1", start_ms=400, end_ms=800)
    assert SignCollator(processor)([row])["attention_mask"].sum() == 10


def test_augmentation_depends_on_seed_epoch_and_index_alone(processor):
    rows: list[dict[str, Any]] = [
        {"clip": make_clip(20), "text": "word1", "index": i, "epoch": 0} for i in range(3)
    ]  # the same clip three times
    collate = SignCollator(processor, augmentation=jitter)
    batch = collate(rows)["pose_values"]
    assert torch.equal(collate(rows[2:])["pose_values"][0], batch[2])
    assert torch.equal(SignCollator(processor, jitter)(rows)["pose_values"], batch)
    assert not torch.equal(batch[0], batch[1])
    later = collate([{**row, "epoch": 1} for row in rows])["pose_values"]
    assert not torch.equal(later[0], batch[0])
    assert not torch.equal(SignCollator(processor, jitter, seed=1)(rows)["pose_values"][0], batch[0])


def test_labels_of_isolated_signs_go_by_name(processor):
    rows = [{"clip": make_clip(20), "gloss": gloss} for gloss in ("book", "drink")]
    collator = SignCollator(processor, label_column="gloss", label_ids={"drink": 0, "book": 1})
    assert collator(rows)["labels"].tolist() == [1, 0]
    with pytest.raises(ManifestError, match="2 labels, found 'tree'"):
        collator([{"clip": make_clip(20), "gloss": "tree", "id": "x"}])


def test_row_without_text_or_poses_says_what_to_do(processor):
    collator = SignCollator(processor)
    with pytest.raises(ManifestError, match="row a: expected text"):
        collator([{"id": "a", "clip": make_clip(9)}])
    with pytest.raises(ManifestError, match="found none but a video; run `slt-hf prepare`"):
        collator([Sample("a", video="a.mp4", text="word1")])
    assert "labels" not in SignCollator(processor, text_column=None)([{"clip": make_clip(9)}])


def test_model_trains_on_a_batch_from_shards(processor, tmp_path):
    """The hops of the design in one: row -> processor -> collator -> model -> loss."""
    from tiny_checkpoints import save_translation

    from slt_hf.modeling import SignToTextForConditionalGeneration

    model = SignToTextForConditionalGeneration.from_pretrained(save_translation(tmp_path / "model"))
    rows = [{**encode_clip(make_clip(20 + i, i)), "text": f"word{i}", "index": i} for i in range(3)]
    loss = model(**SignCollator(processor, augmentation=jitter)(rows)).loss
    loss.backward()
    assert torch.isfinite(loss)


def test_decoding_only_the_model_s_landmarks_changes_no_input(processor):
    from slt_hf.data.collator import clip_of
    from slt_hf.data.storage import decode_clip
    from slt_hf.synthesis import make_sample

    row = encode_clip(make_sample(3, noisy=True).clip)
    few, all_of_them = clip_of(row, "signing_85"), decode_clip(row)
    assert few.layout == "signing_85" and all_of_them.layout == "holistic_543"
    few_values, all_values = (processor(poses=clip, return_tensors="pt")["pose_values"] for clip in (few, all_of_them))
    assert torch.equal(few_values, all_values)


def test_clip_without_shoulders_is_decoded_whole():
    from slt_hf.data.collator import clip_of

    clip = make_clip(20)
    clip.points[:, 11], clip.confidence[:, 11] = np.nan, 0
    assert clip_of(encode_clip(clip), "signing_85").layout == "holistic_75"
