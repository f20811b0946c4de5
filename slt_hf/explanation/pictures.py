"""Explanations as pictures: heat over frames, or landmarks that glow, as a sheet or an animation.

# T frames, V landmarks, H and W pixels
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from slt_hf.errors import ClipError
from slt_hf.explanation.explaining import Explanation
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.visualization import Box, draw_frame, draw_grid, draw_photograph, save_animation, viewport

HEAT = np.array([(255, 240, 200), (255, 200, 60), (240, 90, 20), (170, 0, 40)], float)  # from some to most
OPACITY = 0.65  # of the most heat over a frame
LEAST = 0.04  # less heat is not drawn
PALE = 0.35  # of the skeleton under its landmarks' heat
ANIMATION_FPS = 10.0  # of frames whose times are not known


def draw_explanation(explanation: Explanation, path: str | Path, num_frames: int = 10, size: int = 220) -> Path:
    """Write a sheet of frames spread over the clip (.png) or an animation of all (.gif).

    Raises:
        ClipError: for any other ending.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".png", ".gif"):
        raise ClipError(f"{path}: expected a name that ends in .png (a sheet) or .gif (an animation); rename it")
    path.parent.mkdir(parents=True, exist_ok=True)
    length = len(explanation.heat)
    box = None if explanation.clip is None else viewport(explanation.clip)
    caption = f"{explanation.text or '(nothing)'} ({explanation.method})"
    if kind == ".gif":
        every = range(length)
        pictures = [picture_of(explanation, t, size, caption, box) for t in every]
        return save_animation(pictures, path, explanation.fps or ANIMATION_FPS, colors=256)
    chosen = np.unique(np.linspace(0, length - 1, min(num_frames, length)).round().astype(int))
    pictures = [picture_of(explanation, int(t), size, time_of(explanation, int(t)), box) for t in chosen]
    draw_grid(pictures, 5, caption).save(path, optimize=True)
    return path


def time_of(explanation: Explanation, t: int) -> str:
    return f"{t / explanation.fps:.2f} s" if explanation.fps else f"frame {t + 1} of {len(explanation.heat)}"


def picture_of(explanation: Explanation, t: int, size: int, caption: str, box: Box | None) -> Image.Image:
    """One frame with its heat; `box` is what is shown of landmarks."""
    if explanation.frames is not None:
        return draw_photograph(warmed(explanation.frames[t], explanation.heat[t]), size, caption)
    assert explanation.clip is not None and box is not None
    return glowing(explanation.clip, t, explanation.heat[t], size, caption, box)


def warmed(frame: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A frame (H, W, 3) under its heat (H, W)."""
    opacity = (OPACITY * heat)[..., None]
    return ((1 - opacity) * frame + opacity * color_of(heat)).astype(np.uint8)


def glowing(clip: PoseClip, t: int, heat: np.ndarray, size: int, caption: str, box: Box) -> Image.Image:
    """A pale skeleton with a disc on every landmark (V,), the larger and redder the more rests on it."""
    plain = draw_frame(clip, t, size, box, caption)
    picture = Image.blend(Image.new("RGB", plain.size, "white"), plain, PALE)
    if plain.height > size:  # the caption stays black
        picture.paste(plain.crop((0, size, plain.width, plain.height)), (0, size))
    ink = ImageDraw.Draw(picture, "RGBA")
    for v in np.argsort(heat):  # most heat on top
        if heat[v] >= LEAST and np.isfinite(clip.points[t, v, :2]).all():
            color = tuple(color_of(heat[v]).astype(int))
            ink.circle(on_picture(clip.points[t, v], box, size), 1.5 + heat[v] * size / 45, fill=(*color, 200))
    return picture


def on_picture(point: np.ndarray, box: Box, size: int) -> tuple[float, float]:
    left, top, right, bottom = box
    scale = size / max(right - left, bottom - top)
    return float((point[0] - left) * scale), float((point[1] - top) * scale)


def color_of(heat: np.ndarray) -> np.ndarray:
    """Heat in [0, 1], (...) -> RGB (..., 3)"""
    places = np.linspace(0, 1, len(HEAT))
    return np.stack([np.interp(heat, places, HEAT[:, channel]) for channel in range(3)], -1)
