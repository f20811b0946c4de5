"""`slt-hf explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explain(
    clip: Annotated[Path, typer.Argument(help="A pose file, video or picture.")],
    model: Annotated[str | None, typer.Option(help="Folder or Hub repository; the bundled one if left out.")] = None,
    output: Annotated[Path | None, typer.Option(help=".png draws a sheet, .gif an animation.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps, cpu; the best one there is if left out.")] = None,
    layout: Annotated[str | None, typer.Option(help="Landmark layout of a file that does not say it.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frame rate of a file that does not say it.")] = None,
    start_ms: Annotated[float | None, typer.Option(help="Begin here, in milliseconds.")] = None,
    end_ms: Annotated[float | None, typer.Option(help="End here, in milliseconds.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Draw what an answer rests on: landmarks of a pose model, Grad-CAM of I3D, attention rollout of VideoMAE."""
    from slt_hf.cli.output import print_json
    from slt_hf.explanation import draw_explanation
    from slt_hf.explanation import explain as explained

    found = explained(clip, model, device=device, layout=layout, fps=fps, start_ms=start_ms, end_ms=end_ms)
    picture = draw_explanation(found, output or Path(f"{clip.stem}_explained.png"))
    shares = {name: round(share, 3) for name, share in found.shares.items()}
    if json:
        print_json(
            answer=found.text,
            confidence=round(found.confidence, 4),
            method=found.method,
            shares=shares,
            picture=str(picture),
        )
        return
    print(f"answer      {found.text}")
    print(f"confidence  {found.confidence:.0%}")
    if shares:
        print("rests on    " + ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in shares.items()))
    print(f"picture     {picture} ({found.method})")
