"""Isolated clips joined into one: letters into spelled words, signs into sequences.

Pose stitching is the field's cheapest source of sentence data (PoseStitch-SLT). Which clips make a sentence is drawn
in `slt_hf/training/stitched.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from slt_hf.errors import ClipError
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_files import PoseClip
from slt_hf.processing.pose_normalization import SignerFrame, measure_frame

# T frames, V landmarks, C coordinates


@dataclass(frozen=True)
class StitchingSettings:
    """How clips are joined; the default is a hard cut at each clip's own speed."""

    fps: float = 25.0
    """Frame rate of the joined clip"""
    tempo: float = 0.0
    """Standard deviation of each clip's tempo, log-normal around 1"""
    trim: float = 0.0
    """Each end loses up to this share of a clip's frames"""
    transition_ms: float = 0.0
    """Time in which landmarks glide from one clip's last position to the next one's first"""
    align: bool = False
    """Move and scale later clips until their signers stand where the first one does, in the same size"""


def join_clips(
    clips: Sequence[PoseClip], settings: StitchingSettings | None = None, rng: np.random.Generator | None = None
) -> PoseClip:
    """One clip that shows `clips` one after the other.

    Args:
        clips: of one layout and number of coordinates; each may have its own frame rate.
        settings: speed, trimming and transitions; a hard cut by default.
        rng: needed where tempo or trim vary.

    Raises:
        ClipError: if there is nothing to join or layouts differ.
    """
    settings = settings or StitchingSettings(fps=clips[0].fps if clips else 25.0)
    if not clips:
        raise ClipError("expected at least one clip to join, found none; give the clips of one word or sentence")
    layouts = {clip.layout for clip in clips}
    if len(layouts) > 1:
        raise ClipError(f"expected clips of one layout to join, found {', '.join(sorted(layouts))}; convert them first")
    clips = aligned(clips) if settings.align else clips
    pieces = [resampled(clip, settings, rng) for clip in clips]
    gap = round(settings.transition_ms * settings.fps / 1000)
    points, confidence = pieces[0]
    for next_points, next_confidence in pieces[1:]:
        if gap:
            glide = glided(points[-1], next_points[0], gap)
            points = np.concatenate([points, glide])
            confidence = np.concatenate([confidence, glided(confidence[-1], next_confidence[0], gap)])
        points = np.concatenate([points, next_points])
        confidence = np.concatenate([confidence, next_confidence])
    confidence = np.where(np.isfinite(points).all(-1), confidence, 0)
    joined = replace(clips[0], points=points, confidence=confidence.astype(np.float32), fps=settings.fps, source=None)
    return replace(joined, hands=None)  # of a joined clip there is no video


def aligned(clips: Sequence[PoseClip]) -> list[PoseClip]:
    """The clips as if one camera had taken them: shoulders, or hands where no shoulders are seen, as in the first clip.

    Clips in which something else is measured than in the first, or nobody is seen, stay as they are.
    """
    first = measure_frame(clips[0])
    return [clips[0], *(moved_to(clip, first) for clip in clips[1:])]


def moved_to(clip: PoseClip, target: SignerFrame | None) -> PoseClip:
    """The clip with its signer at `target`; MediaPipe's body in metres stays as it is."""
    own = measure_frame(clip)
    if own is None or target is None or own.kind != target.kind:
        return clip
    layout = get_layout(clip.layout)
    image = np.setdiff1d(np.arange(layout.num_points), list(layout.parts.get("world", ())))
    points = clip.points.copy()
    points[:, image] *= target.scale / own.scale
    shift = np.subtract(target.centre, np.multiply(own.centre, target.scale / own.scale))
    points[:, image, :2] += shift.astype(np.float32)
    return replace(clip, points=points)


def resampled(
    clip: PoseClip, settings: StitchingSettings, rng: np.random.Generator | None
) -> tuple[np.ndarray, np.ndarray]:
    """Points (T', V, C) and confidence (T', V) of a clip, trimmed, at the joined clip's rate and its own tempo.

    Nearest frames are taken, so that nothing is invented between detections; the processor resamples smoothly later.
    """
    first, last = 0.0, clip.num_frames - 1.0
    speed = 1.0
    if rng is not None:
        first += rng.uniform(0, settings.trim) * last
        last -= rng.uniform(0, settings.trim) * last
        speed = float(np.exp(rng.normal(0, settings.tempo)))
    step = clip.fps / settings.fps * speed  # source frames per joined frame
    frames = np.round(np.arange(first, max(last, first) + 1e-6, step)).astype(int)
    return clip.points[frames], clip.confidence[frames]


def glided(start: np.ndarray, end: np.ndarray, frames: int) -> np.ndarray:
    """`frames` values between start and end, both left out; NaN where either is missing."""
    weights = np.arange(1, frames + 1, dtype=np.float32) / (frames + 1)
    return start + weights.reshape(-1, *[1] * start.ndim) * (end - start)
