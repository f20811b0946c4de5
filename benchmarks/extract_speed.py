"""Frames per second of `slt-hf extract` against a bare MediaPipe loop over the same videos, and with more workers.

    python benchmarks/extract_speed.py VIDEO... --output results/extract_speed.json

The bare loop runs in the extraction environment: PyAV frames into `Holistic.process`, a fresh graph for each video (a
graph that has seen another video would track on), nothing else. Both sides are timed without the start of Python and
the import of MediaPipe. Rounds alternate, so that other load on the machine meets both; the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from slt_hf.cli.extract import run
from slt_hf.poses.mediapipe_extractor import MediaPipe, find_extraction_python
from slt_hf.processing.pose_files import write_pose

BARE = """
import sys, time
import av, mediapipe
Holistic = mediapipe.solutions.holistic.Holistic
def loop(paths):
    frames = 0
    for path in paths:
        with av.open(path) as container, Holistic(model_complexity=1) as holistic:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                holistic.process(frame.to_ndarray(format="rgb24"))
                frames += 1
    return frames
loop(sys.argv[1:2])
begin = time.perf_counter()
frames = loop(sys.argv[1:])
print("RESULT", frames, time.perf_counter() - begin)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="*", default=[2], help="numbers of workers to try beside one")
    parser.add_argument("--output", type=Path, help="JSON file of the results")
    options = parser.parse_args()
    bare_rates, own_rates = [], []
    for _ in range(options.rounds):
        bare_rates.append(bare(options.videos))
        own_rates.append(own(options.videos))
    runs = {str(count): with_workers(options.videos, count) for count in [1, *options.workers]}
    rates = {count: rate for count, (rate, _) in runs.items()}
    result = {
        "command": f"python benchmarks/extract_speed.py VIDEO... --rounds {options.rounds}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "videos": len(options.videos),
        "frames_per_second": {"bare MediaPipe loop": bare_rates, "slt-hf extract, one worker": own_rates},
        "of_bare_loop": round(float(np.median(own_rates) / np.median(bare_rates)), 3),
        "videos_per_second_with_workers": rates,
        "cores_busy_with_workers": {count: busy for count, (_, busy) in runs.items()},
        "speed_up_with_workers": {count: round(rate / rates["1"], 2) for count, rate in rates.items()},
    }
    told = json.dumps(result, indent=2)
    print(told)
    if options.output:
        options.output.write_text(told + "\n")


def bare(videos: list[Path]) -> float:
    """Frames per second of the loop that does nothing but MediaPipe."""
    command = [str(find_extraction_python()), "-c", BARE, *map(str, videos)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    frames, seconds = told.split("RESULT")[1].split()
    return round(int(frames) / float(seconds), 2)


def own(videos: list[Path]) -> float:
    """Frames per second of one extractor, from video to .pose file."""
    with MediaPipe() as extractor, tempfile.TemporaryDirectory() as folder:
        extractor.extract(videos[0])
        frames, begin = 0, time.perf_counter()
        for i, video in enumerate(videos):
            clip = extractor.extract(video)
            write_pose(clip, Path(folder) / f"{i}.pose")
            frames += clip.num_frames
        return round(frames / (time.perf_counter() - begin), 2)


def with_workers(videos: list[Path], workers: int) -> tuple[float, float]:
    """Videos per second of the whole command, start included, and how many cores it kept busy.

    MediaPipe's graph has threads of its own: one worker keeps more than one core busy, so that on a machine of few
    cores the second worker finds less than a core left.
    """
    with tempfile.TemporaryDirectory() as folder:
        todo = [(video, Path(folder) / f"{i}.pose") for i, video in enumerate(videos)]
        begin, worked = time.perf_counter(), processor_seconds()
        failed = run(todo, workers, "mediapipe_holistic", {})
        if failed:
            sys.exit(f"extraction failed: {failed[0]}")
        seconds = time.perf_counter() - begin
        return round(len(videos) / seconds, 4), round((processor_seconds() - worked) / seconds, 2)


def processor_seconds() -> float:
    """Processor time of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
