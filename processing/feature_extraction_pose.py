"""PoseFeatureExtractor: poses in any form -> pose_values (B, T, V, C) and attention_mask (B, T)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin

from .landmark_headers import recognise
from .landmarks import get_layout, layout_for
from .pose_errors import ClipError, LandmarkError, PoseFileError, SignDataError
from .pose_files import PoseClip, check_fps, choose_person, frame_range, read_pose
from .pose_transforms import PoseSettings, prepare_clip

# B batch, T frames, V landmarks, C coordinates

PoseInput = str | os.PathLike | bytes | BinaryIO | PoseClip | np.ndarray | Any


def clip_from_array(values: Any, layout: str | None, fps: float | None) -> PoseClip:
    """A clip from an array (T, V, C), or flattened (T, V * C).

    The layout says what C coordinates are: as many as its extractors write (3 for MediaPipe, 2 for others) are the position;
    one more is the confidence, last. Without confidence, points that are NaN, masked or exactly zero count as undetected.

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
        raise LandmarkError(f"an array of shape {array.shape} does not say which landmarks it holds: pass layout={hint}")
    if fps is None:
        raise ClipError("an array does not say how fast it runs: pass fps= with its frame rate")
    schema = get_layout(layout)
    if array.ndim == 2 and array.shape[1] in (schema.num_points * axes for axes in (2, 3, 4)):
        array = array.reshape(len(array), schema.num_points, -1)
        mask = None if mask is None else mask.reshape(array.shape)
    if array.ndim != 3 or array.shape[1] != schema.num_points or not 2 <= array.shape[2] <= 4:
        raise LandmarkError(
            f"layout {layout} expects an array (T, {schema.num_points}, 2 to 4), found {array.shape}; name the array's own layout, or pass a list of clips"
        )
    array = array.astype(np.float32, copy=False)
    if array.shape[-1] > schema.num_axes:
        points, confidence = array[..., :-1], array[..., -1]
    else:
        points = array
        with np.errstate(invalid="ignore"):
            confidence = ((points != 0).any(axis=-1) & np.isfinite(points).all(axis=-1)).astype(np.float32)
    if mask is not None:
        confidence = np.where(mask.any(axis=-1), np.float32(0), confidence)
    return PoseClip(points, confidence, layout, check_fps(fps, "array"))


def clip_from_pose(pose: Any, fps: float | None = None) -> PoseClip:
    """A clip from a pose_format.Pose (numpy, torch or tensorflow body).

    Raises:
        LandmarkError: for components of no known layout.
    """
    body = pose.body if isinstance(pose.body.data, np.ndarray) else pose.body.numpy()
    layout, places = recognise([(component.name, tuple(component.points)) for component in pose.header.components])
    mask = np.ma.getmaskarray(body.data).any(axis=-1)
    data = np.asarray(np.ma.getdata(body.data), dtype=np.float32)
    confidence = np.where(mask, np.float32(0), np.asarray(body.confidence, dtype=np.float32))
    if data.shape[1] == 0:
        raise ClipError("expected at least one person in the Pose, found none; check the clip and its extractor")
    points, confidence = choose_person(data, confidence, "Pose")
    if places is not None:
        wide = np.full((len(points), layout.num_points, points.shape[-1]), np.nan, dtype=np.float32)
        wide_confidence = np.zeros(wide.shape[:2], dtype=np.float32)
        wide[:, places], wide_confidence[:, places] = points, confidence
        points, confidence = wide, wide_confidence
    size = pose.header.dimensions
    rate = check_fps(float(body.fps) if fps is None else fps, "Pose")
    return PoseClip(points, confidence, layout.name, rate, size.width or None, size.height or None, num_people=data.shape[1])


def _cut(clip: PoseClip, start_ms: float | None, end_ms: float | None) -> PoseClip:
    if start_ms is None and end_ms is None:
        return clip
    first, last = frame_range(clip.num_frames, clip.fps, start_ms, end_ms, clip.source or "clip")
    return dataclasses.replace(clip, points=clip.points[first:last], confidence=clip.confidence[first:last])


def to_clip(
    pose: PoseInput, layout: str | None = None, fps: float | None = None, start_ms: float | None = None, end_ms: float | None = None
) -> PoseClip:
    """A clip from any accepted form: .pose path, its bytes or open file, PoseClip, pose_format.Pose, array with layout and fps.

    `layout` and `fps` are required for arrays. For what knows its own layout a different `layout` is an error; `fps` replaces
    the stated frame rate.
    """
    if isinstance(pose, PoseClip):
        clip = _cut(pose if fps is None else dataclasses.replace(pose, fps=check_fps(fps, pose.source or "clip")), start_ms, end_ms)
    elif isinstance(pose, (str, os.PathLike, bytes, bytearray)) or hasattr(pose, "read"):
        clip = read_pose(pose, start_ms, end_ms, fps)
    elif hasattr(pose, "body") and hasattr(pose, "header"):
        clip = _cut(clip_from_pose(pose, fps), start_ms, end_ms)
    elif hasattr(pose, "__array__"):
        return _cut(clip_from_array(pose, layout, fps), start_ms, end_ms)
    else:
        raise PoseFileError(f"expected a .pose path, bytes, PoseClip, Pose or array, found {type(pose).__name__}; pass one of these, or a list of them")
    if layout is not None and layout != clip.layout:
        raise LandmarkError(f"{clip.source or 'clip'}: expected layout {layout}, found {clip.layout}; leave out layout=, or correct it")
    return clip


def per_clip(value: Any, count: int, name: str) -> list[Any]:
    """One value for each clip, from a list of them or one for all.

    Raises:
        ClipError: if the list's length is not the number of clips.
    """
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ClipError(f"{name}: expected one value, or one for each of {count} clips, found {len(value)}; make the lists equally long")
    return list(value)


class PoseFeatureExtractor(FeatureExtractionMixin):
    """Poses in any form -> `pose_values` (B, T, V, C) float32 and `attention_mask` (B, T) int64, 1 for real frames.

    The last coordinate is the confidence; a missing point is all zeros. Settings travel in `processor_config.json`.

    Args:
        layout, num_coordinates, fps, normalization, assign_hands, max_gap_ms, max_frames: see `PoseSettings`.
        provenance: what made the training poses, such as {"extractor": "mediapipe", "version": "0.10.21"}; for readers of the checkpoint.
    """

    model_input_names = ["pose_values", "attention_mask"]

    def __init__(
        self,
        layout: str = "signing_85",
        num_coordinates: int = 3,
        fps: float = 25.0,
        normalization: str = "shoulders",
        assign_hands: bool = True,
        max_gap_ms: float = 0.0,
        max_frames: int | None = None,
        provenance: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("feature_extractor_type", None)  # written by to_dict, which dumps every attribute
        super().__init__(**kwargs)
        self.layout = layout
        self.num_coordinates = num_coordinates
        self.fps = float(fps)
        self.normalization = normalization
        self.assign_hands = assign_hands
        self.max_gap_ms = float(max_gap_ms)
        self.max_frames = max_frames
        self.provenance = dict(provenance or {})
        _ = self.settings  # checks them

    @property
    def settings(self) -> PoseSettings:
        return PoseSettings(**{field.name: getattr(self, field.name) for field in dataclasses.fields(PoseSettings)})

    @property
    def num_landmarks(self) -> int:
        return get_layout(self.layout).num_points

    def __call__(
        self,
        poses: PoseInput | Sequence[PoseInput],
        layout: str | Sequence[str] | None = None,
        fps: float | Sequence[float] | None = None,
        start_ms: float | Sequence[float | None] | None = None,
        end_ms: float | Sequence[float | None] | None = None,
        padding: bool | str = True,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Model input for one clip or a list of clips.

        Args:
            poses: one clip, or a list: .pose path, bytes or open file, PoseClip, pose_format.Pose, or array (T, V, C).
            layout, fps: of arrays; one for all clips or a list. `fps` also replaces a file's own frame rate.
            start_ms, end_ms: read only this range; one for all clips or a list, None for the clip's own start or end.
            padding: True pads to the longest clip with zeros; False returns lists of arrays.
            return_tensors: "pt", "np" or None (numpy arrays).

        Raises:
            SignDataError: for a clip that cannot be read or understood; says which and what to do.
        """
        clips = list(poses) if isinstance(poses, (list, tuple)) else [poses]
        if not clips:
            raise ClipError("expected at least one clip, found an empty list; pass one clip or a list of clips")
        options = zip(
            *(per_clip(value, len(clips), name) for name, value in (("layout", layout), ("fps", fps), ("start_ms", start_ms), ("end_ms", end_ms))),
            strict=True,
        )
        settings = self.settings
        arrays = []
        for number, (clip, option) in enumerate(zip(clips, options, strict=True)):
            try:
                arrays.append(prepare_clip(to_clip(clip, *option), settings))
            except SignDataError as error:
                if len(clips) == 1:
                    raise
                raise type(error)(f"clip {number + 1} of {len(clips)}: {error}") from error
        if not padding or padding == "do_not_pad":
            masks = [np.ones(len(array), dtype=np.int64) for array in arrays]
            return BatchFeature({"pose_values": arrays, "attention_mask": masks}, tensor_type=return_tensors)
        return self.pad(arrays, return_tensors)

    @staticmethod
    def pad(arrays: Sequence[np.ndarray], return_tensors: str | None = None) -> BatchFeature:
        """Stack prepared clips (T, V, C) with zeros behind the shorter ones."""
        longest = max(map(len, arrays))
        values = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), dtype=np.float32)
        mask = np.zeros((len(arrays), longest), dtype=np.int64)
        for row, array in enumerate(arrays):
            values[row, : len(array)], mask[row, : len(array)] = array, 1
        return BatchFeature({"pose_values": values, "attention_mask": mask}, tensor_type=return_tensors)


PoseFeatureExtractor.register_for_auto_class()  # save_pretrained copies this code beside the weights
