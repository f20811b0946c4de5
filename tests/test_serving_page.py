"""The page: open without a key, held to its own server, and honest about what is missing."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")

from starlette.testclient import TestClient  # noqa: E402

from slt_hf.serving import landmark_finder  # noqa: E402
from slt_hf.serving.frames import HEADER, read_frame  # noqa: E402
from slt_hf.serving.keys import new_key  # noqa: E402
from slt_hf.serving.landmark_finder import LandmarkFinderError, unpack  # noqa: E402
from slt_hf.serving.rest import build_app  # noqa: E402
from slt_hf.serving.service import SignService  # noqa: E402
from slt_hf.serving.settings import ServerSettings  # noqa: E402
from slt_hf.serving.web_page import strokes  # noqa: E402

KEY, HASH = new_key()
ALLOWED = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A server without models, on a machine without the landmark finder."""
    monkeypatch.setenv("SLT_HF_PAGE_LANDMARKS", str(tmp_path / "holistic"))
    service = SignService({}, ServerSettings(api_key_hashes=(HASH,), allowed_origins=("https://elsewhere.org",)))
    with TestClient(build_app(service)) as running:
        yield running


def test_the_page_asks_for_no_key_and_all_it_names_is_there(client: TestClient):
    page = client.get("/")
    assert page.status_code == 200 and "Sign to text" in page.text
    for name in (
        "style.css",
        "app.js",
        "frame.js",
        "landmarks.js",
        "landmark_worker.js",
        "landmark_frame.js",
        "stream.js",
    ):
        found = client.get(f"/page/{name}")
        assert found.status_code == 200 and found.headers["x-content-type-options"] == "nosniff"
    assert client.get("/page/other.js").status_code == 404


def test_what_is_no_page_asks_for_a_key(client: TestClient):
    for path in ("/example", "/page/../models", "/page/%2e%2e/models", "/models"):
        assert client.get(path).status_code in (401, 404), path
    assert client.post("/page/app.js").status_code == 401


def test_the_browser_itself_holds_the_page_to_its_server(client: TestClient):
    policy = client.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'self';") and "connect-src" not in policy  # nothing goes anywhere else
    assert "frame-ancestors 'self' https://elsewhere.org" in policy
    assert "http" not in policy.replace("https://elsewhere.org", "")


def test_page_files_have_a_rate(tmp_path: Path):
    service = SignService({}, ServerSettings(api_key_hashes=(HASH,), requests_per_minute=2))
    with TestClient(build_app(service)) as client:
        assert [client.get("/").status_code for _ in range(3)] == [200, 200, 429]
        assert client.get("/models", headers=ALLOWED).status_code == 200  # whoever has a key is not kept out by that


def test_a_missing_landmark_finder_is_told_with_its_remedy(client: TestClient):
    about = client.get("/page/about.json").json()
    assert about["landmarks"] is False and about["howToGet"] == "slt-hf serve --fetch-landmarks"
    assert client.get("/page/holistic/holistic.js").status_code == 404


def test_another_package_than_the_tested_one_is_refused(tmp_path: Path):
    package = tmp_path / "holistic.tgz"
    with tarfile.open(package, "w:gz") as archive:
        archive.add(__file__, "package/holistic.js")
    with pytest.raises(LandmarkFinderError, match="expected sha512"):
        unpack(package, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_package_is_installed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import base64
    import hashlib

    (tmp_path / "file").write_text("content")
    package = tmp_path / "holistic.tgz"
    with tarfile.open(package, "w:gz") as archive:
        for name in landmark_finder.FILES:
            archive.add(tmp_path / "file", f"package/{name}")
    checksum = "sha512-" + base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    monkeypatch.setattr(landmark_finder, "CHECKSUM", checksum)
    monkeypatch.setenv("SLT_HF_PAGE_LANDMARKS", str(tmp_path / "cache" / "holistic"))
    assert not landmark_finder.installed()
    assert landmark_finder.fetch(package) == tmp_path / "cache" / "holistic" and landmark_finder.installed()


def test_examples_are_frames_as_the_socket_takes_them(client: TestClient):
    answer = client.get("/example?seed=1002", headers=ALLOWED)  # the same as 2
    size = HEADER.size + 543 * 7
    frames = [answer.content[start : start + size] for start in range(0, len(answer.content), size)]
    time_ms, number, points, seen = read_frame(frames[10], 543)
    assert number == 10 and time_ms == pytest.approx(10 * 1000 / 30, abs=100) and seen.sum() > 200
    assert np.abs(points).max() <= 1 and answer.headers["x-sentence"]


def test_the_skeleton_is_the_upper_body_with_the_hands_on_top():
    lines = strokes("holistic_543")
    kinds = [kind for _, _, kind in lines]
    assert kinds == sorted(kinds, key=["face", "body", "left", "right"].index) and kinds.count("left") >= 20
    assert not any(point in (25, 26, 27, 28) for a, b, _ in lines for point in (a, b))  # knees and ankles
