"""What `slt-hf export --to` names, and what makes it."""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from slt_hf.checkpoint import find_checkpoint, is_export
from slt_hf.errors import ExportError, RecipeError
from slt_hf.export.exporting import ExportSettings, appearing_whole, export_checkpoint
from slt_hf.export.folder import ExportFolder


def export_to(model: str | Path | None, output: Path, settings: ExportSettings) -> Path:
    """Export to any target.

    Raises:
        RecipeError: for an unknown one.
        ExportError: if the export fails or does not pass its gate.
    """
    targets: dict[str, Callable[..., Path]] = {
        "onnx": export_checkpoint,
        "onnx-int8": export_checkpoint,
        "triton": export_to_triton,
        "tensorrt": export_to_tensorrt,
        "tensorrt-llm": export_to_tensorrt_llm,
    }
    if settings.target not in targets:
        raise RecipeError(f"expected a target among {', '.join(targets)}, found {settings.target!r}; name one of these")
    return targets[settings.target](model, output, settings)


def export_to_triton(model: str | Path | None, output: Path, settings: ExportSettings) -> Path:
    """A Triton model repository of graphs that passed their gate."""
    from slt_hf.export.triton import NOTICE, write_repository

    with tempfile.TemporaryDirectory() as temporary:
        export = ExportFolder.open(as_onnx(model, Path(temporary) / "onnx", settings))

        def fill(folder: Path) -> None:
            write_repository(export, folder)
            add_to_card(export.path, folder, "Triton", NOTICE)
            card = folder / "README.md"
            card.write_text(re.sub(r"## Use\n.*?(?=## )", "", card.read_text(), flags=re.DOTALL))  # of ONNX Runtime

        return appearing_whole(output, fill)


def export_to_tensorrt(model: str | Path | None, output: Path, settings: ExportSettings) -> Path:
    """An ONNX export with what TensorRT needs beside it."""
    from slt_hf.export.tensorrt import write_settings

    with tempfile.TemporaryDirectory() as temporary:
        export = as_onnx(model, Path(temporary) / "onnx", settings)

        def fill(folder: Path) -> None:
            for path in ExportFolder.open(export).files():
                shutil.copyfile(path, folder / path.name)
            write_settings(ExportFolder.open(folder))
            notice = "Engines were neither built nor run here; scripts/build_tensorrt.py does both on a GPU."
            add_to_card(folder, folder, "TensorRT", notice)

        return appearing_whole(output, fill)


def export_to_tensorrt_llm(model: str | Path | None, output: Path, settings: ExportSettings) -> Path:
    """The text model for TensorRT-LLM: what releases up to 1.2 build engines from, and what 1.3's backend loads."""
    from slt_hf.export.card import write_server_card
    from slt_hf.export.exporting import copy_configs, load_source, write_manifest
    from slt_hf.export.tensorrt_llm import NOTICE, write_checkpoint, write_decoder

    source = find_checkpoint(model, settings.revision)
    loaded, _ = load_source(source)

    def fill(folder: Path) -> None:
        write_checkpoint(loaded, folder)
        write_decoder(loaded, source, folder / "pytorch")
        copy_configs(source, folder)
        nothing = {"graphs": {}, "weights": {}, "target": settings.target}
        write_manifest(folder, type(loaded).__name__, nothing, "float32")
        write_server_card(source, folder, "TensorRT-LLM", NOTICE)

    return appearing_whole(output, fill)


def as_onnx(model: str | Path | None, output: Path, settings: ExportSettings) -> Path:
    """Graphs that passed their gate: an export as it is, or one that is made of the checkpoint."""
    source = find_checkpoint(model, settings.revision)
    if is_export(source):
        export = ExportFolder.open(source)
        target = export.manifest.get("target", "onnx")
        if target != "onnx":
            raise ExportError(f"{source}: expected a checkpoint or its ONNX export, found one for {target}; give these")
        export.check_graphs()
        return source
    return export_checkpoint(model, output, dataclasses.replace(settings, target="onnx"))


def add_to_card(source: Path, folder: Path, title: str, notice: str) -> None:
    """Say on the card what was not done."""
    card = source / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    (folder / "README.md").write_text(f"{text}\n## {title}\n\n{notice}\n", encoding="utf-8")
