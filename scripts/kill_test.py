"""Kill a preparation at random points, let it continue, compare every byte with an undisturbed run.

    python scripts/kill_test.py --points 100

Each point: a fresh output folder, `slt-hf prepare`, kill -9 after a random part of the time it takes, the same command
again until it ends by itself, then a comparison of all files that a user sees. Exit code 1 if any byte differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from slt_hf.data.manifest import write_manifest
from slt_hf.data.sample import Sample
from slt_hf.processing.pose_files import PoseClip, write_pose

CLIPS, SHARD_CLIPS = 60, 7


def make_corpus(folder: Path) -> Path:
    """Pose files of random points, every tenth of them damaged, and their manifest."""
    rng = np.random.default_rng(0)
    (folder / "poses").mkdir(parents=True)
    samples = []
    for i in range(CLIPS):
        frames = int(rng.integers(10, 200))
        points = rng.normal((640, 360, 0), (100, 150, 30), (frames, 75, 3)).astype(np.float32)
        path = folder / f"poses/{i}.pose"
        write_pose(PoseClip(points, np.ones((frames, 75), np.float32), "holistic_75", 25.0, 1280, 720), path)
        if i % 10 == 3:
            path.write_bytes(path.read_bytes()[:1000])
        samples.append(
            Sample(str(i), pose=f"poses/{i}.pose", text=f"Sentence {i}.", split="train" if i % 5 else "test")
        )
    write_manifest(samples, folder / "manifest.csv")
    return folder / "manifest.csv"


def start(manifest: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "slt_hf.cli.main", "prepare", str(manifest), "--output", str(output)]
    command += ["--shard-clips", str(SHARD_CLIPS), "--workers", "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def wait_for_work(output: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the run is past its imports: before that there is nothing to disturb."""
    while process.poll() is None and not (output / ".prepare").exists():
        time.sleep(0.002)


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that a user sees."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and ".prepare" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def group_is_gone(group: int, seconds: float = 60.0) -> bool:
    """Whether all processes of a killed run leave by themselves; on a busy machine one may be importing for long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def kill_once(manifest: Path, output: Path, after: float) -> bool:
    """Start, kill -9 after that many seconds of work; True if there still was something to kill."""
    process = start(manifest, output)
    wait_for_work(output, process)
    time.sleep(after)
    killed = process.poll() is None
    if killed:  # a run may be done before its moment comes
        process.send_signal(signal.SIGKILL)
    process.wait()
    if not group_is_gone(process.pid):
        raise SystemExit(f"processes of the killed run are still there (group {process.pid})")
    return killed


def kill_until_hit(manifest: Path, output: Path, after: float, tries: int = 4) -> float | None:
    """When a run was killed; a fresh run that ended before its moment is undone and killed earlier."""
    fresh = not output.exists()
    for attempt in range(tries):
        if kill_once(manifest, output, after / 2**attempt):
            return after / 2**attempt
        if not fresh:
            return None
        shutil.rmtree(output)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100, help="how often to kill")
    parser.add_argument("--kills", type=int, default=1, help="kills of one run before it may end")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = make_corpus(folder / "corpus")
        process = start(manifest, folder / "undisturbed/shards")
        wait_for_work(folder / "undisturbed/shards", process)
        begin = time.monotonic()
        if process.wait():
            raise SystemExit("the undisturbed run failed; run it by hand to see why")
        duration = time.monotonic() - begin
        expected = contents(folder / "undisturbed/shards")
        print(f"undisturbed: {duration:.2f} s of work, {len(expected)} files", flush=True)
        different = hits = 0
        for point in range(options.points):
            output = folder / str(point) / "shards"
            moments = [kill_until_hit(manifest, output, rng.uniform(0, duration)) for _ in range(options.kills)]
            hits += sum(moment is not None for moment in moments)
            if start(manifest, output).wait():
                raise SystemExit(f"point {point}: the run did not continue")
            same = contents(output) == expected
            different += not same
            shown = ", ".join("no moment" if moment is None else f"{moment:.2f} s" for moment in moments)
            print(f"point {point}: killed at {shown}: {'same bytes' if same else 'DIFFERENT'}", flush=True)
        print(
            f"{options.points - different} of {options.points} runs ended with the same bytes; {hits} kills hit",
            flush=True,
        )
        return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
