"""Clips at every stage: the video, the poses found in it, what the model is given; one clip or a whole collection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
from PIL import Image

from slt_hf.data.collection import open_collection
from slt_hf.data.sample import Sample
from slt_hf.errors import SignDataError
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip
from slt_hf.visualization import draw_grid, draw_photograph, draw_sheet

# T frames, V landmarks, C coordinates


def settings_of(model: str | None) -> PoseSettings:
    """The pose settings of a checkpoint's processor; None gives the package's own defaults."""
    if model is None:
        return PoseSettings()
    from slt_hf.checkpoint import find_checkpoint, read_processor

    saved = read_processor(find_checkpoint(None if model == "bundled" else model))
    saved = saved.get("feature_extractor", saved)
    return PoseSettings(**{entry.name: saved[entry.name] for entry in fields(PoseSettings) if entry.name in saved})


def as_model_sees_it(clip: PoseClip, settings: PoseSettings) -> PoseClip:
    """The normalised clip as poses again, to be drawn: same layout, rate and masks as the model input."""
    values = prepare_clip(clip, settings)  # (T, V, C), the confidence last
    confidence = values[..., -1]
    points = np.where(confidence[..., None] > 0, values[..., :-1], np.float32(np.nan))
    return PoseClip(points, confidence, settings.layout, settings.fps, source=clip.source)


def draw_stages(
    clip: PoseClip,
    path: str | Path | None = None,
    settings: PoseSettings | None = None,
    video: str | Path | None = None,
    start_ms: float | None = None,
    end_ms: float | None = None,
    num_frames: int = 5,
    size: int = 200,
) -> Image.Image:
    """The same moments of a clip in rows: video, poses before normalisation, and after.

    Args:
        settings: of the normalisation; the package's defaults where absent.
        video: the clip's video; leaves the row out where absent.
        start_ms, end_ms: the part of the video that the clip shows.

    Raises:
        VideoError, ClipError, LandmarkError: if the video cannot be read, or the clip cannot be normalised.
    """
    rows = [draw_sheet(clip, None, num_frames, num_frames, size, f"poses, {clip.layout}")]
    if video is not None:
        rows.insert(0, _video_row(video, clip, start_ms, end_ms, num_frames, size))
    given = settings or PoseSettings()
    seen = as_model_sees_it(clip, given)
    rows.append(
        draw_sheet(seen, None, num_frames, num_frames, size, f"model input, {given.layout}, {given.normalization}")
    )
    picture = draw_grid(rows, 1)
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    return picture


def _video_row(
    video: str | Path, clip: PoseClip, start_ms: float | None, end_ms: float | None, num_frames: int, size: int
) -> Image.Image:
    """The video's frames at the moments that the sheets show, without the skeleton."""
    from slt_hf.poses.video import read_video

    wanted = np.linspace(0, clip.num_frames - 1, min(num_frames, clip.num_frames)) * 1000 / clip.fps
    read = read_video(video, None, start_ms, end_ms, fps=10)
    times = read.times_ms - (start_ms or 0.0)
    nearest = [int(np.abs(times - moment).argmin()) for moment in wanted]
    pictures = [draw_photograph(read.frames[index], size, f"{times[index] / 1000:.2f} s") for index in nearest]
    return draw_grid(pictures, num_frames, Path(video).name)


def draw_collection(
    path: str | Path,
    folder: str | Path,
    stages: bool = False,
    settings: PoseSettings | None = None,
    max_clips: int = 50,
) -> Iterator[tuple[Sample, Path | None, str]]:
    """Draw the clips of a manifest, shards or a folder of pose files, a PNG each.

    Args:
        stages: draw video, poses and model input instead of the poses alone.
        max_clips: how many, from the first.

    Yields:
        Each sample with its picture, or with None and the reason why there is none.
    """
    collection = open_collection(path)
    for number, sample in enumerate(collection.samples[:max_clips]):
        target = Path(folder) / f"{number:04d}_{_file_name(sample.id)}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            clip = collection.load(number)
            if stages:
                draw_stages(clip, target, settings, sample.video, sample.start_ms, sample.end_ms)
            else:
                draw_sheet(clip, target, caption=sample.text or sample.gloss or sample.id)
        except SignDataError as error:
            yield sample, None, str(error)
        else:
            yield sample, target, ""


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)[-80:]
