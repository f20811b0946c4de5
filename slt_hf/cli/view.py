"""`slt-hf view`: the keypoint viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def view(
    clips: Annotated[Path, typer.Argument(help="A pose file, a manifest, a folder of shards or of pose files.")],
    port: Annotated[int | None, typer.Option(help="Port to serve on; the first free one by default.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Look at keypoints in the browser: scrub through clips, switch layers, see the confidence."""
    from importlib.util import find_spec

    from slt_hf.errors import RecipeError
    from slt_hf.viewer import view as serve

    if find_spec("gradio") is None:
        raise RecipeError("expected gradio for the viewer, found none; pip install 'slt_hf[demo]'")

    serve(clips, port=port, open_browser=browser)
