"""Videos and pictures that callers upload: opened by workers that may be killed, one at a time, few waiting."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from slt_hf.guarded_poses import GuardedExtractor
from slt_hf.guarded_video import GuardedClip, GuardedDecoder, VideoLimits
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


class VideoDesk:
    """Turns uploads into clips, in a thread of its own. Workers start with the first upload."""

    def __init__(self, settings: ServerSettings):
        self.settings = settings
        self.thread = ThreadPoolExecutor(1)  # an extractor is one process: more threads would wait for each other
        self.waiting = 0

    @cached_property
    def decoder(self) -> GuardedDecoder:
        settings = self.settings
        limits = VideoLimits(
            max_file_bytes=settings.max_video_bytes,
            max_clip_seconds=settings.max_clip_seconds,
            max_pixels=settings.max_video_pixels,
            max_frames=settings.max_video_frames,
            max_seconds=settings.video_seconds,
        )
        return GuardedDecoder(limits)

    @cached_property
    def extractor(self) -> GuardedExtractor:
        return GuardedExtractor(self.decoder, timeout_seconds=self.settings.request_seconds)

    async def clip(self, body: bytes, ending: str, sees_frames: bool) -> Any:
        """A clip for a model that sees frames, or the poses in it for one that reads poses.

        Raises:
            VideoError, ClipError, PreparationError: if it cannot be read, or costs more than it may.
            OverloadedError: if too many wait.
        """
        if self.waiting >= self.settings.video_queue_size:
            raise OverloadedError(
                f"expected at most {self.settings.video_queue_size} waiting videos, found as many; try again later"
            )
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.thread, self._open, body, ending, sees_frames)
        finally:
            self.waiting -= 1

    def _open(self, body: bytes, ending: str, sees_frames: bool) -> Any:
        name = f"upload{ending}"
        if not sees_frames:
            return self.extractor.extract(body, name)
        self.decoder.probe(body, name)
        return GuardedClip(body, decoder=self.decoder, label=name)

    def close(self) -> None:
        self.thread.shutdown()
        for each in ("extractor", "decoder"):
            if each in vars(self):  # it was started
                getattr(self, each).close()
