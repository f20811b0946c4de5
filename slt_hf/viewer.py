"""An interactive keypoint viewer in the browser: scrub through a clip, switch layers, see the confidence.

    slt-hf view clip.pose
    slt-hf view manifest.csv          # any collection: a manifest, shards, a folder of pose files

Layers and confidence are plain functions on a PoseClip; Gradio only calls them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from slt_hf.data.collection import Collection, open_collection
from slt_hf.data.sample import Sample
from slt_hf.errors import SignDataError
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.visualization import draw_frame, viewport

# T frames, V landmarks

SIZE = 560  # pixels of the picture
CHART = (560, 130)  # pixels of the confidence chart
LAYERS = ("body", "left_hand", "right_hand", "face")
CHART_COLORS = {"body": "#6e6e6e", "left_hand": "#1482b4", "right_hand": "#e16e14", "face": "#78788c"}
POINTS_BY_CONFIDENCE = "points coloured by confidence"


def layered(clip: PoseClip, layers: Sequence[str], threshold: float = 0.0) -> PoseClip:
    """The clip with only the chosen parts, and only points of at least `threshold` confidence."""
    parts = get_layout(clip.layout).parts
    shown = np.zeros(clip.points.shape[1], dtype=bool)
    for layer in layers:
        shown[list(parts.get(layer, ()))] = True
    kept = shown[None, :] & (clip.confidence >= max(threshold, 1e-6))
    points = np.where(kept[..., None], clip.points, np.float32(np.nan))
    confidence = np.where(kept, clip.confidence, np.float32(0))
    return PoseClip(points, confidence, clip.layout, clip.fps, clip.width, clip.height, clip.num_people, clip.source)


def confidence_color(value: float) -> tuple[int, int, int]:
    """Red for 0, yellow for a half, green for 1."""
    value = min(max(value, 0.0), 1.0)
    return int(220 * min(1.0, 2 - 2 * value)), int(170 * min(1.0, 2 * value)), 40


def draw_view(
    clip: PoseClip, frame: int, layers: Sequence[str] = LAYERS, threshold: float = 0.0, by_confidence: bool = False
) -> Image.Image:
    """One frame with the chosen layers; the viewport is that of the whole clip, so nothing jumps while scrubbing."""
    frame = min(max(frame, 0), clip.num_frames - 1)
    chosen = layered(clip, layers, threshold)
    box = viewport(clip)
    picture = draw_frame(chosen, frame, SIZE, box)
    if by_confidence:
        _dots(picture, chosen, frame, box)
    return picture


def _dots(picture: Image.Image, clip: PoseClip, frame: int, box: tuple[float, float, float, float]) -> None:
    ink, scale = ImageDraw.Draw(picture), SIZE / max(box[2] - box[0], box[3] - box[1])
    for (x, y), confidence in zip(clip.points[frame, :, :2], clip.confidence[frame], strict=True):
        if confidence > 0 and np.isfinite((x, y)).all():
            x, y = (x - box[0]) * scale, (y - box[1]) * scale
            ink.ellipse((x - 3, y - 3, x + 3, y + 3), fill=confidence_color(float(confidence)))


def draw_confidence(clip: PoseClip, frame: int, layers: Sequence[str] = LAYERS) -> Image.Image:
    """Mean confidence of each part over time, with a line at the frame."""
    width, height = CHART
    picture = Image.new("RGB", CHART, "white")
    ink = ImageDraw.Draw(picture)
    for level in (0.0, 0.5, 1.0):
        ink.line((0, _y(level), width, _y(level)), fill="#e0e0e0")
        ink.text((2, _y(level) - 11 if level < 1 else _y(level)), f"{level:g}", fill="#909090")
    for layer, places in get_layout(clip.layout).parts.items():
        if layer in layers and layer in CHART_COLORS:
            means = clip.confidence[:, list(places)].mean(axis=1)
            line = [(_x(t, clip), _y(float(mean))) for t, mean in enumerate(means)]
            ink.line(line if len(line) > 1 else [line[0], (width, line[0][1])], fill=CHART_COLORS[layer], width=2)
    for place, layer in enumerate(layer for layer in LAYERS if layer in layers):
        ink.text((width - 300 + 75 * place, 1), layer.replace("_", " "), fill=CHART_COLORS[layer])
    ink.line((_x(frame, clip), 0, _x(frame, clip), height), fill="#c00000", width=1)
    return picture


def _x(frame: int, clip: PoseClip) -> float:
    return 4 + (CHART[0] - 8) * frame / max(1, clip.num_frames - 1)


def _y(level: float) -> float:
    return CHART[1] - 8 - (CHART[1] - 16) * level


def describe_frame(clip: PoseClip, frame: int) -> str:
    """Time and how much of each part is seen, as a line of Markdown."""
    seen = clip.confidence[frame] > 0
    parts = {layer: list(places) for layer, places in get_layout(clip.layout).parts.items() if layer in LAYERS}
    shares = ", ".join(f"{name.replace('_', ' ')} {seen[places].sum()}/{len(places)}" for name, places in parts.items())
    what = f"frame {frame} of {clip.num_frames}, {1000 * frame / clip.fps:.0f} ms, `{clip.layout}`, {clip.fps:g} fps"
    return f"{what}: {shares}"


def describe_sample(sample: Sample) -> str:
    """What the row says about a clip, as Markdown."""
    row = {name: value for name, value in sample.to_row().items() if name not in ("id", "pose", "video")}
    return f"**{sample.id}** " + ", ".join(f"{name}: {value}" for name, value in row.items() if value is not None)


def build_viewer(collection: Collection) -> Any:
    """The Gradio page for a collection of clips.

    Returns:
        gradio.Blocks, to be launched.
    """
    import gradio

    @lru_cache(maxsize=8)
    def clip_at(index: int) -> PoseClip:
        try:
            return collection.load(index)
        except SignDataError as error:
            raise gradio.Error(str(error), print_exception=False) from None

    def show(index: int, frame: float, layers: list[str], threshold: float, by_confidence: bool) -> tuple:
        clip = clip_at(index)
        place = min(max(int(frame), 0), clip.num_frames - 1)
        picture = draw_view(clip, place, layers, threshold, by_confidence)
        return picture, draw_confidence(clip, place, layers), describe_frame(clip, place)

    def choose(index: int, layers: list[str], threshold: float, by_confidence: bool) -> tuple:
        clip = clip_at(index)
        slider = gradio.Slider(maximum=max(1, clip.num_frames - 1), value=0)
        timer = gradio.Timer(max(1 / clip.fps, 0.1), active=False)
        return (
            slider,
            describe_sample(collection.samples[index]),
            timer,
            *show(index, 0, layers, threshold, by_confidence),
        )

    def advance(index: int, frame: float) -> int:
        clip = clip_at(index)
        step = max(1, round(clip.fps * 0.1))  # ten pictures a second, in the clip's own time
        return int(frame) + step if int(frame) + step < clip.num_frames else 0

    names = [(f"{number}: {sample.id}", number) for number, sample in enumerate(collection.samples)]
    with gradio.Blocks(title=f"{collection.name} - slt-hf view") as page:
        with gradio.Row():
            with gradio.Column(scale=2):
                picture = gradio.Image(label="keypoints", type="pil", interactive=False)
                frame = gradio.Slider(0, 1, 0, step=1, label="frame")
                where = gradio.Markdown()
                chart = gradio.Image(label="mean confidence by part", type="pil", interactive=False)
            with gradio.Column():
                clip = gradio.Dropdown(names, value=0, label=f"clip of {collection.name}")
                about = gradio.Markdown()
                layers = gradio.CheckboxGroup(list(LAYERS), value=list(LAYERS), label="layers")
                threshold = gradio.Slider(0, 1, 0, step=0.05, label="least confidence shown")
                by_confidence = gradio.Checkbox(label=POINTS_BY_CONFIDENCE)
                play = gradio.Button("play / stop")
        timer = gradio.Timer(0.1, active=False)
        playing = gradio.State(False)
        options = [layers, threshold, by_confidence]
        shown = [picture, chart, where]
        gradio.on([page.load, clip.change], choose, [clip, *options], [frame, about, timer, *shown], api_name="choose")
        changes = [frame.change, layers.change, threshold.change, by_confidence.change]
        gradio.on(changes, show, [clip, frame, *options], shown, show_progress="hidden", api_name="show")
        timer.tick(advance, [clip, frame], frame, show_progress="hidden")
        play.click(lambda now: (not now, gradio.Timer(active=not now)), playing, [playing, timer])
    return page


def view(path: str | Path, port: int | None = None, share: bool = False, open_browser: bool = True) -> None:
    """Serve the viewer until interrupted.

    Raises:
        SignDataError: if there is nothing to view.
    """
    build_viewer(open_collection(path)).launch(server_port=port, share=share, inbrowser=open_browser)
