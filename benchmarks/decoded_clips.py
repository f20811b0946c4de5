"""Clips stored frame by frame against decoding on the fly: clips per second, in one process and one thread.

    python benchmarks/decoded_clips.py --output results/decoded_clips.json

Noise on moving waves as from a camera (640 x 480, 25 fps, H.264, a key frame every 250 frames), in two kinds: files
that hold one sign of 2.5 s (as WLASL's), and parts of 2.5 s of recordings of a minute. 16 and 64 frames of each clip
become pixel values of 224 pixels, from the video and from the shards that `slt-hf decode-clips` makes. The ways take
turns, and the fastest of the rounds counts, as other work on the machine can only slow one down; processor seconds,
which it slows down least, stand beside wall seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from slt_hf.convert_i3d import i3d_extractor
from slt_hf.data.collator import video_clip_of
from slt_hf.data.decoded_clips import decode_clips
from slt_hf.data.sample import Sample
from slt_hf.data.storage import ShardDataset
from slt_hf.modeling import I3DConfig

FPS, CLIP_SECONDS, WIDTH, HEIGHT, GOP = 25, 2.5, 640, 480, 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=16, help="of each kind")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a long recording")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--counts", type=int, nargs="+", default=[16, 64], help="frames read of a clip")
    parser.add_argument("--output", type=Path, help="JSON file of the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for kind, samples in kinds(Path(name), options.clips, options.seconds).items():
            shards = Path(name) / f"{kind}_shards"
            started = time.perf_counter()
            assert all(error is None for _, error in decode_clips(samples, shards))
            cost = {"decode_once_s": round((time.perf_counter() - started) / len(samples), 4)}
            for count in options.counts:
                cells.append({"kind": kind, "frames": count} | measure(samples, shards, count, options.rounds) | cost)
                print(cells[-1], flush=True)
    if options.output:
        command = f"python {' '.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])}"
        load = [round(value, 1) for value in os.getloadavg()]  # above the number of cores, wall times say little
        about = {"load_average": load, "threads": 1, "machine": platform.machine()}
        result = {"command": command, "about": about, "cells": cells}
        options.output.write_text(json.dumps(result, indent=2) + "\n")


def kinds(folder: Path, clips: int, seconds: float) -> dict[str, list[Sample]]:
    """The same number of clips as files of their own and as parts of one recording."""
    whole = [Sample(str(n), video=str(make_video(folder / f"{n}.mp4", CLIP_SECONDS, n))) for n in range(clips)]
    long = str(make_video(folder / "long.mp4", seconds, 0))
    starts = np.linspace(0, 1000 * (seconds - CLIP_SECONDS), clips)
    parts = [Sample(str(n), video=long, start_ms=float(start), end_ms=float(start) + 1000 * CLIP_SECONDS)
             for n, start in enumerate(starts)]  # fmt: skip
    return {"files": whole, "parts": parts}


def make_video(path: Path, seconds: float, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    grain = rng.normal(0, 4, (4, HEIGHT, WIDTH, 1))
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", GOP
        for number in range(round(FPS * seconds)):
            wave = np.sin(x / 40 + number / 9 + seed) * np.cos(y / 30 - number / 13)
            image = np.clip(128 + 80 * wave[..., None] + grain[number % 4], 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.repeat(image, 3, -1), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def measure(samples: list[Sample], shards: Path, count: int, rounds: int) -> dict[str, Any]:
    """Clips per second of both ways, and what they take on disk."""
    extractor, rows = i3d_extractor(I3DConfig(), num_frames=count), ShardDataset(shards)

    def on_the_fly(n: int) -> dict[str, Any]:
        return {"video": samples[n].video, "start_ms": samples[n].start_ms, "end_ms": samples[n].end_ms}

    sources: dict[str, Callable[[int], Any]] = {"on_the_fly": on_the_fly, "decoded": rows.__getitem__}
    for source in sources.values():
        extractor.pixels(video_clip_of(source(0)))
    wall: dict[str, list[float]] = {name: [] for name in sources}
    processor: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(rounds):
        for name, source in sources.items():
            began, spent = time.perf_counter(), time.process_time()
            for n in range(len(samples)):
                extractor.pixels(video_clip_of(source(n)))
            wall[name].append((time.perf_counter() - began) / len(samples))
            processor[name].append((time.process_time() - spent) / len(samples))
    stored = sum(path.stat().st_size for path in shards.glob("*.parquet"))
    videos = sum(Path(video).stat().st_size for video in {sample.video or "" for sample in samples})
    found: dict[str, Any] = {}
    for name in sources:
        found[name] = {"clips_per_s": round(1 / min(wall[name]), 2), "cpu_s": round(min(processor[name]), 4)}
    for unit, taken in (("times_faster", wall), ("cpu_times_faster", processor)):
        found[unit] = round(min(taken["on_the_fly"]) / min(taken["decoded"]), 2)
    return found | {"mb_videos": round(videos / 1e6, 1), "mb_shards": round(stored / 1e6, 1)}


if __name__ == "__main__":
    main()
