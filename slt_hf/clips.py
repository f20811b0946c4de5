"""Any file that shows signing -> PoseClip: every kind of pose file, and videos by way of pose extraction."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slt_hf.processing.pose_files import PoseClip

VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"}


def is_video(source: Any) -> bool:
    return isinstance(source, str | os.PathLike) and Path(source).suffix.lower() in VIDEO_SUFFIXES


def load_clip(
    source: Any,
    layout: str | None = None,
    fps: float | None = None,
    start_ms: float | None = None,
    end_ms: float | None = None,
    sample_id: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> PoseClip:
    """Read whatever shows signing.

    Args:
        source: path of a pose file or video, bytes of a `.pose` file, PoseClip, pose-format Pose, or array (T, V, C).
        layout, fps: of sources that do not say so themselves.
        start_ms, end_ms: only this part.
        sample_id: which sample, of a file that holds many.
        progress: called with the number of frames done while a video's poses are extracted.

    Raises:
        SignDataError: if it cannot be read or understood.
    """
    from slt_hf.processing.pose_inputs import to_clip

    if is_video(source):
        from slt_hf.poses.extraction import extract_pose

        return extract_pose(source, start_ms, end_ms, progress=progress)
    if isinstance(source, str | os.PathLike) and Path(source).suffix.lower() != ".pose":
        from slt_hf.poses.formats import read_clip

        return read_clip(source, layout=layout, fps=fps, start_ms=start_ms, end_ms=end_ms, sample_id=sample_id)
    return to_clip(source, layout, fps, start_ms, end_ms)
