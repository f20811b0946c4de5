"""Decode video frames by time within a budget. Imports only numpy and av.

A video may also be a folder of pictures, one a frame, named `folder/*.png`: RWTH-PHOENIX-Weather 2014T comes so.

The extraction worker runs in an environment of its own, without slt_hf, and loads this very file by path: what
the extractor sees is what `slt_hf.poses.video` reads. Errors here are Python's own; `video.py` makes them `VideoError`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av
import numpy as np

PICTURES = "png_pipe,jpeg_pipe,image2"
CONTAINERS = "mov,matroska,avi,mpeg,mpegts,mpegvideo,ogg,flv,asf,gif"  # no playlists: those open other files
PICTURES_FPS = 25.0  # of a folder of pictures: the rate of PHOENIX, whose files do not say
SEEK_ABOVE_MS = 10_000  # up to here decoding from the start is as fast as seeking (a GOP is often 250 frames)


@dataclass(frozen=True)
class VideoBudget:
    """What an unknown file may cost; counted while decoding, since headers lie."""

    max_pixels: int = 4096 * 2304
    """Most pixels in a frame; 8192 x 8192 took 722 MB for three frames"""
    max_frames: int = 36_000
    """Most frames decoded: ten minutes at 60 fps"""
    max_seconds: float = 600.0
    """Longest time spent decoding, seconds"""


class VideoInfo(NamedTuple):
    """What the header says; durations and counts may be absent or wrong."""

    width: int  # pixels, as stored (before rotation)
    height: int
    fps: float | None
    duration_ms: float | None
    num_frames: int | None


class Frame(NamedTuple):
    """One decoded frame."""

    time_ms: float  # since the first frame of the video
    image: np.ndarray  # RGB uint8 (H, W, 3), upright


def is_pictures(source: Any) -> bool:
    """Whether a source is a folder of pictures, `folder/*.png`."""
    return isinstance(source, (str, Path)) and "*" in Path(source).name


def _pictures(source: str | Path) -> list[Path]:
    """The pictures in the order of the numbers in their names."""
    place = Path(source)
    found = list(place.parent.glob(place.name)) if place.parent.is_dir() else []
    if not found:
        raise FileNotFoundError(str(source))
    return sorted(found, key=lambda path: ([int(number) for number in re.findall(r"\d+", path.stem)], path.name))


def _picture(path: Path) -> np.ndarray:
    with open(path, "rb") as file, av.open(file, "r", options={"format_whitelist": PICTURES}) as container:
        return upright(next(container.decode(video=0)))


@contextmanager
def open_video(source: str | Path | BinaryIO) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream; the file is read as bytes, so that it can name no other file."""
    file = open(source, "rb") if isinstance(source, (str, Path)) else source
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        with av.open(file, options=options) as container:
            if not container.streams.video:
                raise ValueError("no video stream in it")
            yield container, container.streams.video[0]
    finally:
        if file is not source:
            file.close()


def read_info(source: str | Path | BinaryIO) -> VideoInfo:
    """The header alone."""
    if is_pictures(source):
        pictures = _pictures(source)  # type: ignore[arg-type]
        height, width = _picture(pictures[0]).shape[:2]
        return VideoInfo(width, height, PICTURES_FPS, 1000 * len(pictures) / PICTURES_FPS, len(pictures))
    with open_video(source) as (container, stream):
        if stream.duration is not None:
            duration: float | None = float(stream.duration * stream.time_base) * 1000
        else:
            duration = container.duration / 1000 if container.duration else None
        rate = stream.average_rate or stream.base_rate
        return VideoInfo(stream.width, stream.height, float(rate) if rate else None, duration, stream.frames or None)


def packet_times(source: str | Path | BinaryIO, budget: VideoBudget) -> list[float]:
    """Times in ms of the frames that the file holds, in order, without decoding any."""
    if is_pictures(source):
        return [1000 * number / PICTURES_FPS for number in range(len(_pictures(source)))]  # type: ignore[arg-type]
    with open_video(source) as (container, stream):
        clock = _Clock()
        stamps = []
        for packet in container.demux(stream):
            if packet.pts is not None:
                stamps.append(packet.pts)
            _check(len(stamps), clock.seconds(), budget)
        first = stream.start_time or 0
        return [float((pts - first) * stream.time_base) * 1000 for pts in sorted(stamps)]


def decode(
    source: str | Path | BinaryIO,
    start_ms: float | None = None,
    end_ms: float | None = None,
    budget: VideoBudget | None = None,
    wanted: Callable[[float], bool] | None = None,
) -> Iterator[Frame]:
    """Frames with start_ms <= time < end_ms in order; only those that `wanted(time_ms)` are converted to RGB.

    A file that breaks off gives the frames before the break. Decoding stops at the end of the range.

    Raises:
        ValueError: if the file asks for more than the budget or holds no video.
    """
    budget = budget or VideoBudget()
    if is_pictures(source):
        yield from _decode_pictures(source, start_ms, end_ms, budget, wanted)  # type: ignore[arg-type]
        return
    with open_video(source) as (container, stream):
        _check_size(stream.width, stream.height, budget)
        stream.thread_type = "AUTO"
        first = stream.start_time or 0
        start = start_ms or 0.0
        if start > SEEK_ABOVE_MS:
            target = first + int((start - 1) / 1000 / stream.time_base)
            container.seek(max(target, first), stream=stream, backward=True)
        clock = _Clock()
        for count, frame in enumerate(_frames(container, stream), 1):
            _check(count, clock.seconds(), budget)
            if frame.pts is None:
                continue
            time_ms = float((frame.pts - first) * stream.time_base) * 1000
            if end_ms is not None and time_ms >= end_ms - 1e-6:
                break
            if time_ms < start - 1e-6 or (wanted is not None and not wanted(time_ms)):
                continue
            _check_size(frame.width, frame.height, budget)  # a stream may change size on the way
            image = upright(frame)
            clock.stop()  # what is done with the frame is not the file's fault
            yield Frame(time_ms, image)
            clock.go()


def _decode_pictures(
    source: str | Path,
    start_ms: float | None,
    end_ms: float | None,
    budget: VideoBudget,
    wanted: Callable[[float], bool] | None,
) -> Iterator[Frame]:
    """`decode` for a folder of pictures."""
    clock = _Clock()
    for number, path in enumerate(_pictures(source)):
        time_ms = 1000 * number / PICTURES_FPS
        _check(number + 1, clock.seconds(), budget)
        if end_ms is not None and time_ms >= end_ms - 1e-6:
            break
        if time_ms < (start_ms or 0.0) - 1e-6 or (wanted is not None and not wanted(time_ms)):
            continue
        image = _picture(path)
        _check_size(image.shape[1], image.shape[0], budget)
        clock.stop()
        yield Frame(time_ms, image)
        clock.go()


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames; damage inside or at the end of the file loses frames, not the clip."""
    count = 0
    for packet in container.demux(stream):
        try:
            decoded = packet.decode()
        except av.error.InvalidDataError:
            continue
        for frame in decoded:
            count += 1
            yield frame
    if not count:
        raise ValueError("no frame in it could be decoded")


def upright(frame: Any) -> np.ndarray:
    """The frame as RGB uint8 (H, W, 3), turned as its rotation tag says (phones record sideways)."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


class _Clock:
    """Seconds spent decoding."""

    def __init__(self) -> None:
        self._spent, self._since = 0.0, time.monotonic()

    def seconds(self) -> float:
        return self._spent + time.monotonic() - self._since

    def stop(self) -> None:
        self._spent = self.seconds()

    def go(self) -> None:
        self._since = time.monotonic()


def _check(frames: int, seconds: float, budget: VideoBudget) -> None:
    if frames > budget.max_frames:
        raise ValueError(f"more than {budget.max_frames} frames")
    if seconds > budget.max_seconds:
        raise ValueError(f"decoding takes longer than {budget.max_seconds:g} s")


def _check_size(width: int, height: int, budget: VideoBudget) -> None:
    if width * height > budget.max_pixels:
        raise ValueError(f"frames of {width}x{height} pixels, more than {budget.max_pixels}")
