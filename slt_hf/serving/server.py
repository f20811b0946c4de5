"""The process: uvicorn over the application, until it is told to end; what was asked by then is answered."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from slt_hf.errors import RecipeError
from slt_hf.serving.ports import check_ports
from slt_hf.serving.rest import build_app
from slt_hf.serving.service import SignService
from slt_hf.serving.settings import ServerSettings

DRAIN_SECONDS = 30
STARTUP_FAILURE = 3  # uvicorn's exit code: the port is taken, say


def run(
    models: Mapping[str, str | os.PathLike | None],
    settings: ServerSettings,
    device: str | None = None,
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> None:
    """Load the models and serve until SIGTERM or SIGINT.

    Raises:
        RecipeError: if the ports, or the certificate, are not as they should be; models are not loaded then.
    """
    check_ports(settings)
    if (certificate is None) != (private_key is None):
        raise RecipeError(
            "expected a certificate and its private key, found one of them; give both, or none for no TLS"
        )
    print(f"loading {', '.join(models)} ...", file=sys.stderr, flush=True)
    run_service(SignService(models, settings, device), certificate, private_key)


def run_service(service: SignService, certificate: Path | None = None, private_key: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, *arguments: Any, **named: Any) -> None:
            await super().startup(*arguments, **named)
            if self.started:
                print(announcement(service, certificate is not None), flush=True)

    settings = service.settings
    config = uvicorn.Config(
        build_app(service, certificate, private_key),
        host=settings.host,
        port=settings.port,
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,  # a small compressed message can be a large one
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ssl_certfile=certificate,
        ssl_keyfile=private_key,
        log_level="warning",
        server_header=False,
    )
    server = Server(config)
    with suppress(KeyboardInterrupt):  # Ctrl-C, raised once more when all is answered
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def announcement(service: SignService, encrypted: bool) -> str:
    """What is served where, and how it ends."""
    settings, named = service.settings, ", ".join(service.served)
    grpc = f", gRPC at {settings.host}:{settings.grpc_port}" if settings.grpc_port is not None else ""
    keys = "no key is asked for" if settings.open_to_all else "a key is asked for"
    address = f"http{'s' if encrypted else ''}://{settings.host}:{settings.port}"
    return f"{named} at {address} (page, REST, live streams){grpc}; {keys}; Ctrl-C ends it"
