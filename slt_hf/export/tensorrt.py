"""What TensorRT needs to run an export: shapes to build its engines for, a place to keep them, operators it parses.

Written where there is no GPU; `scripts/build_tensorrt.py` builds the engines and measures them on a machine that has
one. ONNX Runtime's TensorRT provider then takes them (`device="tensorrt"`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slt_hf.checkpoint import read_json
from slt_hf.errors import ExportError
from slt_hf.export.folder import ExportFolder, digest_of
from slt_hf.export.graph_file import read_graph_facts
from slt_hf.user_cache import user_cache

FILE = "tensorrt.json"
# what an open axis counts -> smallest, usual and largest size: clips of up to a minute at 25 frames a second, sentences
# of up to 128 tokens, four beams of eight clips
PROFILES: dict[str, tuple[int, int, int]] = {
    "batch": (1, 8, 16), "frames": (1, 150, 1500), "prompt": (1, 8, 32), "tokens": (1, 16, 128), "steps": (1, 75, 782),
    "rows": (1, 8, 64), "past_rows": (1, 8, 64), "windows": (1, 8, 8),
    "window_steps": (1, 8, 8), "past": (0, 16, 128), "new_tokens": (1, 1, 8),
}  # fmt: skip
# the operator support matrix of TensorRT 10's ONNX parser, as far as our graphs could ask for it
PARSED = set(
    "Abs Add And ArgMax ArgMin Cast Ceil Clip Concat Constant ConstantOfShape Conv Cos CumSum Div Einsum Elu Equal Erf "
    "Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater GreaterOrEqual Identity "
    "LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max Mean Min Mod Mul Neg Not OneHot Or Pad "
    "Pow Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Resize Round Shape "
    "Sigmoid Sign Sin Size Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Trilu Unsqueeze "
    "Where Xor ScatterElements ScatterND IsInf IsNaN HardSigmoid".split()
)


def write_settings(export: ExportFolder) -> dict[str, Any]:
    """Write `tensorrt.json` into an export.

    Raises:
        ExportError: for an operator that TensorRT does not parse, or an open axis without a profile.
    """
    graphs = {name: graph_settings(export, name) for name in export.graphs}
    settings = {"built": False, "graphs": graphs}
    (export.path / FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return settings


def graph_settings(export: ExportFolder, name: str) -> dict[str, dict[str, list[int]]]:
    """Smallest, usual and largest shape of every input."""
    import onnx

    path = export.graph_path(name)
    used = {operator for _, operator in read_graph_facts(path.read_bytes(), path).operators}
    if unknown := sorted(used - PARSED):
        raise ExportError(f"{path}: TensorRT's parser does not know {', '.join(unknown)}; run it on cuda or cpu")
    model = onnx.load(path, load_external_data=False)
    profiles = {}
    for entry in model.graph.input:
        axes = [axis.dim_param or axis.dim_value for axis in entry.type.tensor_type.shape.dim]
        profiles[entry.name] = {
            kind: [profile(axis, path)[place] if isinstance(axis, str) else axis for axis in axes]
            for place, kind in enumerate(("min", "opt", "max"))
        }
    return profiles


def profile(axis: str, path: Path) -> tuple[int, int, int]:
    if axis not in PROFILES:
        raise ExportError(f"{path}: expected axes among {', '.join(PROFILES)}, found {axis}; add its sizes to PROFILES")
    return PROFILES[axis]


def provider_options(export: ExportFolder, graph: str) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider for a graph; none where the export has no `tensorrt.json`.

    Raises:
        ExportError: if that is damaged.
    """
    path = export.path / FILE
    if not path.is_file():
        return {}
    options = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(engine_cache(export, graph))}
    try:
        shapes = read_json(export.path, FILE)["graphs"][graph]
        for kind in ("min", "opt", "max"):
            listed = [f"{name}:{'x'.join(map(str, each[kind]))}" for name, each in shapes.items()]
            options[f"trt_profile_{kind}_shapes"] = ",".join(listed)
    except (KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{path}: expected shapes for {graph}, found none; export to tensorrt again") from error
    return options


def engine_cache(export: ExportFolder, graph: str) -> Path:
    """Where engines of a graph are kept: this user's cache, by the graph's digest. Engines are programs; one that came
    with an export must not be run."""
    folder = user_cache() / "tensorrt" / digest_of(export.graph_bytes(graph))[:16]
    folder.mkdir(parents=True, exist_ok=True)  # the provider makes one level only
    return folder
