"""Decode video frames by time within a budget. Imports only numpy and av.

A video may also be a folder of pictures, one a frame, named `folder/*.png`: RWTH-PHOENIX-Weather 2014T comes so.

It travels with checkpoints that see video, and the extraction worker, which runs in an environment of its own without
slt_hf, loads this very file by path: all see the same frames. Errors here are Python's own; `video_reading.py` makes
them `VideoError`.
"""

from __future__ import annotations

import re
import time
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

try:
    import av
except ImportError:  # a checkpoint that is fed with arrays of frames needs no decoder
    av = None  # type: ignore[assignment]

PICTURES = "png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,image2"
STILLS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
CONTAINERS = "mov,matroska,avi,mpeg,mpegts,mpegvideo,ogg,flv,asf,gif,swf"  # no playlists: those open other files
SEEKABLE = ("mov", "matroska")  # formats whose index says where key frames are, so that seeking is exact
PICTURES_FPS = 25.0  # of a folder of pictures: the rate of PHOENIX, whose files do not say
MAX_FLASH_BYTES = 1 << 28  # of a compressed Flash file, unpacked; the old dictionaries' are under 1 MB
FEWER_THAN_A_SEEK = 3  # frames; a seek empties the decoder's threads
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
    max_packets: int = 2_000_000
    """Most frames listed, without being decoded, to choose a few of them: nine hours at 60 fps"""


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
    """Whether a source is a folder of pictures, `folder/*.png`, or one picture: a clip of one frame."""
    return isinstance(source, (str, Path)) and ("*" in Path(source).name or Path(source).suffix.lower() in STILLS)


def _pictures(source: str | Path) -> list[Path]:
    """The pictures in the order of the numbers in their names."""
    place = Path(source)
    if "*" not in place.name and place.is_file():
        return [place]
    found = list(place.parent.glob(place.name)) if place.parent.is_dir() else []
    if not found:
        raise FileNotFoundError(str(source))
    return sorted(found, key=lambda path: ([int(number) for number in re.findall(r"\d+", path.stem)], path.name))


def _picture(path: Path, budget: VideoBudget | None = None) -> np.ndarray:
    with open(path, "rb") as file:
        return read_picture(file, budget)


def read_picture(file: BinaryIO, budget: VideoBudget | None = None) -> np.ndarray:
    """One picture as RGB uint8 (H, W, 3)."""
    with av.open(file, "r", options={"format_whitelist": PICTURES}) as container:
        size = container.streams.video[0]
        _check_size(size.width, size.height, budget or VideoBudget())
        return ToRGB()(next(container.decode(video=0)))


@contextmanager
def open_video(source: str | Path | BinaryIO) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream; the file is read as bytes, so that it can name no other file."""
    file = open(source, "rb") if isinstance(source, (str, Path)) else source
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    if av is None:
        raise ModuleNotFoundError("reading video needs PyAV: pip install av", name="av")
    try:
        with av.open(_unpacked(file), options=options) as container:
            if not container.streams.video:
                raise ValueError("no video stream in it")
            yield container, container.streams.video[0]
    finally:
        if file is not source:
            file.close()


def _unpacked(file: BinaryIO) -> BinaryIO:
    """A compressed Flash file as a plain one: FFmpeg's demuxer loses the last 4 kB of those, which may be a second."""
    place = file.tell()
    head = file.read(8)
    if not head:
        raise ValueError("an empty file")
    if head[:3] != b"CWS" or len(head) < 8:
        file.seek(place)
        return file
    inflating = zlib.decompressobj()
    body = inflating.decompress(file.read(MAX_FLASH_BYTES), MAX_FLASH_BYTES)
    if inflating.unconsumed_tail:
        raise ValueError(f"a Flash file of more than {MAX_FLASH_BYTES >> 20} MB")
    return BytesIO(b"FWS" + head[3:] + body)


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
        first = stream.start_time or 0
        stamps = list_packets(container, stream, budget).stamps
        return [float((stamp - first) * stream.time_base) * 1000 for stamp in stamps]


class Listing(NamedTuple):
    """The frames a file holds, read from its packets without decoding one."""

    stamps: list[int]  # presentation times in the stream's unit, sorted
    keys: list[int]  # those of key frames, sorted
    complete: bool  # every packet had a time
    seekable: bool


def list_packets(container: Any, stream: Any, budget: VideoBudget) -> Listing:
    """What `packet_times` reads, with the key frames."""
    clock, stamps, keys, complete = _Clock(), [], [], True
    for packet in container.demux(stream):
        if packet.size == 0:
            continue  # the end
        if packet.pts is None:
            complete = False
            continue
        if packet.is_keyframe:
            keys.append(packet.pts)
        if packet.is_discard:
            continue  # before the first frame that is shown
        stamps.append(packet.pts)
        _check_listing(len(stamps), clock.seconds(), budget)
    seekable = complete and bool(keys) and container.format.name.startswith(SEEKABLE)
    return Listing(sorted(stamps), sorted(keys), complete, seekable)


def decode_at(
    source: str | Path | BinaryIO, choose: Callable[[np.ndarray], np.ndarray], budget: VideoBudget | None = None
) -> Iterator[Frame]:
    """Only the frames that `choose` picks, in order, with as little decoding as the file allows.

    Groups of pictures without a chosen frame are jumped over where the file has an index; elsewhere decoding runs
    through and ends after the last chosen frame. Frames that nothing refers to are not decoded unless chosen.

    Args:
        choose: times in ms of all frames, sorted (N,), to the sorted numbers of those wanted.
    """
    budget = budget or VideoBudget()
    if is_pictures(source):
        listed = np.array(packet_times(source, budget))
        chosen = {listed[number] for number in choose(listed)}
        of_chosen = chosen.__contains__
        yield from _decode_pictures(source, None, None, budget, of_chosen)  # type: ignore[arg-type]
        return
    with open_video(source) as (container, stream):
        _check_size(stream.width, stream.height, budget)
        listing = list_packets(container, stream, budget)
        first = stream.start_time or 0
        milliseconds = np.array([float((stamp - first) * stream.time_base) * 1000 for stamp in listing.stamps])
        wanted = sorted({listing.stamps[number] for number in choose(milliseconds)})
        stream.thread_type = "AUTO"
        if listing.seekable:
            clock, count, to_rgb = _Clock(), 0, ToRGB()
            for key, stamps in _runs(wanted, listing):
                for frame in _decode_run(container, stream, key, stamps):
                    count += 1
                    _check(count, clock.seconds(), budget)
                    if frame.pts in wanted:
                        _check_size(frame.width, frame.height, budget)
                        image = to_rgb(frame)
                        clock.stop()
                        yield Frame(float((frame.pts - first) * stream.time_base) * 1000, image)
                        clock.go()
            return
        times = [float((stamp - first) * stream.time_base) * 1000 for stamp in wanted]
    if times:
        if not isinstance(source, (str, Path)):
            source.seek(0)
        yield from decode(source, None, times[-1] + 1e-3, budget, lambda time_ms: time_ms in times)


def _runs(wanted: list[int], listing: Listing) -> list[tuple[int, list[int]]]:
    """Chosen frames in runs, each with the key frame to start from; where few frames lie between the last one chosen
    and the next key frame, decoding those costs less than a seek, and the run goes on."""
    runs: list[tuple[int, list[int]]] = []
    for stamp in wanted:
        key = listing.keys[max(0, bisect_right(listing.keys, stamp) - 1)]
        unwanted = bisect_left(listing.stamps, key) - bisect_right(listing.stamps, runs[-1][1][-1]) if runs else 0
        if not runs or unwanted > FEWER_THAN_A_SEEK:
            runs.append((key, []))
        runs[-1][1].append(stamp)
    return runs


def _decode_run(container: Any, stream: Any, key: int, stamps: list[int]) -> Iterator[Any]:
    """Frames from a key frame to the last of `stamps`; some that nothing refers to are left out if not among them."""
    container.seek(key, stream=stream, backward=True)
    context, waiting, still = stream.codec_context, set(stamps), len(stamps)
    for packet in container.demux(stream):
        if packet.pts in waiting:
            still -= 1
            context.skip_frame = "DEFAULT"
        else:
            context.skip_frame = "NONREF"
        yield from _decoded(packet)
        if not still:  # all is sent: what the decoder still holds comes out, and nothing beyond is decoded
            yield from _drained(context)
            break
    context.skip_frame = "DEFAULT"


def _decoded(packet: Any) -> list[Any]:
    """Frames of a packet; none of a damaged one."""
    try:
        return packet.decode()
    except av.error.InvalidDataError:
        return []


def _drained(context: Any) -> list[Any]:
    try:
        return context.decode(None)
    except (av.error.InvalidDataError, av.error.EOFError):
        return []


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
        clock, to_rgb = _Clock(), ToRGB()
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
            image = to_rgb(frame)
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
        image = _picture(path, budget)
        clock.stop()
        yield Frame(time_ms, image)
        clock.go()


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames; damage inside or at the end of the file loses frames, not the clip."""
    count = 0
    for packet in container.demux(stream):
        for frame in _decoded(packet):
            count += 1
            yield frame
    if not count:
        raise ValueError("no frame in it could be decoded")


class ToRGB:
    """Frames as RGB uint8 (H, W, 3), turned as their rotation tags say (phones record sideways). One converter for all
    of a video: making it for each, as `to_ndarray(format=...)` does, and its threads take longer than its work."""

    def __init__(self) -> None:
        self._converter = av.video.reformatter.VideoReformatter()

    def __call__(self, frame: Any) -> np.ndarray:
        image = self._converter.reformat(frame, format="rgb24", threads=1).to_ndarray()
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


def _check_listing(packets: int, seconds: float, budget: VideoBudget) -> None:
    if packets > budget.max_packets:
        raise ValueError(f"more than {budget.max_packets} frames in its index")
    if seconds > budget.max_seconds:
        raise ValueError(f"reading it takes longer than {budget.max_seconds:g} s")


def _check_size(width: int, height: int, budget: VideoBudget) -> None:
    if width * height > budget.max_pixels:
        raise ValueError(f"frames of {width}x{height} pixels, more than {budget.max_pixels}")
