"""With a certificate REST, WebSocket and gRPC are encrypted; and what a server was sent, it neither keeps nor logs."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest
from server_process import free_port, wait_until_ready

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")
pytest.importorskip("tritonclient.grpc", reason="slt_hf[client] is not installed")
if shutil.which("openssl") is None:
    pytest.skip("no openssl on this machine, which makes the certificate", allow_module_level=True)

from slt_hf.demonstration import sign_unseen  # noqa: E402
from slt_hf.processing.pose_files import write_pose  # noqa: E402
from slt_hf.serving.client import ServerError, over_grpc  # noqa: E402

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-m", "slt_hf.cli.main"]


@dataclass
class Running:
    port: int
    grpc_port: int
    certificate: Path
    home: Path
    """Where the server runs, has its home and its temporary files"""
    process: subprocess.Popen[str]

    @property
    def environment(self) -> dict[str, str]:
        """Of a client that trusts the certificate: variables of OpenSSL and of gRPC."""
        trusted = str(self.certificate)
        return {**os.environ, "SSL_CERT_FILE": trusted, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": trusted}


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    made = ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost", "-days", "2"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *made, *names]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    certificate, key = make_certificate(tmp_path_factory.mktemp("certificate"))
    home, port, grpc_port = tmp_path_factory.mktemp("home"), free_port(), free_port()
    tls = ["--certificate", str(certificate), "--private-key", str(key)]
    command = [*COMMAND, "serve", "--open", "--device", "cpu", "--port", str(port), "--grpc-port", str(grpc_port), *tls]
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home), "XDG_CACHE_HOME": str(home)}
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=home, env=environment, **told)  # type: ignore[call-overload]
    running = Running(port, grpc_port, certificate, home, process)
    try:
        wait_until_ready(port, ssl.create_default_context(cafile=str(certificate)))
        yield running
    finally:
        process.kill()
        process.wait()


def client(server: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "client", *arguments]
    return subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=120)


def test_all_protocols_are_encrypted_and_nothing_is_kept_or_logged(server: Running, tmp_path: Path):
    sentence, clip, _ = sign_unseen("Does your sister like coffee?", seed=0)
    write_pose(clip, tmp_path / "clip.pose")
    before = {path for path in server.home.rglob("*") if path.is_file()}
    ways = (
        ("--url", f"https://localhost:{server.port}"),
        ("--url", f"https://localhost:{server.port}", "--live"),
        ("--url", f"https://localhost:{server.grpc_port}", "--grpc"),
    )
    for way in ways:
        done = client(server, str(tmp_path / "clip.pose"), *way)
        assert done.returncode == 0, (way, done.stderr)
        last = json.loads(done.stdout.splitlines()[-1])
        assert (last.get("translation") or last.get("committed")) == sentence
    with pytest.raises(OSError):  # nobody is served in the clear
        urlopen(f"http://localhost:{server.port}/translate", b"x", timeout=10)
    with pytest.raises(ServerError, match="UNAVAILABLE"):
        over_grpc(clip, f"localhost:{server.grpc_port}", None, "")
    assert {path for path in server.home.rglob("*") if path.is_file()} == before
    server.process.terminate()
    told, _ = server.process.communicate(timeout=60)
    assert "coffee" not in told and "clip" not in told, told
