"""Draw poses with Pillow: one frame, a sheet of frames, an animated GIF with the recognised text.

Works for every layout, through its parts and edges. Left and right have their own colours, missing points are not
drawn, and a point's confidence is its opacity.

    draw_sheet(clip, "clip.png", caption="hello")
    draw_animation(clip, "clip.gif", text="hello")
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from slt_hf.processing.landmarks import LandmarkLayout, get_layout
from slt_hf.processing.pose_files import PoseClip

# T frames, V landmarks
Color = tuple[int, int, int]
Box = tuple[float, float, float, float]  # left, top, right, bottom in the clip's units

BACKGROUND: Color = (255, 255, 255)
INK: Color = (40, 40, 40)
SUPERSAMPLING = 2  # drawn larger and reduced: Pillow's lines are not antialiased
MIN_CONFIDENCE = 0.15  # what an extractor hardly believes in (legs under the table) is not drawn
GIF_MAX_FPS = 15.0
HEAD_POINTS = ("nose", "eye", "eye_inner", "eye_outer", "ear", "mouth_left", "mouth_right")
FRAMED_CONFIDENCE = 0.4  # legs below it are drawn where there is room: guessed ones do not shrink the signer
LEGS = ("hip", "knee", "ankle", "heel", "toe", "foot_index")
REACH = 1.0  # how far beyond where the landmarks usually are, in sizes of that box, a point is an arm and no stray
SIDE_COLORS = {"left": (20, 130, 180), "right": (225, 110, 20), "middle": (110, 110, 110)}
FACE_COLOR = (120, 120, 135)
FINGER_COLORS: dict[str, dict[str, Color]] = {
    "left": {
        "thumb": (90, 60, 190), "index": (30, 90, 220), "middle": (0, 140, 210), "ring": (0, 165, 160),
        "pinky": (40, 150, 90),
    },
    "right": {
        "thumb": (150, 30, 120), "index": (220, 30, 60), "middle": (240, 90, 10), "ring": (225, 145, 0),
        "pinky": (150, 130, 0),
    },
}  # fmt: skip


@cache
def _pen(layout_name: str) -> list[tuple[int, int, Color, float]]:
    """(from, to, colour, width) of every edge of a layout, faces first so that hands lie on top."""
    layout = get_layout(layout_name)
    strokes = [(a, b, *_style(layout, b)) for a, b in layout.edges if _is_drawn(layout.points[a], layout.points[b])]
    return sorted(strokes, key=lambda stroke: stroke[2] != FACE_COLOR)


def _is_drawn(start: str, end: str) -> bool:
    """World landmarks lie elsewhere, and lines from the nose to the shoulders hide the chin."""
    return not start.startswith("world_") and not (start == "nose" and end.endswith("_shoulder"))


def _style(layout: LandmarkLayout, point: int) -> tuple[Color, float]:
    name = layout.points[point]
    side = name.split("_")[0] if name.startswith(("left_", "right_")) else "middle"
    if "_hand_" in name:
        finger = next((finger for finger in FINGER_COLORS[side] if finger in name), "middle")
        return FINGER_COLORS[side][finger], 1.6
    if name.startswith("face_"):
        return FACE_COLOR, 0.9
    return SIDE_COLORS[side], 1.0 if name.endswith(HEAD_POINTS) else 2.2


@cache
def _dots(layout_name: str) -> tuple[int, ...]:
    """Points that no edge touches and that are few enough to be drawn alone: not the inside of a face mesh."""
    layout = get_layout(layout_name)
    touched = {index for edge in layout.edges for index in edge}
    return tuple(
        i for i, name in enumerate(layout.points) if i not in touched and not name.startswith(("world_", "face_mesh_"))
    )


def viewport(clip: PoseClip, margin: float = 0.06) -> Box:
    """The square around everything that is drawn of the clip, in its own units, but for strays and guessed legs."""
    names = get_layout(clip.layout).points
    legs = np.array([name.endswith(LEGS) for name in names])
    visible = _visible(clip)
    framed = visible & (~legs | (clip.confidence >= FRAMED_CONFIDENCE))
    if not framed.any():
        framed = visible
    if not framed.any():
        return 0.0, 0.0, float(clip.width or 1), float(clip.height or 1)
    low, high = _extent(np.where(framed[..., None], clip.points[..., :2], np.nan))
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2 * (1 + 2 * margin), 1e-6)
    return middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half


def _extent(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest x, y of points (T, V, 2), NaN where undetected, without those far from where landmarks are.

    Not by percentiles: an elbow is one of 543 points, and an arm that is stretched out in few frames still an arm.
    """
    there = np.isfinite(points).all(axis=-1)
    usual = np.stack([np.median(points[there[:, v], v], axis=0) for v in np.flatnonzero(there.any(axis=0))])
    low, high = usual.min(axis=0), usual.max(axis=0)
    reach = max(REACH * float((high - low).max()), 1e-6)
    near = ((points >= low - reach) & (points <= high + reach)).all(axis=-1)
    kept = points[near if near.any() else there]  # one lone landmark that moves is far from its own median
    return kept.min(axis=0), kept.max(axis=0)


def _visible(clip: PoseClip) -> np.ndarray:
    world = [i for i, name in enumerate(get_layout(clip.layout).points) if name.startswith("world_")]
    visible = np.isfinite(clip.points[..., :2]).all(axis=-1) & (clip.confidence >= MIN_CONFIDENCE)
    visible[:, world] = False
    return visible


def draw_frame(
    clip: PoseClip,
    frame: int,
    size: int = 240,
    box: Box | None = None,
    caption: str = "",
    background: np.ndarray | None = None,
) -> Image.Image:
    """Draw one frame as a square picture.

    Args:
        clip: poses in any layout.
        frame: index of the frame.
        size: side of the picture in pixels.
        box: the part of the clip's plane to show; the clip's ``viewport`` where absent.
        caption: text below the picture.
        background: video frame (H, W, 3) uint8 to draw on; the whole of it is shown and ``box`` is ignored.
    """
    left, top, right, bottom = (
        (0, 0, background.shape[1], background.shape[0]) if background is not None else box or viewport(clip)
    )
    scale = size * SUPERSAMPLING / max(right - left, bottom - top)
    canvas = _canvas(size, background, scale)
    points = (clip.points[frame, :, :2] - np.array([left, top])) * scale
    _draw_skeleton(ImageDraw.Draw(canvas, "RGBA"), clip, frame, points, size / 160 * SUPERSAMPLING)
    picture = canvas.reduce(SUPERSAMPLING)
    return _with_caption(picture, caption) if caption else picture


def draw_photograph(frame: np.ndarray, size: int = 240, caption: str = "") -> Image.Image:
    """A video frame (H, W, 3) uint8 without a skeleton, its longer side `size` pixels, with a caption below."""
    scale = size / max(frame.shape[:2])
    picture = Image.fromarray(frame).resize((round(frame.shape[1] * scale), round(frame.shape[0] * scale)))
    return _with_caption(picture, caption) if caption else picture


def _canvas(size: int, background: np.ndarray | None, scale: float) -> Image.Image:
    canvas = Image.new("RGB", (size * SUPERSAMPLING, size * SUPERSAMPLING), BACKGROUND)
    if background is not None:
        height, width = background.shape[:2]
        canvas.paste(Image.fromarray(background).resize((round(width * scale), round(height * scale))))
    return canvas


def _draw_skeleton(ink: ImageDraw.ImageDraw, clip: PoseClip, frame: int, points: np.ndarray, unit: float) -> None:
    visible = _visible(clip)[frame]
    alpha = np.clip(clip.confidence[frame] * 255, 0, 255).astype(int)
    for a, b, color, width in _pen(clip.layout):
        if visible[a] and visible[b]:
            line = [tuple(points[a]), tuple(points[b])]
            ink.line(line, fill=(*color, int(min(alpha[a], alpha[b]))), width=max(1, round(width * unit)))
    for i in _dots(clip.layout):
        if visible[i]:
            color, width = _style(get_layout(clip.layout), i)
            ink.circle(tuple(points[i]), width * unit, fill=(*color, int(alpha[i])))


def _with_caption(picture: Image.Image, caption: str) -> Image.Image:
    """The picture with a band of text below it."""
    size = max(10, min(18, picture.width // 14))
    font = ImageFont.load_default(size)
    lines = textwrap.wrap(caption, max(8, int(picture.width / (size * 0.52)))) or [""]
    band = Image.new("RGB", (picture.width, picture.height + len(lines) * (size + 4) + 6), BACKGROUND)
    band.paste(picture)
    ink = ImageDraw.Draw(band)
    for row, line in enumerate(lines):
        ink.text((picture.width / 2, picture.height + 3 + row * (size + 4)), line, fill=INK, font=font, anchor="ma")
    return band


def draw_grid(pictures: Sequence[Image.Image], columns: int, caption: str = "") -> Image.Image:
    """Pictures side by side, row after row, on one sheet with a caption below."""
    columns = max(1, min(columns, len(pictures)))
    width, height = max(p.width for p in pictures), max(p.height for p in pictures)
    sheet = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height), BACKGROUND)
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index % columns * width, index // columns * height))
    return _with_caption(sheet, caption) if caption else sheet


def draw_sheet(
    clip: PoseClip,
    path: str | Path | None = None,
    num_frames: int = 10,
    columns: int = 5,
    size: int = 200,
    caption: str = "",
    frames: Sequence[np.ndarray] | np.ndarray | None = None,
) -> Image.Image:
    """Frames spread evenly over the clip, each with its time, in a grid.

    Args:
        path: where to write the PNG; the picture is returned either way.
        caption: text under the whole sheet, such as the translation.
        frames: the video's frames (H, W, 3) uint8, T of them, to draw on.
    """
    chosen = np.unique(np.linspace(0, clip.num_frames - 1, min(num_frames, clip.num_frames)).round().astype(int))
    box = viewport(clip)
    pictures = []
    for t in chosen:
        background = frames[t] if frames is not None else None
        pictures.append(draw_frame(clip, int(t), size, box, f"{t / clip.fps:.2f} s", background))
    return _saved(draw_grid(pictures, columns, caption), path)


def draw_gallery(
    clips: Sequence[tuple[str, PoseClip, int]], path: str | Path | None = None, columns: int = 7, size: int = 120
) -> Image.Image:
    """One frame each of many clips, (caption, clip, frame): an alphabet, a lexicon. Each fills its own picture."""
    return _saved(
        draw_grid([draw_frame(clip, frame, size, None, caption) for caption, clip, frame in clips], columns), path
    )


def draw_comparison(
    before: PoseClip,
    after: PoseClip,
    path: str | Path | None = None,
    num_frames: int = 5,
    size: int = 200,
    labels: tuple[str, str] = ("before", "after"),
) -> Image.Image:
    """Two versions of a clip below each other, such as pixels and what the model is given, each at its frame rate."""
    rows = [
        draw_sheet(clip, None, num_frames, num_frames, size, label)
        for clip, label in zip((before, after), labels, strict=True)
    ]
    return _saved(draw_grid(rows, 1), path)


def draw_animation(
    clip: PoseClip,
    path: str | Path,
    text: str = "",
    size: int = 320,
    frames: Sequence[np.ndarray] | np.ndarray | None = None,
) -> Path:
    """Write an animated GIF in real time, with the text in a band below the skeleton.

    Args:
        text: caption, such as the recognised sentence.
        frames: the video's frames (H, W, 3) uint8, T of them, to draw on.

    Returns:
        The path written.
    """
    step = max(1, int(np.ceil(clip.fps / GIF_MAX_FPS)))
    box = viewport(clip)
    pictures = []
    for t in range(0, clip.num_frames, step):
        pictures.append(draw_frame(clip, t, size, box, text or " ", frames[t] if frames is not None else None))
    return save_animation(pictures, path, clip.fps / step)


def save_animation(pictures: Sequence[Image.Image], path: str | Path, fps: float, colors: int = 96) -> Path:
    """Write pictures of one size as an animated GIF in real time."""
    # one palette for all frames, so that colours do not flicker: of a few, since no single one may have all colours
    palette = draw_grid(pictures[:: max(1, len(pictures) // 6)], 3).quantize(colors)
    first, *rest = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    # GIF counts hundredths of a second; each frame ends where the clip's time says, so that errors do not add up
    ends = np.round(np.arange(1, len(pictures) + 1) * 100 / fps).astype(int)
    durations = (np.diff(ends, prepend=0) * 10).tolist()
    path = Path(path)
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, disposal=1)
    return path


def _saved(picture: Image.Image, path: str | Path | None) -> Image.Image:
    if path is not None:
        picture.save(path, optimize=True)
    return picture
