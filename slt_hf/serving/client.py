"""A client of our server, over each of its protocols. Needs neither torch nor FastAPI."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import numpy as np

from slt_hf.errors import SignDataError
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_files import pose_bytes
from slt_hf.serving.frames import write_frame

TIMEOUT_SECONDS = 60


class ServerError(SignDataError):
    """The server was not reached, or refused."""


def over_rest(clip: PoseClip, url: str, key: str | None, model: str | None = None) -> dict[str, Any]:
    """What `POST /translate` answers.

    Raises:
        ServerError: with the server's words.
    """
    query = f"?{urlencode({'model': model})}" if model else ""
    request = urllib.request.Request(f"{url.rstrip('/')}/translate{query}", pose_bytes(clip), bearer(key))
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise ServerError(f"{url} answered {error.code}: {told(error.read())}") from error
    except OSError as error:
        raise ServerError(f"expected a server at {url}, found {error}; start one with `slt-hf serve`") from error


def told(body: bytes) -> str:
    """The server's own words, or those of whatever stands before it."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")


def over_grpc(clip: PoseClip, url: str, key: str | None, model: str) -> dict[str, Any]:
    """What `ModelInfer` answers.

    Args:
        url: host:port, or with https:// before it for TLS.

    Raises:
        ServerError: with the server's words.
    """
    from tritonclient.grpc import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    values = np.concatenate([np.nan_to_num(clip.points), clip.confidence[..., None]], -1, dtype=np.float32)[None]
    tensor = InferInput("poses", list(values.shape), "FP32").set_data_from_numpy(values)
    parts = urlsplit(url if "//" in url else f"//{url}")
    how: dict[str, Any] = {"parameters": {"layout": clip.layout, "fps": float(clip.fps)}}
    try:
        with InferenceServerClient(parts.netloc, ssl=parts.scheme == "https") as server:
            found = server.infer(model, [tensor], headers=bearer(key), client_timeout=TIMEOUT_SECONDS, **how)
    except InferenceServerException as error:
        raise ServerError(f"{url} answered {error.status()}: {error.message()}") from error
    text, confidence = found.as_numpy("text"), found.as_numpy("confidence")
    return {"translation": text[0].decode(), "confidence": float(confidence[0])}


async def live(clip: PoseClip, url: str, key: str | None, model: str | None = None) -> AsyncIterator[dict[str, Any]]:
    """Replay a clip at its own rate over `/stream`; what is read, as it comes, to the end of the clip.

    Raises:
        ServerError: with the server's words.
    """
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, WebSocketException

    try:
        async with connect(stream_address(url, clip.layout, model), additional_headers=bearer(key)) as socket:
            sender = asyncio.create_task(send_frames(clip, socket))
            try:
                async for message in socket:
                    event = json.loads(message)
                    yield event
                    if sender.done() and event["final"]:
                        return
            finally:
                sender.cancel()
    except ConnectionClosed as error:
        raise ServerError(f"{url} closed the stream: {error}") from error
    except (OSError, WebSocketException) as error:
        raise ServerError(f"expected a stream at {url}, found {error}; check address and key") from error


async def send_frames(clip: PoseClip, socket: Any) -> None:
    largest = float(np.nanmax(np.abs(clip.points), initial=1e-6))  # float16 is finest near 1
    started = asyncio.get_running_loop().time()
    for number, (points, confidence) in enumerate(zip(clip.points / largest, clip.confidence, strict=True)):
        seconds = number / clip.fps
        await asyncio.sleep(started + seconds - asyncio.get_running_loop().time())
        await socket.send(write_frame(1000 * seconds, number, points, confidence))
    await socket.send("finish")


def stream_address(url: str, layout: str, model: str | None) -> str:
    parts = urlsplit(url)
    query = urlencode({"layout": layout} | ({"model": model} if model else {}))
    return urlunsplit(
        ("wss" if parts.scheme == "https" else "ws", parts.netloc, parts.path.rstrip("/") + "/stream", query, "")
    )


def bearer(key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}
