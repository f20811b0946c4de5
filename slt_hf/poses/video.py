"""Read video by time: every error of an unknown file becomes `VideoError`, and no file costs more than its budget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from slt_hf.errors import ClipError, VideoError
from slt_hf.poses import frames as _frames
from slt_hf.poses.frames import Frame, VideoBudget, VideoInfo

__all__ = ["Frame", "Video", "VideoBudget", "VideoInfo", "iterate_frames", "probe_video", "read_video"]

VideoSource = str | Path | bytes | BinaryIO


@dataclass(frozen=True)
class Video:
    """Frames in memory."""

    frames: np.ndarray  # RGB uint8 (T, H, W, 3)
    times_ms: np.ndarray  # of each frame since the video's first, (T,)
    info: VideoInfo


def probe_video(source: VideoSource) -> VideoInfo:
    """What the header says, without decoding; do not rely on its duration or frame count.

    Raises:
        VideoError: if the file is no video.
    """
    with _as_video_error(source):
        return _frames.read_info(_rewound(source))


def iterate_frames(
    source: VideoSource,
    start_ms: float | None = None,
    end_ms: float | None = None,
    fps: float | None = None,
    budget: VideoBudget | None = None,
) -> Iterator[Frame]:
    """Frames with start_ms <= time < end_ms, one in memory at a time.

    Args:
        source: path, bytes or binary file. Addresses are refused: fetch first.
        start_ms, end_ms: the part to read; None for the whole.
        fps: thin out to at most this rate, by time; None gives every frame.
        budget: what the file may cost.

    Raises:
        VideoError: if the file is no video, damaged beyond use, or over budget.
        ClipError: if the video has no frame in that part.
    """
    check_range(start_ms, end_ms, source)
    wanted = _every(1000 / fps, start_ms or 0.0) if fps else None
    empty = True
    with _as_video_error(source):
        for frame in _frames.decode(_rewound(source), start_ms, end_ms, budget, wanted):
            empty = False
            yield frame
    if empty:
        raise ClipError(
            f"{name_of(source)}: expected frames from {start_ms or 0:g} ms to "
            f"{'the end' if end_ms is None else f'{end_ms:g} ms'}, found none; the video is shorter: correct the times"
        )


def read_video(
    source: VideoSource,
    num_frames: int | None = None,
    start_ms: float | None = None,
    end_ms: float | None = None,
    fps: float | None = None,
    budget: VideoBudget | None = None,
) -> Video:
    """Frames as one array: all, thinned to `fps`, or `num_frames` spread evenly over the part.

    Even spreading reads the frames' times first, without decoding, and converts only those it needs; where the file
    turns out damaged, the nearest frame that could be decoded takes the place of a lost one.

    Raises:
        VideoError, ClipError: as `iterate_frames`.
    """
    info = probe_video(source)
    budget = budget or VideoBudget()
    if num_frames is None:
        read = list(iterate_frames(source, start_ms, end_ms, fps, budget))
        return _stack(read, list(range(len(read))), info)
    check_range(start_ms, end_ms, source)
    with _as_video_error(source):
        times = np.array(_frames.packet_times(_rewound(source), budget))
        inside = times[(times >= (start_ms or 0)) & (times < (end_ms if end_ms is not None else np.inf))]
        targets = inside[sample_evenly(len(inside), num_frames)] if len(inside) else inside
        half = 500 / (info.fps or 25)
        read = list(_frames.decode(_rewound(source), start_ms, end_ms, budget, _near(targets, half)))
        if len(inside) and not read:  # every wanted frame was damaged: take what there is
            read = list(_frames.decode(_rewound(source), start_ms, end_ms, budget))
    if not read:
        raise ClipError(f"{name_of(source)}: expected frames in the part asked for, found none; correct the times")
    found = np.array([frame.time_ms for frame in read])
    return _stack(read, [int(np.abs(found - target).argmin()) for target in targets], info)


def sample_evenly(available: int, count: int) -> np.ndarray:
    """Indices of `count` frames spread evenly over `available`: the middle of each section."""
    return ((np.arange(count) + 0.5) * available / count).astype(int)


def check_range(start_ms: float | None, end_ms: float | None, source: VideoSource) -> None:
    """Raise ClipError for a time range that ends before it starts."""
    start = start_ms or 0.0
    if start < 0 or (end_ms is not None and end_ms <= start):
        raise ClipError(f"{name_of(source)}: expected 0 <= start < end, found {start:g} ms to {end_ms} ms; correct it")


def name_of(source: VideoSource) -> str:
    """How messages call the source."""
    if isinstance(source, bytes):
        return f"video of {len(source)} bytes"
    return str(source) if isinstance(source, str | Path) else str(getattr(source, "name", "video"))


def _stack(read: list[Frame], indices: list[int], info: VideoInfo) -> Video:
    images = [read[i].image for i in indices]
    if len({image.shape for image in images}) > 1:
        raise VideoError("the video changes its size on the way; re-encode it to one size")
    return Video(np.stack(images), np.array([read[i].time_ms for i in indices]), info)


def _rewound(source: VideoSource) -> str | Path | BinaryIO:
    if isinstance(source, bytes):
        return BytesIO(source)
    if not isinstance(source, str | Path):
        source.seek(0)
    return source


@contextmanager
def _as_video_error(source: VideoSource) -> Iterator[None]:
    """Malformed files raise almost anything inside the decoder (UnicodeDecodeError, IndexError, MemoryError...)."""
    try:
        yield
    except (VideoError, ClipError):
        raise
    except FileNotFoundError:
        raise VideoError(f"{name_of(source)}: expected a video file, found nothing there; check the path") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise VideoError(
            f"{name_of(source)}: expected a readable video, found: {reason}; re-encode it (mp4, H.264) or skip it"
        ) from error


class _every:
    """Whether a frame is the first at or after the next grid time; keeps an even pace whatever the source's rate."""

    def __init__(self, step_ms: float, start_ms: float):
        self.step_ms, self.due_ms = step_ms, start_ms

    def __call__(self, time_ms: float) -> bool:
        if time_ms < self.due_ms - 1e-3:
            return False
        self.due_ms += self.step_ms * (1 + max(0.0, time_ms - self.due_ms) // self.step_ms)
        return True


class _near:
    """Whether a frame lies within half a frame of a target; targets in ms, sorted."""

    def __init__(self, targets: np.ndarray, half_ms: float):
        self.targets, self.half_ms = np.unique(targets), half_ms

    def __call__(self, time_ms: float) -> bool:
        i = int(np.searchsorted(self.targets, time_ms - self.half_ms))
        return i < len(self.targets) and self.targets[i] < time_ms + self.half_ms
