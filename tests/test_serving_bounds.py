"""Bounds hold over all protocols together, overload is told as such and passes, and no input makes the server fail."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server_process import free_port

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")
pytest.importorskip("tritonclient.grpc", reason="slt_hf[serve] is not installed")

import grpc  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402
from starlette.websockets import WebSocketDisconnect  # noqa: E402
from tritonclient.grpc import service_pb2, service_pb2_grpc  # noqa: E402

from slt_hf.pipeline import SignTranslator, Translation  # noqa: E402
from slt_hf.processing.pose_clip import PoseClip  # noqa: E402
from slt_hf.processing.pose_files import pose_bytes  # noqa: E402
from slt_hf.serving.batching import Batcher  # noqa: E402
from slt_hf.serving.keys import new_key  # noqa: E402
from slt_hf.serving.rest import build_app  # noqa: E402
from slt_hf.serving.service import Served, SignService, compute  # noqa: E402
from slt_hf.serving.settings import ServerSettings  # noqa: E402
from slt_hf.serving.sockets import latest

KEY, HASH = new_key()
ALLOWED = {"Authorization": f"Bearer {KEY}"}
METADATA = (("authorization", f"Bearer {KEY}"),)
POINTS = np.random.default_rng(0).normal(size=(4, 543, 3)).astype(np.float32)
CLIP = PoseClip(POINTS, np.ones((4, 543), np.float32), "holistic_543", 25.0)
FRAME = struct.pack("<dI", 0.0, 0) + POINTS[0].astype("<f2").tobytes() + b"\x01" * 543
BODIES = [
    pose_bytes(CLIP),
    json.dumps(
        {"inputs": [{"name": "poses", "datatype": "FP32", "shape": [1, 1, 543, 3], "data": [0.5] * 1629}]}
    ).encode(),
    json.dumps(
        {
            "inputs": [
                {
                    "name": "file",
                    "datatype": "BYTES",
                    "shape": [1],
                    "data": [base64.b64encode(pose_bytes(CLIP)).decode()],
                }
            ]
        }
    ).encode(),
]


class Waiting:
    """Stands for a model that is busy until it is told to go on."""

    processor = SignTranslator.from_pretrained().processor

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def __call__(self, clips: Any, **_: Any) -> list[Translation]:
        self.go_on.wait(20)
        return [Translation("done", 1.0) for _ in clips]


def service_with(model: Any, **bounds: Any) -> SignService:
    bounds = {"api_key_hashes": (HASH,), "grpc_port": free_port(), "requests_per_minute": 100_000, **bounds}
    service = SignService({}, ServerSettings(**bounds))
    queue = service.settings.queue_size
    service.served = {"demo": Served("demo", model, Batcher(lambda clips: compute(model, clips), 1, 0.0, queue))}
    service.default = "demo"
    return service


def infer_request(points: np.ndarray = POINTS) -> Any:
    request = service_pb2.ModelInferRequest(model_name="demo")
    request.inputs.add(name="poses", datatype="FP32", shape=[1, *points.shape])
    request.raw_input_contents.append(points.tobytes())
    return request


def file_request() -> Any:
    request = service_pb2.ModelInferRequest(model_name="demo")
    request.inputs.add(name="file", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(struct.pack("<I", len(BODIES[0])) + BODIES[0])
    return request


def over_grpc(service: SignService, request: Any) -> grpc.StatusCode:
    with grpc.insecure_channel(f"127.0.0.1:{service.settings.grpc_port}") as channel:
        try:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=METADATA, timeout=30)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def over_rest(client: TestClient) -> int:
    return client.post("/translate", content=BODIES[0], headers=ALLOWED).status_code


def eventually(true: Any) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_requests_at_once_are_counted_over_rest_and_grpc_together():
    model = Waiting()
    service = service_with(model, requests_at_once=2)
    app = build_app(service)
    with TestClient(app) as client, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(over_rest, client), pool.submit(over_grpc, service, infer_request())]
        eventually(lambda: sum(app.requests.taken.values()) == 2)
        assert over_rest(client) == 429 and client.get("/models", headers=ALLOWED).status_code == 429
        assert over_grpc(service, infer_request()) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert client.get("/health/live").status_code == 200  # a busy key does not make the server look dead
        model.go_on.set()
        assert [each.result(20) for each in asked] == [200, grpc.StatusCode.OK]
        assert over_rest(client) == 200 and not app.requests.taken


def test_streams_are_counted_over_websockets_and_grpc_together(translator: SignTranslator):
    service = service_with(translator, streams_per_key=2)
    app = build_app(service)
    with TestClient(app) as client, ExitStack() as stack:
        stack.enter_context(client.websocket_connect("/stream", headers=ALLOWED))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{service.settings.grpc_port}"))
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        done = threading.Event()
        stream = stub.ModelStreamInfer(iter(done.wait, True), metadata=METADATA)
        eventually(lambda: app.streams.taken.total() == 2)
        with pytest.raises(WebSocketDisconnect) as refused:
            stack.enter_context(client.websocket_connect("/stream", headers=ALLOWED))
        assert refused.value.code == 1013  # try again later
        with pytest.raises(grpc.RpcError) as exhausted:
            list(stub.ModelStreamInfer(iter([infer_request()]), metadata=METADATA))
        assert exhausted.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        done.set()
        assert list(stream) == []
        eventually(lambda: app.streams.taken.total() == 1)


def test_overload_is_told_as_such_and_passes():
    model = Waiting()
    service = service_with(model, queue_size=2)
    with TestClient(build_app(service)) as client, ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(over_rest, client) for _ in range(10)]
        eventually(lambda: sum(each.done() for each in asked) >= 7)  # one is computed, two wait
        assert over_grpc(service, infer_request()) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert 'slt_waiting_clips{model="demo"} 2.0' in client.get("/metrics", headers=ALLOWED).text
        model.go_on.set()
        codes = [each.result(20) for each in asked]
        assert set(codes) == {200, 429} and codes.count(200) == 3
        assert over_rest(client) == 200 and over_grpc(service, infer_request()) is grpc.StatusCode.OK
        told = client.get("/metrics", headers=ALLOWED).text
        assert 'slt_waiting_clips{model="demo"} 0.0' in told and 'slt_batch_size_sum{model="demo"} 5.0' in told


# --- no input makes the server fail ---


@pytest.fixture(scope="module")
def translator() -> SignTranslator:
    return SignTranslator.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def running(translator: SignTranslator) -> Iterator[tuple[TestClient, SignService]]:
    service = service_with(translator, requests_per_minute=10_000_000, max_clip_seconds=5.0)
    with TestClient(build_app(service), raise_server_exceptions=False) as client:
        yield client, service


@st.composite
def mutated(draw: Any, original: bytes) -> bytes:
    """A few bytes changed, put in, cut out, or all of it replaced."""
    body = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, min(len(body), 1200))))
        junk = draw(st.binary(max_size=8))
        kind = draw(st.sampled_from(["change", "insert", "cut", "end"]))
        if kind == "change":
            body[at : at + len(junk)] = junk
        elif kind == "insert":
            body[at:at] = junk
        elif kind == "cut":
            del body[at : at + draw(st.integers(1, 400))]
        else:
            del body[at:]
    return bytes(body)


QUERIES = st.sampled_from(["", "?model=demo", "?model=%00", "?model=" + "x" * 300, "?model=demo&layout=../x"])
HEADERS = st.sampled_from([{}, {"Inference-Header-Content-Length": "90"}, {"Content-Type": "multipart/form-data"},
                           {"Inference-Header-Content-Length": "-1"}, {"Content-Encoding": "gzip"}])  # fmt: skip
REQUESTS = st.one_of(
    st.tuples(st.just("/translate"), mutated(BODIES[0]), QUERIES, HEADERS),
    st.tuples(st.just("/v2/models/demo/infer"), mutated(BODIES[1]), QUERIES, HEADERS),
    st.tuples(st.just("/v2/models/demo/infer"), mutated(BODIES[2]), QUERIES, HEADERS),
    st.tuples(st.sampled_from(["/translate", "/v2/models/demo/infer"]), st.binary(max_size=60), QUERIES, HEADERS),
)
MESSAGES = st.lists(st.one_of(st.just(FRAME), mutated(FRAME), st.sampled_from(["finish", "other", ""])), max_size=3)
REFUSALS = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


def rest_survives(client: TestClient, request: tuple[str, bytes, str, dict[str, str]]) -> None:
    path, body, query, more = request
    answer = client.post(path + query, content=body, headers=ALLOWED | more)
    assert answer.status_code < 500, (request, answer.text)


def socket_survives(client: TestClient, messages: list[bytes | str]) -> None:
    """Every stream ends in an answer, or is closed for a reason that is the caller's (1008), never the server's."""
    with client.websocket_connect("/stream", headers=ALLOWED) as stream:
        for each in messages:
            stream.send_text(each) if isinstance(each, str) else stream.send_bytes(each)
        stream.close()
    assert client.get("/health/live").status_code == 200


def grpc_survives(stub: Any, message: bytes) -> None:
    try:
        stub(message, metadata=METADATA, timeout=30)
    except grpc.RpcError as error:
        assert error.code() in REFUSALS, (error.code(), error.details(), message)


def attack(running: tuple[TestClient, SignService], examples: int) -> None:
    """A third of the examples over each protocol."""
    client, service = running
    calm = settings(max_examples=examples // 3, deadline=None, suppress_health_check=list(HealthCheck))
    calm(given(REQUESTS)(lambda request: rest_survives(client, request)))()
    calm(given(MESSAGES)(lambda messages: socket_survives(client, messages)))()
    with grpc.insecure_channel(f"127.0.0.1:{service.settings.grpc_port}") as channel:
        raw = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        right = [mutated(each.SerializeToString()) for each in (infer_request(), file_request())]
        messages = st.one_of(*right, st.binary(max_size=60))
        calm(given(messages)(lambda message: grpc_survives(raw, message)))()
    errors = [line for line in client.get("/metrics", headers=ALLOWED).text.splitlines() if 'status="5' in line]
    assert not errors
    assert over_rest(client) in (200, 422) and over_grpc(service, infer_request()) in REFUSALS


def test_mutated_inputs_make_nothing_fail(running: tuple[TestClient, SignService]):
    attack(running, 150)


@pytest.mark.slow
def test_ten_thousand_mutated_inputs_make_nothing_fail(running: tuple[TestClient, SignService]):
    attack(running, 10_000)


class Stuck:
    """Stands for a stream that is busy with what came first."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.taken = self.most_ends = 0
        self.read: list[int] = []

    async def push(self, messages: Any) -> list[dict[str, Any]]:
        self.taken += len(messages)
        self.most_ends = max(self.most_ends, list(messages).count(None))
        await asyncio.to_thread(self.go_on.wait, 20)
        self.read += [int(struct.unpack("<dI", each[:12])[1]) for each in messages if each is not None]
        return [{"seq": 0, "frame": self.read[-1], "final": None in messages}]

    async def close(self) -> None:
        """Nothing is kept."""


def dropped(client: TestClient) -> float:
    lines = client.get("/metrics", headers=ALLOWED).text.splitlines()
    return float(next(line for line in lines if line.startswith("slt_dropped_frames_total")).split()[1])


def test_of_what_waits_the_oldest_frames_go_and_ends_of_utterances_stay():
    a, b, c, d = (bytes([number]) for number in range(4))
    assert latest([a, None, b, c], 2) == [None, b, c]  # what was read before `a` ends here, whatever was dropped
    assert latest([a, None, b, None, c, None, d], 2) == [None, c, None, d]
    assert latest([a, None, b], 5) == [a, None, b]


def test_a_flooded_stream_reads_the_latest_frames_and_says_how_many_it_left_out(monkeypatch: pytest.MonkeyPatch):
    service, stuck = service_with(Waiting()), Stuck()

    async def open_stream(*_: Any) -> Stuck:
        return stuck

    monkeypatch.setattr(service, "open_stream", open_stream)
    with TestClient(build_app(service)) as client, client.websocket_connect("/stream", headers=ALLOWED) as stream:
        for number in range(300):
            stream.send_bytes(struct.pack("<dI", 40.0 * number, number) + FRAME[12:])
        for _ in range(100):
            stream.send_text("finish")
        eventually(lambda: dropped(client) == 300 - stuck.taken - 64)  # all of it has come
        stuck.go_on.set()
        told = stream.receive_json()
        while not told["final"]:
            told = stream.receive_json()
        assert dropped(client) == told["dropped"]
    assert told["dropped"] == 300 - len(stuck.read) > 0
    assert stuck.read[-64:] == list(range(236, 300))  # the newest, in their order
    assert stuck.most_ends == 1  # what says only that it ends again does not wait
