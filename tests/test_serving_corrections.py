"""Corrections are kept only where they were asked for, and are a data set that the other commands read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")

from starlette.testclient import TestClient  # noqa: E402

from slt_hf.data.manifest import read_manifest  # noqa: E402
from slt_hf.demonstration import sign_unseen  # noqa: E402
from slt_hf.processing.pose_files import pose_bytes, read_pose  # noqa: E402
from slt_hf.serving.corrections import Corrections  # noqa: E402
from slt_hf.serving.frames import write_frame  # noqa: E402
from slt_hf.serving.rest import build_app  # noqa: E402
from slt_hf.serving.service import Served, SignService  # noqa: E402
from slt_hf.serving.settings import ServerSettings  # noqa: E402

CLIP = sign_unseen(seed=2)[1]


def serving(**bounds: Any) -> TestClient:
    service = SignService({}, ServerSettings(open_to_all=True, **bounds))
    from slt_hf.serving.batching import Batcher

    service.served, service.default = {"demo": Served("demo", None, Batcher(list, 1, 0.0, 1))}, "demo"
    return TestClient(build_app(service), raise_server_exceptions=False)


def test_nothing_is_kept_unless_a_folder_is_named():
    with serving() as client:
        assert client.post("/corrections?text=hello", content=pose_bytes(CLIP)).status_code == 404
        assert client.get("/page/about.json").json()["corrections"] is False


def test_a_correction_becomes_a_manifest_row(tmp_path: Path):
    with serving(corrections=tmp_path) as client:
        for _ in range(2):  # sent twice, kept once
            answer = client.post("/corrections?text=What%20I%20said&read=else", content=pose_bytes(CLIP))
            assert answer.status_code == 200
        points = CLIP.points / float(np.nanmax(np.abs(CLIP.points)))
        frames = b"".join(write_frame(40.0 * at, at, points[at], CLIP.confidence[at]) for at in range(20))
        assert client.post("/corrections?text=Frames&layout=holistic_543", content=frames).status_code == 200
        assert client.get("/page/about.json").json()["corrections"] is True
    rows = read_manifest(tmp_path / "manifest.jsonl")
    assert [row.text for row in rows] == ["What I said", "Frames"]
    np.testing.assert_allclose(read_pose(tmp_path / f"{rows[0].id}.pose").points, CLIP.points, atol=1e-3)
    streamed = read_pose(tmp_path / f"{rows[1].id}.pose")
    assert streamed.num_frames == 20 and streamed.fps == pytest.approx(25)


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("text=", pose_bytes(CLIP), 422),
        ("text=" + "x" * 1001, pose_bytes(CLIP), 422),
        ("text=a", b"no pose", 422),
        ("text=a&layout=holistic_543", b"no frames", 422),
        ("text=a&layout=../x", b"no frames", 422),
        ("text=a&model=other", pose_bytes(CLIP), 404),
        ("", pose_bytes(CLIP), 422),
    ],
)
def test_what_is_no_correction_is_refused(tmp_path: Path, query: str, body: bytes, status: int):
    with serving(corrections=tmp_path) as client:
        assert client.post(f"/corrections?{query}", content=body).status_code == status
    assert list(tmp_path.iterdir()) == []


def test_a_full_folder_takes_no_more(tmp_path: Path):
    with serving(corrections=tmp_path, max_corrections_bytes=1000) as client:
        assert client.post("/corrections?text=a", content=pose_bytes(CLIP)).status_code == 429
    assert list(tmp_path.iterdir()) == []


def test_the_bound_is_of_all_that_the_folder_holds(tmp_path: Path):
    kept = Corrections(tmp_path, max_bytes=10**9)
    kept.add(CLIP, "a" * 1000, "b" * 1000, "demo")
    assert kept.size == sum(path.stat().st_size for path in tmp_path.iterdir())


@pytest.mark.parametrize("written", ["", '{"id": "da'])
def test_a_correction_that_was_cut_short_is_kept_when_it_comes_again(tmp_path: Path, written: str):
    name = Corrections(tmp_path, max_bytes=10**9).add(CLIP, "hello", "", "demo")
    (tmp_path / "manifest.jsonl").write_text(written)  # killed before its row was written whole
    again = Corrections(tmp_path, max_bytes=10**9)
    assert [again.add(CLIP, "hello", "", "demo") for _ in range(2)] == [name, name]
    assert [row.id for row in read_manifest(tmp_path / "manifest.jsonl")] == [name]
