"""Read any pose file: `read_clip` goes by the ending, and by the content where endings are shared.

.pose                       pose-format 0.0 to 0.2
folder of .json             OpenPose or DWPose, a file a frame        (also a single such file)
.json                       COCO-WholeBody frames of MMPose or rtmlib
folder of .npy, .npz        MediaPipe vectors or DWPose, a file a frame
.npy, .npz                  (T, V, C), (T, P, V, C), MediaPipe vectors (T, D); many clips: words.npz#17
.pkl, .pickle, .gz          {keypoints, scores} as Uni-Sign has them; {id: {keypoints}}: data.pkl#ID
.parquet                    landmark tables of the Google isolated sign recognition competition
.skels                      PHOENIX-2014T skeletons of Progressive Transformers: dev.skels#0
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.errors import ClipError, LandmarkError, PoseFileError
from slt_hf.poses.array_poses import (
    from_array,
    from_mapping,
    read_npy_file,
    read_npy_folder,
    read_npz_file,
    read_npz_folder,
)
from slt_hf.poses.json_poses import read_json_file, read_json_folder
from slt_hf.poses.numpy_files import read_npy, version_of
from slt_hf.poses.raw_poses import RawPoses
from slt_hf.poses.safe_pickle import load_pickle
from slt_hf.poses.table_poses import read_landmark_table, read_skels
from slt_hf.processing.pose_clip import PoseClip, PoseWarning, check_fps, clean, frame_range
from slt_hf.processing.pose_files import read_pose, read_pose_header

DEFAULT_FPS = 25.0  # of files that do not say: the rate of PAL cameras, and of WLASL and PHOENIX
ENDINGS = (".pose", ".json", ".npy", ".npz", ".pkl", ".pickle", ".gz", ".parquet", ".skels")


def read_clip(
    source: str | os.PathLike | bytes,
    layout: str | None = None,
    fps: float | None = None,
    start_ms: float | None = None,
    end_ms: float | None = None,
    *,
    sample_id: str | None = None,
    width: int | None = None,
    height: int | None = None,
    missing_value: float | None = 0.0,
    default_fps: float | None = None,
) -> PoseClip:
    """One person's landmarks from any pose file.

    Args:
        source: path of a file or folder, with `#ID` for one clip of many; or the bytes of a `.pose` file.
        layout: of arrays whose number of points does not tell.
        fps: replaces the rate that the file says.
        start_ms, end_ms: only the frames of this range.
        sample_id: which clip, of a file that holds many: an id, or a row number.
        width, height: image size in pixels: scales files that give fractions of the image, which distorts.
        missing_value: in arrays, a point whose x and y both have this value was not found; -1 for files that write -1.
        default_fps: of files that do not say, such as the rate in a manifest. Without any, 25 with a warning.

    Returns:
        The clip. Of several people the one seen most surely is followed through the frames, with a warning.

    Raises:
        PoseFileError, LandmarkError, ClipError: what is wrong, where, and what to do. Nothing is ever unpickled.
    """
    if isinstance(source, bytes):
        return read_pose(source, start_ms, end_ms, fps)
    path, sample_id = _place(source, sample_id)
    if path.suffix.lower() == ".pose":
        if fps is None and default_fps is not None and read_pose_header(path).fps <= 0:
            fps = default_fps
        return read_pose(path, start_ms, end_ms, fps)
    raw = _read(path, layout, sample_id, missing_value)
    if layout is not None and raw.layout != layout:
        raise LandmarkError(f"{path}: expected {layout} as asked, found a file of {raw.layout}; leave the layout out")
    rate = _rate(raw, fps, default_fps, str(source))
    return _clip(raw, str(source), rate, start_ms, end_ms, width, height)


def _place(source: str | os.PathLike, sample_id: str | None) -> tuple[Path, str | None]:
    """The path, and the clip in it: `data.pkl#ID` unless there is a file of that very name."""
    path = Path(source)
    if path.exists() or "#" not in str(source):
        return path, sample_id
    name, _, inner = str(source).rpartition("#")
    return Path(name), sample_id if sample_id is not None else inner


def _read(path: Path, layout: str | None, sample_id: str | None, missing_value: float | None) -> RawPoses:
    if path.is_dir():
        return _read_folder(path, layout, missing_value)
    if not path.exists():
        raise PoseFileError(f"{path}: expected a pose file, found nothing; check the path")
    ending = path.suffix.lower()
    if ending == ".json":
        return read_json_file(path)
    if ending == ".npy":
        return read_npy_file(path, layout, missing_value)
    if ending == ".npz":
        return read_npz_file(path, layout, missing_value, sample_id)
    if ending in (".pkl", ".pickle", ".gz"):
        return _read_pickle(path, layout, missing_value, sample_id)
    if ending == ".parquet":
        return read_landmark_table(path)
    if ending == ".skels":
        return read_skels(path, sample_id)
    raise PoseFileError(
        f"{path}: expected an ending among {', '.join(ENDINGS)}, found {ending or 'none'}; convert the file to .pose"
    )


def _read_folder(path: Path, layout: str | None, missing_value: float | None) -> RawPoses:
    files = sorted(entry for entry in path.iterdir() if entry.suffix in (".json", ".npy", ".npz"))
    endings = {file.suffix for file in files}
    if len(endings) != 1:
        found = "a mixture" if endings else "none"
        raise PoseFileError(
            f"{path}: expected a folder with one .json, .npy or .npz a frame, found {found}; keep one clip a folder"
        )
    if endings == {".json"}:
        return read_json_folder(path, files)
    return read_npy_folder(path, files, layout, missing_value) if endings == {".npy"} else read_npz_folder(path, files)


def _read_pickle(path: Path, layout: str | None, missing_value: float | None, sample_id: str | None) -> RawPoses:
    content = _load_pickle(path, version_of(path))
    if not isinstance(content, Mapping):
        return from_array(content, None, str(path), layout, missing_value)
    entry = _entry(content, path, sample_id)
    if isinstance(entry, Mapping):
        return from_mapping(entry, str(path), layout, missing_value)
    return from_array(entry, None, str(path), layout, missing_value)


@lru_cache(maxsize=1)
def _load_pickle(path: Path, version: tuple[int, int] | None) -> Any:
    """The last pickle read is kept, since files of many clips are read clip by clip."""
    return load_pickle(path)


def _entry(content: Mapping[Any, Any], path: Path, sample_id: str | None) -> Any:
    """The content itself if it is one clip, else the clip of that id: {id: {keypoints: ...}}."""
    if "keypoints" in content or not content or not all(isinstance(entry, Mapping) for entry in content.values()):
        return content
    by_name = {str(key): entry for key, entry in content.items()}
    if sample_id is None and len(by_name) == 1:
        return next(iter(by_name.values()))
    if sample_id is None or str(sample_id) not in by_name:
        some = ", ".join(list(by_name)[:5])
        raise PoseFileError(
            f"{path}: expected the id of one of {len(by_name)} clips ({some}, ...), found {sample_id}; pass "
            f"sample_id, or --sample-id"
        )
    return by_name[str(sample_id)]


def _rate(raw: RawPoses, fps: float | None, default_fps: float | None, name: str) -> float:
    rate = next((rate for rate in (fps, raw.fps, default_fps) if rate is not None), None)
    if rate is None:
        rate = DEFAULT_FPS
        if len(raw.points) > 1:  # the same text for all files, so that it is shown once
            text = f"this kind of file has no frame rate: {rate:g} fps are assumed; pass fps="
            warnings.warn(text, PoseWarning, stacklevel=3)
    return check_fps(rate, name)


def _clip(
    raw: RawPoses,
    name: str,
    rate: float,
    start_ms: float | None,
    end_ms: float | None,
    width: int | None,
    height: int | None,
) -> PoseClip:
    if len(raw.points) == 0:
        raise ClipError(f"{name}: expected at least one frame, found none; extract the clip again")
    first, last = frame_range(len(raw.points), rate, start_ms, end_ms, name)
    points, seen = raw.points[first:last], None if raw.confidence is None else raw.confidence[first:last]
    points, confidence = clean(points, np.ones(points.shape[:2], np.float32) if seen is None else seen)
    if raw.fraction and width and height:
        points = points * np.array(
            [width, height, width][: points.shape[2]], dtype=np.float32
        )  # z is in units of the width
    return PoseClip(points, confidence, raw.layout, rate, width, height, raw.num_people, name)


@dataclass
class FeatureClip:
    """Feature vectors over time, such as I3D's: values (T, D) float32, mask (T,) 0 where a frame is not finite, fps."""

    values: np.ndarray
    mask: np.ndarray
    fps: float | None = None
    source: str | None = None


def read_features(path: str | os.PathLike, fps: float | None = None) -> FeatureClip:
    """Feature vectors from a .npy file; a frame that is not finite is zeros and masked.

    Raises:
        PoseFileError: damage, objects, or another shape than (T, D). ClipError: no frames.
    """
    values = read_npy(Path(path))
    if values.dtype.kind not in "fiu" or values.ndim != 2:
        raise PoseFileError(
            f"{path}: expected features (frames, width), found shape {values.shape} of {values.dtype}; reshape them"
        )
    if len(values) == 0:
        raise ClipError(f"{path}: expected at least one frame, found none; extract the features again")
    values = values.astype(np.float32)
    mask = np.isfinite(values).all(axis=1)
    return FeatureClip(np.where(mask[:, None], values, np.float32(0)), mask.astype(np.int64), fps, str(path))
