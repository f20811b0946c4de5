"""`slt-hf serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    models: Annotated[
        list[str] | None, typer.Argument(help="name=FOLDER_OR_REPO, or either alone; else bundled.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of REST and WebSocket.")] = 8000,
    grpc_port: Annotated[int | None, typer.Option(help="Port of gRPC; none if left out.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="File of key hashes, one a line.")
    ] = None,
    open_to_all: Annotated[bool, typer.Option("--open", help="Ask for no key.")] = False,
    device: Annotated[str | None, typer.Option(help="cuda, mps, cpu; the best one there is if left out.")] = None,
    certificate: Annotated[Path | None, typer.Option(exists=True, help="TLS certificate chain.")] = None,
    private_key: Annotated[Path | None, typer.Option(exists=True, help="TLS private key.")] = None,
    stream_processes: Annotated[
        int, typer.Option(help="Processes for live streams, each with the models; 0: beside the clips.")
    ] = 0,
    corrections: Annotated[
        Path | None, typer.Option(help="Folder for corrections that users send, with their poses; else none is taken.")
    ] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make a key, print it and its hash, and end.")] = False,
    fetch_landmarks: Annotated[
        bool, typer.Option("--fetch-landmarks", help="Fetch what the page finds landmarks with (npm), and end.")
    ] = False,
    landmarks_from: Annotated[
        Path | None, typer.Option("--from", help="With --fetch-landmarks: the npm package as a file.")
    ] = None,
) -> None:
    """Serve checkpoints: a page with a camera, REST, Open Inference Protocol, live streams."""
    from slt_hf.serving.keys import new_key as make_key

    if new_key:
        key, hashed = make_key()
        print(f"key (for the client): {key}\nhash (for --key-file): {hashed}")
        return
    if fetch_landmarks:
        from slt_hf.serving.landmark_finder import fetch

        print(fetch(landmarks_from))
        return
    from slt_hf.serving.server import run
    from slt_hf.serving.settings import ServerSettings

    hashes = tuple(key_file.read_text(encoding="utf-8").split()) if key_file else ()
    settings = ServerSettings(
        host=host,
        port=port,
        grpc_port=grpc_port,
        api_key_hashes=hashes,
        open_to_all=open_to_all,
        stream_processes=stream_processes,
        corrections=corrections,
    )
    run(named(models or []), settings, device, certificate, private_key)


def named(models: list[str]) -> dict[str, str | None]:
    """name=source, or a source whose last part is its name; the bundled checkpoint without any."""
    if not models:
        return {"bundled": None}
    pairs = [model.partition("=")[::2] if "=" in model else (Path(model).name, model) for model in models]
    return dict(pairs)
