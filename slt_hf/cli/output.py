"""What the commands share: one JSON object a line, and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slt_hf.clips import is_video

WIDTH = 30  # characters of a progress bar


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


def frames_of(path: Path) -> int | None:
    """How many frames the container states; only good for a bar."""
    from slt_hf.poses.video import probe_video

    return probe_video(path).num_frames


def bar(done: int, total: int | None) -> str:
    if not total:
        return str(done)
    filled = min(WIDTH, WIDTH * done // total)
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {done} of {total}"
