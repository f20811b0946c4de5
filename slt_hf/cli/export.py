"""`slt-hf export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TARGETS = "onnx, onnx-int8, triton, tensorrt or tensorrt-llm"


def export(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Folder, Hub repository, or `bundled`; of an export too, for triton."),
    ],
    output: Annotated[Path, typer.Option(help="New folder.")],
    to: Annotated[str, typer.Option(help=f"{TARGETS}.")] = "onnx",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub repository.")] = None,
    clip: Annotated[list[Path] | None, typer.Option(help="Real clip for the gate; repeat for more.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Score the graphs on this: manifest, shards, Hub dataset, `synthetic`.")
    ] = None,
    split: Annotated[str, typer.Option(help="Of the data.")] = "dev",
    limit: Annotated[int | None, typer.Option(help="Only its first so many rows.")] = None,
    opset: Annotated[int | None, typer.Option(help="Of ONNX; the exporter's own if left out.")] = None,
    push: Annotated[str | None, typer.Option(metavar="REPO", help="Then publish it as organisation/name.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Export a checkpoint to graphs that run without PyTorch, and hold them against it first.

    An export whose answers differ from PyTorch's is not written and not pushed; the exit status is 2.

    slt-hf export bundled --output demo-onnx --data synthetic --limit 100
    """
    from slt_hf.cli.output import print_json
    from slt_hf.export.exporting import ExportSettings
    from slt_hf.export.targets import export_to

    settings = ExportSettings(
        target=to, clips=tuple(clip or ()), data=data, split=split, limit=limit, opset=opset, revision=revision
    )
    folder = export_to(None if model == "bundled" else model, output, settings)
    address = None
    if push is not None:
        from slt_hf.hub import push_folder

        address = push_folder(folder, push)
    if json:
        print_json(output=str(folder), target=to, commit=address)
    else:
        print(folder if address is None else address)
