"""What `slt-hf export --to` names, and what makes it."""

from __future__ import annotations

from pathlib import Path

from slt_hf.errors import RecipeError
from slt_hf.export.exporting import ExportSettings, export_checkpoint

ONNX = ("onnx", "onnx-int8")


def export_to(model: str | Path | None, output: Path, settings: ExportSettings) -> Path:
    """Export to any target.

    Raises:
        RecipeError: for an unknown one.
        ExportError: if the export fails or does not pass its gate.
    """
    if settings.target not in ONNX:
        raise RecipeError(f"expected a target among {', '.join(ONNX)}, found {settings.target!r}; name one of these")
    return export_checkpoint(model, output, settings)
