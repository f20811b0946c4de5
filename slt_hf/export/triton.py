"""An export as a Triton model repository: a folder for each graph, with `config.pbtxt` and one version.

Triton looks for a model's weights in the model's own folder, so each graph is written with the weights it reads. The
sentence's loop over the decoder is the client's: `slt_hf.export.triton_engine`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from slt_hf.errors import ExportError
from slt_hf.export.folder import MANIFEST, WEIGHTS, ExportFolder
from slt_hf.export.graph_writer import WeightFile, write_graph

VERSION = "1"
MAX_BATCH = 8
BATCH_DELAY_US = 2000  # how long a request waits for others to be computed with it
TYPES = {1: "TYPE_FP32", 6: "TYPE_INT32", 7: "TYPE_INT64", 9: "TYPE_BOOL"}  # onnx.TensorProto.DataType
# all axes 0 of these count clips or windows; the decoder's and the stream's do not
SHARED_BATCH = ("encoder", "text", "bridge", "window")
NOTICE = (
    "Configurations were checked against Triton's own definition (tritonclient). This repository was not run: "
    "scripts/check_triton.py loads it in a real server and holds its sentences against the export's. Clients: "
    "`slt_hf.export.triton_engine.TritonGenerator`, with this folder's processor."
)


def write_repository(export: ExportFolder, repository: Path, prefix: str = "slt") -> list[str]:
    """Write one model for each graph; returns their names.

    Args:
        prefix: of the models' names, so that several exports fit into one repository.

    Raises:
        ExportError: if a configuration is not one that Triton knows.
    """
    import onnx_ir

    names = []
    for graph in export.graphs:
        name = f"{prefix}_{graph}"
        folder = repository / name / VERSION
        folder.mkdir(parents=True)
        model = onnx_ir.load(export.graph_path(graph))
        write_graph(model, folder / "model.onnx", WeightFile(folder / WEIGHTS))
        config = config_text(name, model, batched=graph in SHARED_BATCH)
        check_config(config, name)
        (repository / name / "config.pbtxt").write_text(config, encoding="utf-8")
        names.append(name)
    for file in export.manifest["configs"]:  # what a client processes clips and writes text with
        shutil.copyfile(export.path / file, repository / file)
    (repository / MANIFEST).write_text(json.dumps(export.manifest | {"target": "triton"}, indent=2) + "\n")
    return names


def config_text(name: str, model: Any, batched: bool) -> str:
    """`config.pbtxt` of one graph."""
    skip = 1 if batched else 0  # with a batch size, Triton does not want the batch's axis among the dims
    lines = [f'name: "{name}"', 'backend: "onnxruntime"', f"max_batch_size: {MAX_BATCH if batched else 0}"]
    for kind, values in (("input", model.graph.inputs), ("output", model.graph.outputs)):
        lines += [tensor_text(kind, value, skip) for value in values]
    if batched:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {BATCH_DELAY_US} }}")
    lines += [
        "instance_group [ { count: 1 kind: KIND_AUTO } ]",
        "version_policy: { latest { num_versions: 1 } }",
        ACCELERATION,
    ]
    return "\n".join(lines) + "\n"


# TensorRT through ONNX Runtime, on machines with a GPU; its engines are kept, since building one takes minutes
ACCELERATION = """optimization {
  execution_accelerators {
    gpu_execution_accelerator: [ {
      name: "tensorrt"
      parameters { key: "precision_mode" value: "FP32" }
      parameters { key: "max_workspace_size_bytes" value: "1073741824" }
      parameters { key: "trt_engine_cache_enable" value: "true" }
      parameters { key: "trt_engine_cache_path" value: "/var/cache/slt_hf" }
    } ]
  }
}"""


def tensor_text(kind: str, value: Any, skip: int) -> str:
    sizes = [size if isinstance(size, int) else -1 for size in list(value.shape)[skip:]]
    shape = ", ".join(map(str, sizes))
    return f'{kind} [ {{ name: "{value.name}" data_type: {TYPES[int(value.dtype)]} dims: [ {shape} ] }} ]'


def check_config(text: str, name: str) -> Any:
    """The configuration as Triton's own message.

    Raises:
        ExportError: if Triton's definition does not know what it says.
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise ExportError(f"{name}: expected a config.pbtxt that Triton reads, found {error}; report it") from error
