"""Graph specs -> ONNX files: traced by transformers' exporter, stripped, and with every weight stored once."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slt_hf.errors import ExportError
from slt_hf.export.folder import WEIGHTS, digest_of
from slt_hf.export.graph_spec import GraphSpec

INLINE_BYTES = 1024  # smaller constants stay in the graph, where shape inference can read them
ALIGNMENT = 64  # bytes; what processors load at once
NOISY = ("", "torch.onnx", "torch.onnx._internal.exporter", "transformers", "onnxscript", "onnx_ir")


class WeightFile:
    """One file of weights for all graphs of an export; equal weights share their bytes."""

    def __init__(self, path: Path):
        self.path = path
        self.places: dict[str, tuple[int, int]] = {}
        self.size = 0
        path.write_bytes(b"")

    def place(self, content: bytes) -> tuple[int, int]:
        """Offset and length of these bytes, written unless they are there."""
        digest = digest_of(content)
        if digest not in self.places:
            offset = -(-self.size // ALIGNMENT) * ALIGNMENT
            with self.path.open("ab") as file:
                file.write(b"\0" * (offset - self.size) + content)
            self.size = offset + len(content)
            self.places[digest] = (offset, len(content))
        return self.places[digest]


def trace(spec: GraphSpec, opset: int | None = None) -> Any:
    """The graph as an `onnx_ir.Model`.

    Raises:
        ExportError: if the model cannot be traced, or an axis that must stay open came out fixed.
    """
    import torch
    from transformers.exporters import OnnxConfig, OnnxExporter

    shapes = {name: dict.fromkeys(spec.axes.get(name, {}), torch.export.Dim.DYNAMIC) for name in spec.inputs}
    config = OnnxConfig(dynamic=True, dynamic_shapes=shapes, opset_version=opset)
    try:
        with quiet():
            model = OnnxExporter().export(spec.module.eval(), dict(spec.inputs), config).program
    except ExportError:
        raise
    except Exception as error:  # torch.export raises classes of its own, of many modules
        reason = " ".join(str(error).split())[:400]
        raise ExportError(
            f"tracing {spec.name} of {type(spec.module).__name__} failed: {type(error).__name__}: {reason}; run the "
            "checkpoint with PyTorch, and report the model's kind"
        ) from error
    name_axes(model, spec)
    return model


def name_axes(model: Any, spec: GraphSpec) -> None:
    """Say what each open axis counts, and check that it is open."""
    import onnx_ir

    for value in model.graph.inputs:
        axes = spec.axes.get(value.name, {})
        sizes: list[Any] = list(value.shape)
        frozen = [axis for axis in axes if isinstance(sizes[axis], int)]
        if frozen:
            raise ExportError(
                f"{spec.name}: expected axis {frozen[0]} ({axes[frozen[0]]}) of {value.name} to be open, found "
                f"{sizes[frozen[0]]}; the model's code freezes it, run the checkpoint with PyTorch"
            )
        value.shape = onnx_ir.Shape([axes.get(axis, size) for axis, size in enumerate(sizes)])
    for value in model.graph.outputs:
        sizes = [size if isinstance(size, int) else f"{value.name}_{axis}" for axis, size in enumerate(value.shape)]
        value.shape = onnx_ir.Shape(sizes)


def write_graph(model: Any, path: Path, weights: WeightFile) -> dict[str, str]:
    """Write a graph's file, its weights into the common one; returns its entry in `export.json`."""
    import onnx_ir

    turn_copies(model)
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor.nbytes < INLINE_BYTES:
            continue
        offset, length = weights.place(tensor.tobytes())
        value.const_value = onnx_ir.ExternalTensor(
            weights.path.name, offset, length, tensor.dtype, shape=tensor.shape, name=tensor.name,
            base_dir=str(weights.path.parent),
        )  # fmt: skip
    proto = onnx_ir.serde.serialize_model(model)
    strip(proto)
    content = proto.SerializeToString(deterministic=True)
    path.write_bytes(content)
    return {"file": path.name, "sha256": digest_of(content)}


def turn_copies(model: Any) -> None:
    """Replace a weight that is another one turned (a tied head beside its embedding) by a node that turns it; ONNX
    Runtime does so once, when it loads the graph."""
    import onnx_ir

    matrices = {
        name: value.const_value.numpy()
        for name, value in model.graph.initializers.items()
        if value.const_value.nbytes >= INLINE_BYTES and len(value.const_value.shape) == 2
    }
    names = {digest_of(array.tobytes()) + str(array.shape): name for name, array in matrices.items()}
    for name, array in matrices.items():
        other = names.get(digest_of(array.T.tobytes()) + str(array.T.shape))
        copy = model.graph.initializers.get(name)
        if other is None or other == name or other not in model.graph.initializers:
            continue
        copy = model.graph.initializers[name]
        node = onnx_ir.node("Transpose", [model.graph.initializers[other]], {"perm": [1, 0]})
        node.outputs[0].type, node.outputs[0].shape = copy.type, copy.shape
        copy.replace_all_uses_with(node.outputs[0])
        model.graph.insert_before(model.graph[0], node)
        del model.graph.initializers[name]


def strip(proto: Any) -> None:
    """Leave out what tracing wrote beside the graph: stack traces with this machine's paths, names of its symbols."""
    del proto.metadata_props[:], proto.graph.metadata_props[:], proto.graph.value_info[:]
    proto.doc_string = proto.graph.doc_string = ""
    proto.producer_name, proto.producer_version = "slt_hf", ""
    for entry in [*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        del entry.metadata_props[:]
        entry.doc_string = ""
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                raise ExportError(f"expected a graph without branches, found {node.op_type}; report the model's kind")


def write_graphs(specs: list[GraphSpec], folder: Path, opset: int | None = None) -> dict[str, Any]:
    """All graphs of a model; returns `graphs` and `weights` of `export.json`."""
    weights = WeightFile(folder / WEIGHTS)
    entries = {spec.name: write_graph(trace(spec, opset), folder / f"{spec.name}.onnx", weights) for spec in specs}
    return {"graphs": entries, "weights": {weights.path.name: weights.size}}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Exporters narrate; their warnings are about their own insides."""
    levels = {name: logging.getLogger(name).level for name in NOISY}
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
