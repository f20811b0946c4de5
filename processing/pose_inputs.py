"""Any accepted form of poses -> PoseClip: .pose path, bytes or file, PoseClip, pose_format.Pose, array. numpy only."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np

from .landmark_headers import recognise
from .landmarks import get_layout, layout_for
from .pose_clip import MAX_COORDINATE, PoseClip, all_axes, check_fps, choose_person, frame_range, within
from .pose_errors import ClipError, LandmarkError, PoseFileError
from .pose_files import read_pose, spread

# T frames, P people, V landmarks, C coordinates

PoseInput = Any  # str | os.PathLike | bytes | BinaryIO | PoseClip | pose_format.Pose | np.ndarray


def clip_from_array(values: Any, layout: str | None, fps: float | None) -> PoseClip:
    """A clip from an array (T, V, C), or flattened (T, V * C).

    The layout says what C coordinates are: as many as its extractors write (3 for MediaPipe, 2 for others) are the
    position; one more is the confidence, last. Without confidence, points that are NaN, masked or exactly zero count
    as undetected.

    Raises:
        LandmarkError: without a layout, or if the array does not fit it.
        ClipError: without a frame rate, or if the array is no numbers.
    """
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise ClipError(f"expected an array of numbers, found dtype {array.dtype}; convert it to float32")
    if layout is None:
        guess = layout_for(array.shape[1]) if array.ndim == 3 else None
        hint = f"; {array.shape[1]} points suggest layout={guess.name!r}" if guess else ""
        raise LandmarkError(
            f"an array of shape {array.shape} does not say which landmarks it holds: pass layout= with their name{hint}"
        )
    if fps is None:
        raise ClipError("an array does not say how fast it runs: pass fps= with its frame rate")
    schema = get_layout(layout)
    if array.ndim == 2 and array.shape[1] in (schema.num_points * axes for axes in (2, 3, 4)):
        array = array.reshape(len(array), schema.num_points, -1)
        mask = None if mask is None else mask.reshape(array.shape)
    if array.ndim != 3 or array.shape[1] != schema.num_points or not 2 <= array.shape[2] <= 4:
        raise LandmarkError(
            f"layout {layout} expects an array (T, {schema.num_points}, 2 to 4), found {array.shape}; name the array's "
            "own layout, or pass a list of clips"
        )
    array = array.astype(np.float32, copy=False)
    if array.shape[-1] > schema.num_axes:
        points, confidence = array[..., :-1], array[..., -1]
    else:
        points = array
        confidence = (within(points, MAX_COORDINATE) & ~all_axes(points == 0)).astype(np.float32)
    if mask is not None:
        confidence = np.where(all_axes(~mask), confidence, np.float32(0))
    return PoseClip(points, confidence, layout, check_fps(fps, "array"))


def clip_from_pose(pose: Any, fps: float | None = None) -> PoseClip:
    """A clip from a pose_format.Pose (numpy, torch or tensorflow body).

    Raises:
        LandmarkError: for components of no known layout.
    """
    body = pose.body
    masked = body.data if isinstance(body.data, np.ndarray) else body.data.tensor  # a torch or tensorflow body
    layout, places = recognise(tuple((part.name, tuple(part.points)) for part in pose.header.components))
    mask = ~all_axes(~np.ma.getmaskarray(masked)) if isinstance(masked, np.ndarray) else False
    data = np.asarray(np.ma.getdata(masked), dtype=np.float32)
    confidence = np.where(mask, np.float32(0), np.asarray(body.confidence, dtype=np.float32))
    if data.shape[1] == 0:
        raise ClipError("expected at least one person in the Pose, found none; check the clip and its extractor")
    points, confidence = choose_person(data, confidence, "Pose")
    if places is not None:
        points, confidence = spread(points, confidence, places, layout.num_points)
    size = pose.header.dimensions
    rate = check_fps(float(body.fps) if fps is None else fps, "Pose")
    return PoseClip(
        points, confidence, layout.name, rate, size.width or None, size.height or None, num_people=data.shape[1]
    )


def _cut(clip: PoseClip, start_ms: float | None, end_ms: float | None) -> PoseClip:
    if start_ms is None and end_ms is None:
        return clip
    first, last = frame_range(clip.num_frames, clip.fps, start_ms, end_ms, clip.name)
    hands = None if clip.hands is None else clip.hands.take(slice(first, last))
    return dataclasses.replace(
        clip, points=clip.points[first:last], confidence=clip.confidence[first:last], hands=hands
    )


def to_clip(
    pose: PoseInput,
    layout: str | None = None,
    fps: float | None = None,
    start_ms: float | None = None,
    end_ms: float | None = None,
) -> PoseClip:
    """A clip from any accepted form: .pose path, its bytes or open file, PoseClip, pose_format.Pose, array with layout
    and fps.

    `layout` and `fps` are required for arrays. For what knows its own layout a different `layout` is an error; `fps`
    replaces the stated frame rate.
    """
    if isinstance(pose, PoseClip):
        clip = _cut(pose if fps is None else dataclasses.replace(pose, fps=check_fps(fps, pose.name)), start_ms, end_ms)
    elif hasattr(pose, "body") and hasattr(pose, "header"):  # before files: a Pose has a method `read` too
        clip = _cut(clip_from_pose(pose, fps), start_ms, end_ms)
    elif isinstance(pose, (str, os.PathLike, bytes, bytearray)) or hasattr(pose, "read"):
        clip = read_pose(pose, start_ms, end_ms, fps)
    elif hasattr(pose, "__array__"):
        return _cut(clip_from_array(pose, layout, fps), start_ms, end_ms)
    else:
        raise PoseFileError(
            f"expected a .pose path, bytes, PoseClip, Pose or array, found {type(pose).__name__}; pass one of these, "
            "or a list of them"
        )
    if layout is not None and layout != clip.layout:
        raise LandmarkError(
            f"{clip.source or 'clip'}: expected layout {layout}, found {clip.layout}; leave out layout=, or correct it"
        )
    return clip


def per_clip(value: Any, count: int, name: str) -> list[Any]:
    """One value for each clip, from a list of them or one for all.

    Raises:
        ClipError: if the list's length is not the number of clips.
    """
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ClipError(
            f"{name}: expected one value, or one for each of {count} clips, found {len(value)}; make the lists equally "
            "long"
        )
    return list(value)
