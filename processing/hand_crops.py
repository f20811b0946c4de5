"""Pictures of the hands, cut out where the landmarks say they are. Needs numpy, and Pillow to scale.

    crops, seen = hand_crops(clip, frames, fps=25, num_frames=len(pose_values))
    model(pose_values=..., crop_values=torch.from_numpy(crops)[None], crop_mask=torch.from_numpy(seen)[None])
"""

from __future__ import annotations

import numpy as np

from .landmarks import get_layout
from .pose_clip import PoseClip
from .pose_errors import ClipError

try:
    from PIL import Image
except ImportError:  # only crops need it
    Image = None  # type: ignore[assignment]

# T frames, V landmarks, H and W pixels of a frame, P pixels of a crop's side

SIDES = ("left", "right")
HAND_BEYOND_WRIST = 0.3  # of the forearm: where the middle of a hand lies that only the arm tells of
CROP_IN_SHOULDERS = 0.9  # side of a crop in shoulder widths: a spread hand with some room


def hand_crops(
    clip: PoseClip, frames: np.ndarray, size: int = 48, fps: float | None = None, num_frames: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Both hands in every frame that the model sees, the left one mirrored so that both look like right hands.

    Args:
        clip: landmarks in pixels of `frames`, as they were found (not normalised).
        frames: (T, H, W, 3) uint8, one for each frame of the clip.
        size: P.
        fps: rate that the processor resamples poses to; the clip's own if left out.
        num_frames: how many frames it made of them.

    Returns:
        crops (T', 2, 3, P, P) uint8, left then right, and where they are seen (T', 2) int64.

    Raises:
        ClipError: if frames and landmarks differ in number.
    """
    if len(frames) != clip.num_frames:
        raise ClipError(
            f"{clip.name}: expected {clip.num_frames} frames, one a pose, found {len(frames)}; read them all"
        )
    middles = hand_middles(clip)
    half = CROP_IN_SHOULDERS * shoulder_width(clip) / 2
    count = clip.num_frames if num_frames is None else num_frames
    nearest = np.minimum(np.round(np.arange(count) * clip.fps / (fps or clip.fps)), clip.num_frames - 1).astype(int)
    crops = np.zeros((count, 2, 3, size, size), np.uint8)
    seen = np.isfinite(middles[nearest]).all(-1)
    for t, hand in np.argwhere(seen):
        picture = cut(frames[nearest[t]], middles[nearest[t], hand], half, size)
        crops[t, hand] = (picture[:, ::-1] if hand == 0 else picture).transpose(2, 0, 1)
    return crops, seen.astype(np.int64)


def hand_middles(clip: PoseClip) -> np.ndarray:
    """Middle of each hand's box (T, 2, 2); where its points are missing, beyond the wrist as the forearm points; NaN
    where the arm is missing too."""
    layout = get_layout(clip.layout)
    points = np.where(clip.confidence[..., None] > 0, clip.points[..., :2], np.nan)
    found = np.full((clip.num_frames, 2, 2), np.nan)
    for hand, side in enumerate(SIDES):
        wrist, elbow = (points[:, layout.points.index(f"{side}_{joint}")] for joint in ("wrist", "elbow"))
        own = points[:, list(layout.parts[f"{side}_hand"])]
        there = np.isfinite(own).all(-1).sum(-1) > 1
        found[:, hand] = wrist + HAND_BEYOND_WRIST * (wrist - elbow)
        if there.any():
            found[there, hand] = (np.nanmin(own[there], 1) + np.nanmax(own[there], 1)) / 2
    return found


def shoulder_width(clip: PoseClip) -> float:
    """Median distance of the shoulders in pixels; a third of the picture where they are not seen."""
    names = get_layout(clip.layout).points
    left, right = (clip.points[:, names.index(f"{side}_shoulder"), :2] for side in SIDES)
    widths = np.linalg.norm(left - right, axis=-1)
    widths = widths[np.isfinite(widths)]
    return float(np.median(widths)) if len(widths) else (clip.width or 3) / 3


def cut(frame: np.ndarray, middle: np.ndarray, half: float, size: int) -> np.ndarray:
    """A square of a picture (H, W, 3) around a point at P x P; black beyond the picture's edge."""
    if Image is None:
        raise ModuleNotFoundError("cutting hands out needs Pillow: pip install pillow", name="PIL")
    left, top = middle - half
    box = (2 * half / size, 0.0, left, 0.0, 2 * half / size, top)  # of the crop's pixels in the frame's
    picture = Image.fromarray(frame).transform((size, size), Image.Transform.AFFINE, box, Image.Resampling.BILINEAR)
    return np.asarray(picture)
