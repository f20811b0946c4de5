"""`slt-hf inspect`: what a dataset holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    dataset: Annotated[Path, typer.Argument(help="A manifest, a folder of shards, a folder of pose files, or a clip.")],
    png: Annotated[Path | None, typer.Option(help="Where to draw the figure; NAME_inspect.png by default.")] = None,
    max_clips: Annotated[
        int | None, typer.Option(help="Open at most so many clips, spread evenly; 0 for none.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a split instead of the table.")] = False,
) -> None:
    """Counts, lengths, frame rates, missing hands and glosses of a dataset, by split, as a table and a PNG."""
    import sys
    from importlib.util import find_spec

    from slt_hf.cli.output import bar, print_json
    from slt_hf.data.inspection import inspect_dataset, render_table, summary_rows
    from slt_hf.data.inspection_plot import draw_inspection
    from slt_hf.errors import RecipeError

    if find_spec("matplotlib") is None:
        raise RecipeError("expected matplotlib for the figure, found none; pip install 'slt_hf[evaluate]'")

    def show(done: int, total: int) -> None:
        print(f"\r{bar(done, total)} clips", end="" if done < total else "\n", file=sys.stderr, flush=True)

    inspection = inspect_dataset(dataset, max_clips, show if sys.stderr.isatty() else None)
    if json:
        for row in summary_rows(inspection):
            print_json(**row)
    else:
        print(render_table(inspection))
    picture = draw_inspection(inspection, png or Path(f"{dataset.stem or 'dataset'}_inspect.png"))
    print(picture, file=sys.stderr if json else sys.stdout)
