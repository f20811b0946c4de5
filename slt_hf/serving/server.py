"""The process: uvicorn over the application, until it is told to end; what was asked by then is answered."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from slt_hf.serving.rest import build_app
from slt_hf.serving.service import SignService
from slt_hf.serving.settings import ServerSettings

DRAIN_SECONDS = 30


def run(
    models: Mapping[str, str | os.PathLike | None],
    settings: ServerSettings,
    device: str | None = None,
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> None:
    """Load the models and serve until SIGTERM or SIGINT."""
    run_service(SignService(models, settings, device), certificate, private_key)


def run_service(service: SignService, certificate: Path | None = None, private_key: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvicorn

    settings = service.settings
    uvicorn.run(
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
