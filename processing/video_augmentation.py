"""Vary training videos: when frames are seen, what is cut off, left and right, the light. Seeded by a numpy Generator.

    augment_video(clip, np.random.default_rng(seed), VideoAugmentationSettings(mirror=0.5, crop=0.2))
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from .pose_errors import VideoError
from .video_clip import VideoClip
from .video_light import Light

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class VideoAugmentationSettings:
    """How clips are varied beside the times of their frames, which are always drawn anew."""

    mirror: float = 0.0
    """Chance of mirroring"""
    crop: float = 0.0
    """Up to this share of the picture's width and height is cut away, at a random place"""
    brightness: float = 0.0
    """All frames of a clip are up to this much brighter or darker: 0.4 is a factor from 0.6 to 1.4"""
    contrast: float = 0.0
    """Likewise the distance to middle grey"""
    saturation: float = 0.0
    """Likewise the strength of colours"""
    hue: float = 0.0
    """Colours are turned by up to this share of the circle, at most 0.5 either way"""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, most = getattr(self, field.name), {"hue": 0.5, "crop": 0.9}.get(field.name, 1.0)
            if not 0 <= value <= most:
                raise VideoError(f"{field.name}: expected a number from 0 to {most:g}, found {value}; correct it")


def augment_video(clip: VideoClip, rng: np.random.Generator, settings: VideoAugmentationSettings) -> VideoClip:
    """A varied clip; no frame is read. The same generator state gives the same clip.

    Frames spread over the clip are drawn from sections of equal length, one each (arxiv:1608.00859); frames at a fixed
    rate begin at a random share of a step.
    """
    seed = int(rng.integers(2**31))
    mirrored = bool(clip.mirrored != (rng.random() < settings.mirror))
    box = clip.box if not settings.crop else cut_box(clip.box or (0.0, 0.0, 1.0, 1.0), settings.crop, rng)
    return replace(clip, seed=seed, mirrored=mirrored, box=box, light=draw_light(settings, rng) or clip.light)


def draw_light(settings: VideoAugmentationSettings, rng: np.random.Generator) -> Light | None:
    """One light for the whole clip; None, and nothing drawn, where the settings leave light alone."""
    shares = {name: getattr(settings, name) for name in ("brightness", "contrast", "saturation", "hue")}
    if not any(shares.values()):
        return None
    drawn = {name: rng.uniform(-share, share) for name, share in shares.items() if share}
    return Light(**{name: change if name == "hue" else 1 + change for name, change in drawn.items()})


def cut_box(box: Box, share: float, rng: np.random.Generator) -> Box:
    """A box (left, top, right, bottom) of the same shape inside another, its sides shorter by up to `share`."""
    left, top, right, bottom = box
    kept = 1 - rng.uniform(0, share)
    width, height = (right - left) * kept, (bottom - top) * kept
    left += rng.uniform(0, 1) * (right - left - width)
    top += rng.uniform(0, 1) * (bottom - top - height)
    return (left, top, left + width, top + height)
