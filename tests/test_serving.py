"""Serving: guarded before a body is read, bounded, and the same answers as without a server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server_process import free_port, wait_until_ready

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")

from starlette.testclient import TestClient  # noqa: E402
from starlette.websockets import WebSocketDisconnect  # noqa: E402

from slt_hf import SignTranslator  # noqa: E402
from slt_hf.demonstration import sign_unseen  # noqa: E402
from slt_hf.errors import ClipError, RecipeError  # noqa: E402
from slt_hf.processing.pose_clip import PoseClip  # noqa: E402
from slt_hf.processing.pose_files import pose_bytes  # noqa: E402
from slt_hf.serving.batching import Batcher  # noqa: E402
from slt_hf.serving.errors import OverloadedError  # noqa: E402
from slt_hf.serving.keys import SUBPROTOCOL, new_key  # noqa: E402
from slt_hf.serving.rest import build_app  # noqa: E402
from slt_hf.serving.service import SignService  # noqa: E402
from slt_hf.serving.settings import ServerSettings  # noqa: E402
from slt_hf.streaming import StreamingTranslator  # noqa: E402

KEY, HASH = new_key()
ALLOWED = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def service() -> SignService:
    return SignService({"demo": None}, ServerSettings(api_key_hashes=(HASH,), requests_per_minute=100_000), "cpu")


@pytest.fixture(scope="module")
def client(service: SignService) -> Iterator[TestClient]:
    with TestClient(build_app(service), raise_server_exceptions=False) as running:
        yield running


@pytest.fixture(scope="module")
def sentence() -> PoseClip:
    return sign_unseen(seed=2)[1]


def small(app_settings: dict[str, Any], service: SignService) -> TestClient:
    """The same models behind other bounds."""
    other = SignService.__new__(SignService)
    other.settings = ServerSettings(**{"api_key_hashes": (HASH,), **app_settings})
    other.default = "demo"
    model = service.served["demo"].model
    from slt_hf.serving.service import Served, compute

    bounds = other.settings
    batcher = Batcher(lambda clips: compute(model, clips), bounds.batch_size, bounds.batch_wait_ms, bounds.queue_size)
    other.served = {"demo": Served("demo", model, batcher)}
    return TestClient(build_app(other), raise_server_exceptions=False)


# --- who may come in ---


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/translate"), ("GET", "/models"), ("GET", "/metrics"), ("GET", "/docs"), ("GET", "/v2")],
)
def test_every_route_but_health_asks_for_a_key(client: TestClient, method: str, path: str):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}):
        assert client.request(method, path, headers=headers).status_code == 401
    assert client.get("/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").status_code == 200


def test_a_stranger_is_refused_before_the_body_is_read(service: SignService):
    app, sent = build_app(service), []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/translate", "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 401


def test_a_service_that_could_serve_nobody_is_refused():
    with pytest.raises(RecipeError, match="API key"):
        ServerSettings()


def test_each_key_has_its_rate(service: SignService):
    with small({"requests_per_minute": 3}, service) as limited:
        codes = [limited.get("/models", headers=ALLOWED).status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        with pytest.raises(WebSocketDisconnect) as refused, limited.websocket_connect("/stream", headers=ALLOWED):
            pass
    assert refused.value.code == 1013  # the same rate, and a stream counts for it


# --- answers ---


def test_the_answer_is_the_translators(client: TestClient, service: SignService, sentence: PoseClip):
    body = pose_bytes(sentence)
    answer = client.post("/translate", content=body, headers=ALLOWED)
    expected = service.served["demo"].model(body)
    assert answer.status_code == 200 and answer.json()["translation"] == expected.text
    assert answer.json()["confidence"] == pytest.approx(expected.confidence, abs=1e-5)
    assert 'slt_request_seconds_count{model="demo",protocol="rest"}' in client.get("/metrics", headers=ALLOWED).text


def test_the_inference_protocol_gives_the_same(client: TestClient, service: SignService, sentence: PoseClip):
    values = np.concatenate([np.nan_to_num(sentence.points), sentence.confidence[..., None]], -1)[None].round(2)
    tensor = {"name": "poses", "datatype": "FP32", "shape": list(values.shape), "data": values.ravel().tolist()}
    parameters = {"layout": sentence.layout, "fps": sentence.fps}
    answer = client.post(
        "/v2/models/demo/infer", json={"id": "7", "inputs": [tensor], "parameters": parameters}, headers=ALLOWED
    )
    outputs = {each["name"]: each for each in answer.json()["outputs"]}
    assert answer.json()["id"] == "7" and outputs["text"]["data"] == [service.served["demo"].model(sentence).text]
    assert outputs["confidence"]["shape"] == [1]
    assert client.get("/v2/models/demo", headers=ALLOWED).json()["inputs"][0]["name"] == "poses"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [1, 2, 5, 4]}, "unexpected shape for input 'poses'"),
        ({"datatype": "FP64"}, "data-type is 'FP64'"),
        ({"name": "frames"}, "expected input 'poses'"),
        ({"data": ["x"]}, "expected numbers"),
        ({"data": [1.0]}, "expected 4344 values"),
    ],
)
def test_wrong_tensors_are_told_as_triton_tells_them(client: TestClient, change: dict[str, Any], message: str):
    tensor = {"name": "poses", "datatype": "FP32", "shape": [1, 2, 543, 4], "data": [0.0] * 4344} | change
    answer = client.post("/v2/models/demo/infer", json={"inputs": [tensor]}, headers=ALLOWED)
    assert answer.status_code == 400 and message in answer.json()["error"]


@pytest.mark.parametrize(
    "change", [{"id": "\ud800"}, {"id": float("nan")}, {"id": {}}, {"inputs": [{"datatype": "\ud800"}]}]
)
def test_what_no_answer_can_hold_is_refused(client: TestClient, change: dict[str, Any]):
    tensor = {"name": "poses", "datatype": "FP32", "shape": [1, 2, 543, 4], "data": [0.0] * 4344}
    inputs = [tensor | each for each in change.get("inputs", [{}])]
    body = json.dumps(change | {"inputs": inputs})  # escapes what UTF-8 cannot hold
    assert client.post("/v2/models/demo/infer", content=body, headers=ALLOWED).status_code == 400


def test_the_schema_says_what_a_body_holds_and_where_a_key_goes(client: TestClient):
    schema = client.get("/openapi.json", headers=ALLOWED).json()
    infer = schema["paths"]["/v2/models/{name}/infer"]["post"]["requestBody"]["content"]
    assert infer["application/json"]["schema"]["properties"]["inputs"]["items"]["anyOf"][0]["required"]
    assert "application/octet-stream" in schema["paths"]["/translate"]["post"]["requestBody"]["content"]
    assert schema["security"] == [{"key": []}] and schema["paths"]["/health/live"]["get"]["security"] == []


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        ([{"name": "text"}], ["text"]),
        ([{"name": "confidence"}, {"name": "text"}], ["text", "confidence"]),
        ([], ["text", "confidence"]),
        ([{"name": "heat"}], "unexpected inference output 'heat'"),
        ([{"name": ["text"]}], "unexpected inference output"),
        (["heat"], "unexpected inference output 'heat'"),
        (5, "expected outputs as a list"),
    ],
)
def test_outputs_are_those_that_were_asked_for(client: TestClient, outputs: Any, found: Any):
    tensor = {"name": "poses", "datatype": "FP32", "shape": [1, 2, 543, 4], "data": [0.5] * 4344}
    answer = client.post("/v2/models/demo/infer", json={"inputs": [tensor], "outputs": outputs}, headers=ALLOWED)
    if isinstance(found, list):
        assert [each["name"] for each in answer.json()["outputs"]] == found
    else:
        assert answer.status_code == 400 and found in answer.json()["error"]


def test_an_unknown_model_is_not_found(client: TestClient, sentence: PoseClip):
    assert client.post("/v2/models/other/infer", content=b"{}", headers=ALLOWED).status_code == 404
    answer = client.post("/translate?model=other", content=pose_bytes(sentence), headers=ALLOWED)
    assert answer.status_code == 404 and "demo" in answer.json()["error"]


# --- bounds ---


def test_large_bodies_and_long_clips_are_refused(service: SignService, sentence: PoseClip):
    with small({"max_body_bytes": 1000}, service) as tight:
        assert tight.post("/translate", content=b"x" * 1001, headers=ALLOWED).status_code == 413
    with small({"max_clip_seconds": 1.0}, service) as tight:
        answer = tight.post("/translate", content=pose_bytes(sentence), headers=ALLOWED)
    assert answer.status_code == 422 and "at most 1 s" in answer.json()["error"]


def test_nobody_waits_while_a_large_body_is_taken_apart(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        raise ClipError("expected poses, found megabytes")

    monkeypatch.setattr("slt_hf.serving.rest.infer_clips", slow)
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(client.post, "/v2/models/demo/infer", content=b"{}", headers=ALLOWED)
        try:
            assert begun.wait(30) and client.get("/health/live").status_code == 200
            assert not large.done()
        finally:
            go_on.set()
        assert large.result().status_code == 400


@pytest.mark.parametrize("wait_ms", [0, 20])
def test_a_full_queue_says_so_and_what_waits_is_computed_together(wait_ms: float):
    sizes, gate = [], threading.Event()

    def compute(items: Sequence[int]) -> list[int]:
        gate.wait(5)
        sizes.append(len(items))
        return [2 * item for item in items]

    async def work() -> list[Any]:
        batcher = Batcher(compute, size=4, wait_ms=wait_ms, queue_size=6)
        batcher.start()
        asked = [asyncio.create_task(batcher.submit(number)) for number in range(12)]
        await asyncio.sleep(0.1)
        gate.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        await batcher.stop()
        return found

    found = asyncio.run(work())
    refused = [each for each in found if isinstance(each, OverloadedError)]
    assert refused and [each for each in found if each not in refused] == [2 * n for n in range(12 - len(refused))]
    assert max(sizes) > 1


def test_one_bad_clip_spoils_no_other(service: SignService, sentence: PoseClip):
    empty = PoseClip(sentence.points * np.nan, sentence.confidence * 0, sentence.layout, sentence.fps)
    from slt_hf.serving.service import compute

    good, bad = compute(service.served["demo"].model, [sentence, empty])
    assert good.text and isinstance(bad, ValueError)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_body_makes_the_server_fail(client: TestClient, sentence: PoseClip, data: st.DataObject):
    valid = pose_bytes(PoseClip(sentence.points[:2], sentence.confidence[:2], sentence.layout, 25.0))
    at, junk = data.draw(st.integers(0, 400)), data.draw(st.binary(max_size=40))
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["inputs", "shape", "name"]), inner)
        ),
        max_leaves=8,
    )
    for path, body in (
        ("/translate", valid[:at] + junk + valid[at + len(junk) :]),
        ("/v2/models/demo/infer", json.dumps(data.draw(json_values)).encode()),
    ):
        assert client.post(path, content=body, headers=ALLOWED).status_code < 500


# --- streams ---


def message(points: np.ndarray, confidence: np.ndarray, time_ms: float, number: int) -> bytes:
    return (
        struct.pack("<dI", time_ms, number)
        + np.nan_to_num(points).astype("<f2").tobytes()
        + (confidence > 0).astype(np.uint8).tobytes()
    )


def test_a_stream_says_what_the_streaming_translator_says(client: TestClient, service: SignService, sentence: PoseClip):
    scaled = np.nan_to_num(sentence.points / 1000).astype(np.float16).astype(np.float32)  # as float16 on the wire
    seen = (sentence.confidence > 0).astype(np.float32)
    local = StreamingTranslator(service.served["demo"].model, sentence.layout)
    expected = [event for i in range(len(scaled)) for event in local.push(scaled[i], 40.0 * i, seen[i])]
    expected += local.finish()
    with client.websocket_connect("/stream", headers=ALLOWED) as stream:
        for number, (points, confidence) in enumerate(zip(scaled, seen, strict=True)):
            stream.send_bytes(message(points, confidence, 40.0 * number, number))
            if number % 20 == 0:
                time.sleep(0.1)  # a camera takes its time
        stream.send_text("finish")
        found = [stream.receive_json()]
        while not found[-1]["final"]:
            found.append(stream.receive_json())
    assert [each["committed"] for each in found] == [event.committed for event in expected]
    assert [each["tentative"] for each in found] == [event.tentative for event in expected]
    assert found[-1]["dropped"] == 0 and found[0]["frame"] < found[-1]["frame"] < len(scaled)


def test_browsers_bring_the_key_as_a_subprotocol_and_only_from_our_page(client: TestClient):
    protocol = [SUBPROTOCOL + KEY]
    with client.websocket_connect("/stream", subprotocols=protocol, headers={"Origin": "http://testserver"}) as stream:
        assert stream.accepted_subprotocol == protocol[0]
    for headers, protocols in (({}, []), ({"Origin": "http://elsewhere"}, protocol)):
        with pytest.raises(WebSocketDisconnect) as refused:
            with client.websocket_connect("/stream", subprotocols=protocols, headers=headers):
                pass
        assert refused.value.code == 1008


@pytest.mark.parametrize("sent", [b"short", b"x" * 70_000])
def test_a_frame_that_is_none_closes_the_stream_with_the_reason(client: TestClient, sent: bytes):
    with client.websocket_connect("/stream", headers=ALLOWED) as stream:
        stream.send_bytes(sent)
        with pytest.raises(WebSocketDisconnect) as closed:
            stream.receive_json()
    assert closed.value.code == 1008 and "expected" in closed.value.reason


def test_frames_faster_than_a_camera_are_dropped_and_counted(client: TestClient, sentence: PoseClip):
    points, seen = np.nan_to_num(sentence.points[40] / 1000), sentence.confidence[40]
    with client.websocket_connect("/stream", headers=ALLOWED) as stream:
        for number in range(300):
            stream.send_bytes(message(points, seen, 1.0 * number, number))
        stream.send_text("finish")
        event = stream.receive_json()
        while not event["final"]:
            event = stream.receive_json()
    assert event["dropped"] > 200


def test_a_frame_of_another_age_ends_the_stream_in_words(client: TestClient, sentence: PoseClip):
    """Every frame behind it would come too fast, and be dropped in silence."""
    points, seen = np.nan_to_num(sentence.points[40] / 1000), sentence.confidence[40]
    with client.websocket_connect("/stream", headers=ALLOWED) as stream:
        for time_ms in (0.0, 1e300):
            stream.send_bytes(message(points, seen, time_ms, 0))
        with pytest.raises(WebSocketDisconnect) as closed:
            for _ in range(5):
                stream.receive_json()
    assert closed.value.code == 1008 and "within a day" in closed.value.reason


# --- the process ---


@pytest.mark.slow
def test_sigterm_loses_nothing_that_was_asked(tmp_path: Path, sentence: PoseClip):
    port = free_port()
    command = [sys.executable, "-m", "slt_hf.cli.main", "serve", "--open", "--port", str(port), "--device", "cpu"]
    server = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        wait_until_ready(port)
        answers: list[int] = []

        def ask() -> None:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/translate", data=pose_bytes(sentence))
            with urllib.request.urlopen(request, timeout=60) as answer:
                answers.append(answer.status)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        server.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert answers == [200] * 6 and server.wait(30) is not None
    finally:
        server.kill()


def test_translators_are_what_is_served(service: SignService):
    assert isinstance(service.served["demo"].model, SignTranslator) and service.default == "demo"
