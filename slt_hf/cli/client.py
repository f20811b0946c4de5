"""`slt-hf client`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slt_hf.processing.pose_clip import PoseClip

KEY_VARIABLE = "SLT_HF_KEY"  # not an option: what stands on a command line is seen by everyone on the machine


def client(
    clips: Annotated[list[Path] | None, typer.Argument(help="Pose files or videos; only poses are sent.")] = None,
    url: Annotated[str, typer.Option(help="Server; for --grpc its host:port.")] = "http://127.0.0.1:8000",
    model: Annotated[str | None, typer.Option(help="Model by its name at the server; the first if left out.")] = None,
    grpc: Annotated[bool, typer.Option("--grpc", help="Open Inference Protocol over gRPC.")] = False,
    send_file: Annotated[
        bool, typer.Option("--send-file", help="Send files as they are: to a model that sees frames, not poses.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Send it as a camera would; show what is read meanwhile.")
    ] = False,
    camera: Annotated[bool, typer.Option("--camera", help="A camera of this machine, live; ends with Ctrl-C.")] = False,
    camera_device: Annotated[str, typer.Option(help="Which camera.")] = "/dev/video0",
) -> None:
    """Ask a server for translations. Its key, if it asks for one, is read from SLT_HF_KEY."""
    from slt_hf.clips import load_clip
    from slt_hf.errors import RecipeError
    from slt_hf.serving.client import CAMERA_LAYOUT, of_camera, of_clip

    key = os.environ.get(KEY_VARIABLE)
    if camera:
        show_live(of_camera(camera_device), CAMERA_LAYOUT, url, key, model)
        return
    if not clips:
        raise RecipeError("expected clips or --camera, found neither; name what is to be read")
    for path in clips:
        if send_file:
            ask(path, path.read_bytes(), url, key, model, grpc)
            continue
        clip = load_clip(path)
        if live:
            show_live(of_clip(clip), clip.layout, url, key, model)
        else:
            ask(path, clip, url, key, model, grpc)


def ask(path: Path, clip: PoseClip | bytes, url: str, key: str | None, model: str | None, grpc: bool) -> None:
    from slt_hf.cli.output import print_json
    from slt_hf.serving.client import over_grpc, over_rest

    found = over_grpc(clip, url, key, model or "") if grpc else over_rest(clip, url, key, model)
    print_json(clip=str(path), **found)


def show_live(frames: AsyncIterator[bytes], layout: str, url: str, key: str | None, model: str | None) -> None:
    import asyncio

    from slt_hf.cli.output import print_json
    from slt_hf.serving.client import live

    async def show() -> None:
        async for event in live(frames, layout, url, key, model):
            print_json(**event)

    asyncio.run(show())
