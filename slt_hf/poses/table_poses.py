"""Poses in tables: landmark Parquet of Google's isolated sign competition, skeleton text of PHOENIX-2014T."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.errors import PoseFileError
from slt_hf.poses.raw_poses import RawPoses
from slt_hf.processing.landmarks import get_layout

PART_STARTS = {"pose": 0, "face": 33, "left_hand": 501, "right_hand": 522}  # in holistic_543
PART_SIZES = {"pose": 33, "face": 468, "left_hand": 21, "right_hand": 21}
COLUMNS = ("frame", "type", "landmark_index", "x", "y", "z")
SKELS_JOINTS = 50  # x, y, z each, then a counter from 0 to 1 (Progressive Transformers, data/README)
SKELS_FPS = 25.0


def read_landmark_table(path: Path) -> RawPoses:
    """One row a landmark and frame; x and y as fractions of the image, NaN where not found."""
    frames, kinds, indices, positions = _columns(path)
    if len(frames) == 0:
        raise PoseFileError(f"{path}: expected rows of landmarks, found none; copy the file again")
    span = int(frames.max()) - int(frames.min()) + 1
    if span > 10 * len(np.unique(frames)) + 100:
        raise PoseFileError(
            f"{path}: expected frames close together, found numbers over {span} frames; keep one clip a file"
        )
    sizes = np.array([PART_SIZES.get(kind, 0) for kind in kinds])
    if ((indices < 0) | (indices >= sizes)).any():
        raise PoseFileError(
            f"{path}: expected types {', '.join(PART_STARTS)} with their landmarks, found others; use .pose"
        )
    places = np.array([PART_STARTS[kind] for kind in kinds]) + indices
    points = np.full((span, get_layout("holistic_543").num_points, 3), np.nan, dtype=np.float32)
    points[frames - frames.min(), places] = positions
    return RawPoses(points, None, "holistic_543", fraction=True)


def _columns(path: Path) -> tuple[np.ndarray, list[Any], np.ndarray, np.ndarray]:
    """Frame (N,), type (N), landmark (N,) and position (N, 3) of all rows."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(path)
        missing = [column for column in COLUMNS if column not in table.column_names]
        if not missing:
            frames, indices = (table[column].to_numpy().astype(np.int64) for column in ("frame", "landmark_index"))
            positions = np.stack([table[axis].to_numpy().astype(np.float32) for axis in ("x", "y", "z")], axis=-1)
            return frames, table["type"].to_pylist(), indices, positions
    except (OSError, arrow.ArrowException, ValueError, TypeError) as error:
        raise PoseFileError(f"{path}: expected a Parquet file, found damage ({error}); copy the file again") from None
    raise PoseFileError(
        f"{path}: expected the columns {', '.join(COLUMNS)}, found {', '.join(table.column_names)}; use .pose"
    )


def read_skels(path: Path, sample_id: str | None) -> RawPoses:
    """One line a sentence; `sample_id` is the line from 0, or its name in the `.files` list beside the file."""
    # damaged bytes become text that is no number, which `_numbers` reports
    lines = [line for line in path.read_text(encoding="ascii", errors="replace").splitlines() if line.strip()]
    values = _numbers(lines[_line(path, len(lines), sample_id)], path)
    points = values.reshape(-1, SKELS_JOINTS * 3 + 1)[:, :-1].reshape(-1, SKELS_JOINTS, 3)
    return RawPoses(points, None, "openpose_50", fps=SKELS_FPS)  # centred on the neck: 0, 0 is a place here, not a gap


def _numbers(line: str, path: Path) -> np.ndarray:
    try:
        values = np.array(line.split(), dtype=np.float32)
    except ValueError:
        raise PoseFileError(f"{path}: expected numbers separated by spaces, found text; copy the file again") from None
    if len(values) % (SKELS_JOINTS * 3 + 1):
        raise PoseFileError(
            f"{path}: expected {SKELS_JOINTS * 3 + 1} numbers a frame, found {len(values)} in a line, which "
            f"does not divide; "
            f"copy the file again"
        )
    return values


def _line(path: Path, count: int, sample_id: str | None) -> int:
    if sample_id is None and count == 1:
        return 0
    names = path.with_suffix(".files")
    known = names.read_text(encoding="utf-8").split() if names.is_file() else []
    if sample_id in known and known.index(sample_id) < count:
        return known.index(sample_id)
    if sample_id is not None and str(sample_id).isdigit() and int(sample_id) < count:
        return int(sample_id)
    some = f" or a name such as {known[0]}" if known else ""
    raise PoseFileError(
        f"{path}: expected a sample_id from 0 to {count - 1}{some}, found {sample_id}; name the line: {path.name}#0"
    )
