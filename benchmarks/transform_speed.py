"""Time from an array of landmarks to model input, on one thread: `python benchmarks/transform_speed.py`.

Prints milliseconds per clip for 300 frames of 543 MediaPipe Holistic points: from the array to model input (hands to
their slots, conversion, normalisation, frame rate), each step, augmentation, and reading from a .pose file.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is loaded

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from slt_hf.processing.landmarks import assign_hands, convert, get_layout
from slt_hf.processing.pose_augmentation import AugmentationSettings, augment_clip
from slt_hf.processing.pose_files import PoseClip, pose_bytes, read_pose
from slt_hf.processing.pose_inputs import to_clip
from slt_hf.processing.pose_normalization import normalize, signer_frame
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip, resample

TARGET_MS = 5.0  # "well under 5 ms"


def random_clip(frames: int, layout: str, fps: float) -> PoseClip:
    """Landmarks at random places, one in ten undetected."""
    rng = np.random.default_rng(0)
    points = rng.uniform(100, 900, (frames, get_layout(layout).num_points, 3)).astype(np.float32)
    confidence = (rng.random(points.shape[:2]) > 0.1).astype(np.float32)
    points[confidence == 0] = np.nan
    return PoseClip(points, confidence, layout, fps, 1000, 1000)


def milliseconds(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Best and median time of a call, ms of this thread: what other processes do does not count."""
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - start))
    return min(times), statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--layout", default="holistic_543", help="layout of the clip")
    parser.add_argument("--target", default="signing_85", help="layout of the model input")
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    clip, settings = random_clip(options.frames, options.layout, 30.0), PoseSettings(layout=options.target)
    points, confidence = convert(clip.points, clip.confidence, clip.layout, options.target, 2)
    array, frame, content = clip.points, signer_frame(clip), pose_bytes(clip)
    varied = AugmentationSettings(tempo=0.2, frame_dropout=0.15, mirror=0.5, rotation=5, shear=0.1, scale=0.1)
    steps: dict[str, Callable[[], object]] = {
        "array to input": lambda: prepare_clip(to_clip(array, clip.layout, clip.fps), settings),
        "  to_clip": lambda: to_clip(array, clip.layout, clip.fps),
        "  prepare_clip": lambda: prepare_clip(clip, settings),
        "    assign_hands": lambda: assign_hands(clip.points, clip.confidence, clip.layout),
        "    convert": lambda: convert(clip.points, clip.confidence, clip.layout, options.target, 2),
        "    signer_frame": lambda: signer_frame(clip),
        "    normalize": lambda: normalize(points, frame),
        "    resample": lambda: resample(points, confidence, clip.fps, settings.fps),
        "augment_clip": lambda: augment_clip(clip, np.random.default_rng(0), varied),
        "read_pose": lambda: read_pose(content),
    }
    print(f"{options.frames} frames of {options.layout} to {options.target}, one thread, ms per clip")
    print(f"{'step':<18}{'best':>8}{'median':>8}")
    results = {name: milliseconds(work, options.repeats) for name, work in steps.items()}
    for name, (best, median) in results.items():
        print(f"{name:<18}{best:8.2f}{median:8.2f}")
    best = results["array to input"][0]
    print(f"target {TARGET_MS:g} ms: {'met' if best < TARGET_MS else 'missed'} ({TARGET_MS / best:.1f} times faster)")


if __name__ == "__main__":
    main()
