"""A client of our server, over each of its protocols. Needs neither torch nor FastAPI."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import numpy as np

from slt_hf.errors import SignDataError
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_files import pose_bytes
from slt_hf.serving.frames import BYTES_PER_POINT, HEADER, write_frame

TIMEOUT_SECONDS = 60
LAST_SECONDS = 10.0  # for what was signed last, when nothing more is sent
CAMERA_LAYOUT = "holistic_543"
CAMERA_FRAME = HEADER.size + 543 * BYTES_PER_POINT  # bytes


class ServerError(SignDataError):
    """The server was not reached, or refused."""


def over_rest(clip: PoseClip | bytes, url: str, key: str | None, model: str | None = None) -> dict[str, Any]:
    """What `POST /translate` answers.

    Args:
        clip: poses, or a file's bytes: a video for a model that sees frames, or for a server that finds the poses.

    Raises:
        ServerError: with the server's words.
    """
    query = f"?{urlencode({'model': model})}" if model else ""
    body = clip if isinstance(clip, bytes) else pose_bytes(clip)
    request = urllib.request.Request(f"{url.rstrip('/')}/translate{query}", body, bearer(key))
    try:
        with urllib.request.build_opener(NoRedirects).open(request, timeout=TIMEOUT_SECONDS) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise ServerError(f"{url} answered {error.code}: {told(error.read())}") from error
    except OSError as error:
        raise ServerError(f"expected a server at {url}, found {error}; start one with `slt-hf serve`") from error


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like other refusals: followed, it would take the key to whatever host it names."""

    def redirect_request(self, *_: Any) -> None:
        return None


def told(body: bytes) -> str:
    """The server's own words, or those of whatever stands before it."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")


def over_grpc(clip: PoseClip | bytes, url: str, key: str | None, model: str) -> dict[str, Any]:
    """What `ModelInfer` answers.

    Args:
        clip: poses, or a file's bytes.
        url: host:port, or with https:// before it for TLS.

    Raises:
        ServerError: with the server's words.
    """
    from tritonclient.grpc import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    name, values, parameters = tensor_of(clip)
    datatype = "BYTES" if name == "file" else "FP32"
    tensor = InferInput(name, list(values.shape), datatype).set_data_from_numpy(values)
    parts = urlsplit(url if "//" in url else f"//{url}")
    how: dict[str, Any] = {"parameters": parameters}
    try:
        with InferenceServerClient(parts.netloc, ssl=parts.scheme == "https") as server:
            found = server.infer(model, [tensor], headers=bearer(key), client_timeout=TIMEOUT_SECONDS, **how)
    except InferenceServerException as error:
        raise ServerError(f"{url} answered {error.status()}: {error.message()}") from error
    text, confidence = found.as_numpy("text"), found.as_numpy("confidence")
    return {"translation": text[0].decode(), "confidence": float(confidence[0])}


def tensor_of(clip: PoseClip | bytes) -> tuple[str, np.ndarray, dict[str, Any]]:
    """Name, values and parameters of the one input."""
    if isinstance(clip, bytes):
        return "file", np.array([clip], object), {}
    values = np.concatenate([np.nan_to_num(clip.points), clip.confidence[..., None]], -1, dtype=np.float32)[None]
    return "poses", values, {"layout": clip.layout, "fps": float(clip.fps)}


async def live(
    frames: AsyncIterator[bytes], layout: str, url: str, key: str | None, model: str | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Send frames over `/stream` as they come; what is read, as it comes, until they end.

    Raises:
        ServerError: with the server's words.
    """
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, WebSocketException

    try:
        async with connect(stream_address(url, layout, model), additional_headers=bearer(key)) as socket:
            sender = asyncio.create_task(send_frames(frames, socket))
            try:
                while (event := await next_event(socket, sender)) is not None:
                    yield event
                    if sender.done() and event["final"]:
                        return
            finally:
                sender.cancel()
    except ConnectionClosed as error:
        raise ServerError(f"{url} closed the stream: {error}") from error
    except (OSError, WebSocketException) as error:
        raise ServerError(f"expected a stream at {url}, found {error}; check address and key") from error


async def next_event(socket: Any, sender: asyncio.Task[None]) -> dict[str, Any] | None:
    """None where nothing comes any more: nobody signed at the end."""
    receiver = asyncio.ensure_future(socket.recv())
    await asyncio.wait([receiver, sender], return_when=asyncio.FIRST_COMPLETED)
    if sender.done():
        sender.result()  # raises what stopped it
        await asyncio.wait([receiver], timeout=LAST_SECONDS)
    if not receiver.done():
        receiver.cancel()
        return None
    return json.loads(receiver.result())


async def send_frames(frames: AsyncIterator[bytes], socket: Any) -> None:
    async for frame in frames:
        await socket.send(frame)
    await socket.send("finish")


async def of_clip(clip: PoseClip) -> AsyncIterator[bytes]:
    """A clip's frames at its own rate."""
    largest = float(np.nanmax(np.abs(clip.points), initial=1e-6))  # float16 is finest near 1
    started = asyncio.get_running_loop().time()
    for number, (points, confidence) in enumerate(zip(clip.points / largest, clip.confidence, strict=True)):
        seconds = number / clip.fps
        await asyncio.sleep(started + seconds - asyncio.get_running_loop().time())
        yield write_frame(1000 * seconds, number, points, confidence)


async def of_camera(device: str) -> AsyncIterator[bytes]:
    """A camera's frames, its landmarks found in the environment of MediaPipe; no picture leaves this machine.

    Raises:
        ServerError: if the camera cannot be opened.
        PreparationError: if there is no such environment.
    """
    from slt_hf.poses.mediapipe_extractor import find_extraction_python

    here = Path(__file__).parent
    worker = [here / "camera_worker.py", device, here.parent / "poses" / "mediapipe_worker.py"]
    process = await asyncio.create_subprocess_exec(
        find_extraction_python(), *map(str, worker), stdout=PIPE, stderr=PIPE, limit=1 << 20
    )
    assert process.stdout is not None and process.stderr is not None
    told = asyncio.create_task(process.stderr.read())
    try:
        while True:
            try:
                yield await process.stdout.readexactly(CAMERA_FRAME)
            except asyncio.IncompleteReadError:
                break
        if await process.wait():
            last = (await told).decode("utf-8", "replace").strip().splitlines()[-1:]
            raise ServerError(
                f"expected a camera at {device}, found: {' '.join(last)}; name another with --camera-device"
            )
    finally:
        if process.returncode is None:
            process.kill()


def stream_address(url: str, layout: str, model: str | None) -> str:
    parts = urlsplit(url)
    query = urlencode({"layout": layout} | ({"model": model} if model else {}))
    return urlunsplit(
        ("wss" if parts.scheme == "https" else "ws", parts.netloc, parts.path.rstrip("/") + "/stream", query, "")
    )


def bearer(key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}
