"""Any file that shows signing -> PoseClip: every kind of pose file, and videos and pictures by way of extraction."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slt_hf.errors import ClipError
from slt_hf.processing.pose_files import PoseClip

VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".swf", ".webm"}


def is_video(source: Any) -> bool:
    """Whether a path names frames: a video, a picture (a clip of one frame), or pictures as `folder/*.png`."""
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source)
    if path.suffix.lower() == ".pose":
        return False  # before PyAV is imported, which takes as long as a translation
    from slt_hf.processing.video_frames import is_pictures

    return path.suffix.lower() in VIDEO_SUFFIXES or is_pictures(path)


def clips_in(folder: Path, frames: bool = False) -> list[Path]:
    """The clips in a folder and its subfolders, sorted by path; a folder that is one clip (a file a frame) alone.

    Args:
        frames: for a checkpoint that sees frames: videos and pictures. Otherwise `.pose` files, and the videos and
            pictures that have none of their name beside them.

    Raises:
        ClipError: if there is none.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    pictures = [path for path in files if is_video(path)]
    if frames:
        found = pictures
    else:
        poses = [path for path in files if path.suffix.lower() == ".pose"]
        done = {path.with_suffix("") for path in poses}
        found = sorted(poses + [path for path in pictures if path.with_suffix("") not in done])
        found = found or [folder] * any(path.parent == folder for path in files)
    if not found:
        wanted = "videos or pictures" if frames else "poses, videos or pictures"
        raise ClipError(f"{folder}: expected a folder with {wanted}, found none; name another one")
    return found


def video_beside(clip: Path, video: Path | None = None) -> Path | None:
    """The video that a pose file's poses were found in.

    Args:
        video: the video itself, or a folder that has one of the clip's name; None looks beside the clip.

    Returns:
        None for a clip that is a video itself, or where there is none of its name.

    Raises:
        ClipError: if the folder has none.
    """
    if is_video(clip):
        return None
    if video is not None and not video.is_dir():
        return video
    folder = clip.parent if video is None else video
    found = [path for suffix in sorted(VIDEO_SUFFIXES) if (path := folder / f"{clip.stem}{suffix}").is_file()]
    if not found and video is not None:
        raise ClipError(f"{clip}: expected a video of its name in {video}, found none; add it, or leave the clip out")
    return found[0] if found else None


def load_clip(
    source: Any,
    layout: str | None = None,
    fps: float | None = None,
    start_ms: float | None = None,
    end_ms: float | None = None,
    sample_id: str | None = None,
    progress: Callable[[int], None] | None = None,
    extractor: Any = None,
    video: Any = None,
) -> PoseClip:
    """Read whatever shows signing.

    Args:
        source: path of a pose file, video or picture, bytes of a `.pose` file, PoseClip, pose-format Pose, or array
            (T, V, C).
        layout, fps: of sources that do not say so themselves.
        start_ms, end_ms: only this part.
        sample_id: which sample, of a file that holds many.
        progress: called with the number of frames done while a video's poses are extracted.
        extractor: an open one of `slt_hf.poses.extraction`, which serves many videos; one is opened without it.
        video: what the poses were found in, from the same beginning: the clip then knows where its hands are to be
            seen, as one does whose poses are found here.

    Raises:
        SignDataError: if it cannot be read or understood.
    """
    from slt_hf.processing.pose_inputs import to_clip

    if video is not None:
        from slt_hf.processing.hand_crops import with_hands

        clip = load_clip(source, layout, fps, start_ms, end_ms, sample_id, progress, extractor)
        return with_hands(clip, video, start_ms, whole=end_ms is None)
    if is_video(source):
        from slt_hf.poses.extraction import extract_pose

        extract = extract_pose if extractor is None else extractor.extract
        return extract(source, start_ms, end_ms, progress=progress)
    if isinstance(source, str | os.PathLike) and Path(source).suffix.lower() != ".pose":
        from slt_hf.poses.formats import read_clip

        return read_clip(source, layout=layout, fps=fps, start_ms=start_ms, end_ms=end_ms, sample_id=sample_id)
    return to_clip(source, layout, fps, start_ms, end_ms)
