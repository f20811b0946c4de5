"""What tests of a server in a process of its own share."""

from __future__ import annotations

import socket
import time
import urllib.request
from ssl import SSLContext


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(port: int, trusted: SSLContext | None = None) -> None:
    """Until the models are loaded, which takes a busy machine a while; over TLS where it is said whom to trust."""
    scheme = "http" if trusted is None else "https"
    for _ in range(400):
        try:
            with urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}/health/ready", timeout=1, context=trusted):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server did not come up within 80 s")
