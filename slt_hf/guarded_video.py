"""Videos from strangers: decoded in a process that may be killed, with little memory and a clock on it.

    frames, times_ms = read_untrusted(body, "upload.mp4")[:2]
    translator(GuardedClip(body))                        # a checkpoint that sees frames; for poses see guarded_poses

A 500 kB file can ask for gigabytes or minutes, and decoders have bugs; so the file is opened by a worker whose address
space is limited, which is killed when time is up, and which has neither our environment variables nor our memory. It
gets bytes or a path, never an address, and containers only: playlists, which name other files, are no container.

Workers stay up between files: a request pays no start of a process. Needs Linux (or another system that enforces
RLIMIT_AS).
"""

from __future__ import annotations

import atexit
import json
import math
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slt_hf.errors import ClipError, PreparationError, VideoError
from slt_hf.processing.video_clip import VideoClip
from slt_hf.processing.video_frames import VideoBudget, VideoInfo
from slt_hf.processing.video_reading import Fit, check_range, name_of

# T frames, H and W pixels

Untrusted = bytes | str | os.PathLike
MAX_LINE = 1 << 22  # bytes of an answer's line; two minutes of times are 100 kB
KEPT = {"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT"}  # environment variables that a worker gets


@dataclass(frozen=True)
class VideoLimits:
    """What a stranger's file may cost."""

    max_file_bytes: int = 64 << 20
    """Of the file itself"""
    max_pixels: int = 4096 * 2304
    """In a frame; 8192 x 8192 took 722 MB for three frames"""
    max_frames: int = 7_200
    """Decoded, wanted or not: two minutes at 60 fps"""
    max_clip_seconds: float = 120.0
    """By the times of the frames in the file; the header may lie"""
    max_seconds: float = 10.0
    """From the request to the last frame; then the worker is killed"""
    max_output_bytes: int = 512 << 20
    """Frames that are kept, at the size in which they are kept"""
    memory_bytes: int = 1 << 30
    """Address space of the worker"""
    max_wait_seconds: float = 30.0
    """For a worker to be free"""

    @property
    def budget(self) -> VideoBudget:
        listed = max(4 * self.max_frames, int(240 * self.max_clip_seconds))  # listing is cheap, and must see the end
        return VideoBudget(self.max_pixels, self.max_frames, self.max_seconds, listed)


class GuardedVideo(NamedTuple):
    """Frames of a stranger's video."""

    frames: np.ndarray  # RGB uint8 (T, H, W, 3), upright
    times_ms: np.ndarray  # since the video's first frame, (T,)
    info: VideoInfo


class Summary(NamedTuple):
    """What a file holds, found without decoding it."""

    info: VideoInfo  # of the header
    num_frames: int  # in the file itself
    duration_ms: float  # until the last of them


class VideoWorker:
    """One decoding process."""

    def __init__(self, memory_bytes: int):
        worker = Path(__file__).parent / "poses" / "video_worker.py"
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "2")
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(worker), str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if name in KEPT} | threads,
        )
        self._ready = False

    def wait_until_ready(self) -> None:
        """Its imports are done.

        Raises:
            PreparationError: if it cannot run here.
        """
        try:
            self._ready = self._ready or bool(self.line().get("ready"))
        except EOFError:
            raise PreparationError(
                f"expected a decoding process, found that it ended with code {self.process.wait()} before its first "
                "video; it needs Linux, PyAV (slt_hf[data]) and 400 MB of memory_bytes"
            ) from None

    def send(self, request: dict[str, Any], body: bytes | None) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n" + (body or b""))
        self.process.stdin.flush()

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline(MAX_LINE)
        try:
            return json.loads(line)
        except ValueError:  # it ended, or no longer says what it should
            raise EOFError from None

    def image(self, shape: list[int]) -> np.ndarray:
        assert self.process.stdout is not None
        pixels = self.process.stdout.read(math.prod(shape))
        if len(pixels) < math.prod(shape):
            raise EOFError
        return np.frombuffer(pixels, np.uint8).reshape(shape)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@dataclass
class _Kept:
    """What the parent holds of a video that comes in."""

    limits: VideoLimits
    fit: Fit | None
    images: list[np.ndarray] = field(default_factory=list)
    size: int = 0

    def add(self, image: np.ndarray) -> None:
        image = image if self.fit is None else self.fit(image)
        self.size += image.nbytes
        if self.size > self.limits.max_output_bytes:
            raise VideoError(f"more than {self.limits.max_output_bytes >> 20} MB of frames; ask for fewer of them")
        self.images.append(image)


class GuardedDecoder:
    """A pool of warm workers; safe to be called from many threads.

    Args:
        limits: what a file may cost.
        workers: files decoded at the same time.

    Example:
        with GuardedDecoder(VideoLimits(max_seconds=5)) as decoder:
            video = decoder.read(body, num_frames=8)
    """

    def __init__(self, limits: VideoLimits | None = None, workers: int = 2):
        self.limits = limits or VideoLimits()
        self._free: queue.LifoQueue[VideoWorker] = queue.LifoQueue()
        for _ in range(workers):
            self._free.put(VideoWorker(self.limits.memory_bytes))
        self._workers = workers

    def read(
        self,
        source: Untrusted,
        num_frames: int | None = None,
        start_ms: float | None = None,
        end_ms: float | None = None,
        fps: float | None = None,
        *,
        max_frames: int | None = None,
        seed: int | None = None,
        fit: Fit | None = None,
        name: str | None = None,
    ) -> GuardedVideo:
        """The very frames that `slt_hf.poses.video.read_video` would give; arguments as there.

        Args:
            source: the file's bytes, or its path. An address is refused.
            name: what messages call it.

        Raises:
            VideoError: if it is no video, cannot be read, or costs more than it may.
            ClipError: if the video has no frame in the part asked for.
        """
        name = name or name_of(source)  # type: ignore[arg-type]
        check_range(start_ms, end_ms, name)
        read = {"num_frames": num_frames, "start_ms": start_ms, "end_ms": end_ms, "fps": fps}
        kept = _Kept(self.limits, fit)
        reply = self._ask(source, read | {"max_frames": max_frames, "seed": seed}, name, kept)
        images = [kept.images[number] for number in reply["order"]]
        if len({image.shape for image in images}) > 1:
            raise VideoError(f"{name}: the video changes its size on the way; re-encode it to one size")
        times = np.array(reply.get("times_ms", [0.0]))
        return GuardedVideo(np.stack(images), times, VideoInfo(*reply["info"]))

    def probe(self, source: Untrusted, name: str | None = None) -> Summary:
        """What the file holds, refused as in `read`, without decoding it."""
        reply = self._ask(source, None, name or name_of(source), None)  # type: ignore[arg-type]
        return Summary(VideoInfo(*reply["info"]), reply.get("num_frames", 1), reply.get("last_ms", 0.0))

    def close(self) -> None:
        """End the workers; those that are at work end when they are done."""
        self._workers = 0
        while not self._free.empty():
            self._free.get().kill()

    def __enter__(self) -> GuardedDecoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, source: Untrusted, read: dict | None, name: str, kept: _Kept | None) -> dict[str, Any]:
        body, path = checked_source(source, self.limits, name)
        request: dict[str, Any] = {"size": len(body or b""), "path": path, "read": read}
        request |= {"seconds": self.limits.max_clip_seconds, "budget": asdict(self.limits.budget)}
        try:
            with self._worker() as worker:
                reply = self._talk(worker, request, body, kept)
        except (EOFError, BrokenPipeError):
            raise VideoError(
                f"{name}: decoding it took longer than {self.limits.max_seconds:g} s or more memory than "
                f"{self.limits.memory_bytes >> 20} MB, and was ended; send a shorter or smaller video"
            ) from None
        except VideoError as error:
            raise VideoError(f"{name}: {error}") from None
        if "error" in reply:
            told = reply["error"].replace(f"video of {request['size']} bytes", name)
            raise ClipError(told) if reply["kind"] == "ClipError" else VideoError(told)
        return reply

    def _talk(
        self, worker: VideoWorker, request: dict[str, Any], body: bytes | None, kept: _Kept | None
    ) -> dict[str, Any]:
        worker.wait_until_ready()
        timer = threading.Timer(self.limits.max_seconds, worker.process.kill)
        timer.start()
        try:
            worker.send(request, body)
            while "shape" in (reply := worker.line()):
                self._check_shape(reply["shape"])
                image = worker.image(reply["shape"])
                if kept is not None:
                    kept.add(image)
            return reply
        finally:
            timer.cancel()

    def _check_shape(self, shape: list[int]) -> None:
        """The worker reads a stranger's file, so what it says is not believed either."""
        sound = len(shape) == 3 and shape[2] == 3 and all(isinstance(size, int) and size > 0 for size in shape)
        if not sound or shape[0] * shape[1] > self.limits.max_pixels:
            raise VideoError(f"frames of shape {shape}, over {self.limits.max_pixels} pixels; send a smaller video")

    @contextmanager
    def _worker(self) -> Iterator[VideoWorker]:
        """A free worker; one whose conversation ended halfway is replaced, at once, so that the next is warm again."""
        try:
            worker = self._free.get(timeout=self.limits.max_wait_seconds)
        except queue.Empty:
            raise VideoError(f"no decoder was free for {self.limits.max_wait_seconds:g} s; try again later") from None
        try:
            if worker.process.poll() is not None:  # killed when its answer was just through
                worker = VideoWorker(self.limits.memory_bytes)
            yield worker
        except BaseException:
            worker.kill()
            worker = VideoWorker(self.limits.memory_bytes)
            raise
        finally:
            self._free.put(worker) if self._workers else worker.kill()


def checked_source(source: Untrusted, limits: VideoLimits, name: str) -> tuple[bytes | None, str | None]:
    """Bytes, or an existing file's path; an address is refused, since it would be fetched.

    Raises:
        VideoError: for anything else, for an empty file, and for one that is too large.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        body, path, size = bytes(source), None, len(source)
    elif isinstance(source, str | os.PathLike):
        if "://" in str(source):
            raise VideoError(f"{name}: expected a path or bytes, found an address; fetch the file first")
        if not Path(source).is_file():
            raise VideoError(f"{name}: expected a video file, found nothing there; check the path")
        body, path, size = None, str(Path(source).absolute()), Path(source).stat().st_size
    else:
        raise VideoError(f"{name}: expected a video's bytes or path, found {type(source).__name__}; read it first")
    if not size:
        raise VideoError(f"{name}: expected a video, found an empty file; send it again")
    if size > limits.max_file_bytes:
        raise VideoError(f"{name}: expected at most {limits.max_file_bytes} bytes, found {size}; cut the video")
    return body, path


@lru_cache(maxsize=4)
def decoder_for(limits: VideoLimits = VideoLimits()) -> GuardedDecoder:  # noqa: B008  (frozen)
    """This process' pool for such limits, started on first use and closed at the end."""
    decoder = GuardedDecoder(limits)
    atexit.register(decoder.close)
    return decoder


def read_untrusted(
    source: Untrusted, name: str | None = None, limits: VideoLimits | None = None, **how: Any
) -> GuardedVideo:
    """Frames (T, H, W, 3) uint8 and their times of a stranger's video or picture, by this process' warm workers.

    Args:
        source: bytes or a path; an address is refused.
        name: what messages call it, such as the uploaded file's name.
        how: num_frames, fps, start_ms, end_ms... as of `GuardedDecoder.read`.

    Raises:
        VideoError, ClipError: as `GuardedDecoder.read`.
    """
    return decoder_for(limits or VideoLimits()).read(source, name=name, **how)


@dataclass(frozen=True)
class GuardedClip(VideoClip):
    """A VideoClip whose source is a stranger's: wherever a checkpoint reads videos, it reads the same frames of this.

    Attributes:
        decoder: whose workers decode it; this process' own if left out.
        label: what messages call it.
    """

    decoder: GuardedDecoder | None = None
    label: str | None = None

    @property
    def name(self) -> str:
        return self.label or name_of(self.source)

    def read(
        self, num_frames: int | None, fps: float | None, max_frames: int | None, fit: Fit | None = None
    ) -> np.ndarray:
        decoder = self.decoder or decoder_for()
        part = (self.start_ms, self.end_ms)
        more: dict[str, Any] = {"max_frames": max_frames, "seed": self.seed, "fit": fit, "name": self.name}
        return decoder.read(self.source, num_frames, *part, fps, **more).frames
