"""What the commands share: one JSON object a line, and progress on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slt_hf.clips import is_video

WIDTH = 30  # characters of a progress bar
LOG_SECONDS = 10.0  # between lines of progress in a log


def print_json(**values: Any) -> None:
    """One object on one line of stdout, in the order given."""
    print(json.dumps(values, ensure_ascii=False), flush=True)


@contextmanager
def frame_progress(path: Path, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar on stderr that is told how many of a video's frames are done."""
    total = frames_of(path) if shown and is_video(path) else None
    told = False

    def report(done: int) -> None:
        nonlocal told
        if shown:
            told = True
            print(f"\r{path.name}: {bar(done, total)} frames", end="", file=sys.stderr, flush=True)

    yield report
    if told:
        print(file=sys.stderr)


@contextmanager
def clip_progress(total: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """How many clips of a folder are done, on stderr: a bar on a terminal, elsewhere a line every `LOG_SECONDS`.

    What it gives is called after each clip, with the number of those that failed so far.
    """
    terminal, done, due = sys.stderr.isatty(), 0, time.monotonic() + LOG_SECONDS

    def report(failed: int) -> None:
        nonlocal done, due
        done += 1
        told = f"{bar(done, total)} clips{f', {failed} failed' if failed else ''}"
        if shown and terminal:
            print(f"\r{told}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif shown and (done == total or time.monotonic() > due):
            due = time.monotonic() + LOG_SECONDS
            print(told.split("] ")[-1], file=sys.stderr, flush=True)

    yield report


def frames_of(path: Path) -> int | None:
    """How many frames the container states; only good for a bar."""
    from slt_hf.poses.video import probe_video

    return probe_video(path).num_frames


def bar(done: int, total: int | None) -> str:
    if not total:
        return str(done)
    filled = min(WIDTH, WIDTH * done // total)
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {done} of {total}"
