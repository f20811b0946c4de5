"""Read video by time: every error of an unknown file becomes `VideoError`, and no file costs more than its budget.

Sources are paths, bytes and open files. An address is refused: the decoder would fetch it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .pose_errors import ClipError, VideoError
from .video_frames import Frame, VideoBudget, VideoInfo, decode, decode_at, read_info

# T frames, H and W pixels

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # `Path` makes one slash of two; `C:/` is a drive
VideoSource = str | os.PathLike | bytes | BinaryIO
Fit = Callable[[np.ndarray], np.ndarray]  # an image (H, W, 3) to the size that is kept


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
    with as_video_error(source):
        return read_info(rewound(source))


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
    with as_video_error(source):
        for frame in decode(rewound(source), start_ms, end_ms, budget, wanted):
            empty = False
            yield frame
    if empty:
        raise ClipError(_beyond(source, start_ms, end_ms))


def read_video(
    source: VideoSource,
    num_frames: int | None = None,
    start_ms: float | None = None,
    end_ms: float | None = None,
    fps: float | None = None,
    budget: VideoBudget | None = None,
    seed: int | None = None,
    fit: Fit | None = None,
    max_frames: int | None = None,
) -> Video:
    """Frames as one array: all, those seen `fps` times a second, or `num_frames` spread evenly over the part.

    Times are read first, without decoding, and as little is decoded as the file allows; where the file turns out
    damaged, the nearest frame that could be decoded takes the place of a lost one.

    Args:
        max_frames: with `fps`, a longer part is spread evenly over so many frames instead.
        seed: None takes the middle of each of the `num_frames` sections, or the grid that begins with the part; a
            number draws the place within each section, or the grid's beginning, from it: for training.
        fit: called with each frame as it comes, so that only what it returns is in memory.

    Raises:
        VideoError, ClipError: as `iterate_frames`.
    """
    info = probe_video(source)
    if num_frames is None and fps is None:
        read = [_fitted(frame, fit) for frame in iterate_frames(source, start_ms, end_ms, None, budget)]
        return _stack(read, list(range(len(read))), info)
    check_range(start_ms, end_ms, source)
    rng = None if seed is None else np.random.default_rng(seed)
    targets: list[float] = []

    def choose(times: np.ndarray) -> np.ndarray:
        found = np.array([], int)
        if num_frames is None:
            assert fps is not None
            found = pace_times(times, fps, start_ms, end_ms, 0.0 if rng is None else rng.random())
        if num_frames is not None or (max_frames is not None and len(found) > max_frames):
            count = num_frames or max_frames or 1
            found = sample_times(times, np.full(count, 0.5) if rng is None else rng.random(count), start_ms, end_ms)
        targets.extend(times[found])
        return found

    with as_video_error(source):
        read = [_fitted(frame, fit) for frame in decode_at(rewound(source), choose, budget)]
        if targets and not read:  # every wanted frame was damaged: take what there is
            read = [_fitted(frame, fit) for frame in decode(rewound(source), start_ms, end_ms, budget)]
    if not read:
        raise ClipError(_beyond(source, start_ms, end_ms))
    found = np.array([frame.time_ms for frame in read])
    return _stack(read, [int(np.abs(found - target).argmin()) for target in targets], info)


def sample_times(
    times_ms: np.ndarray, places: Sequence[float] | np.ndarray, start_ms: float | None, end_ms: float | None
) -> np.ndarray:
    """Numbers of the frames seen at evenly spread times, whatever the frame rate does, (K,).

    Args:
        times_ms: of all frames, sorted, (N,).
        places: in [0, 1), where in each of the K equal sections of the part to look, (K,); 0.5 is the middle.
    """
    inside = np.flatnonzero((times_ms >= (start_ms or 0.0) - 1e-3) & (times_ms < (end_ms or np.inf) - 1e-3))
    if not len(inside):
        return inside
    part = times_ms[inside]
    last = np.median(np.diff(times_ms)) if len(times_ms) > 1 else 1.0  # how long the last frame is seen
    begin, length = part[0], part[-1] + last - part[0]
    wanted = begin + (np.arange(len(places)) + places) * length / len(places)
    return inside[np.searchsorted(part, wanted + 1e-3, side="right") - 1]


def pace_times(
    times_ms: np.ndarray, fps: float, start_ms: float | None, end_ms: float | None, offset: float = 0.0
) -> np.ndarray:
    """Numbers of the frames seen `fps` times a second, each once, (K,).

    Args:
        times_ms: of all frames, sorted, (N,).
        offset: in [0, 1), shifts the grid by this share of its step.
    """
    inside = np.flatnonzero((times_ms >= (start_ms or 0.0) - 1e-3) & (times_ms < (end_ms or np.inf) - 1e-3))
    if not len(inside):
        return inside
    part, step = times_ms[inside], 1000 / fps
    begin = part[0] + offset * step
    # times of the grid before each frame; the grid itself would be as long as a damaged file says that it lasts
    passed = np.maximum(0, np.ceil((np.append(part - 1e-3, part[-1] + 1e-3) - begin) / step))
    found = inside[passed[1:] > passed[:-1]]
    return found if len(found) else inside[:1]


def sample_evenly(available: int, count: int) -> np.ndarray:
    """Indices of `count` frames spread evenly over `available`: the middle of each section."""
    return ((np.arange(count) + 0.5) * available / count).astype(int)


def _fitted(frame: Frame, fit: Fit | None) -> Frame:
    return frame if fit is None else Frame(frame.time_ms, fit(frame.image))


def _beyond(source: VideoSource, start_ms: float | None, end_ms: float | None) -> str:
    return (
        f"{name_of(source)}: expected frames from {start_ms or 0:g} ms to "
        f"{'the end' if end_ms is None else f'{end_ms:g} ms'}, found none; the video is shorter: correct the times"
    )


def check_range(start_ms: float | None, end_ms: float | None, source: VideoSource) -> None:
    """Raise ClipError for a time range that ends before it starts."""
    start = start_ms or 0.0
    if start < 0 or (end_ms is not None and end_ms <= start):
        raise ClipError(f"{name_of(source)}: expected 0 <= start < end, found {start:g} ms to {end_ms} ms; correct it")


def name_of(source: VideoSource) -> str:
    """How messages call the source."""
    if isinstance(source, bytes):
        return f"video of {len(source)} bytes"
    return str(source) if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "video"))


def _stack(read: list[Frame], indices: list[int], info: VideoInfo) -> Video:
    images = [read[i].image for i in indices]
    if len({image.shape for image in images}) > 1:
        raise VideoError("the video changes its size on the way; re-encode it to one size")
    return Video(np.stack(images), np.array([read[i].time_ms for i in indices]), info)


def rewound(source: VideoSource) -> Any:
    if isinstance(source, bytes):
        return BytesIO(source)
    if isinstance(source, str | os.PathLike):
        if ADDRESS.match(str(source)):
            raise VideoError(f"{source}: expected a path or bytes, found an address; fetch the file first")
        return Path(source)
    source.seek(0)
    return source


@contextmanager
def as_video_error(source: VideoSource) -> Iterator[None]:
    """Malformed files raise almost anything inside the decoder (UnicodeDecodeError, IndexError, MemoryError...)."""
    try:
        yield
    except (VideoError, ClipError, ModuleNotFoundError):
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
