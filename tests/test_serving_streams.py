"""Streams in processes of their own say what streams in the server's process say, and outlive a crash."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from tiny_checkpoints import save_classification

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")

from starlette.testclient import TestClient  # noqa: E402
from starlette.websockets import WebSocketDisconnect  # noqa: E402

from slt_hf.demonstration import sign_unseen  # noqa: E402
from slt_hf.processing.pose_clip import PoseClip  # noqa: E402
from slt_hf.serving.errors import OverloadedError  # noqa: E402
from slt_hf.serving.frames import write_frame  # noqa: E402
from slt_hf.serving.rest import build_app  # noqa: E402
from slt_hf.serving.service import SignService  # noqa: E402
from slt_hf.serving.settings import ServerSettings  # noqa: E402
from slt_hf.serving.stream_host import StreamProcess  # noqa: E402


def messages(clip: PoseClip) -> list[bytes]:
    points = clip.points / float(np.nanmax(np.abs(clip.points)))
    return [
        write_frame(1000 * number / clip.fps, number, *frame)
        for number, frame in enumerate(zip(points, clip.confidence, strict=True))
    ]


def streamed(client: TestClient, model: str, frames: list[bytes]) -> list[dict[str, Any]]:
    with client.websocket_connect(f"/stream?model={model}") as stream:
        for number, frame in enumerate(frames):
            stream.send_bytes(frame)
            if number % 20 == 0:
                time.sleep(0.2)  # a camera takes its time
        stream.send_text("finish")
        found = [stream.receive_json()]
        while not found[-1]["final"]:
            found.append(stream.receive_json())
    return found


def serving(sources: dict[str, Any], **bounds: Any) -> TestClient:
    return TestClient(build_app(SignService(sources, ServerSettings(open_to_all=True, **bounds), "cpu")))


def test_a_classifier_streams_too(tmp_path: Path):
    with serving({"signs": save_classification(tmp_path / "signs")}) as client:
        found = streamed(client, "signs", messages(sign_unseen(seed=2)[1]))
    assert found[-1]["final"] and {"committed", "tentative", "confidence", "dropped"} <= set(found[-1])


@pytest.fixture(scope="module")
def service() -> SignService:
    return SignService({"demo": None}, ServerSettings(open_to_all=True, stream_processes=1), "cpu")


@pytest.fixture(scope="module")
def spread(service: SignService) -> Iterator[TestClient]:
    with TestClient(build_app(service)) as client:
        yield client


def warm(client: TestClient, frames: list[bytes]) -> list[dict[str, Any]]:
    """The second time: graphs are traced during the first, and frames wait and are dropped meanwhile."""
    streamed(client, "demo", frames)
    return streamed(client, "demo", frames)


@pytest.mark.slow
def test_another_process_says_the_same(spread: TestClient):
    frames = messages(sign_unseen(seed=2)[1])
    with serving({"demo": None}) as local:
        expected = warm(local, frames)
    found = warm(spread, frames)
    assert found[-1]["dropped"] == expected[-1]["dropped"] == 0
    assert [(each["committed"], each["frame"]) for each in found if each["final"]] == [
        (each["committed"], each["frame"]) for each in expected if each["final"]
    ]
    assert any(each["tentative"] for each in found)


@pytest.mark.slow
def test_refusals_cross_the_process_and_a_crash_costs_its_streams_alone(spread: TestClient, service: SignService):
    with spread.websocket_connect("/stream") as stream:
        stream.send_bytes(write_frame(float("nan"), 0, np.zeros((543, 3)), np.ones(543)))
        with pytest.raises(WebSocketDisconnect) as refused:
            stream.receive_json()
    assert refused.value.code == 1008 and "time in milliseconds" in refused.value.reason
    frames = messages(sign_unseen(seed=2)[1])
    with spread.websocket_connect("/stream") as stream:
        stream.send_bytes(frames[0])
        time.sleep(1)
        process = service.stream_processes.processes[0]
        process.process.kill()
        stream.send_bytes(frames[1])
        with pytest.raises(WebSocketDisconnect) as refused:
            stream.receive_json()
    assert refused.value.code == 1013 and process.streams == 0  # try again: another process has started
    assert streamed(spread, "demo", frames)[-1]["final"]


def test_a_process_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch):
    hanging = StreamProcess.__new__(StreamProcess)
    hanging.pipe, hanging.process, hanging.ready = Mock(**{"poll.return_value": False}), Mock(), True
    monkeypatch.setattr(hanging, "_start", start := Mock())
    with pytest.raises(OverloadedError, match="open another stream"):
        hanging.ask("push", 1, [None])
    hanging.process.kill.assert_called_once()
    hanging.process.join.assert_called_once()
    start.assert_called_once()
