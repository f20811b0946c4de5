"""What is wrong with ports or certificate is said before models are loaded, with what to do."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from command_line import cli
from server_process import free_port

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")

from slt_hf.serving import server  # noqa: E402


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any) -> None:
        raise AssertionError("models were loaded")

    monkeypatch.setattr(server, "SignService", load)


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_a_taken_port_is_said_with_the_option_that_changes_it(option: str):
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"--port": free_port(), option: other.getsockname()[1]}
        done = cli("serve", "--open", *(each for pair in ports.items() for each in pair))
    assert done.exit_code == 2 and f":{ports[option]}, found: Address already in use" in done.stderr
    assert done.stderr.strip().endswith(f"choose another port with {option}")


def test_two_protocols_need_two_ports():
    port = free_port()
    done = cli("serve", "--open", "--port", port, "--grpc-port", port)
    assert done.exit_code == 2 and "choose another with --grpc-port" in done.stderr


def test_an_address_of_another_machine_is_refused():
    done = cli("serve", "--open", "--host", "192.0.2.1")  # kept for documentation, so nobody's
    assert done.exit_code == 2 and "--host" in done.stderr


def test_a_certificate_without_its_key_is_no_encryption(tmp_path: Path):
    certificate = tmp_path / "certificate.pem"
    certificate.touch()
    done = cli("serve", "--open", "--port", free_port(), "--certificate", certificate)
    assert done.exit_code == 2 and "give both" in done.stderr
    assert cli("serve", "--key-file", tmp_path / "nothing").exit_code == 2


def test_a_file_of_keys_is_no_file_of_hashes(tmp_path: Path):
    keys = tmp_path / "keys.txt"
    keys.write_text("my-secret-key\n")
    done = cli("serve", "--key-file", keys, "--port", free_port())
    assert done.exit_code == 2 and "--new-key" in done.stderr and "my-secret-key" not in done.stderr


def test_free_ports_go_on_to_the_models():
    with pytest.raises(AssertionError, match="models were loaded"):
        cli("serve", "--open", "--port", free_port(), "--grpc-port", free_port())
