"""Vary training videos: when frames are seen, what is cut off, left and right. Seeded by a numpy Generator.

    augment_video(clip, np.random.default_rng(seed), VideoAugmentationSettings(mirror=0.5, crop=0.2))
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .video_clip import VideoClip

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class VideoAugmentationSettings:
    """How clips are varied beside the times of their frames, which are always drawn anew."""

    mirror: float = 0.0
    """Chance of mirroring"""
    crop: float = 0.0
    """Up to this share of the picture's width and height is cut away, at a random place"""


def augment_video(clip: VideoClip, rng: np.random.Generator, settings: VideoAugmentationSettings) -> VideoClip:
    """A varied clip; no frame is read. The same generator state gives the same clip.

    Frames spread over the clip are drawn from sections of equal length, one each (arxiv:1608.00859); frames at a fixed
    rate begin at a random share of a step.
    """
    seed = int(rng.integers(2**31))
    mirrored = bool(clip.mirrored != (rng.random() < settings.mirror))
    box = clip.box if not settings.crop else cut_box(clip.box or (0.0, 0.0, 1.0, 1.0), settings.crop, rng)
    return replace(clip, seed=seed, mirrored=mirrored, box=box)


def cut_box(box: Box, share: float, rng: np.random.Generator) -> Box:
    """A box (left, top, right, bottom) of the same shape inside another, its sides shorter by up to `share`."""
    left, top, right, bottom = box
    kept = 1 - rng.uniform(0, share)
    width, height = (right - left) * kept, (bottom - top) * kept
    left += rng.uniform(0, 1) * (right - left - width)
    top += rng.uniform(0, 1) * (bottom - top - height)
    return (left, top, left + width, top + height)
