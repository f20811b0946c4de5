"""How a service runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from slt_hf.errors import RecipeError

BOUNDS = (
    "max_body_bytes", "max_video_bytes", "max_video_pixels", "max_video_frames", "max_frames_bytes", "video_workers",
    "video_queue_size", "batch_size", "queue_size", "requests_per_minute", "requests_at_once", "streams_per_key",
    "max_message_bytes",
)  # fmt: skip


@dataclass(frozen=True)
class ServerSettings:
    """Guarded by default: every route but health asks for a key, and everything has a bound."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is for containers"""
    port: int = 8000
    """REST and WebSocket"""
    grpc_port: int | None = None
    """Open Inference Protocol over gRPC, with REST's certificate if it has one; None for no gRPC"""
    api_key_hashes: tuple[str, ...] = ()
    """SHA-256 of the keys that are let in (`slt-hf serve --new-key` makes one); none lets nobody in"""
    open_to_all: bool = False
    """Ask for no key: for a laptop, or behind a gateway that asks"""
    allowed_origins: tuple[str, ...] = ()
    """Pages, besides the server's own, whose scripts may open a stream; browsers name theirs in `Origin`"""
    max_body_bytes: int = 8 * 1024 * 1024
    """Of a request; a minute of 543 landmarks is 12 MB as a `.pose` file, 7 seconds are 2"""
    max_video_bytes: int = 32 * 1024 * 1024
    """Of a video or picture sent to `/translate`"""
    max_video_pixels: int = 4096 * 2304
    """Of a frame of it"""
    max_video_frames: int = 3600
    """Decoded of it, counted while decoding: headers lie"""
    video_seconds: float = 10.0
    """Longest time of decoding it; finding poses in it may take `request_seconds`"""
    max_frames_bytes: int = 256 * 1024 * 1024
    """Of the frames that a model sees of it, while they wait for the model"""
    video_workers: int = 2
    """Videos decoded at the same time, each by a process that may be killed"""
    video_queue_size: int = 4
    """Videos that may be open, or wait for the model; the next is refused with 429"""
    corrections: Path | None = None
    """Folder for corrections that users send, with the poses they belong to; None keeps nothing"""
    max_corrections_bytes: int = 1024**3
    """Of that folder; then no more are taken"""
    max_clip_seconds: float = 60.0
    """Longer clips are refused before the model sees them"""
    batch_size: int = 8
    """Clips computed together"""
    batch_wait_ms: float = 0.0
    """How long the first clip of a batch waits for others where the model is idle; those that come while it computes
    make the next batch anyway"""
    queue_size: int = 64
    """Clips that may wait; the next is refused with 429"""
    request_seconds: float = 60.0
    """A request that is not answered by then is refused with 429: the server is busy"""
    requests_per_minute: int = 600
    """For each key, streams counted once, over all protocols"""
    requests_at_once: int = 64
    """Of a key, over REST and gRPC together"""
    streams_per_key: int = 30
    """Open at once, WebSockets and gRPC streams together"""
    stream_processes: int = 0
    """Processes that compute streams, each with the models loaded; 0 computes them in the server's own, beside clips"""
    max_message_bytes: int = 64 * 1024
    """Of one frame of a stream; 543 points of three float16 and their presence are 4 kB"""
    max_frames_per_second: float = 120.0
    """Of a stream, on its own clock; frames that come faster are dropped and counted"""
    idle_seconds: float = 60.0
    """A stream that sends nothing for so long is closed"""
    lifetime_seconds: float = 3600.0
    """A stream that lasts longer is closed"""

    def __post_init__(self) -> None:
        if not self.open_to_all and not self.api_key_hashes:
            raise RecipeError(
                "expected at least one API key, found none: nobody could be served; make one with `slt-hf serve "
                "--new-key`, or say that the service is open to all (--open)"
            )
        if not all(re.fullmatch("[0-9a-f]{64}", each) for each in self.api_key_hashes):
            raise RecipeError(
                "expected the hashes of API keys, 64 hexadecimal digits each, found something else, which would let "
                "nobody in; take what `slt-hf serve --new-key` prints as the hash"
            )
        for name in BOUNDS:
            if getattr(self, name) < 1:
                raise RecipeError(f"{name}: expected at least 1, found {getattr(self, name)}; give a positive bound")
