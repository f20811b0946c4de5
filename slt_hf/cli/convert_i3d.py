"""`slt-hf convert-i3d`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def convert_i3d(
    weights: Annotated[Path, typer.Argument(help="File of weights: .pt or .safetensors.")],
    output: Annotated[Path, typer.Argument(help="Folder of the checkpoint to write.")],
    source: Annotated[
        Literal["kinetics", "wlasl", "asl_citizen"],
        typer.Option(help="Whose code trained them: it decides on colours, fit and pooling over time."),
    ],
    labels: Annotated[Path | None, typer.Option(help="Class list: a name a line, or number, tab, name.")] = None,
) -> None:
    """A checkpoint from I3D weights of the public PyTorch code (Kinetics, WLASL, ASL Citizen); no code in them runs.

    It reads RGB pictures and answers as the code of its source did.
    """
    from slt_hf.convert_i3d import convert_i3d as convert
    from slt_hf.convert_i3d import i3d_extractor, read_labels, source_of

    model = convert(weights, source, None if labels is None else read_labels(labels))
    model.save_pretrained(output)
    provenance = {"converted_from": weights.name, "source": source}
    i3d_extractor(model.config, fit=source_of(source).fit, provenance=provenance).save_pretrained(output)
    named = "unnamed classes" if labels is None else f"classes from {model.config.id2label[0]!r} on"
    stem = "optical flow" if model.config.num_channels == 2 else "pictures"
    print(f"{output}: I3D that sees {stem}, {model.config.num_labels} {named}")
