"""Reading a few frames of a video: ours (PyAV) against decord and OpenCV where they are installed.

    python benchmarks/video_speed.py --output results/video_speed.json

A clip of ten seconds (640 x 480, 30 fps, H.264 with B-frames), with a key frame every 12 or every 250 frames, from
which 8, 16 or 64 evenly spread frames are read as RGB arrays; every reader is asked for the same frames, and each
frame's number, written into its corner, is checked. Readers take turns for so many seconds a cell, and the fastest of
their rounds counts, as other work on the machine can only slow one down; processor seconds, which it slows down least,
stand beside wall seconds. OpenCV is tried both ways, seeking to each frame and reading through, decord with its own
threads and with one: the better of them counts.

decord and OpenCV are for this benchmark only, in a folder of their own:
`pip install --no-deps --target FOLDER decord==0.6.0 opencv-python-headless==5.0.0.93`, then PYTHONPATH=FOLDER.
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

from slt_hf.processing.video_reading import read_video, sample_times

FPS, SECONDS, WIDTH, HEIGHT = 30, 10, 640, 480
BITS, BLOCK = 9, 16  # of a frame's number, in squares of so many pixels
TOO_SLOW = 3  # times the processor seconds of the fastest: such a way is read once
Reader = Callable[[str, np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="a cell, in which all readers take turns")
    parser.add_argument("--rounds", type=int, default=5, help="at least so many turns")
    parser.add_argument("--counts", type=int, nargs="+", default=[8, 16, 64], help="frames read")
    parser.add_argument("--gops", type=int, nargs="+", default=[12, 250], help="frames from key frame to key frame")
    parser.add_argument("--output", type=Path, help="JSON file of the results")
    options = parser.parse_args()
    readers = available_readers()
    cells = []
    with tempfile.TemporaryDirectory() as folder:
        for gop in options.gops:
            video = make_clip(Path(folder) / f"{gop}.mp4", gop)
            for count in options.counts:
                cells.append({"gop": gop, "frames": count} | measure(readers, str(video), count, options))
                print(told(cells[-1]), flush=True)
    worst = {name: max(cell[name] for cell in cells) for name in ("ratio", "cpu_ratio")}
    print(f"ours beside the best of the others, worst cell: wall {worst['ratio']:.2f}, cpu {worst['cpu_ratio']:.2f}")
    if options.output:
        result = {"about": about(options), "cells": cells, "worst": worst}
        options.output.write_text(json.dumps(result, indent=2) + "\n")


def make_clip(path: Path, gop: int) -> Path:
    """A moving pattern with grain, as from a camera, and each frame's number in its corner."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    grain = rng.normal(0, 4, (8, HEIGHT, WIDTH, 1))
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options={"preset": "medium", "bf": "3"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", gop
        for number in range(FPS * SECONDS):
            waves = [np.sin(x / 40 + number / 9 + c) * np.cos(y / 30 - number / 13 + c) for c in range(3)]
            image = np.clip(128 + 80 * np.stack(waves, -1) + grain[number % 8], 0, 255).astype(np.uint8)
            for bit in range(BITS):
                image[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def number_of(image: np.ndarray) -> int:
    """The number written into a frame (H, W, 3)."""
    blocks = image[BLOCK // 2, BLOCK // 2 : BITS * BLOCK : BLOCK].mean(-1)
    return int(sum((value > 128) << bit for bit, value in enumerate(blocks)))


def wanted_numbers(count: int) -> np.ndarray:
    """Frames that our reader takes of such a clip."""
    times = np.arange(FPS * SECONDS) * 1000 / FPS
    return sample_times(times, np.full(count, 0.5), None, None)


def available_readers() -> dict[str, dict[str, Reader]]:
    """Library -> its ways."""
    readers: dict[str, dict[str, Reader]] = {"slt_hf": {"read_video": read_ours}}
    try:
        import cv2  # noqa: F401
    except ImportError:
        print("OpenCV is not installed: left out")
    else:
        readers["opencv"] = {"seek": read_opencv_seeking, "read through": read_opencv_through}
    try:
        import decord  # noqa: F401
    except ImportError:
        print("decord is not installed: left out")
    else:
        readers["decord"] = {
            "own threads": lambda video, numbers: read_decord(video, numbers, 0),
            "1 thread": lambda video, numbers: read_decord(video, numbers, 1),
        }
    return readers


def read_ours(video: str, numbers: np.ndarray) -> np.ndarray:
    return read_video(video, num_frames=len(numbers)).frames


def read_opencv_seeking(video: str, numbers: np.ndarray) -> np.ndarray:
    import cv2

    capture, frames = cv2.VideoCapture(video), []
    for number in numbers:
        capture.set(cv2.CAP_PROP_POS_FRAMES, int(number))
        frames.append(cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB))
    return np.stack(frames)


def read_opencv_through(video: str, numbers: np.ndarray) -> np.ndarray:
    import cv2

    capture, frames, wanted = cv2.VideoCapture(video), [], set(numbers.tolist())
    for number in range(int(numbers[-1]) + 1):
        capture.grab()
        if number in wanted:
            frames.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    return np.stack(frames)


def read_decord(video: str, numbers: np.ndarray, threads: int) -> np.ndarray:
    import decord

    return decord.VideoReader(video, num_threads=threads).get_batch(numbers.tolist()).asnumpy()


def measure(
    readers: dict[str, dict[str, Reader]], video: str, count: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Milliseconds a clip for each way, the best one of each library, and ours beside the best of the others."""
    numbers = wanted_numbers(count)
    ways = {(library, way): read for library, found in readers.items() for way, read in found.items()}
    exact: dict[Any, bool] = {}
    timings: dict[Any, list[tuple[float, float]]] = {key: [] for key in ways}
    number, end = 0, time.perf_counter() + options.seconds
    while number < options.rounds or time.perf_counter() < end:
        for key, read in ways.items():
            if number and timings[key][0][1] > TOO_SLOW * min(taken[0][1] for taken in timings.values()):
                continue  # seeking to each of 64 frames by decoding from far away would take all the time there is
            wall, cpu = time.perf_counter(), time.process_time()
            frames = read(video, numbers)
            timings[key].append((1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)))
            exact[key] = [number_of(image) for image in frames] == numbers.tolist()
        number += 1
    told_ways = {
        f"{library}: {way}": {
            "wall_ms": round(min(wall for wall, _ in timings[library, way]), 1),
            "cpu_ms": round(min(cpu for _, cpu in timings[library, way]), 1),
            "exact": exact[library, way],
        }
        for library, way in ways
    }
    ours = told_ways["slt_hf: read_video"]
    others = [way for name, way in told_ways.items() if not name.startswith("slt_hf") and way["exact"]]
    best = {unit: min((way[unit] for way in others), default=ours[unit]) for unit in ("wall_ms", "cpu_ms")}
    ratios = {unit: round(ours[unit] / best[unit], 3) for unit in best}
    return {"ways": told_ways, "rounds": number, "ratio": ratios["wall_ms"], "cpu_ratio": ratios["cpu_ms"]}


def told(cell: dict[str, Any]) -> str:
    ways = ", ".join(
        f"{name} {way['wall_ms']:.0f} ({way['cpu_ms']:.0f} cpu){'' if way['exact'] else ' NOT EXACT'}"
        for name, way in cell["ways"].items()
    )
    ratio = f"ratio {cell['ratio']:.2f}, cpu {cell['cpu_ratio']:.2f}"
    return f"GOP {cell['gop']}, {cell['frames']} frames, ms: {ways}; {ratio}"


def about(options: argparse.Namespace) -> dict[str, Any]:
    versions = {"av": av.__version__, "numpy": np.__version__}
    for name in ("cv2", "decord"):
        if name in sys.modules:
            versions[name] = sys.modules[name].__version__
    clip = f"{SECONDS} s, {WIDTH}x{HEIGHT}, {FPS} fps, H.264 with B-frames"
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    load = [round(value, 1) for value in os.getloadavg()]  # above the number of cores, wall times say little
    return {"clip": clip, "seconds_a_cell": options.seconds, "load_average": load, "versions": versions, **machine}


if __name__ == "__main__":
    main()
