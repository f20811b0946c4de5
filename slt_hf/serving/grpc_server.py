"""gRPC: the Open Inference Protocol V2, one request or a stream of them, with the stubs that `tritonclient` ships.

By using its stubs we speak, by construction, the wire that `tritonclient` speaks, and need no generated code of ours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2, service_pb2_grpc

from slt_hf import __version__
from slt_hf.errors import ClipError, SignDataError
from slt_hf.serving.errors import OverloadedError, UnknownModelError
from slt_hf.serving.grpc_messages import infer_response, input_tensor, model_metadata
from slt_hf.serving.keys import Guard
from slt_hf.serving.metrics import ServiceMetrics
from slt_hf.serving.service import SignService
from slt_hf.serving.settings import ServerSettings

PUBLIC = ("/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady")
DRAIN_SECONDS = 30
NO_MESSAGE = "expected a message of this method, found other bytes; send it as the protocol has it"


@asynccontextmanager
async def grpc_running(
    service: SignService,
    guard: Guard,
    metrics: ServiceMetrics,
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> AsyncIterator[None]:
    """Listen inside the block; at its end, answer what was asked.

    Raises:
        RuntimeError: if the port is taken.
    """
    settings = service.settings
    server = grpc.aio.server(
        interceptors=[KeyInterceptor(guard)],
        maximum_concurrent_rpcs=2 * settings.queue_size,  # more are told RESOURCE_EXHAUSTED
        options=[
            ("grpc.max_receive_message_length", settings.max_body_bytes),
            ("grpc.so_reuseport", 0),  # else a second server takes half of the calls, and nobody is told
        ],
    )
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(service, guard, metrics), server)
    address = f"{settings.host}:{settings.grpc_port}"
    if certificate is not None and private_key is not None:
        pair = (private_key.read_bytes(), certificate.read_bytes())
        server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        server.add_insecure_port(address)
    await server.start()
    try:
        yield
    finally:
        await server.stop(DRAIN_SECONDS)


def key_in(metadata: Any) -> str | None:
    """The bearer key among a call's metadata."""
    values = [value for name, value in metadata or () if name == "authorization" and isinstance(value, str)]
    scheme, _, key = (values or [""])[0].partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key else None


def host_of(context: Any) -> str:
    """Where a call comes from, without its port: as REST knows it."""
    return unquote(context.peer()).partition(":")[2].rpartition(":")[0].strip("[]")


def caller_of(context: Any, guard: Guard) -> str | None:
    """Who calls, as over REST: the hash of their key, or where they are if no key is asked for."""
    return host_of(context) if guard.settings.open_to_all else guard.known(key_in(context.invocation_metadata()))


class KeyInterceptor(grpc.aio.ServerInterceptor):
    """Every method but health needs a key within its rate; a refused call's message is not read."""

    def __init__(self, guard: Guard):
        self.guard = guard

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        if details.method in PUBLIC:
            return await continuation(details)
        if self.guard.settings.open_to_all:  # only the call itself knows where it comes from
            return paced(tolerant(await continuation(details)), self.guard)
        caller = self.guard.known(key_in(details.invocation_metadata))
        if caller is None:
            return refusal(grpc.StatusCode.UNAUTHENTICATED, "expected a known API key as bearer token; ask for a key")
        if not await self.guard.within_rate(caller):
            return refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, too_many(self.guard))
        return tolerant(await continuation(details))


def tolerant(handler: Any) -> Any:
    """Bytes that are no message of the method are told to their sender; the library would call it our error."""
    if handler is None:  # no such method
        return None
    parse, answer = handler.request_deserializer, handler.unary_unary

    def read(message: bytes) -> Any:
        try:
            return parse(message)
        except DecodeError:
            return None

    async def checked(request: Any, context: grpc.aio.ServicerContext) -> Any:
        if request is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, NO_MESSAGE)
        return await answer(request, context)

    return handler._replace(request_deserializer=read, unary_unary=answer and checked)


def too_many(guard: Guard) -> str:
    return f"more than {guard.settings.requests_per_minute} requests a minute; wait and try again"


def paced(handler: Any, guard: Guard) -> Any:
    """A handler that looks at its caller's rate first; of a stream each message counts, not its beginning."""
    if handler is None or handler.unary_unary is None:
        return handler
    answer = handler.unary_unary

    async def checked(request: Any, context: grpc.aio.ServicerContext) -> Any:
        if not await guard.within_rate(host_of(context)):
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, too_many(guard))
        return await answer(request, context)

    return handler._replace(unary_unary=checked)


def refusal(code: grpc.StatusCode, message: str) -> grpc.RpcMethodHandler:
    """A stream in shape, whatever was called: streams are read only by who asks for their messages."""

    async def refuse(_: Any, context: grpc.aio.ServicerContext) -> None:
        await context.abort(code, message)

    return grpc.stream_stream_rpc_method_handler(refuse)


async def in_time(requests: Any, settings: ServerSettings) -> AsyncIterator[Any]:
    """Those of a stream, which like a WebSocket may neither be silent for long nor last for ever.

    Raises:
        OverloadedError: if it is, or does.
    """
    ends, source, over = time.monotonic() + settings.lifetime_seconds, aiter(requests), object()
    while True:
        patience = min(settings.idle_seconds, ends - time.monotonic())
        try:
            request = await asyncio.wait_for(anext(source, over), max(0.0, patience))
        except TimeoutError:
            raise OverloadedError("nothing came for too long, or the stream lasted too long; open another") from None
        if request is over:
            return
        yield request


def code_of(error: SignDataError) -> grpc.StatusCode:
    """As Triton answers."""
    if isinstance(error, OverloadedError):
        return grpc.StatusCode.RESOURCE_EXHAUSTED
    if isinstance(error, UnknownModelError):
        return grpc.StatusCode.NOT_FOUND
    return grpc.StatusCode.INVALID_ARGUMENT


class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """What is not here (loading, shared memory, tracing) is answered UNIMPLEMENTED."""

    def __init__(self, service: SignService, guard: Guard, metrics: ServiceMetrics):
        self.service, self.guard, self.metrics = service, guard, metrics

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerReadyResponse(ready=True)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerMetadataResponse(name="slt_hf", version=__version__)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ModelReadyResponse(ready=request.name in self.service.served)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        try:
            return model_metadata(self.service.find(request.name))
        except SignDataError as error:
            await context.abort(code_of(error), self._told(error))

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        try:
            with self.guard.requests.one(caller_of(context, self.guard) or host_of(context)):
                return await self._infer(request)
        except SignDataError as error:
            await context.abort(code_of(error), self._told(error))

    async def ModelStreamInfer(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        """An answer, or the words of a refusal, for each request; each counts for the key's rate."""
        caller = caller_of(context, self.guard)
        if caller is None:  # the interceptor let nobody through who is not known
            return
        try:
            with self.guard.streams.one(caller):
                async for request in in_time(request_iterator, self.service.settings):
                    yield await self._streamed(request, caller)
        except OverloadedError as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, self._told(error))

    async def _streamed(self, request: Any, caller: str) -> Any:
        try:
            if request is None:
                raise ClipError(NO_MESSAGE)
            if not await self.guard.within_rate(caller):
                raise OverloadedError("more requests a minute than this key may send; wait and try again")
            return service_pb2.ModelStreamInferResponse(infer_response=await self._infer(request))
        except SignDataError as error:
            return service_pb2.ModelStreamInferResponse(error_message=self._told(error))

    async def _infer(self, request: Any) -> Any:
        started = time.perf_counter()
        served = self.service.find(request.model_name)
        clips = await self.service.parsed(lambda: input_tensor(request, served.name).clips(served))
        found = await self.service.read_all(clips, served.name)
        self.metrics.seconds.labels("grpc", served.name).observe(time.perf_counter() - started)
        return infer_response(request, served, found)

    def _told(self, error: SignDataError) -> str:
        self.metrics.errors.labels("grpc", code_of(error).name).inc()
        return " ".join(str(error).split())
