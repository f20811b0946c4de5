"""Corrections: a user's better text for a clip becomes a row of a manifest, where whoever runs the server opted in.

`--corrections FOLDER` keeps the poses that a user sends together with a better text, and nothing else: never pictures,
and no clip that nobody chose to send. The folder is a data set, which `slt-hf prepare` and training read.
"""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.errors import ClipError
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_clip import PoseClip, check_fps, clean
from slt_hf.processing.pose_files import pose_bytes
from slt_hf.serving.errors import OverloadedError
from slt_hf.serving.frames import BYTES_PER_POINT, HEADER, read_frame

MANIFEST = "manifest.jsonl"
LONGEST_TEXT = 1000  # characters
UNITS = 1000  # of a frame's points, whose longer side is 1, in a pose file, which is in pixels


class Corrections:
    """A folder that grows to a bound."""

    def __init__(self, folder: Path, max_bytes: int):
        self.folder, self.max_bytes = folder, max_bytes
        self.lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self.size = sum(path.stat().st_size for path in folder.iterdir())
        self.kept = kept_in(folder / MANIFEST)

    def add(self, clip: PoseClip, text: str, read: str, model: str) -> str:
        """Keep a clip and its text; the same clip with the same text is kept once.

        Returns:
            The row's id.

        Raises:
            ClipError: if there is no text, or too much of it.
            OverloadedError: if the folder is full.
        """
        text = " ".join(text.split())
        if not 0 < len(text) <= LONGEST_TEXT:
            raise ClipError(f"expected a text of 1 to {LONGEST_TEXT} characters, found {len(text)}; correct it")
        body = pose_bytes(clip)
        name = hashlib.sha256(body + text.encode()).hexdigest()[:32]
        row = {"id": name, "pose": f"{name}.pose", "text": text}
        row["source"] = json.dumps(
            {"read": read[:LONGEST_TEXT], "model": model, "sent": f"{datetime.now(UTC):%Y-%m-%d}"}
        )
        line = json.dumps(row, ensure_ascii=False) + "\n"
        size = len(body) + len(line.encode())
        with self.lock:
            if name in self.kept:
                return name
            if self.size + size > self.max_bytes:
                raise OverloadedError(
                    "expected room for corrections, found none; whoever runs the server must empty it"
                )
            (self.folder / row["pose"]).write_bytes(body)
            with (self.folder / MANIFEST).open("a", encoding="utf-8") as manifest:
                manifest.write(line)
            self.size += size
            self.kept.add(name)
        return name


def kept_in(manifest: Path) -> set[str]:
    """Ids of the rows that were written whole; a row that was cut short is taken away, and may come again."""
    if not manifest.is_file():
        return set()
    text = manifest.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        manifest.write_text(whole, encoding="utf-8")
    return {json.loads(line)["id"] for line in whole.split("\n") if line.strip()}


def clip_of_frames(body: bytes, layout: str) -> PoseClip:
    """Frames of a stream, one behind another, as the page keeps them for as long as it is open.

    Raises:
        ClipError: if they are none, or their times do not go forward.
    """
    num_points = get_layout(layout).num_points
    size = HEADER.size + num_points * BYTES_PER_POINT
    if len(body) < 2 * size or len(body) % size:
        raise ClipError(f"expected at least two frames of {size} bytes, found {len(body)} bytes; name the layout")
    frames: list[Any] = [read_frame(body[at : at + size], num_points) for at in range(0, len(body), size)]
    times = np.array([frame[0] for frame in frames])
    steps = np.diff(times)
    if not np.isfinite(times).all() or (steps <= 0).any():
        raise ClipError("expected frames whose times go forward, found others; send them as they were taken")
    points = np.stack([frame[2] for frame in frames]) * UNITS
    points, confidence = clean(points, np.stack([frame[3] for frame in frames]))
    return PoseClip(points, confidence, layout, check_fps(float(1000 / np.median(steps)), "frames"))
