"""`slt-hf decode-clips`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def decode_clips(
    manifest: Annotated[Path, typer.Argument(help="Manifest with a column video; start_ms and end_ms cut clips out.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the shards to write.")],
    short_side: Annotated[int, typer.Option(help="Pixels of a picture's shorter side.")] = 256,
    fps: Annotated[float, typer.Option(help="Keep at most so many frames a second; 0 keeps all.")] = 25.0,
    quality: Annotated[int, typer.Option(help="Of the JPEGs, from 1 (best) to 31.")] = 3,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
) -> None:
    """Cut clips out of videos once, small and frame by frame, so that training reads any of their frames at once.

    A clip that cannot be read is left out, with a line that says why, and the exit code is 1.
    """
    from slt_hf.cli.output import clip_progress
    from slt_hf.data.decoded_clips import DecodedSettings
    from slt_hf.data.decoded_clips import decode_clips as decode
    from slt_hf.data.manifest import read_manifest

    samples = read_manifest(manifest)
    failed = 0
    with clip_progress(len(samples), shown=True) as done:
        for sample, error in decode(samples, folder, DecodedSettings(short_side, fps or None, quality), workers):
            failed += error is not None
            done(failed)
            if error is not None:
                print(f"slt-hf: {sample.id}: {error}", file=sys.stderr)
    print(f"{folder}: {len(samples) - failed} clips" + (f", {failed} left out" if failed else ""))
    if failed:
        raise typer.Exit(1)
