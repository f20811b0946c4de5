"""WebSocket `/stream`: binary frames in, what is being signed out.

A message is a frame as `frames.py` packs it. Answers are JSON:
`{"seq", "committed", "tentative", "final", "start_ms", "end_ms", "confidence", "frame", "dropped"}`, `frame` being the
number of the last frame that was read. The text message "finish" ends the utterance.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from slt_hf.errors import ClipError, SignDataError
from slt_hf.processing.landmarks import get_layout
from slt_hf.serving.errors import OverloadedError
from slt_hf.serving.frames import time_of
from slt_hf.serving.keys import SUBPROTOCOL
from slt_hf.serving.metrics import ServiceMetrics
from slt_hf.serving.service import SignService
from slt_hf.serving.stream_host import Message, OpenStream

POLICY, TRY_LATER = 1008, 1013  # close codes
DAY_MS = 86_400_000.0
WAITING = 64  # frames that may wait: two seconds; then the oldest are dropped


class Sockets:
    """Streams of all callers; each has its own state, and the model is computed in the queue's one thread."""

    def __init__(self, service: SignService, metrics: ServiceMetrics):
        self.service, self.metrics = service, metrics

    async def serve(self, socket: WebSocket, model: str | None, layout: str) -> None:
        offered = [each for each in socket.scope.get("subprotocols", ()) if each.startswith(SUBPROTOCOL)]
        await socket.accept(offered[0] if offered else None)
        self.metrics.streams.inc()
        try:
            stream = await self.service.open_stream(model, layout)
            try:
                await OneSocket(socket, stream, get_layout(layout).num_points, self.service, self.metrics).run()
            finally:
                await stream.close()
        except OverloadedError as error:
            await close(socket, TRY_LATER, str(error))
        except SignDataError as error:
            await close(socket, POLICY, " ".join(str(error).split()))
        except WebSocketDisconnect:
            pass
        finally:
            self.metrics.streams.dec()


class OneSocket:
    """Takes frames as they come and reads them as fast as the model can; what is too much is dropped, oldest first."""

    def __init__(
        self, socket: WebSocket, stream: OpenStream, num_points: int, service: SignService, metrics: ServiceMetrics
    ):
        self.socket, self.stream, self.settings, self.metrics = socket, stream, service.settings, metrics
        self.num_points = num_points
        self.waiting: list[Message] = []
        self.news = asyncio.Event()
        self.closed = False
        self.dropped = 0
        self.last_ms = float("-inf")

    async def run(self) -> None:
        reader = asyncio.create_task(self._take())
        try:
            while not (self.closed and not self.waiting):
                await self.news.wait()
                self.news.clear()
                batch, self.waiting = self.waiting, []
                for event in await self.stream.push(batch):
                    await self.socket.send_json({**event, "dropped": self.dropped})
            reader.result()  # raises what the reader met
        finally:
            reader.cancel()

    async def _take(self) -> None:
        started = time.monotonic()
        try:
            while True:
                left = started + self.settings.lifetime_seconds - time.monotonic()
                message = await asyncio.wait_for(self.socket.receive(), max(0.0, min(left, self.settings.idle_seconds)))
                if message["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(message.get("code", 1000))
                self._keep(message)
                self.news.set()
        except TimeoutError:
            raise ClipError("nothing came for too long, or the stream lasted too long; open another") from None
        finally:
            self.closed = True
            self.news.set()

    def _keep(self, message: Mapping[str, Any]) -> None:
        if message.get("text") is not None:
            if message["text"] != "finish":
                raise ClipError(
                    f"expected frames or the text 'finish', found {message['text'][:20]!r}; send one of these"
                )
            if self.waiting[-1:] != [None]:  # an end twice is the same end: what waits has a bound for these, too
                self.waiting.append(None)
            return
        data = message["bytes"]
        if len(data) > self.settings.max_message_bytes:
            raise ClipError(f"expected at most {self.settings.max_message_bytes} bytes, found {len(data)}; send less")
        time_ms = time_of(data, self.num_points)
        if math.inf > time_ms - self.last_ms > DAY_MS:  # else each frame that follows would be one that comes too fast
            raise ClipError(f"expected frames within a day of each other, found {time_ms:g} ms; open another stream")
        if time_ms - self.last_ms < 1000 / self.settings.max_frames_per_second:
            self._drop(1)
            return
        self.last_ms = time_ms
        self.waiting.append(data)
        frames = sum(each is not None for each in self.waiting)
        if frames > WAITING:
            self.waiting = latest(self.waiting, WAITING)
            self._drop(frames - WAITING)

    def _drop(self, count: int) -> None:
        self.dropped += count
        self.metrics.dropped.inc(count)


async def close(socket: WebSocket, code: int, reason: str) -> None:
    """Close with a reason; a socket that is closed already stays so."""
    try:
        await socket.close(code, reason[:120])
    except RuntimeError:
        return


def latest(messages: list[Message], frames: int) -> list[Message]:
    """What waits with the newest `frames` frames only. Ends of utterances stay between them, else two utterances would
    be read as one; an end after an end is the same end."""
    kept: list[Message] = []
    left = sum(each is not None for each in messages) - frames
    for message in messages:
        if message is not None and left > 0:
            left -= 1
        elif message is not None or kept[-1:] != [None]:
            kept.append(message)
    return kept
