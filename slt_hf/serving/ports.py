"""Whether a server can listen where it is told to: asked before models are loaded, which takes a while."""

from __future__ import annotations

import errno
import os
import socket

from slt_hf.errors import RecipeError
from slt_hf.serving.settings import ServerSettings

REMEDIES = {  # of the system's refusals; {option} is the port's
    errno.EADDRINUSE: "end what listens there, or choose another port with {option}",
    errno.EACCES: "ports below 1024 are for administrators: choose another with {option}",
    errno.EADDRNOTAVAIL: "name an address of this machine with --host",
}


def check_ports(settings: ServerSettings) -> None:
    """REST's port and gRPC's, if there is one.

    Raises:
        RecipeError: if one is taken, or cannot be listened on.
    """
    if settings.grpc_port and settings.grpc_port == settings.port:
        raise RecipeError(
            f"expected a port for gRPC beside REST's {settings.port}, found the same; choose another with --grpc-port"
        )
    check_port(settings.host, settings.port, "--port")
    if settings.grpc_port is not None:
        check_port(settings.host, settings.grpc_port, "--grpc-port")


def check_port(host: str, port: int, option: str) -> None:
    try:
        with listening(host, port):
            return
    except (OSError, OverflowError) as error:  # a name that is no address is an OSError too
        code = getattr(error, "errno", None) or 0
        remedy = REMEDIES.get(code, "name an address with --host and a port from 0 to 65535 with {option}")
        why = os.strerror(code) if code in REMEDIES else str(error)
        raise RecipeError(
            f"expected to listen on {host}:{port}, found: {why}; {remedy.format(option=option)}"
        ) from error


def listening(host: str, port: int) -> socket.socket:
    """As uvicorn listens: a port whose last connections are still ending counts as free."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    return socket.create_server((host, port), family=family)
