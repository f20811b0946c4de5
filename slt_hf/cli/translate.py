"""`slt-hf translate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def translate(
    clips: Annotated[list[Path], typer.Argument(help="Pose files (.pose and others) or videos.")],
    model: Annotated[str | None, typer.Option(help="Folder or Hub repository; the bundled one if left out.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub repository.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps, cpu; the best one there is if left out.")] = None,
    layout: Annotated[str | None, typer.Option(help="Landmark layout of files that do not say it.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frame rate of files that do not say it.")] = None,
    start_ms: Annotated[float | None, typer.Option(help="Begin here, in milliseconds.")] = None,
    end_ms: Annotated[float | None, typer.Option(help="End here, in milliseconds.")] = None,
    sample_id: Annotated[str | None, typer.Option(help="Which sample, of a file that holds many.")] = None,
    num_beams: Annotated[int, typer.Option(help="Width of the beam search; 1 is greedy.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Translate clips of signing to text."""
    from slt_hf.cli.output import frame_progress, print_json
    from slt_hf.clips import load_clip
    from slt_hf.pipeline import SignTranslator

    translator = SignTranslator.from_pretrained(model, revision=revision, device=device)
    for path in clips:
        if translator.reads_video:
            found = translator(path, start_ms=start_ms, end_ms=end_ms, num_beams=num_beams)
        else:
            with frame_progress(path, shown=sys.stderr.isatty()) as progress:
                clip = load_clip(path, layout, fps, start_ms, end_ms, sample_id=sample_id, progress=progress)
            found = translator(clip, num_beams=num_beams)
        if json:
            print_json(
                clip=str(path),
                translation=found.text,
                confidence=round(found.confidence, 4),
                milliseconds=round(found.milliseconds, 1),
                timings={name: round(value, 1) for name, value in found.timings.items()},
            )
        else:
            told = f"{found.text}  ({found.confidence:.0%}, {found.milliseconds:.0f} ms)"
            print(told if len(clips) == 1 else f"{path}: {told}")
