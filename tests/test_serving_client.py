"""`slt-hf client` against `slt-hf serve`, each in a process of its own, as a user has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command_line import cli
from server_process import free_port, wait_until_ready

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")
pytest.importorskip("tritonclient.grpc", reason="slt_hf[client] is not installed")

from slt_hf.demonstration import sign_unseen  # noqa: E402
from slt_hf.processing.pose_files import write_pose  # noqa: E402
from slt_hf.serving.client import ServerError, over_rest  # noqa: E402
from slt_hf.serving.keys import new_key  # noqa: E402

KEY, HASH = new_key()


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    rest, grpc = free_port(), free_port()
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text(HASH)
    command = [sys.executable, "-m", "slt_hf.cli.main", "serve", "--key-file", str(keys), "--device", "cpu"]
    server = subprocess.Popen([*command, "--port", str(rest), "--grpc-port", str(grpc)])
    try:
        wait_until_ready(rest)
        yield rest, grpc
    finally:
        server.terminate()
        assert server.wait(40) is not None


def client(*arguments: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "slt_hf.cli.main", "client", *arguments]
    return subprocess.run(command, env={**os.environ, "SLT_HF_KEY": key}, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_every_protocol_reads_the_sentence(ports: tuple[int, int], tmp_path: Path):
    clip = sign_unseen(seed=2)[1]
    write_pose(clip, tmp_path / "clip.pose")
    rest, grpc = (f"http://127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}")
    path = str(tmp_path / "clip.pose")
    over_rest = client(path, "--url", rest)
    assert over_rest.returncode == 0, over_rest.stderr
    found = json.loads(over_rest.stdout)["translation"]
    over_grpc = client(path, "--url", grpc, "--grpc")
    assert over_grpc.returncode == 0, over_grpc.stderr
    assert json.loads(over_grpc.stdout)["translation"] == found and found
    for where in (("--url", rest), ("--url", grpc, "--grpc")):
        as_it_is = client(path, "--send-file", *where)
        assert as_it_is.returncode == 0, as_it_is.stderr
        assert json.loads(as_it_is.stdout)["translation"] == found
    live = client(path, "--url", rest, "--live")
    assert live.returncode == 0, live.stderr
    events = [json.loads(line) for line in live.stdout.splitlines()]
    assert events[-1]["final"] and events[-1]["committed"] == found and events[-1]["dropped"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [(), ("--grpc",), ("--live",)])
def test_a_wrong_key_is_one_line(ports: tuple[int, int], tmp_path: Path, how: tuple[str, ...]):
    write_pose(sign_unseen(seed=2)[1], tmp_path / "clip.pose")
    url = f"127.0.0.1:{ports[1]}" if how == ("--grpc",) else f"http://127.0.0.1:{ports[0]}"
    refused = client(str(tmp_path / "clip.pose"), "--url", url, *how, key="wrong")
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1, refused.stderr
    assert "slt-hf: error:" in refused.stderr


@pytest.mark.slow
def test_a_camera_is_read_live(ports: tuple[int, int], shared_data: Path):
    """A video stands for the camera: its frames come in their own time, and those that come too fast are left out."""
    from slt_hf.errors import PreparationError
    from slt_hf.poses.mediapipe_extractor import find_extraction_python

    try:
        find_extraction_python()
    except PreparationError as error:
        pytest.skip(str(error))
    video = shared_data / "continuous/how2sign_clips/videos/_15CDIexNDM_3-5-rgb_front.mp4"
    url = f"http://127.0.0.1:{ports[0]}"
    done = client("--camera", "--camera-device", str(video), "--url", url)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events and all(event["frame"] >= 0 for event in events)
    missing = client("--camera", "--camera-device", "/dev/no-camera", "--url", url)
    assert missing.returncode == 2 and "expected a camera" in missing.stderr


@pytest.mark.slow
def test_a_video_is_read_over_both_protocols_with_poses_found_here_or_there(ports: tuple[int, int], shared_data: Path):
    from slt_hf.errors import PreparationError
    from slt_hf.poses.mediapipe_extractor import find_extraction_python

    try:
        find_extraction_python()
    except PreparationError as error:
        pytest.skip(str(error))
    video = str(shared_data / "continuous/how2sign_clips/videos/_15CDIexNDM_3-5-rgb_front.mp4")
    found = []
    for where in (("--url", f"http://127.0.0.1:{ports[0]}"), ("--url", f"127.0.0.1:{ports[1]}", "--grpc")):
        for how in ((), ("--send-file",)):
            done = client(video, *where, *how)
            assert done.returncode == 0, (where, how, done.stderr)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    assert len({each["translation"] for each in found}) == 1
    assert [each["confidence"] for each in found] == pytest.approx([found[0]["confidence"]] * 4, abs=0.02)


def test_nothing_to_send_is_told():
    done = cli("client")
    assert done.exit_code == 2 and "--camera" in done.stderr


def test_the_key_follows_no_redirect():
    asked: list[str | None] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.headers["authorization"])
            self.send_response(302)
            self.send_header("location", "http://localhost:9/other")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ServerError, match="answered 302"):
            over_rest(b"clip", f"http://127.0.0.1:{server.server_port}", KEY)
        server.shutdown()
    assert asked == [f"Bearer {KEY}"]
