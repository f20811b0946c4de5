"""`slt-hf draw`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def draw(
    clip: Annotated[Path, typer.Argument(help="A pose file or video.")],
    output: Annotated[Path | None, typer.Option(help=".png draws a sheet, .gif an animation.")] = None,
    layout: Annotated[str | None, typer.Option(help="Landmark layout of a file that does not say it.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frame rate of a file that does not say it.")] = None,
    start_ms: Annotated[float | None, typer.Option(help="Begin here, in milliseconds.")] = None,
    end_ms: Annotated[float | None, typer.Option(help="End here, in milliseconds.")] = None,
    sample_id: Annotated[str | None, typer.Option(help="Which sample, of a file that holds many.")] = None,
) -> None:
    """Draw a clip's skeleton: a sheet of frames, or an animation."""
    from slt_hf.clips import load_clip
    from slt_hf.visualization import draw_animation, draw_sheet

    target = output or Path(f"{clip.stem}.png")
    loaded = load_clip(clip, layout, fps, start_ms, end_ms, sample_id=sample_id)
    (draw_animation if target.suffix.lower() == ".gif" else draw_sheet)(loaded, target)
    print(target)
