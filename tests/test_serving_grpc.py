"""gRPC: tritonclient gets what REST gets, behind the same keys, with Triton's codes."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server_process import free_port

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")
grpc_client = pytest.importorskip("tritonclient.grpc", reason="slt_hf[serve] is not installed")

import grpc  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402
from tritonclient.grpc import service_pb2, service_pb2_grpc  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402

from slt_hf.demonstration import sign_unseen  # noqa: E402
from slt_hf.processing.pose_clip import PoseClip  # noqa: E402
from slt_hf.serving.batching import Batcher  # noqa: E402
from slt_hf.serving.errors import OverloadedError  # noqa: E402
from slt_hf.serving.grpc_server import host_of, in_time  # noqa: E402
from slt_hf.serving.keys import new_key  # noqa: E402
from slt_hf.serving.rest import build_app  # noqa: E402
from slt_hf.serving.service import Served, SignService  # noqa: E402
from slt_hf.serving.settings import ServerSettings  # noqa: E402

KEY, HASH = new_key()
ALLOWED = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def service() -> SignService:
    bounds = ServerSettings(api_key_hashes=(HASH,), grpc_port=free_port(), requests_per_minute=100_000)
    return SignService({"demo": None}, bounds, "cpu")


@pytest.fixture(scope="module")
def rest(service: SignService) -> Iterator[TestClient]:
    with TestClient(build_app(service), raise_server_exceptions=False) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: SignService, rest: TestClient) -> Iterator[Any]:
    with grpc_client.InferenceServerClient(f"127.0.0.1:{service.settings.grpc_port}") as connected:
        yield connected


@pytest.fixture(scope="module")
def sentence() -> PoseClip:
    return sign_unseen(seed=2)[1]


def tensor(clip: PoseClip) -> np.ndarray:
    """(1, T, V, C) float32."""
    return np.concatenate([np.nan_to_num(clip.points), clip.confidence[..., None]], -1, dtype=np.float32)[None]


def asked(values: np.ndarray, name: str = "poses", datatype: str = "FP32") -> list[Any]:
    tensor = grpc_client.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return [tensor]


def parameters(clip: PoseClip) -> dict[str, Any]:
    return {"layout": clip.layout, "fps": float(clip.fps)}


def test_unary_and_stream_and_rest_say_the_same(
    client: Any, rest: TestClient, service: SignService, sentence: PoseClip
):
    values, expected = tensor(sentence), service.served["demo"].model(sentence)
    how: dict[str, Any] = {"parameters": parameters(sentence), "headers": ALLOWED}
    unary = client.infer("demo", asked(values), request_id="7", **how)
    assert unary.get_response().id == "7" and unary.as_numpy("text")[0].decode() == expected.text
    assert unary.as_numpy("confidence")[0] == pytest.approx(expected.confidence, abs=1e-4)

    answers: list[Any] = []
    client.start_stream(lambda result, error: answers.append((result, error)), headers=ALLOWED)
    for values_or_wrong in (values, values[..., :2], values):
        client.async_stream_infer("demo", asked(np.ascontiguousarray(values_or_wrong)), parameters=parameters(sentence))
    client.stop_stream()
    texts = [result.as_numpy("text")[0].decode() if result else str(error) for result, error in answers]
    assert texts[0] == texts[2] == expected.text and "unexpected shape" in texts[1]

    header = json.dumps(
        {
            "inputs": [{"name": "poses", "datatype": "FP32", "shape": list(values.shape)}],
            "parameters": parameters(sentence),
        }
    ).encode()
    answer = rest.post(
        "/v2/models/demo/infer",
        content=header + values.tobytes(),
        headers={**ALLOWED, "Inference-Header-Content-Length": str(len(header))},
    )
    assert answer.json()["outputs"][0]["data"] == [expected.text]


def test_outputs_are_those_that_were_asked_for(client: Any, sentence: PoseClip):
    how: dict[str, Any] = {"parameters": parameters(sentence), "headers": ALLOWED}
    only = client.infer(
        "demo", asked(tensor(sentence)), outputs=[grpc_client.InferRequestedOutput("confidence")], **how
    )
    assert only.as_numpy("confidence").shape == (1,) and only.as_numpy("text") is None
    with pytest.raises(InferenceServerException, match="unexpected inference output 'heat'") as refused:
        client.infer("demo", asked(tensor(sentence)), outputs=[grpc_client.InferRequestedOutput("heat")], **how)
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_numbers_may_come_as_contents(service: SignService, client: Any, sentence: PoseClip):
    values = tensor(sentence)
    request = service_pb2.ModelInferRequest(model_name="demo")
    request.parameters["layout"].string_param = sentence.layout
    request.parameters["fps"].int64_param = int(sentence.fps)
    stated = request.inputs.add(name="poses", datatype="FP32", shape=values.shape)
    stated.contents.fp32_contents.extend(values.ravel().tolist())
    with grpc.insecure_channel(f"127.0.0.1:{service.settings.grpc_port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer = stub.ModelInfer(request, metadata=tuple(ALLOWED.items()))
    assert answer.raw_output_contents[0][4:].decode() == service.served["demo"].model(sentence).text


def test_what_is_served_is_told(client: Any):
    assert client.is_server_live() and client.is_server_ready()  # without a key, as health checks are
    told = client.get_model_metadata("demo", headers=ALLOWED)
    assert [each.name for each in told.inputs] == ["poses"] and [each.datatype for each in told.outputs][0] == "BYTES"
    assert client.is_model_ready("demo", headers=ALLOWED) and not client.is_model_ready("other", headers=ALLOWED)


@pytest.mark.parametrize(
    ("model", "values", "name", "datatype", "code", "message"),
    [
        ("other", np.zeros((1, 2, 543, 4), np.float32), "poses", "FP32", "NOT_FOUND", "demo"),
        ("demo", np.zeros((1, 2, 543, 2), np.float32), "poses", "FP32", "INVALID_ARGUMENT", "unexpected shape"),
        ("demo", np.zeros((1, 2, 543, 4), np.float64), "poses", "FP64", "INVALID_ARGUMENT", "data-type is 'FP64'"),
        ("demo", np.zeros((1, 2, 543, 4), np.float32), "frames", "FP32", "INVALID_ARGUMENT", "expected input 'poses'"),
    ],
)
def test_wrong_requests_get_tritons_codes(client: Any, model, values, name, datatype, code, message):
    with pytest.raises(InferenceServerException, match=message) as refused:
        client.infer(model, asked(values, name, datatype), headers=ALLOWED)
    assert refused.value.status() == f"StatusCode.{code}"


def test_every_method_but_health_asks_for_a_key(service: SignService, client: Any):
    methods = [each.name for each in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]
    assert len(methods) == 20
    with grpc.insecure_channel(f"127.0.0.1:{service.settings.grpc_port}") as channel:
        for method in sorted({*methods} - {"ServerLive", "ServerReady"}):
            for sent in ((), (("authorization", "Bearer wrong"),), (("authorization", f"Basic {KEY}"),)):
                call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
                with pytest.raises(grpc.RpcError) as refused:
                    call(b"not a message", metadata=sent, timeout=10)  # would be INTERNAL if it were read
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED, method


def test_nothing_loads_a_model(client: Any):
    for call in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException) as refused:
            call("demo", headers=ALLOWED)
        assert refused.value.status() == "StatusCode.UNIMPLEMENTED"


def test_a_key_has_one_rate_over_rest_and_grpc(service: SignService):
    tight = SignService.__new__(SignService)
    tight.settings = replace(service.settings, grpc_port=free_port(), requests_per_minute=3)
    tight.served, tight.default = {}, "demo"
    with TestClient(build_app(tight)) as rest:
        with grpc_client.InferenceServerClient(f"127.0.0.1:{tight.settings.grpc_port}") as client:
            assert rest.get("/models", headers=ALLOWED).status_code == 200
            assert [client.is_model_ready("demo", headers=ALLOWED) for _ in range(2)] == [False, False]
            with pytest.raises(InferenceServerException) as refused:
                client.is_model_ready("demo", headers=ALLOWED)
            assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
            assert rest.get("/models", headers=ALLOWED).status_code == 429


def test_without_keys_each_place_has_its_rate(service: SignService):
    tight = SignService.__new__(SignService)
    tight.settings = replace(service.settings, grpc_port=free_port(), requests_per_minute=3, open_to_all=True)
    tight.served, tight.default = {}, "demo"
    app = build_app(tight)
    there = TestClient(app, client=("10.0.0.1", 1))
    with TestClient(app, client=("127.0.0.1", 1)) as here:
        with grpc_client.InferenceServerClient(f"127.0.0.1:{tight.settings.grpc_port}") as client:
            assert here.get("/models").status_code == 200
            assert [client.is_model_ready("demo") for _ in range(2)] == [False, False]
            with pytest.raises(InferenceServerException) as refused:
                client.is_model_ready("demo")
            assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED" and client.is_server_live()
            assert (here.get("/models").status_code, there.get("/models").status_code) == (429, 200)


@pytest.mark.parametrize(
    ("peer", "host"),
    [("ipv4:127.0.0.1:50", "127.0.0.1"), ("ipv6:%5B::1%5D:50", "::1"), ("ipv6:[fe80::2]:5", "fe80::2")],
)
def test_where_a_call_comes_from(peer: str, host: str):
    assert host_of(SimpleNamespace(peer=lambda: peer)) == host


def test_a_full_queue_is_resource_exhausted(service: SignService, client: Any, monkeypatch: pytest.MonkeyPatch):
    async def full(_: Any) -> Any:
        raise OverloadedError("expected room, found none; try again")

    monkeypatch.setattr(service.served["demo"].batcher, "submit", full)
    with pytest.raises(InferenceServerException) as refused:
        client.infer("demo", asked(np.zeros((1, 2, 543, 4), np.float32)), headers=ALLOWED)
    assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED"


def test_a_message_over_the_bound_is_refused(service: SignService, client: Any):
    frames = service.settings.max_body_bytes // (543 * 4 * 4) + 1
    with pytest.raises(InferenceServerException) as refused:
        client.infer("demo", asked(np.zeros((1, frames, 543, 4), np.float32)), headers=ALLOWED)
    assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("bounds", [{"idle_seconds": 0.3}, {"lifetime_seconds": 0.3}])
def test_a_stream_that_is_silent_or_lasts_too_long_gives_its_place_back(bounds: dict[str, Any]):
    async def requests() -> AsyncIterator[int]:
        for number in range(1000):
            await asyncio.sleep(30 * (number == 2) if "idle_seconds" in bounds else 0.02)
            yield number

    async def read() -> list[int]:
        found = []
        with pytest.raises(OverloadedError, match="open another"):
            async for request in in_time(requests(), ServerSettings(open_to_all=True, **bounds)):
                found.append(request)
        return found

    found = asyncio.run(read())
    assert found == [0, 1] if "idle_seconds" in bounds else len(found) < 100


def test_calls_in_flight_are_answered_when_the_server_ends(service: SignService, sentence: PoseClip):
    found, begun = service.served["demo"].model(sentence), threading.Event()

    def slowly(clips: Any) -> list[Any]:
        begun.set()
        time.sleep(0.3)
        return [found] * len(clips)

    ending = SignService.__new__(SignService)
    ending.settings = replace(service.settings, grpc_port=free_port())
    model = service.served["demo"].model
    ending.served, ending.default = {"demo": Served("demo", model, Batcher(slowly, 1, 0.0, 8))}, "demo"
    answers: list[str] = []

    def ask() -> None:
        with grpc_client.InferenceServerClient(f"127.0.0.1:{ending.settings.grpc_port}") as client:
            answer = client.infer("demo", asked(tensor(sentence)), parameters=parameters(sentence), headers=ALLOWED)
            answers.append(answer.as_numpy("text")[0].decode())

    threads = [threading.Thread(target=ask) for _ in range(3)]
    with TestClient(build_app(ending)):
        for thread in threads:
            thread.start()
        assert begun.wait(10)
        time.sleep(0.25)  # until all three have arrived
    for thread in threads:
        thread.join(20)
    assert answers == [found.text] * 3


def test_what_a_deadline_has_passed_by_is_not_computed():
    computed: list[int] = []

    def compute(items: Any) -> list[int]:
        time.sleep(0.1)
        computed.extend(items)
        return list(items)

    async def work() -> None:
        batcher = Batcher(compute, size=1, wait_ms=0, queue_size=4)
        batcher.start()
        first = asyncio.create_task(batcher.submit(1))
        await asyncio.sleep(0.02)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher.submit(2), 0.02)
        assert await first == 1 and await batcher.submit(3) == 3
        await batcher.stop()

    asyncio.run(work())
    assert computed == [1, 3]


REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED}


@settings(max_examples=80, deadline=None)
@given(
    shape=st.lists(st.sampled_from([0, -1, 1, 2, 3, 4, 543, 2**62]), max_size=5) | st.just([1, 2, 543, 4]),
    floats=st.lists(st.sampled_from([0.0, 1.0, float("nan"), float("inf"), -3e38]), max_size=6),
    raw=st.lists(st.binary(max_size=9), max_size=2),
    fps=st.sampled_from([25.0, 0.0, -1.0, float("nan"), float("inf"), 1e300]),
    layout=st.sampled_from(["holistic_543", "", "nothing", "../x"]),
    fill=st.booleans(),
)
def test_no_request_makes_the_server_fail(service: SignService, client: Any, shape, floats, raw, fps, layout, fill):
    request = service_pb2.ModelInferRequest(model_name="demo")
    request.parameters["layout"].string_param = layout
    request.parameters["fps"].double_param = fps
    stated = request.inputs.add(name="poses", datatype="FP32", shape=shape)
    if fill and floats:
        stated.contents.fp32_contents.extend(np.resize(floats, 2 * 543 * 4).tolist())
    else:
        request.raw_input_contents.extend(raw)
    with grpc.insecure_channel(f"127.0.0.1:{service.settings.grpc_port}") as channel:
        try:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=tuple(ALLOWED.items()))
        except grpc.RpcError as error:
            assert error.code() in REFUSALS, error.details()  # never UNKNOWN or INTERNAL
