"""From a clip of poses to the array a model reads: pure functions on (T, V, C), vectorised over frames, numpy only.

    prepare_clip(clip, PoseSettings())      # (T', V', C') float32: x, y[, z], confidence; missing points are all zero

Each step stands alone: `assign_hands` and `convert` (landmarks.py), `signer_frame` and `normalize`
(pose_normalization.py), `fill_gaps` and `resample` (pose_resampling.py).
"""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass

import numpy as np

from .hand_geometry import hand_depth, mirrored, signs_with_left
from .landmarks import assign_hands, convert, get_layout, shared_landmarks
from .pose_clip import PoseClip, PoseWarning, check_fps
from .pose_errors import ClipError, LandmarkError
from .pose_normalization import (
    NORMALIZATIONS,
    SignerFrame,
    detected,
    mask,
    normalize_as,
    normalize_at_once,
    signer_frame,
)
from .pose_resampling import fill_gaps, resample

# T frames, V landmarks, C coordinates

__all__ = ["PoseSettings", "SignerFrame", "fill_gaps", "prepare_clip", "resample", "signer_frame"]


@dataclass(frozen=True)
class PoseSettings:
    """What a checkpoint expects of its poses. Saved in `processor_config.json`."""

    layout: str = "signing_85"
    """Landmark layout of the model input"""
    num_coordinates: int = 3
    """3: x, y, confidence; 4: x, y, z, confidence"""
    fps: float = 25.0
    """Frames per second of the model input"""
    normalization: str = "shoulders"
    """"shoulders": centre between the shoulders, shoulder width 1, both medians over the clip; "hands": the hands' own
    frame; "box": Uni-Sign's clip box with hands and face relative to wrist and nose; "max": divided by the clip's
    largest coordinate (system 001); "none": as they come"""
    assign_hands: bool = True
    """Put each hand into the slot of the nearest body wrist, instead of trusting the detector's left and right"""
    signing_hand: str | None = None
    """"right": a clip signed with the left hand is mirrored, so that either hand means the same; None leaves it"""
    depth: str = "given"
    """With 4 coordinates: "given" keeps the extractor's z; "hands" takes z from each wrist, on the scale of x and y"""
    max_gap_ms: float = 0.0
    """Gaps up to this long are filled in between their neighbours; 0 leaves every gap masked"""
    max_frames: int | None = None
    """Longer clips are cut to this many frames, with a warning; None takes all"""

    def __post_init__(self) -> None:
        get_layout(self.layout)
        if self.num_coordinates not in (3, 4):
            raise LandmarkError(
                "num_coordinates: expected 3 (x, y, confidence) or 4 (x, y, z, confidence), found "
                f"{self.num_coordinates}"
            )
        if self.normalization not in NORMALIZATIONS:
            raise LandmarkError(
                f"normalization: expected one of {', '.join(NORMALIZATIONS)}, found {self.normalization!r}"
            )
        if self.signing_hand not in (None, "right"):
            raise LandmarkError(f"signing_hand: expected None or 'right', found {self.signing_hand!r}")
        if self.depth not in ("given", "hands"):
            raise LandmarkError(f"depth: expected 'given' or 'hands', found {self.depth!r}")
        check_fps(self.fps, "settings")


def _check_clip(clip: PoseClip, settings: PoseSettings) -> None:
    if clip.points.ndim != 3 or clip.points.shape[:2] != clip.confidence.shape:
        raise ClipError(
            f"{clip.name}: expected points (T, V, C) and confidence (T, V), found {clip.points.shape} and "
            f"{clip.confidence.shape}; fix the shapes"
        )
    if clip.num_frames == 0:
        raise ClipError(f"{clip.name}: expected at least one frame, found none; check the clip and its time range")
    check_fps(clip.fps, clip.name)
    source, target = get_layout(clip.layout), get_layout(settings.layout)
    shared = shared_landmarks(clip.layout, settings.layout)
    has_hands = any(part.endswith("_hand") for part in source.parts)
    if shared == 0 or (not has_hands and any(part.endswith("_hand") for part in target.parts)):
        raise LandmarkError(
            f"{clip.name}: the model reads layout {target.name} with {target.num_points} landmarks, and layout "
            f"{source.name} gives {shared} of them{'' if has_hands else ' and no hands'}; "
            f"extract poses with hands, or use a checkpoint for {source.name}"
        )


def prepare_clip(clip: PoseClip, settings: PoseSettings, frame: SignerFrame | None = None) -> np.ndarray:
    """A clip as a model reads it.

    Args:
        clip: landmarks in any layout, at any frame rate, in any unit.
        settings: what the model expects.
        frame: where the signer stands, if known; measured on the clip otherwise.

    Returns:
        (T', V', C') float32: x, y[, z], confidence. A missing point is all zeros; its confidence 0 is what masks it.

    Raises:
        ClipError: nobody is seen in any frame, or the clip has no frames or an absurd frame rate.
        LandmarkError: the clip's layout cannot feed the model, or does not fit the clip.
    """
    _check_clip(clip, settings)
    points, confidence = _assigned(clip, settings)
    if settings.signing_hand and signs_with_left(points, confidence, clip.layout):
        points, confidence = mirrored(points, confidence, clip.layout)
        clip = dataclasses.replace(clip, points=points, confidence=confidence)  # the frame is measured on it
        frame = frame and dataclasses.replace(frame, centre=(-frame.centre[0], frame.centre[1]))
    points, confidence = convert(points, confidence, clip.layout, settings.layout, settings.num_coordinates - 1)
    points = points.astype(np.float32, copy=False)
    normalized = normalize_at_once(clip, points, confidence, settings.layout, settings.normalization, frame)
    if normalized is None:
        confidence = np.minimum(confidence, 1, dtype=np.float32)
        mask(points, confidence, detected(points, confidence))
        if not confidence.any():
            raise ClipError(
                f"{clip.name}: expected a person, found none of the landmarks of {settings.layout} in any of "
                f"{clip.num_frames} frames; check the clip and its extractor"
            )
        normalized = normalize_as(clip, points, confidence, settings.layout, settings.normalization, frame)
    points, confidence = normalized
    if settings.depth == "hands" and points.shape[-1] > 2:
        points = hand_depth(points, settings.layout)
    points, confidence = fill_gaps(points, confidence, int(settings.max_gap_ms / 1000 * clip.fps + 1e-6))
    points, confidence = resample(points, confidence, clip.fps, settings.fps)
    if settings.max_frames is not None and len(points) > settings.max_frames:
        warnings.warn(
            f"{clip.name}: {len(points)} frames at {settings.fps:g} fps; the model reads the first "
            f"{settings.max_frames}",
            PoseWarning,
            stacklevel=2,
        )
        points, confidence = points[: settings.max_frames], confidence[: settings.max_frames]
    return _model_array(points, confidence, settings.num_coordinates)


def _assigned(clip: PoseClip, settings: PoseSettings) -> tuple[np.ndarray, np.ndarray]:
    if settings.assign_hands:
        return assign_hands(clip.points, clip.confidence, clip.layout)
    return clip.points, clip.confidence


def is_mirrored(clip: PoseClip, settings: PoseSettings) -> bool:
    """Whether `prepare_clip` shows the clip in a mirror, since its signer signs with the left hand."""
    return bool(settings.signing_hand) and signs_with_left(*_assigned(clip, settings), clip.layout)


def _model_array(points: np.ndarray, confidence: np.ndarray, num_coordinates: int) -> np.ndarray:
    given = min(points.shape[-1], num_coordinates - 1)  # a 2D clip has z = 0
    values = np.empty((*confidence.shape, num_coordinates), dtype=np.float32)
    values[..., given:-1] = 0
    seen = np.negative(confidence > 0, dtype=np.int32)  # all bits set where seen: NaN and it give 0, without branches
    bits, source = values.view(np.int32), points.astype(np.float32, copy=False).view(np.int32)
    for axis in range(given):
        np.bitwise_and(source[..., axis], seen, out=bits[..., axis])
    values[..., -1] = confidence
    return values
