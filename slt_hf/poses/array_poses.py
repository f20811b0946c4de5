"""Poses in numpy arrays: (T, V, C) as they are, and the flat vectors a frame that people save from MediaPipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.errors import ClipError, LandmarkError, PoseFileError
from slt_hf.poses.json_poses import dwpose_people
from slt_hf.poses.numpy_files import as_plain, read_npy, read_npz
from slt_hf.poses.raw_poses import RawPoses, follow_person, frame_places, in_places, mark_missing
from slt_hf.processing.landmark_names import BODY_33, LEFT_HAND_21, RIGHT_HAND_21, mesh
from slt_hf.processing.landmarks import get_layout, layout_for

# T frames, P people, V landmarks, C coordinates, D numbers a frame

# Vectors of MediaPipe results as tutorials save them: by length, the layout and the parts in order. A part with four
# numbers a point has x, y, z and the visibility.
FLAT_VECTORS: dict[int, tuple[str, tuple[tuple[tuple[str, ...], int], ...]]] = {
    126: ("hands_42", ((LEFT_HAND_21, 3), (RIGHT_HAND_21, 3))),
    # MSL-150; its description lists the hands first, but only this order puts the hands at the wrists
    226: ("holistic_75", ((BODY_33[:25], 4), (LEFT_HAND_21, 3), (RIGHT_HAND_21, 3))),
    258: ("holistic_75", ((BODY_33, 4), (LEFT_HAND_21, 3), (RIGHT_HAND_21, 3))),
    1662: ("holistic_543", ((BODY_33, 4), (mesh(range(468)), 3), (LEFT_HAND_21, 3), (RIGHT_HAND_21, 3))),
}
SCORE_KEYS = ("scores", "keypoint_scores", "confidence")
POINT_KEYS = ("keypoints", "poses", "pose", "points")


def read_npy_file(path: Path, layout: str | None, missing_value: float | None) -> RawPoses:
    """A clip from one .npy file: (T, V, C), (T, P, V, C) or (T, D)."""
    content = as_plain(read_npy(path))
    if isinstance(content, Mapping):
        return from_mapping(content, str(path), layout, missing_value)
    return from_array(content, None, str(path), layout, missing_value)


def read_npy_folder(folder: Path, files: Sequence[Path], layout: str | None, missing_value: float | None) -> RawPoses:
    """A clip from one vector or (V, C) array a file; frames without a file are undetected."""
    frames = {place: read_npy(file) for place, file in frame_places(files).items()}
    if len({frame.shape for frame in frames.values()}) > 1:
        raise PoseFileError(f"{folder}: expected frames of one shape, found several; keep one clip a folder")
    return from_array(in_places(frames.items()), None, str(folder), layout, missing_value)


def read_npz_file(path: Path, layout: str | None, missing_value: float | None, sample_id: str | None) -> RawPoses:
    """A clip from the arrays of one .npz file; `sample_id` is the row where `keypoints` holds many clips."""
    arrays = {name: as_plain(array) for name, array in read_npz(path).items()}
    if "num_persons" in arrays:
        return _dwpose_clip({0: arrays}, path)
    if len(arrays) == 1:
        arrays = {"keypoints": next(iter(arrays.values()))}
    key = _key(arrays, POINT_KEYS, str(path))
    points, scores = arrays[key], next((arrays[name] for name in SCORE_KEYS if name in arrays), None)
    rows = (
        len(points) if isinstance(points, np.ndarray) and points.ndim == 3 and points.shape[2] in FLAT_VECTORS else None
    )
    if rows is not None:  # (N, T, D): many clips
        return from_array(points[_row(sample_id, rows, path)], None, str(path), layout, missing_value)  # type: ignore[index]
    return from_array(points, scores, str(path), layout, missing_value)


def read_npz_folder(folder: Path, files: Sequence[Path]) -> RawPoses:
    """DWPose's one .npz a frame."""
    frames = {
        place: {name: as_plain(array) for name, array in read_npz(file).items()}
        for place, file in frame_places(files).items()
    }
    return _dwpose_clip(frames, folder)


def _dwpose_clip(frames: Mapping[int, Mapping[str, Any]], path: Path) -> RawPoses:
    if any("num_persons" not in frame for frame in frames.values()):
        raise PoseFileError(
            f"{path}: expected DWPose's num_persons and person_0 in every frame, found other arrays; use .pose"
        )
    empty = np.empty((0, 128, 3), dtype=np.float32)
    people = [dwpose_people(frames[place], path) if place in frames else empty for place in range(max(frames) + 1)]
    if not any(len(found) for found in people):
        raise ClipError(f"{path}: expected a person in some frame, found nobody; check the video")
    person, num_people = follow_person(people, str(path))
    return RawPoses(person[..., :2], person[..., 2], "dwpose_128", num_people=num_people, fraction=True)


def from_mapping(content: Mapping[str, Any], name: str, layout: str | None, missing_value: float | None) -> RawPoses:
    """Poses and scores from a dictionary with `keypoints` and perhaps `scores`."""
    key = _key(content, POINT_KEYS[:1], name)
    scores = next((content[key] for key in SCORE_KEYS if key in content), None)
    return from_array(content[key], scores, name, layout, missing_value)


def _key(content: Mapping[str, Any], keys: Sequence[str], name: str) -> str:
    found = next((key for key in keys if key in content), None)
    if found is None:
        raise PoseFileError(
            f"{name}: expected the key {keys[0]!r}, found "
            f"{', '.join(map(repr, list(content)[:8])) or 'no keys'}; rename it"
        )
    return found


def _row(sample_id: str | None, rows: int, path: Path) -> int:
    if sample_id is None and rows == 1:
        return 0
    if sample_id is None or not str(sample_id).isdigit() or int(sample_id) >= rows:
        raise PoseFileError(
            f"{path}: expected a sample_id from 0 to {rows - 1}, found {sample_id}; name the row: {path.name}#0"
        )
    return int(sample_id)


def from_array(points: Any, scores: Any, name: str, layout: str | None, missing_value: float | None) -> RawPoses:
    """Poses from an array or nested list: (T, V, C), (T, P, V, C), or one flat vector a frame (T, D).

    Frames may differ in people, and in points where some are missing at the end; what is missing is undetected.

    Raises:
        LandmarkError: points of no known layout. ClipError: no frames. PoseFileError: other shapes, no numbers.
    """
    array = _stacked(points, name)
    if len(array) == 0:
        raise ClipError(f"{name}: expected at least one frame, found none; extract the clip again")
    if array.ndim == 2 and layout is None and array.shape[1] in FLAT_VECTORS:
        return _from_vectors(array)
    if array.ndim == 2:
        array = _unflattened(array, layout, name)
    if array.ndim not in (3, 4):
        raise PoseFileError(
            f"{name}: expected an array (frames, points, coordinates), found shape {array.shape}; reshape it, "
            f"or read features "
            f"with slt_hf.poses.formats.read_features"
        )
    layout = layout or _layout_of(array.shape[-2], name)
    confidence = None if scores is None else _stacked(scores, name)
    axes = get_layout(layout).num_axes
    if confidence is None and array.shape[-1] == axes + 1:  # x, y[, z], confidence
        array, confidence = array[..., :axes], array[..., axes]
    if array.shape[-1] not in (2, 3) or (confidence is not None and confidence.shape != array.shape[:-1]):
        found = "no scores" if confidence is None else f"scores {confidence.shape}"
        raise PoseFileError(
            f"{name}: expected 2 or 3 coordinates a point and as many scores as points, found {array.shape} and {found}"
        )
    return _of_one_person(mark_missing(array, missing_value), confidence, layout, name)


def _of_one_person(array: np.ndarray, confidence: np.ndarray | None, layout: str, name: str) -> RawPoses:
    # pixels are larger than 4; as fractions, landmarks somewhat outside the image are fine
    fraction = bool(np.nan_to_num(np.abs(array[..., :2]), posinf=np.inf).max(initial=0) <= 4)
    if array.ndim == 3:
        return RawPoses(array, confidence, layout, fraction=fraction)
    if confidence is None:
        confidence = (~np.isnan(array[..., 0])).astype(np.float32)
    confidence = np.nan_to_num(confidence)
    joined = np.concatenate([array, confidence[..., None]], axis=-1)
    frames = [frame[(frame[..., -1] > 0).any(axis=-1)] for frame in joined]  # people padded into the array are none
    if not any(map(len, frames)):
        return RawPoses(array[:, 0], confidence[:, 0], layout, num_people=0, fraction=fraction)
    person, num_people = follow_person(frames, name)
    return RawPoses(person[..., :-1], person[..., -1], layout, num_people=num_people, fraction=fraction)


def _stacked(values: Any, name: str) -> np.ndarray:
    """One float32 array out of an array, or of frames that may be ragged or None: NaN where something is missing."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return values.astype(np.float32)
    if not isinstance(values, list | tuple | np.ndarray) or (isinstance(values, np.ndarray) and values.ndim == 0):
        raise PoseFileError(f"{name}: expected an array of keypoints, found {type(values).__name__}; save numbers")
    try:
        frames = [None if frame is None else np.asarray(frame, dtype=np.float32) for frame in values]
    except (TypeError, ValueError):
        raise PoseFileError(
            f"{name}: expected numbers in every frame, found something else; save (frames, points, 2)"
        ) from None
    there = [frame for frame in frames if frame is not None and frame.size]
    if not there:
        raise ClipError(f"{name}: expected a frame with keypoints, found none; extract the clip again")
    if len({frame.ndim for frame in there}) > 1 or len({frame.shape[-1] for frame in there}) > 1:
        raise PoseFileError(
            f"{name}: expected frames of one kind, found shapes {sorted({f.shape for f in there})[:3]}; extract again"
        )
    shape = tuple(max(sides) for sides in zip(*(frame.shape for frame in there), strict=True))
    stacked = np.full((len(frames), *shape), np.nan, dtype=np.float32)
    for place, frame in enumerate(frames):
        if frame is not None and frame.size:
            stacked[place][tuple(map(slice, frame.shape))] = frame
    return stacked


def _from_vectors(array: np.ndarray) -> RawPoses:
    """(T, D) by the table above. A point at exactly 0, 0 was filled in for one that was not found."""
    layout, parts = FLAT_VECTORS[array.shape[1]]
    places = {name: index for index, name in enumerate(get_layout(layout).points)}
    points = np.full((len(array), len(places), 3), np.nan, dtype=np.float32)
    confidence = np.zeros(points.shape[:2], dtype=np.float32)
    start = 0
    for names, width in parts:
        values = array[:, start : start + len(names) * width].reshape(len(array), len(names), width)
        index = [places[name] for name in names]
        points[:, index] = mark_missing(values[..., :3], 0)
        confidence[:, index] = values[..., 3] if width == 4 else 1
        start += len(names) * width
    return RawPoses(points, confidence, layout, fraction=True)


def _unflattened(array: np.ndarray, layout: str | None, name: str) -> np.ndarray:
    """(T, V * C) as (T, V, C), if the layout is named or V of a known layout fits one C only."""
    width = array.shape[1]
    if layout is None:
        raise LandmarkError(
            f"{name}: expected poses (frames, points, coordinates), found {array.shape}, which may be "
            f"features (one vector a frame) "
            f"of no pose; name the layout, or read features with slt_hf.poses.formats.read_features"
        )
    num_points = get_layout(layout).num_points
    if width % num_points or width // num_points not in (2, 3, 4):
        raise LandmarkError(
            f"{name}: expected {num_points} points of {layout} with 2 to 4 numbers each, found {width} numbers a frame"
        )
    return array.reshape(len(array), num_points, width // num_points)


def _layout_of(num_points: int, name: str) -> str:
    layout = layout_for(num_points)
    if layout is None:
        raise LandmarkError(
            f"{name}: expected points of a known layout, found {num_points} points; name the layout (layout=...)"
        )
    return layout.name
