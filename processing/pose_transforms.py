"""From a clip of poses to the array a model reads: pure functions on (T, V, C), vectorised over frames, numpy only.

    prepare_clip(clip, PoseSettings())      # (T', V', C') float32: x, y[, z], confidence; missing points are all zero

Each step stands alone: `convert` and `assign_hands` (landmarks.py), `signer_frame`, `normalize`, `fill_gaps`, `resample`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from .landmarks import LandmarkLayout, assign_hands, convert, get_layout, select, shared_landmarks, sources_of
from .pose_errors import ClipError, LandmarkError
from .pose_files import MAX_COORDINATE, PoseClip, PoseWarning, check_fps

# T frames, V landmarks, C coordinates

NORMALIZATIONS = ("shoulders", "hands", "box", "max", "none")
PALMS_PER_SHOULDER = 4.0  # shoulder width is about four times wrist to middle knuckle: hand-only clips get a like size
MAX_UNITS = 16.0  # shoulder widths; arms reach 3. What lies beyond is detector or file damage
BOX_CONFIDENCE = 0.3  # Uni-Sign's threshold for a point to count (FIELD: points below are zeroed)
FILLED_CONFIDENCE = 0.5  # a filled-in point counts half: it was not observed


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
    """"shoulders": centre between the shoulders, shoulder width 1, both medians over the clip; "hands": the hands' own frame;
    "box": Uni-Sign's clip box with hands and face relative to wrist and nose; "max": divided by the clip's largest
    coordinate (system 001); "none": as they come"""
    assign_hands: bool = True
    """Put each hand into the slot of the nearest body wrist, instead of trusting the detector's left and right"""
    max_gap_ms: float = 0.0
    """Gaps up to this long are filled in between their neighbours; 0 leaves every gap masked"""
    max_frames: int | None = None
    """Longer clips are cut to this many frames, with a warning; None takes all"""

    def __post_init__(self) -> None:
        get_layout(self.layout)
        if self.num_coordinates not in (3, 4):
            raise LandmarkError(f"num_coordinates: expected 3 (x, y, confidence) or 4 (x, y, z, confidence), found {self.num_coordinates}")
        if self.normalization not in NORMALIZATIONS:
            raise LandmarkError(f"normalization: expected one of {', '.join(NORMALIZATIONS)}, found {self.normalization!r}")
        check_fps(self.fps, "settings")


@dataclass(frozen=True)
class SignerFrame:
    """Where the signer stands: `(points - centre) / scale` are signer units.

    Attributes:
        centre: x and y of the origin.
        scale: length of one unit.
        kind: what it was measured on: "shoulders", "hands", "points" or "identity".
    """

    centre: tuple[float, float]
    scale: float
    kind: str


def _within(points: np.ndarray, limit: float) -> np.ndarray:
    """Points whose every coordinate is a number of size below `limit`; axis by axis, since reducing a short axis is slow."""
    with np.errstate(invalid="ignore"):
        good = np.abs(points[..., 0]) < limit
        for axis in range(1, points.shape[-1]):
            good &= np.abs(points[..., axis]) < limit
    return good


def _detected(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    return (confidence > 0) & _within(points, MAX_COORDINATE)


def _mask(points: np.ndarray, confidence: np.ndarray, good: np.ndarray) -> None:
    """Mark all but the `good` points as undetected, in place: NaN with confidence 0."""
    if not good.all():
        points[~good] = np.nan
        confidence[~good] = 0


def _pair_frame(points: np.ndarray, confidence: np.ndarray, layout: str, names: tuple[str, str]) -> SignerFrame | None:
    """Middle and distance of two landmarks: medians over the frames that show both."""
    pair = [select(points, confidence, layout, name) for name in names]
    if pair[0] is None or pair[1] is None:
        return None
    (left, left_seen), (right, right_seen) = pair[0], pair[1]
    left, right = left[:, :2].astype(np.float64), right[:, :2].astype(np.float64)
    seen = _detected(left, left_seen) & _detected(right, right_seen)
    if not seen.any():
        return None
    scale = float(np.median(np.hypot(*(left[seen] - right[seen]).T)))
    if scale < 1e-6:  # both at one place: written by a detector that saw neither
        return None
    x, y = np.median((left[seen] + right[seen]) / 2, axis=0)
    return SignerFrame((float(x), float(y)), scale, "shoulders")


def _hands_frame(points: np.ndarray, confidence: np.ndarray, layout: str) -> SignerFrame | None:
    """Centre: median of the wrists seen; unit: `PALMS_PER_SHOULDER` median palm lengths (wrist to middle knuckle)."""
    wrists, palms = [], []
    for side in ("left", "right"):
        wrist = select(points, confidence, layout, f"{side}_hand_wrist")
        knuckle = select(points, confidence, layout, f"{side}_hand_middle_mcp")
        if wrist is None or knuckle is None:
            continue
        seen = _detected(wrist[0], wrist[1]) & _detected(knuckle[0], knuckle[1])
        start, end = wrist[0][seen, :2].astype(np.float64), knuckle[0][seen, :2].astype(np.float64)
        wrists.append(start)
        palms.append(np.hypot(*(end - start).T))
    if not palms or not sum(map(len, palms)):
        return None
    scale = PALMS_PER_SHOULDER * float(np.median(np.concatenate(palms)))
    if scale < 1e-6:
        return None
    x, y = np.median(np.concatenate(wrists), axis=0)
    return SignerFrame((float(x), float(y)), scale, "hands")


def _points_frame(points: np.ndarray, confidence: np.ndarray) -> SignerFrame | None:
    """Last resort: the box around everything seen, its longer side being two units."""
    seen = points[_detected(points, confidence)][:, :2].astype(np.float64)
    if not len(seen):
        return None
    low, high = seen.min(axis=0), seen.max(axis=0)
    x, y = (low + high) / 2
    return SignerFrame((float(x), float(y)), max(float((high - low).max()) / 2, 1e-6), "points")


def signer_frame(clip: PoseClip, normalization: str = "shoulders") -> SignerFrame:
    """The frame of reference that a normalization measures on a clip.

    "shoulders" falls back, with a warning, to the hands' own frame where no frame shows both shoulders, and to the box of
    all points where no palm is seen either; "hands" falls back to the box alone. A live translator measures this once on
    what it has seen so far and passes it to `prepare_clip`.

    Raises:
        ClipError: if nothing is seen in any frame.
    """
    points, confidence = clip.points, clip.confidence
    frame = _pair_frame(points, confidence, clip.layout, ("left_shoulder", "right_shoulder")) if normalization == "shoulders" else None
    if frame is not None:
        return frame
    frame = _hands_frame(points, confidence, clip.layout) or _points_frame(points, confidence)
    if frame is None:
        raise ClipError(f"{_name(clip)}: expected a person, found no landmark in any of {clip.num_frames} frames; check the clip and its extractor")
    if normalization == "shoulders" or frame.kind != "hands":
        measured = "the hands (wrist and palm)" if frame.kind == "hands" else "the box around all points"
        warnings.warn(
            f"{_name(clip)}: no frame shows both shoulders; sizes are taken from {measured}, so where the hands are on the body is lost",
            PoseWarning,
            stacklevel=3,
        )
    return frame


def _name(clip: PoseClip) -> str:
    return clip.source or "clip"


def normalize(points: np.ndarray, frame: SignerFrame) -> np.ndarray:
    """Signer units. z has its own origin in every detector (hips, wrist), so it is scaled and not moved.

    Args:
        points: (T, V, C), C = x, y[, z].
        frame: where the signer stands.

    Returns:
        (T, V, C) float32.
    """
    centre = np.zeros(points.shape[1:], dtype=np.float32)
    centre[:, :2] = frame.centre
    normalized = points - centre  # (V, C) rather than (C,): numpy is slow over a last axis of 2
    normalized /= np.float32(frame.scale)
    return normalized.astype(np.float32, copy=False)


def normalize_by_box(points: np.ndarray, confidence: np.ndarray, layout: LandmarkLayout) -> tuple[np.ndarray, np.ndarray]:
    """Uni-Sign's normalization (arXiv:2501.15187): body in the box of its own points over the whole clip, clipped to [-1, 1];
    hands relative to their wrists, face relative to the nose tip, divided by the same box side. Points with confidence up to
    0.3 are masked.

    Raises:
        LandmarkError: if the layout has no body, or none of its body points is seen.
    """
    body = list(layout.parts.get("body", ()))
    confidence = np.where(confidence > BOX_CONFIDENCE, confidence, np.float32(0))
    seen = points[:, body][_detected(points[:, body], confidence[:, body])]
    if not len(seen):
        raise LandmarkError(f"normalization 'box' needs body points, and layout {layout.name} shows none in this clip; use 'shoulders' or 'hands'")
    low, high = seen[:, :2].min(axis=0), seen[:, :2].max(axis=0)
    side = max(float((high - low).max()), 1e-6)
    normalized = normalize(points, SignerFrame(tuple(((low + high) / 2).tolist()), side / 2, "points"))
    for part, anchor in (("left_hand", "left_hand_wrist"), ("right_hand", "right_hand_wrist"), ("face", "face_68_30")):
        sources = sources_of(anchor, layout.points)
        if part in layout.parts and sources:
            indices, origin = list(layout.parts[part]), layout.points.index(sources[0])
            origins, origins_seen = points[:, [origin]], confidence[:, [origin]] > 0
            normalized[:, indices] = (points[:, indices] - origins) / np.float32(side)
            confidence[:, indices] *= origins_seen
    return np.clip(normalized, -1, 1), confidence


def _normalize_as(
    clip: PoseClip, points: np.ndarray, confidence: np.ndarray, settings: PoseSettings, frame: SignerFrame | None
) -> tuple[np.ndarray, np.ndarray]:
    """Points and confidence in the units of `settings.normalization`; damage beyond reach is masked."""
    layout = get_layout(settings.layout)
    if settings.normalization == "none":
        return points, confidence
    if settings.normalization == "box":
        return normalize_by_box(points, confidence, layout)
    if settings.normalization == "max":
        largest = np.abs(points[confidence > 0][:, :2]).max(initial=0)
        return normalize(points, SignerFrame((0.0, 0.0), max(float(largest), 1e-6), "points")), confidence
    normalized = normalize(points, frame or signer_frame(clip, settings.normalization))
    world = list(layout.parts.get("world", ()))
    if world:  # metres around the hips: a frame of their own
        own = _pair_frame(points, confidence, layout.name, ("world_left_shoulder", "world_right_shoulder"))
        normalized[:, world] = normalize(points[:, world], own) if own else np.nan
    _mask(normalized, confidence, _within(normalized[..., :2], MAX_UNITS))
    return normalized, confidence


def fill_gaps(points: np.ndarray, confidence: np.ndarray, max_gap_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Fill gaps of up to `max_gap_frames` undetected frames on the straight line between their neighbours.

    Args:
        points: (T, V, C).
        confidence: (T, V); 0 where undetected.

    Returns:
        Points and confidence; filled points have half the lower confidence of their neighbours.
    """
    num_frames = len(points)
    seen = confidence > 0
    if max_gap_frames < 1 or seen.all():
        return points, confidence
    time = np.arange(num_frames)[:, None]
    before = np.maximum.accumulate(np.where(seen, time, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, time, num_frames)[::-1], axis=0)[::-1]
    frames, places = np.nonzero(~seen & (before >= 0) & (after < num_frames) & (after - before - 1 <= max_gap_frames))
    start, end = before[frames, places], after[frames, places]
    weight = ((frames - start) / (end - start)).astype(np.float32)[:, None]
    points, confidence = points.copy(), confidence.copy()
    first, last = points[start, places], points[end, places]
    points[frames, places] = first + weight * (last - first)
    confidence[frames, places] = FILLED_CONFIDENCE * np.minimum(confidence[start, places], confidence[end, places])
    return points, confidence


def resample(points: np.ndarray, confidence: np.ndarray, source_fps: float, target_fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Change the frame rate: straight lines between neighbouring frames; where only the nearer one shows a point, that one.

    Frame k stands at k / fps seconds, as in a video. The result covers the same time, at least one frame.

    Args:
        points: (T, V, C).
        confidence: (T, V); 0 where undetected.

    Returns:
        Points (T', V, C) and confidence (T', V).
    """
    if source_fps == target_fps:
        return points, confidence
    count = max(1, round(len(points) * target_fps / source_fps))
    return sample_frames(points, confidence, np.arange(count) * (source_fps / target_fps))


def sample_frames(points: np.ndarray, confidence: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The clip at fractional frame numbers `times` (T',), clamped to the clip."""
    times = np.clip(times, 0, len(points) - 1)
    left = np.floor(times + 1e-9).astype(np.intp)  # 3.0000000001 and 2.9999999999 are frame 3
    right = np.minimum(left + 1, len(points) - 1)
    weight = np.clip(times - left, 0, 1).astype(np.float32)[:, None]
    nearest = np.where(weight[:, 0] < 0.5, left, right)
    flat = points.reshape(len(points), -1)
    start, mixed = flat[left], flat[right]
    mixed -= start
    mixed *= weight
    mixed += start
    left_seen, right_seen = confidence[left], confidence[right]
    new_confidence = left_seen + weight * (right_seen - left_seen)
    one = (left_seen > 0) != (right_seen > 0)
    new_points = mixed.reshape(len(times), *points.shape[1:])
    if one.any():
        frames, places = np.nonzero(one)
        new_points[frames, places] = points[nearest[frames], places]
        new_confidence[frames, places] = confidence[nearest[frames], places]
    return new_points, new_confidence


def _check_clip(clip: PoseClip, settings: PoseSettings) -> None:
    if clip.points.ndim != 3 or clip.points.shape[:2] != clip.confidence.shape:
        raise ClipError(
            f"{_name(clip)}: expected points (T, V, C) and confidence (T, V), found {clip.points.shape} and {clip.confidence.shape}; fix the shapes"
        )
    if clip.num_frames == 0:
        raise ClipError(f"{_name(clip)}: expected at least one frame, found none; check the clip and its time range")
    check_fps(clip.fps, _name(clip))
    source, target = get_layout(clip.layout), get_layout(settings.layout)
    shared = shared_landmarks(clip.layout, settings.layout)
    has_hands = any(part.endswith("_hand") for part in source.parts)
    if shared == 0 or (not has_hands and any(part.endswith("_hand") for part in target.parts)):
        raise LandmarkError(
            f"{_name(clip)}: the model reads layout {target.name} with {target.num_points} landmarks, and layout {source.name} gives "
            f"{shared} of them{'' if has_hands else ' and no hands'}; extract poses with hands, or use a checkpoint for {source.name}"
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
    points, confidence = clip.points, clip.confidence
    if settings.assign_hands:
        points, confidence = assign_hands(points, confidence, clip.layout)
    points, confidence = convert(points, confidence, clip.layout, settings.layout, settings.num_coordinates - 1)
    points, confidence = points.astype(np.float32, copy=False), np.minimum(confidence, 1, dtype=np.float32)
    _mask(points, confidence, _detected(points, confidence))
    if not confidence.any():
        raise ClipError(
            f"{_name(clip)}: expected a person, found none of the landmarks of {settings.layout} in any of {clip.num_frames} frames; "
            "check the clip and its extractor"
        )
    points, confidence = _normalize_as(clip, points, confidence, settings, frame)
    points, confidence = fill_gaps(points, confidence, int(settings.max_gap_ms / 1000 * clip.fps))
    points, confidence = resample(points, confidence, clip.fps, settings.fps)
    if settings.max_frames is not None and len(points) > settings.max_frames:
        warnings.warn(
            f"{_name(clip)}: {len(points)} frames at {settings.fps:g} fps; the model reads the first {settings.max_frames}",
            PoseWarning,
            stacklevel=2,
        )
        points, confidence = points[: settings.max_frames], confidence[: settings.max_frames]
    return _model_array(points, confidence, settings.num_coordinates)


def _model_array(points: np.ndarray, confidence: np.ndarray, num_coordinates: int) -> np.ndarray:
    values = np.zeros((*confidence.shape, num_coordinates), dtype=np.float32)
    undetected = ~(confidence > 0)
    for axis in range(min(points.shape[-1], num_coordinates - 1)):  # a 2D clip has z = 0
        values[..., axis] = points[..., axis]
    if undetected.any():
        values[undetected] = 0
    values[..., -1] = confidence
    return values
