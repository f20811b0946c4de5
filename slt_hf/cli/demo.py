"""`slt-hf demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    text: Annotated[
        str | None, typer.Option(help="Sentence to sign; a fresh one that training never saw if left out.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Chooses sentence and signer; another one each time if left out.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for the clip and its drawings.")] = Path("outputs/demo"),
    model: Annotated[str | None, typer.Option(help="Folder or Hub repository; the bundled one if left out.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Sign a sentence with the synthetic signer, draw it, translate it back: no camera, no download."""
    from slt_hf.cli.output import print_json
    from slt_hf.demonstration import sign_unseen
    from slt_hf.pipeline import SignTranslator
    from slt_hf.processing.pose_files import write_pose
    from slt_hf.visualization import draw_animation, draw_sheet

    reference, clip, seed = sign_unseen(text, seed)
    output.mkdir(parents=True, exist_ok=True)
    pose, sheet, animation = (output / f"demo-{seed}{ending}" for ending in (".pose", ".png", ".gif"))
    write_pose(clip, pose)
    found = SignTranslator.from_pretrained(model)(pose)
    draw_sheet(clip, sheet, caption=found.text)
    draw_animation(clip, animation, text=found.text)
    if json:
        print_json(
            reference=reference,
            translation=found.text,
            confidence=round(found.confidence, 4),
            milliseconds=round(found.milliseconds, 1),
            seed=seed,
            pose=str(pose),
            sheet=str(sheet),
            animation=str(animation),
        )
        return
    print(f"reference    {reference}")
    print(f"translation  {found.text}")
    print(f"confidence   {found.confidence:.0%}")
    print(f"time         {found.milliseconds:.0f} ms for {clip.duration_ms / 1000:.1f} s of signing")
    print(f"clip         {pose}")
    print(f"drawings     {sheet}, {animation}")
