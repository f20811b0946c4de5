"""REST: `/translate` for files, the Open Inference Protocol V2 for tensors, health and metrics."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from slt_hf import __version__
from slt_hf.errors import SignDataError
from slt_hf.pipeline import Translation
from slt_hf.serving.corrections import Corrections, clip_of_frames
from slt_hf.serving.errors import OverloadedError, TooLargeError, UnknownModelError
from slt_hf.serving.inference_protocol import infer_answer, infer_clips, metadata
from slt_hf.serving.keys import PUBLIC, Guard
from slt_hf.serving.metrics import ServiceMetrics
from slt_hf.serving.openapi import FILE, INFER, ask_for_keys, refusals
from slt_hf.serving.service import SignService
from slt_hf.serving.sockets import Sockets
from slt_hf.serving.web_page import add_page


def build_app(service: SignService, certificate: Path | None = None, private_key: Path | None = None) -> Guard:
    """The ASGI application: FastAPI behind the guard. If the settings name a gRPC port, that server lives as long."""
    metrics, settings = ServiceMetrics(), service.settings
    for served in service.served.values():
        metrics.watch(served.name, served.batcher)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        if settings.grpc_port is None:
            yield
        else:
            from slt_hf.serving.grpc_server import grpc_running

            async with grpc_running(service, guard, metrics, certificate, private_key):
                yield
        await service.stop()

    app = FastAPI(title="slt_hf", version=__version__, lifespan=lifespan, max_body_size=settings.max_body_bytes)
    guard = Guard(app, settings)
    add_health(app)
    add_translate(app, service, metrics)
    add_inference_protocol(app, service, metrics)
    add_page(app, settings)
    if settings.corrections is not None:
        add_corrections(app, service, Corrections(settings.corrections, settings.max_corrections_bytes))
    sockets = Sockets(service, metrics)

    @app.websocket("/stream")
    async def stream(socket: WebSocket, model: str | None = None, layout: str = "holistic_543") -> None:
        """Live translation; see `sockets.py` for the messages."""
        await sockets.serve(socket, model, layout)

    @app.get("/metrics", responses=refusals(), response_class=PlainTextResponse)
    def show_metrics() -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    if not settings.open_to_all:
        ask_for_keys(app, PUBLIC)

    @app.exception_handler(SignDataError)
    async def refused(request: Request, error: SignDataError) -> JSONResponse:
        status = status_of(error, request.url.path)
        metrics.errors.labels("rest", str(status)).inc()
        return JSONResponse({"error": told(error)}, status)

    return guard


def told(error: SignDataError) -> str:
    """One line; JSON may hold half characters (\\ud800), which no answer can."""
    return " ".join(str(error).split()).encode("utf-8", "replace").decode()


def status_of(error: SignDataError, path: str) -> int:
    """429, 404, 413; else Triton's 400 on the Open Inference Protocol's routes, and 422 on ours."""
    if isinstance(error, OverloadedError):
        return 429
    if isinstance(error, UnknownModelError):
        return 404
    if isinstance(error, TooLargeError):
        return 413
    return 400 if path.startswith("/v2/") else 422


def add_health(app: FastAPI) -> None:
    @app.get("/health/live")
    @app.get("/v2/health/live")
    def live() -> dict[str, bool]:
        """The process answers."""
        return {"live": True}

    @app.get("/health/ready")
    @app.get("/v2/health/ready")
    def ready() -> dict[str, bool]:
        """Models are loaded: the server listens only when they are."""
        return {"ready": True}


def add_translate(app: FastAPI, service: SignService, metrics: ServiceMetrics) -> None:
    @app.get("/models", responses=refusals())
    def models() -> list[dict[str, Any]]:
        """What is served: translators and classifiers, those that read poses also as live streams."""
        return [
            {"name": name, "translates": each.translates, "streams": not each.sees_frames}
            for name, each in service.served.items()
        ]

    largest = max(service.settings.max_body_bytes, service.settings.max_video_bytes)

    @app.post("/translate", max_body_size=largest, openapi_extra=FILE, responses=refusals(404, 413, 422))
    async def translate(request: Request, model: str | None = None) -> JSONResponse:
        """The body is a `.pose` file, a video or a picture; the answer what it says or, from a classifier, the
        likeliest signs."""
        started = time.perf_counter()
        found = await service.read(await request.body(), model)
        metrics.seconds.labels("rest", service.find(model).name).observe(time.perf_counter() - started)
        if isinstance(found, Translation):
            said: dict[str, Any] = {"translation": found.text}
        else:
            said = {"labels": [{"label": label, "probability": score} for label, score in found.labels]}
            said["known"] = found.known
        said |= {"confidence": found.confidence, "milliseconds": found.milliseconds}
        return JSONResponse(said)  # a dict would be checked and copied first


def add_corrections(app: FastAPI, service: SignService, corrections: Corrections) -> None:
    @app.post("/corrections", openapi_extra=FILE, responses=refusals(404, 413, 422))
    async def correct(
        request: Request, text: str, read: str = "", model: str | None = None, layout: str | None = None
    ) -> dict[str, str]:
        """Keep a clip with a better text. The body is a `.pose` file or, with `layout`, frames of a stream."""
        body = await request.body()
        poses = partial(service.poses_in, body) if layout is None else partial(clip_of_frames, body, layout)
        clip = await service.parsed(poses)
        service.check_length(clip)
        return {"id": await run_in_threadpool(corrections.add, clip, text, read, service.find(model).name)}


def add_inference_protocol(app: FastAPI, service: SignService, metrics: ServiceMetrics) -> None:
    """github.com/kserve/open-inference-protocol, with tensors as JSON or bytes."""

    @app.get("/v2", responses=refusals())
    def server() -> dict[str, Any]:
        """The server's name, version and extensions."""
        return {"name": "slt_hf", "version": __version__, "extensions": ["binary_tensor_data"]}

    @app.get("/v2/models/{name}", responses=refusals(404))
    def describe(name: str) -> dict[str, Any]:
        """A model's inputs and outputs."""
        return metadata(service.find(name))

    @app.get("/v2/models/{name}/ready", responses=refusals(404))
    def model_ready(name: str) -> dict[str, Any]:
        """The model is served."""
        return {"name": service.find(name).name, "ready": True}

    @app.post("/v2/models/{name}/infer", openapi_extra=INFER, responses=refusals(400, 404, 413))
    async def infer(name: str, request: Request) -> JSONResponse:
        """What each clip of a tensor of poses says."""
        started = time.perf_counter()
        served = service.find(name)
        length = request.headers.get("inference-header-content-length")
        body = await request.body()  # whatever its content type says
        asked, clips = await service.parsed(partial(infer_clips, body, served, length))
        found = await service.read_all(clips, name)
        metrics.seconds.labels("v2", name).observe(time.perf_counter() - started)
        return JSONResponse(infer_answer(asked, served, found))
