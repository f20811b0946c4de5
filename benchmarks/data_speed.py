"""Reading for training: random rows per second from shards to normalised model input, one process, one thread.

    python benchmarks/data_speed.py --output results/data_speed.json

The same clips of the synthetic signer (noisy, 25 fps, sentences) are read three ways, to a float32 tensor each:

- shards: `ShardDataset` and `prepare_clip`, what SignCollator does before padding, anew for every row; from shards in
  the extractor's layout, and from shards prepared with `--layout signing_85`;
- ready inputs: `ReadyInputs`, the processor's output kept beside the shards, for training without augmentation;
- pose-format: `Pose.read`, hide legs, reduce to 178 points, normalise, zero-fill, as MultimodalHugs does;
- pickle: {keypoints, scores} per frame of COCO-WholeBody, normalised part by part frame by frame, as Uni-Sign,
  Geo-Sign and their descendants do (FIELD: part-wise ST-GCN family).

Then ten epochs over the shards with a frame budget sampler and collator; peak memory is noted after each.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pose_format import Pose
from pose_format.utils.generic import pose_hide_legs, reduce_holistic

from slt_hf.data.collator import SignCollator, clip_of
from slt_hf.data.ready import ReadyInputs
from slt_hf.data.sampler import FrameBudgetBatchSampler
from slt_hf.data.storage import SCHEMA, ShardDataset, encode_clip
from slt_hf.processing.feature_extraction_pose import PoseFeatureExtractor
from slt_hf.processing.landmarks import convert
from slt_hf.processing.pose_files import PoseClip, write_pose
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip
from slt_hf.synthesis import make_sentence, signer_of, synthesize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=3.0, help="of processor time, for each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of all ways in turn; the median counts")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--output", type=Path, help="JSON file of the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = make_files(folder, options.clips)
        ways = make_ways(folder, options.clips)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for way, read in ways.items():
                rates[way].append(rows_per_second(read, options.clips, options.seconds))
        medians = {way: float(np.median(values)) for way, values in rates.items()}
        result = {
            "command": " ".join(["python", *sys.argv]),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "clips": options.clips,
            "frames_per_clip": {"mean": round(float(np.mean(frames)), 1), "max": max(frames)},
            "rows_per_second": {way: round(rate, 1) for way, rate in medians.items()},
            "all_rounds": {way: [round(rate, 1) for rate in values] for way, values in rates.items()},
            "times_faster": compare(medians),
            "peak_memory_mb": memory_over_epochs(folder, options.epochs),
        }
    told = json.dumps(result, indent=2)
    print(told)
    if options.output:
        options.output.write_text(told + "\n")


def compare(rates: dict[str, float]) -> dict[str, float]:
    """Every way of ours against both of theirs."""
    ours = [way for way in rates if way not in ("pose-format", "pickle")]
    return {
        f"{way} / {theirs}": round(rates[way] / rates[theirs], 1)
        for theirs in ("pose-format", "pickle")
        for way in ours
    }


def make_files(folder: Path, count: int) -> list[int]:
    """The clips as .pose files, pickles, and shards of three layouts; returns their lengths."""
    rows: dict[str, list[dict[str, Any]]] = {"holistic_543": [], "coco_wholebody_133": [], "signing_85": []}
    frames = []
    for i in range(count):
        clip = make_clip(i)
        frames.append(clip.num_frames)
        write_pose(clip, folder / f"{i}.pose")
        for layout, kept in rows.items():
            kept.append({name: None for name in SCHEMA.names} | encode_clip(converted(clip, layout)) | {"text": "x"})
        whole_body = converted(clip, "coco_wholebody_133")
        points = np.nan_to_num(whole_body.points).astype(np.float64)
        told = {
            "keypoints": [frame[None] for frame in points],
            "scores": [frame[None] for frame in whole_body.confidence.astype(np.float64)],
        }
        (folder / f"{i}.pkl").write_bytes(pickle.dumps(told))
    for layout, kept in rows.items():
        (folder / layout).mkdir()
        pq.write_table(pa.Table.from_pylist(kept, schema=SCHEMA), folder / layout / "train-00000.parquet")
    return frames


def make_clip(index: int) -> PoseClip:
    """A sentence of the synthetic corpus, badly filmed, at the one rate that most corpora have: nobody resamples."""
    signer = signer_of("train", 0, index, noisy=True)
    signer = replace(signer, camera=replace(signer.camera, fps=25.0))
    return synthesize(make_sentence("train", 0, index).glosses, seed=index, signer=signer)


def converted(clip: PoseClip, layout: str) -> PoseClip:
    if layout == clip.layout:
        return clip
    axes = 2 if layout == "coco_wholebody_133" else None
    points, confidence = convert(clip.points, clip.confidence, clip.layout, layout, axes)
    return PoseClip(points, confidence, layout, clip.fps, clip.width, clip.height)


def make_ways(folder: Path, count: int) -> dict[str, Callable[[int], torch.Tensor]]:
    ways: dict[str, Callable[[int], torch.Tensor]] = {}
    for layout in ("holistic_543", "coco_wholebody_133", "signing_85"):
        ways[f"shards {layout}"] = from_shards(folder, layout)
    dataset = ShardDataset(folder / "holistic_543", columns=["text"], cache_dir=folder / "cache")
    ready = ReadyInputs(dataset, PoseFeatureExtractor())
    ways["ready inputs"] = lambda i: torch.from_numpy(ready[i]["pose_values"])
    ways["pose-format"] = lambda i: with_pose_format(folder / f"{i}.pose")
    ways["pickle"] = lambda i: with_pickle(folder / f"{i}.pkl")
    return ways


def from_shards(folder: Path, layout: str) -> Callable[[int], torch.Tensor]:
    dataset = ShardDataset(folder / layout, columns=["text"], cache_dir=folder / "cache")
    settings = PoseSettings()
    num_axes = settings.num_coordinates - 1
    return lambda i: torch.from_numpy(prepare_clip(clip_of(dataset[i], settings.layout, num_axes), settings))


def with_pose_format(path: Path) -> torch.Tensor:
    """As MultimodalHugs turns a .pose file into features."""
    with path.open("rb") as file:
        pose = Pose.read(file)  # type: ignore[arg-type]
    pose_hide_legs(pose)
    pose = reduce_holistic(pose)
    data = pose.normalize().torch().body.data.zero_filled()
    return data.contiguous().view(data.size(0), -1).float()


def with_pickle(path: Path) -> torch.Tensor:
    """Part by part and frame by frame: body in its box over the clip, hands from the wrist, face from the nose."""
    with path.open("rb") as file:
        clip = pickle.load(file)  # our own file, written a moment ago
    parts = {
        "body": ([0, *range(3, 11)], None),
        "left": (list(range(91, 112)), 0),
        "right": (list(range(112, 133)), 0),
        "face": ([*range(23, 40, 2), *range(83, 91), 53], -1),
    }
    scale, results = 1.0, []
    for part, (indices, origin) in parts.items():
        points, scores = [], []
        for skeleton, confidence in zip(clip["keypoints"], clip["scores"], strict=True):
            chosen = skeleton[0][indices, :]
            points.append(chosen if origin is None else chosen - chosen[origin, :])
            scores.append(confidence[0][indices])
        values = np.concatenate([np.stack(points), np.stack(scores)[..., None]], axis=-1)
        if part == "body":
            seen = values[values[..., 2] > 0.3][:, :2]
            low, high = seen.min(0), seen.max(0)
            scale = float((high - low).max()) / 2
            values[..., :2] = values[..., :2] - (low + high) / 2
        values[..., :2] = np.clip(values[..., :2] / scale, -1, 1)
        values[values[..., 2] <= 0.3] = 0
        results.append(torch.tensor(values, dtype=torch.float32))
    return torch.cat(results, dim=1)


def rows_per_second(read: Callable[[int], torch.Tensor], count: int, seconds: float) -> float:
    """By the processor's clock, so that other load on the machine does not count; all files are in memory."""
    order = np.random.default_rng(0).permutation(count).tolist()
    for i in order[:20]:
        read(i)
    done, begin = 0, time.process_time()
    while (spent := time.process_time() - begin) < seconds:
        read(order[done % count])
        done += 1
    return done / spent


def memory_over_epochs(folder: Path, epochs: int) -> list[float]:
    """Peak resident memory of this process after each epoch of batches, MB."""
    dataset = ShardDataset(folder / "holistic_543", columns=["text"], cache_dir=folder / "cache")
    sampler = FrameBudgetBatchSampler(dataset.lengths, max_frames=4096)
    collator = SignCollator(PoseFeatureExtractor(), text_column=None)
    rows: Any = dataset
    loader: Any = torch.utils.data.DataLoader(rows, batch_sampler=sampler, collate_fn=collator)  # type: ignore[arg-type]
    peaks = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        dataset.set_epoch(epoch)
        for _ in loader:
            pass
        peaks.append(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1))
    return peaks


if __name__ == "__main__":
    main()
