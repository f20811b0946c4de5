"""Fetching: resumable, polite, each address once, every refusal a status. A server on loopback plays the world."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from slt_hf.data.fetch import FetchSettings, fetch, file_for, wait_for_turn
from slt_hf.data.ledger import Ledger
from slt_hf.data.manifest import write_manifest
from slt_hf.data.preparation import PreparationSettings, prepare
from slt_hf.data.sample import Sample
from slt_hf.processing.pose_files import PoseClip, write_pose

QUICK = FetchSettings(requests_per_second=1000, timeout_seconds=2, backoff_seconds=0.01)


class World(ThreadingHTTPServer):
    """Serves `content`; paths name how it behaves. Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.daemon_threads = True
        self.content = bytes(range(256)) * 400
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: World

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        name, range_ = self.path.strip("/").split(".")[0], self.headers.get("Range")
        self.server.asked.append((name, range_))
        tries = sum(asked == name for asked, _ in self.server.asked)
        codes = {"gone": 404, "removed": 410, "private": 403, "teapot": 451, "down": 503, "moment": 429}
        if name in codes and not (name == "moment" and tries > 1):
            return self.send_error(codes[name])
        if name == "elsewhere":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            return self.end_headers()
        content, start = self.server.content, 0
        if name == "page":
            content = b'<html><title>Hello</title><video src="/clip.mp4"></video></html>'
        if range_ and name != "forgetful":
            start = int(range_.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", "text/html" if name == "page" else "video/mp4")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + 30_000 if name.startswith("breaks") or (name == "forgetful" and tries == 1) else None
        self.wfile.write(content[start:end])


@pytest.fixture
def world() -> Iterator[World]:
    with World() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def test_address_is_fetched_once(world, tmp_path):
    for _ in range(2):
        fetched = fetch(f"{world.url}/clip.mp4", tmp_path, QUICK)
        assert fetched.status == "ok" and fetched.file and fetched.file.read_bytes() == world.content
    assert world.asked == [("clip", None)]


def test_download_that_breaks_off_continues_where_it_was(world, tmp_path):
    fetched = fetch(f"{world.url}/breaks.mp4", tmp_path, FetchSettings(1000, backoff_seconds=0.01, retries=10))
    assert fetched.file and fetched.file.read_bytes() == world.content
    assert world.asked == [("breaks", None), *(("breaks", f"bytes={n}-") for n in (30_000, 60_000, 90_000))]


def test_killed_download_continues_on_the_next_run(world, tmp_path):
    target = file_for(f"{world.url}/clip.mp4", tmp_path)
    target.with_name(target.name + ".part").write_bytes(world.content[:70_000])
    fetched = fetch(f"{world.url}/clip.mp4", tmp_path, QUICK)
    assert fetched.file and fetched.file.read_bytes() == world.content
    assert world.asked == [("clip", "bytes=70000-")]


def test_download_that_was_complete_but_not_renamed_ends_well(world, tmp_path):
    target = file_for(f"{world.url}/clip.mp4", tmp_path)
    target.with_name(target.name + ".part").write_bytes(world.content)
    fetched = fetch(f"{world.url}/clip.mp4", tmp_path, QUICK)
    assert fetched.file and fetched.file.read_bytes() == world.content


def test_server_that_ignores_ranges_is_read_from_the_start(world, tmp_path):
    fetched = fetch(f"{world.url}/forgetful.mp4", tmp_path, QUICK)
    assert fetched.file and fetched.file.read_bytes() == world.content


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("gone", "dead"),
        ("removed", "dead"),
        ("private", "forbidden"),
        ("teapot", "forbidden"),
        ("down", "unreachable"),
        ("moment", "ok"),
    ],
)
def test_answer_of_the_server_becomes_a_status(world, tmp_path, name, status):
    fetched = fetch(f"{world.url}/{name}.mp4", tmp_path, QUICK)
    assert fetched.status == status
    assert fetched.reason is None if status == "ok" else name in str(fetched.reason)


def test_nobody_there_is_unreachable_not_dead(tmp_path):
    assert fetch("http://127.0.0.1:9/clip.mp4", tmp_path, QUICK).status == "unreachable"


def test_redirect_to_a_local_file_is_not_followed(world, tmp_path):
    fetched = fetch(f"{world.url}/elsewhere.mp4", tmp_path, QUICK)
    assert fetched.status != "ok" and fetched.file is None
    assert fetch("file:///etc/hostname", tmp_path, QUICK).status == "missing"


def test_file_over_the_limit_is_not_downloaded(world, tmp_path):
    small = FetchSettings(1000, max_bytes=50_000)
    assert fetch(f"{world.url}/clip.mp4", tmp_path, small).status == "too_large"
    assert not list(tmp_path.glob("*.mp4"))


def test_one_host_is_asked_no_faster_than_the_limit(tmp_path):
    begin = time.monotonic()
    threads = [threading.Thread(target=wait_for_turn, args=("http://a/x.mp4", tmp_path, 20)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.19 < time.monotonic() - begin
    begin = time.monotonic()
    wait_for_turn("http://b/x.mp4", tmp_path, 0.01)  # a host that was just asked would have to wait 100 s
    assert time.monotonic() - begin < 10


def test_page_goes_through_yt_dlp(world, tmp_path):
    pytest.importorskip("yt_dlp", reason="yt-dlp is not installed: pip install 'slt_hf[fetch]'")
    missing = fetch(f"{world.url}/gone", tmp_path, QUICK)
    assert missing.status == "dead" and "404" in str(missing.reason)
    fetched = fetch(f"{world.url}/page", tmp_path, QUICK)
    assert fetched.file and fetched.file.read_bytes() == world.content
    assert {name for name, _ in world.asked} == {"gone", "page", "clip"}


def test_manifest_of_addresses_is_fetched_and_prepared(world, tmp_path):
    rng = np.random.default_rng(0)
    clip = PoseClip(rng.normal(size=(30, 75, 3)).astype("f4"), np.ones((30, 75), "f4"), "holistic_75", 25.0)
    write_pose(clip, tmp_path / "served.pose")
    world.content = (tmp_path / "served.pose").read_bytes()
    rows = [
        Sample("a", pose="poses/a.pose", url=f"{world.url}/one.pose", text="a"),
        Sample("b", pose="poses/b.pose", url=f"{world.url}/one.pose", start_ms=0, end_ms=400, text="b"),
        Sample("c", pose="poses/c.pose", url=f"{world.url}/gone.pose", text="c"),
        Sample("d", pose="poses/d.pose", url=f"{world.url}/private.pose", text="d"),
        Sample("e", pose="poses/e.pose", url=f"{world.url}/down.pose", text="e"),
        Sample("f", pose="poses/f.pose", text="f"),
        Sample("g", pose=f"{world.url}/two.pose", text="g"),
    ]
    write_manifest(rows, tmp_path / "m.csv")
    settings = PreparationSettings(fetch=QUICK, workers=1)
    census = prepare(tmp_path / "m.csv", tmp_path / "shards", settings)
    assert census.statuses == {"ok": 3, "missing": 1, "dead": 1, "forbidden": 1, "unreachable": 1}
    assert [name for name, _ in world.asked].count("one") == 1
    before = len(world.asked)
    prepare(tmp_path / "m.csv", tmp_path / "shards", settings)
    assert len(world.asked) == before
    prepare(tmp_path / "m.csv", tmp_path / "shards", settings, retry=("unreachable",))
    assert {name for name, _ in world.asked[before:]} == {"down"}
    with Ledger(tmp_path / "shards/.prepare/ledger.sqlite") as ledger:
        assert ledger.entries()["b"].num_frames == 10
        assert Path(str(ledger.downloads()[f"{world.url}/one.pose"][2])).exists()
