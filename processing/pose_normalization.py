"""Space: where the signer stands and how large they are, so that camera and image size do not matter."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from .landmarks import LandmarkLayout, get_layout, select, sources_of
from .pose_clip import MAX_COORDINATE, NAN_BITS, PoseClip, PoseWarning, within
from .pose_errors import ClipError, LandmarkError

# T frames, V landmarks, C coordinates

NORMALIZATIONS = ("shoulders", "hands", "box", "max", "none")
PALMS_PER_SHOULDER = 4.0  # shoulder width is about four times wrist to middle knuckle: hand-only clips get a like size
MAX_UNITS = 16.0  # shoulder widths; arms reach 3. What lies beyond is detector or file damage
BOX_CONFIDENCE = 0.3  # Uni-Sign's threshold for a point to count


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


def detected(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    return (confidence > 0) & within(points, MAX_COORDINATE)


def mask(points: np.ndarray, confidence: np.ndarray, good: np.ndarray) -> None:
    """Mark all but the `good` points as undetected, in place: NaN with confidence 0."""
    if good.all():
        return
    if points.dtype == np.float32 and confidence.dtype == np.float32:  # by bits: much faster than by index
        real = np.negative(good, dtype=np.int32)  # all bits set where real
        bits, missing = points.view(np.int32), ~real & NAN_BITS
        for axis in range(points.shape[-1]):
            np.bitwise_or(bits[..., axis], missing, out=bits[..., axis])
        bits = confidence.view(np.int32)
        np.bitwise_and(bits, real, out=bits)
        return
    points[~good] = np.nan
    confidence[~good] = 0


def _pair_frame(points: np.ndarray, confidence: np.ndarray, layout: str, names: tuple[str, str]) -> SignerFrame | None:
    """Middle and distance of two landmarks: medians over the frames that show both."""
    pair = [select(points, confidence, layout, name) for name in names]
    if pair[0] is None or pair[1] is None:
        return None
    (left, left_seen), (right, right_seen) = pair[0], pair[1]
    left, right = left[:, :2].astype(np.float64), right[:, :2].astype(np.float64)
    seen = detected(left, left_seen) & detected(right, right_seen)
    if not seen.any():
        return None
    left, right = left[seen], right[seen]
    middle_x, middle_y = ((left + right) / 2).T
    ordered = np.sort([np.hypot(*(left - right).T), middle_x, middle_y], axis=1)
    half = ordered.shape[1] // 2
    scale, x, y = (ordered[:, half] + ordered[:, ~half]) / 2  # np.median, which takes ten times as long on a clip
    if scale < 1e-6:  # both at one place: written by a detector that saw neither
        return None
    return SignerFrame((float(x), float(y)), float(scale), "shoulders")


def _hands_frame(points: np.ndarray, confidence: np.ndarray, layout: str) -> SignerFrame | None:
    """Centre: median of the wrists seen; unit: `PALMS_PER_SHOULDER` median palm lengths (wrist to middle knuckle)."""
    wrists, palms = [], []
    for side in ("left", "right"):
        wrist = select(points, confidence, layout, f"{side}_hand_wrist")
        knuckle = select(points, confidence, layout, f"{side}_hand_middle_mcp")
        if wrist is None or knuckle is None:
            continue
        seen = detected(wrist[0], wrist[1]) & detected(knuckle[0], knuckle[1])
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
    seen = points[detected(points, confidence)][:, :2].astype(np.float64)
    if not len(seen):
        return None
    low, high = seen.min(axis=0), seen.max(axis=0)
    x, y = (low + high) / 2
    return SignerFrame((float(x), float(y)), max(float((high - low).max()) / 2, 1e-6), "points")


def measure_frame(clip: PoseClip, normalization: str = "shoulders") -> SignerFrame | None:
    """What `signer_frame` measures, in silence; None where nothing is seen in any frame."""
    points, confidence = clip.points, clip.confidence
    frame = None
    if normalization == "shoulders":
        frame = _pair_frame(points, confidence, clip.layout, ("left_shoulder", "right_shoulder"))
    return frame or _hands_frame(points, confidence, clip.layout) or _points_frame(points, confidence)


def signer_frame(clip: PoseClip, normalization: str = "shoulders") -> SignerFrame:
    """The frame of reference that a normalization measures on a clip.

    "shoulders" falls back, with a warning, to the hands' own frame where no frame shows both shoulders, and to the box
    of all points where no palm is seen either; "hands" falls back to the box alone. A live translator measures this
    once on what it has seen so far and passes it to `prepare_clip`.

    Raises:
        ClipError: if nothing is seen in any frame.
    """
    frame = measure_frame(clip, normalization)
    if frame is None:
        raise ClipError(
            f"{clip.name}: expected a person, found no landmark in any of {clip.num_frames} frames; "
            "check the clip and its extractor"
        )
    if frame.kind != normalization:
        measured = {"hands": "the hands (wrist and palm)", "points": "the box around all points"}[frame.kind]
        lost = (
            "both shoulders, so where the hands are on the body is lost" if normalization == "shoulders" else "a palm"
        )
        warnings.warn(f"{clip.name}: sizes are taken from {measured}: no frame shows {lost}", PoseWarning, stacklevel=3)
    return frame


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


def normalize_at_once(
    clip: PoseClip,
    points: np.ndarray,
    confidence: np.ndarray,
    target: str,
    normalization: str,
    frame: SignerFrame | None,
) -> tuple[np.ndarray, np.ndarray] | None:
    """What masking, `normalize_as` and masking again give, in one pass; None where they would do or say more.

    They would where the frame has to be guessed, where damage could hide within reach of a huge signer, and where
    nobody is found.
    """
    if normalization not in ("shoulders", "hands") or "world" in get_layout(target).parts:
        return None
    frame = frame or measure_frame(clip, normalization)
    if frame is None or frame.kind != normalization:
        return None
    if MAX_UNITS * frame.scale + max(map(abs, frame.centre)) > 0.9 * MAX_COORDINATE:  # else MAX_UNITS is the one limit
        return None
    normalized = normalize(points, frame)
    good = within(normalized[..., :2], MAX_UNITS) & (confidence > 0)
    if points.shape[-1] > 2:
        good &= np.abs(points[..., 2]) < MAX_COORDINATE
    if not good.any():
        return None
    confidence = np.minimum(confidence, 1, dtype=np.float32)
    mask(normalized, confidence, good)
    return normalized, confidence


def normalize_by_box(
    points: np.ndarray, confidence: np.ndarray, layout: LandmarkLayout
) -> tuple[np.ndarray, np.ndarray]:
    """Uni-Sign's normalization (arXiv:2501.15187): body in the box of its own points over the whole clip, clipped to
    [-1, 1]; hands relative to their wrists, face relative to the nose tip, divided by the same box side. Points with
    confidence up to 0.3 are masked.

    Raises:
        LandmarkError: if the clip shows no body points, or all at one place.
    """
    body = list(layout.parts.get("body", ()))
    found = confidence > 0
    confidence = np.where(confidence > BOX_CONFIDENCE, confidence, np.float32(0))
    seen = points[:, body][detected(points[:, body], confidence[:, body])]
    low, high = seen[:, :2].min(axis=0, initial=MAX_COORDINATE), seen[:, :2].max(axis=0, initial=-MAX_COORDINATE)
    side = float((high - low).max())
    if side <= 0:
        raise LandmarkError(
            f"normalization 'box' needs body points in different places, and this clip shows {len(seen)} of layout "
            f"{layout.name}; use 'shoulders' or 'hands'"
        )
    normalized = normalize(points, SignerFrame(tuple(((low + high) / 2).tolist()), side / 2, "points"))
    for part, anchor in (("left_hand", "left_hand_wrist"), ("right_hand", "right_hand_wrist"), ("face", "face_68_30")):
        sources = sources_of(anchor, layout.points)
        if part in layout.parts and sources:
            indices, origin = list(layout.parts[part]), layout.points.index(sources[0])
            normalized[:, indices] = (points[:, indices] - points[:, [origin]]) / np.float32(side)
            confidence[:, indices] *= found[:, [origin]]  # an unsure wrist still tells where the hand begins
    return np.clip(normalized, -1, 1), confidence


def normalize_as(
    clip: PoseClip,
    points: np.ndarray,
    confidence: np.ndarray,
    target: str,
    normalization: str,
    frame: SignerFrame | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Points and confidence in the units of `normalization`; damage beyond reach is masked."""
    layout = get_layout(target)
    if normalization == "none":
        return points, confidence
    if normalization == "box":
        return normalize_by_box(points, confidence, layout)
    if normalization == "max":
        largest = np.abs(points[confidence > 0][:, :2]).max(initial=0)
        return normalize(points, SignerFrame((0.0, 0.0), max(float(largest), 1e-6), "points")), confidence
    normalized = normalize(points, frame or signer_frame(clip, normalization))
    world = list(layout.parts.get("world", ()))
    if world:  # metres around the hips: a frame of their own
        own = _pair_frame(points, confidence, layout.name, ("world_left_shoulder", "world_right_shoulder"))
        normalized[:, world] = normalize(points[:, world], own) if own else np.nan
    # Undetected points are masked already: only what lies too far is left to do, mostly nothing.
    mask(normalized, confidence, within(normalized[..., :2], MAX_UNITS) | (confidence == 0))
    return normalized, confidence
