"""Dynamic int8: weights of matrix products in eight bits, activations quantised as they come. With a gate of its own,
since it is not meant to say the same: it may lose one point on a dev split."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from slt_hf.export.comparison import Check
from slt_hf.export.folder import WEIGHTS, ExportFolder
from slt_hf.export.graph_writer import WeightFile, quiet, write_graph

POINT = 1.0  # of BLEU or of accuracy, both in hundredths
METRICS = {"text": "bleu_4", "signs": "top_1"}


def quantize_export(folder: Path) -> dict[str, Any]:
    """Replace the graphs of an export by their int8 versions; returns `graphs` and `weights` of `export.json`."""
    import onnx_ir
    from onnxruntime.quantization import QuantType, quantize_dynamic

    export = ExportFolder.open(folder)
    entries = {}
    with tempfile.TemporaryDirectory() as temporary:
        weights = WeightFile(Path(temporary) / WEIGHTS)
        for name in export.graphs:
            small = Path(temporary) / f"{name}_int8.onnx"
            # only products with a weight: both sides of attention are activations, and a convolution is quick as it is
            with quiet():
                quantize_dynamic(
                    folder / f"{name}.onnx", small, op_types_to_quantize=["MatMul", "Gemm", "Gather"],
                    weight_type=QuantType.QInt8, per_channel=True, use_external_data_format=True,
                )  # fmt: skip
            model = onnx_ir.load(small)
            entries[name] = write_graph(model, folder / f"{name}.onnx", weights)
        (folder / WEIGHTS).write_bytes(weights.path.read_bytes())
    return {"graphs": entries, "weights": {WEIGHTS: weights.size}}


def check_int8(before: dict[str, Any], after: dict[str, Any]) -> Check:
    """The int8 graphs against the float ones, by the evaluator's two reports."""
    name = METRICS[after["task"]]
    lost = [float(report["scores"][name]["score"]) for report in (before, after)]
    unit = 100.0 if after["task"] == "signs" else 1.0
    worst = unit * (lost[0] - lost[1])
    passed = worst <= POINT
    where = None if passed else f"{name} fell from {lost[0]:.4g} to {lost[1]:.4g}"
    items = after["items"]["references"]
    return Check(f"points of {name} that int8 loses", f"{items} items", max(worst, 0.0), POINT, passed, where)
