"""Videos and pictures that callers upload: opened by workers that may be killed, few at a time, few waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from slt_hf.guarded_poses import GuardedExtractor
from slt_hf.guarded_video import GuardedClip, GuardedDecoder, VideoLimits
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.video_clip import VideoClip
from slt_hf.serving.errors import OverloadedError
from slt_hf.serving.settings import ServerSettings

SIGNATURES = (  # place, bytes there, ending that readers know the format by
    (0, b"\x89PNG", ".png"), (0, b"\xff\xd8\xff", ".jpg"), (0, b"BM", ".bmp"), (8, b"WEBP", ".webp"),
    (4, b"ftyp", ".mp4"), (0, b"\x1aE\xdf\xa3", ".webm"), (8, b"AVI ", ".avi"), (0, b"OggS", ".ogv"),
    (0, b"FLV", ".flv"), (0, b"GIF8", ".gif"), (0, b"\x00\x00\x01\xba", ".mpg"), (0, b"G@", ".ts"),
)  # fmt: skip


def ending_of(body: bytes) -> str | None:
    """The ending of a video or picture, by its first bytes; None for anything else, such as poses."""
    return next((ending for place, bytes_, ending in SIGNATURES if body.startswith(bytes_, place)), None)


@dataclass(frozen=True)
class DecodedClip(VideoClip):
    """Frames (T, H, W, C) as the model's processor asked for them; `name` is that of the upload."""

    label: str = ""

    @property
    def name(self) -> str:
        return self.label

    def read(self, *_: Any, **__: Any) -> np.ndarray:
        return self.source


class FramesRead(Exception):
    """Carries frames out of a processor, which would now make model inputs of them: that is done for a whole batch."""


@dataclass(frozen=True)
class OnlyRead(GuardedClip):
    """A processor that is given this reads the frames that it wants, at the size it wants, and goes no further."""

    def read(self, *how: Any, **named: Any) -> np.ndarray:
        raise FramesRead(super().read(*how, **named))


class VideoDesk:
    """Turns uploads into clips beside the models: the time that one takes is its own caller's. Workers start with the
    first upload."""

    def __init__(self, settings: ServerSettings):
        self.settings = settings
        self.decoding = ThreadPoolExecutor(settings.video_workers)
        self.extracting = ThreadPoolExecutor(1)  # an extractor is one process: more threads would wait for each other
        self.open = 0

    @cached_property
    def decoder(self) -> GuardedDecoder:
        settings = self.settings
        limits = VideoLimits(
            max_file_bytes=settings.max_video_bytes,
            max_clip_seconds=settings.max_clip_seconds,
            max_pixels=settings.max_video_pixels,
            max_frames=settings.max_video_frames,
            max_seconds=settings.video_seconds,
            max_output_bytes=settings.max_frames_bytes,
        )
        return GuardedDecoder(limits, settings.video_workers)

    @cached_property
    def extractor(self) -> GuardedExtractor:
        return GuardedExtractor(self.decoder, timeout_seconds=self.settings.request_seconds)

    @contextmanager
    def place(self) -> Iterator[None]:
        """For a video, until it is answered: its frames are in memory while it waits for the model.

        Raises:
            OverloadedError: if all places are taken.
        """
        if self.open >= self.settings.video_queue_size:
            raise OverloadedError(
                f"expected at most {self.settings.video_queue_size} waiting videos, found as many; try again later"
            )
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    async def frames(self, body: bytes, ending: str, processor: Any) -> DecodedClip:
        """What a model that sees frames reads of an upload.

        Raises:
            VideoError, ClipError: if it cannot be read, or costs more than it may.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self.decoding, self._decode, body, f"upload{ending}", processor
        )

    async def poses(self, body: bytes, ending: str) -> PoseClip:
        """The poses in an upload.

        Raises:
            VideoError, ClipError, PreparationError: if it cannot be read, or costs more than it may.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self.extracting, lambda: self.extractor.extract(body, f"upload{ending}")
        )

    def _decode(self, body: bytes, name: str, processor: Any) -> DecodedClip:
        try:
            processor(OnlyRead(body, decoder=self.decoder, label=name))
        except FramesRead as read:
            return DecodedClip(read.args[0], label=name)
        raise AssertionError(f"expected {type(processor).__name__} to read the clip that it was given")

    def close(self) -> None:
        self.decoding.shutdown()
        self.extracting.shutdown()
        for each in ("extractor", "decoder"):
            if each in vars(self):  # it was started
                getattr(self, each).close()
