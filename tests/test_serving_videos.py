"""Videos and pictures over `/translate`: bytes only, decoded within bounds in a process that may be killed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")
pytest.importorskip("av", reason="slt_hf[data] is not installed")

from PIL import Image  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402
from test_guarded_video import encode  # noqa: E402

from slt_hf.guarded_video import GuardedDecoder  # noqa: E402
from slt_hf.pipeline import Translation  # noqa: E402
from slt_hf.processing.pose_clip import PoseClip  # noqa: E402
from slt_hf.serving.batching import Batcher  # noqa: E402
from slt_hf.serving.rest import build_app  # noqa: E402
from slt_hf.serving.service import Served, SignService, compute  # noqa: E402
from slt_hf.serving.settings import ServerSettings  # noqa: E402
from slt_hf.serving.videos import ending_of  # noqa: E402


class AllFrames:
    """Stands for a processor that wants every frame."""

    model_input_names = ["pixel_values"]

    def __call__(self, clip: Any) -> Any:
        return clip.read(None, None, None)


class FrameCounter:
    """Stands for a model that sees frames: says how many there were."""

    processor = AllFrames()

    def __call__(self, clips: Any, **_: Any) -> Any:
        if isinstance(clips, list):
            return [self(clip) for clip in clips]
        return Translation(str(len(self.processor(clips))), 1.0)


class PoseCounter:
    """Stands for a model that reads poses."""

    processor = SimpleNamespace(model_input_names=["poses"])

    def __call__(self, clips: Any, **_: Any) -> list[Translation]:
        assert all(isinstance(clip, PoseClip) for clip in clips)
        return [Translation(f"{clip.num_frames} of {clip.layout}", 1.0) for clip in clips]


def service_with(model: Any, **bounds: Any) -> SignService:
    service = SignService({}, ServerSettings(open_to_all=True, max_video_bytes=500_000, max_video_frames=100, **bounds))
    service.served = {"demo": Served("demo", model, Batcher(lambda clips: compute(model, clips), 8, 1.0, 8))}
    service.default = "demo"
    return service


def serving(model: Any, **bounds: Any) -> TestClient:
    return TestClient(build_app(service_with(model, **bounds)), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serving(FrameCounter()) as running:
        yield running


def picture() -> bytes:
    file = BytesIO()
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_a_model_that_sees_frames_gets_those_of_the_upload(client: TestClient):
    answer = client.post("/translate", content=encode("mpeg4", "mp4", (64, 48), 25))
    assert answer.json()["translation"] == "25"
    assert client.post("/translate", content=picture()).json()["translation"] == "1"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 422, "empty"),
        (b"http://127.0.0.1:9/clip.mp4", 422, "expected a readable video"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", 422, "expected a readable video"),
        (encode("mpeg4", "mp4", (64, 48), 25)[:300], 422, "upload.mp4"),
        (encode("mpeg4", "mp4", (64, 48), 101), 422, "100"),
        (encode("mpeg4", "mp4", (8176, 4608), 1), 422, "pixels"),
        (b"\x00" * 9_000_000, 413, ""),
    ],
    ids=["empty", "address", "playlist", "cut", "frames", "pixels", "bytes"],
)
def test_what_costs_too_much_or_is_no_video_is_refused(client: TestClient, body: bytes, status: int, message: str):
    answer = client.post("/translate", content=body)
    assert answer.status_code == status and message in answer.text, answer.text
    assert "/tmp" not in answer.text and "Traceback" not in answer.text


def test_poses_have_a_bound_of_their_own():
    with serving(PoseCounter(), max_body_bytes=1000) as client:
        answer = client.post("/translate", content=b"x" * 1001)
        assert answer.status_code == 413 and "at most 1000 bytes" in answer.json()["error"]


def test_more_videos_than_may_wait_are_told_so():
    service = service_with(FrameCounter(), video_queue_size=1)
    service.videos.open = 1
    with TestClient(build_app(service), raise_server_exceptions=False) as client:
        assert client.post("/translate", content=picture()).status_code == 429
        service.videos.open = 0
        assert client.post("/translate", content=picture()).status_code == 200


def test_a_slow_video_delays_neither_pictures_nor_poses(monkeypatch: pytest.MonkeyPatch):
    decode, go_on = GuardedDecoder.read, threading.Event()

    def slow(self: GuardedDecoder, *how: Any, **named: Any) -> Any:
        assert not named["name"].endswith(".mp4") or go_on.wait(60)
        return decode(self, *how, **named)

    monkeypatch.setattr(GuardedDecoder, "read", slow)
    service = service_with(FrameCounter())
    poses = PoseCounter()
    service.served["poses"] = Served("poses", poses, Batcher(lambda clips: compute(poses, clips), 8, 0.0, 8))

    async def ask() -> list[str]:
        await service.start()
        video = asyncio.create_task(service.read(encode("mpeg4", "mp4", (64, 48), 25)))
        try:
            others = [await service.read(picture()), await service.read(clip_of_poses(), "poses")]
            assert not video.done()
        finally:
            go_on.set()
        answers: list[Any] = [await video, *others]
        await service.stop()
        return [each.text for each in answers]

    assert asyncio.run(ask()) == ["25", "1", "9 of holistic_543"]


def clip_of_poses() -> PoseClip:
    points = np.random.default_rng(0).normal(size=(9, 543, 3)).astype(np.float32)
    return PoseClip(points, np.ones((9, 543), np.float32), "holistic_543", 25.0)


def test_a_model_gets_the_very_frames_that_its_processor_reads_of_a_file(tmp_path: Path):
    from slt_hf.processing import VideoFeatureExtractor

    body, extractor = encode("mpeg4", "mp4", (64, 48), 25), VideoFeatureExtractor(num_frames=4, image_size=32)
    (tmp_path / "clip.mp4").write_bytes(body)
    desk = service_with(FrameCounter()).videos
    decoded = asyncio.run(desk.frames(body, ".mp4", extractor))
    desk.close()
    assert decoded.source.shape == (4, 32, 32, 3)  # no larger than the model's own: they wait in memory
    expected = extractor(tmp_path / "clip.mp4", return_tensors="np")["pixel_values"]
    np.testing.assert_array_equal(extractor(decoded, return_tensors="np")["pixel_values"], expected)


def test_frames_that_would_fill_the_memory_are_refused():
    with serving(FrameCounter(), max_frames_bytes=64 * 48 * 3 * 20) as client:
        answer = client.post("/translate", content=encode("mpeg4", "mp4", (64, 48), 25))
        assert answer.status_code == 422 and "of frames" in answer.json()["error"]


def test_videos_of_one_request_are_read_in_turn_and_take_one_place():
    service = service_with(FrameCounter(), video_queue_size=1)

    async def ask() -> list[str]:
        await service.start()
        found = await service.read_all([picture(), encode("mpeg4", "mp4", (64, 48), 25), picture()])
        await service.stop()
        return [each.text for each in found]

    assert asyncio.run(ask()) == ["1", "25", "1"]


def test_a_request_that_takes_too_long_is_told_so():
    class Slow(FrameCounter):
        def __call__(self, clips: Any, **_: Any) -> Any:
            time.sleep(0.5)
            return [Translation("late", 1.0) for _ in clips]

    with serving(Slow(), request_seconds=0.2) as client:
        client.post("/translate", content=picture())  # starts the worker
        answer = client.post("/translate", content=picture())
    assert answer.status_code == 429 and "within 0.2 s" in answer.json()["error"]


def test_kinds_are_told_by_their_first_bytes():
    from slt_hf.demonstration import sign_unseen
    from slt_hf.processing.pose_files import pose_bytes

    assert ending_of(encode("mpeg4", "mp4", (64, 48), 2)) == ".mp4" and ending_of(picture()) == ".png"
    assert ending_of(pose_bytes(sign_unseen(seed=2)[1])) is None and ending_of(b"") is None


@pytest.mark.slow
def test_poses_are_found_in_a_persons_video(shared_data: Path):
    from slt_hf.errors import PreparationError
    from slt_hf.poses.mediapipe_extractor import find_extraction_python

    try:
        find_extraction_python()
    except PreparationError as error:
        pytest.skip(str(error))
    body = (shared_data / "continuous/how2sign_clips/videos/_15CDIexNDM_0-5-rgb_front.mp4").read_bytes()
    with serving(PoseCounter(), request_seconds=200.0) as client:
        answer = client.post("/translate", content=body)
    assert answer.status_code == 200 and answer.json()["translation"].endswith("of holistic_543"), answer.text
