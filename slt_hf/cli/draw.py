"""`slt-hf draw`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def draw(
    clip: Annotated[
        Path, typer.Argument(help="A pose file or video; or a manifest, shards or a folder of pose files.")
    ],
    output: Annotated[
        Path | None, typer.Option(help=".png draws a sheet, .gif an animation; for many clips a folder.")
    ] = None,
    layout: Annotated[str | None, typer.Option(help="Landmark layout of a file that does not say it.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frame rate of a file that does not say it.")] = None,
    start_ms: Annotated[float | None, typer.Option(help="Begin here, in milliseconds.")] = None,
    end_ms: Annotated[float | None, typer.Option(help="End here, in milliseconds.")] = None,
    sample_id: Annotated[str | None, typer.Option(help="Which sample, of a file that holds many.")] = None,
    stages: Annotated[bool, typer.Option("--stages", help="Video, poses, and what the model is given.")] = False,
    video: Annotated[Path | None, typer.Option(help="The clip's video, for --stages.")] = None,
    model: Annotated[str | None, typer.Option(help="Normalise as this checkpoint does, for --stages.")] = None,
    max_clips: Annotated[int, typer.Option(help="Of many clips, draw the first so many.")] = 50,
) -> None:
    """Draw skeletons: a sheet or an animation of a clip, a picture for each of many; before and after normalisation."""
    from slt_hf.clips import is_video, load_clip
    from slt_hf.drawing import draw_stages, settings_of
    from slt_hf.visualization import draw_animation, draw_sheet

    if is_collection(clip) and sample_id is None:
        return _draw_many(clip, output or Path(f"{clip.stem}_drawn"), stages, model, max_clips)
    target = output or Path(f"{clip.stem}{'_drawn' * (clip.suffix.lower() == '.png')}.png")
    check_target(target, clip)
    loaded = load_clip(clip, layout, fps, start_ms, end_ms, sample_id=sample_id)
    if stages:
        shown = video or (clip if is_video(clip) else None)
        draw_stages(loaded, target, settings_of(model), shown, start_ms, end_ms)
    else:
        (draw_animation if target.suffix.lower() == ".gif" else draw_sheet)(loaded, target)
    print(target)


def check_target(target: Path, clip: Path) -> None:
    """Make the picture's folder.

    Raises:
        ClipError: if the picture's ending is unknown, or the clip would be overwritten.
    """
    from slt_hf.errors import ClipError

    if target.suffix.lower() not in (".png", ".gif"):
        raise ClipError(f"{target}: expected a name that ends in .png (a sheet) or .gif (an animation); rename it")
    if target.resolve() == clip.resolve():
        raise ClipError(f"{target}: expected another name than the clip's, which it would overwrite; rename it")
    target.parent.mkdir(parents=True, exist_ok=True)


def is_collection(path: Path) -> bool:
    """Whether a path holds several clips: a table, or a folder that is not one clip in frames."""
    if path.suffix in (".csv", ".tsv", ".jsonl"):
        return True
    if not path.is_dir() and path.suffix != ".parquet":
        return False
    from slt_hf.data.collection import open_collection

    return open_collection(path).kind != "clip"


def _draw_many(path: Path, folder: Path, stages: bool, model: str | None, max_clips: int) -> None:
    import sys

    from slt_hf.data.collection import open_collection
    from slt_hf.drawing import draw_collection, settings_of

    for sample, picture, reason in draw_collection(path, folder, stages, settings_of(model), max_clips):
        print(picture if picture else f"slt-hf: {sample.id}: {reason}", file=sys.stdout if picture else sys.stderr)
    if (total := len(open_collection(path).samples)) > max_clips:
        print(f"slt-hf: the first {max_clips} of {total} clips; --max-clips draws more", file=sys.stderr)
