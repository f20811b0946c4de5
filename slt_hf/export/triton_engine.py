"""A Triton server that holds an export's graphs, as an engine: the sentence's loop is here, every graph is there.

# R rows of the decoder (clips times beams), Q new tokens, V vocabulary
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.checkpoint import read_json
from slt_hf.errors import ExportError
from slt_hf.export.engines import OnnxGenerator
from slt_hf.export.folder import MANIFEST
from slt_hf.export.windows import encoder_of

DATATYPES = {"FP32": np.float32, "INT64": np.int64, "BOOL": np.bool_}


class TritonGraph:
    """One model of a server: arrays in, arrays out, by name.

    Args:
        client: a `tritonclient.grpc.InferenceServerClient`.

    Raises:
        ExportError: if the server does not have the model.
    """

    def __init__(self, client: Any, name: str):
        from tritonclient.utils import InferenceServerException

        self.client, self.name = client, name
        try:
            facts = client.get_model_metadata(name)
        except InferenceServerException as error:
            raise ExportError(
                f"expected a Triton server with model {name}, found: {error}; start it on the export's repository"
            ) from error
        self.inputs = {entry.name: (entry.datatype, list(entry.shape)) for entry in facts.inputs}

    def __call__(self, **inputs: Any) -> dict[str, np.ndarray]:
        from tritonclient.grpc import InferInput

        asked = []
        for name, (datatype, _) in self.inputs.items():
            array: np.ndarray = np.ascontiguousarray(inputs[name], DATATYPES[datatype])
            asked.append(InferInput(name, list(array.shape), datatype))
            asked[-1].set_data_from_numpy(array)
        answer = self.client.infer(self.name, asked)
        return {entry.name: answer.as_numpy(entry.name) for entry in answer.get_response().outputs}


class RemoteDecoder:
    """The decoder of one batch. Its cache goes to the server and back with every token: right, and no way to be fast;
    a service that must be keeps the loop beside the graph, as `OnnxGenerator` does."""

    def __init__(self, graph: TritonGraph, memory: Mapping[str, np.ndarray], beams: int):
        self.graph = graph
        self.fixed = {name: np.repeat(value, beams, 0) for name, value in memory.items() if name in graph.inputs}
        rows = len(memory["memory_mask"]) * beams
        self.own = np.arange(rows)
        self.past = {
            name: np.zeros((rows, shape[1], 0, shape[3]), np.float32)
            for name, (_, shape) in graph.inputs.items()
            if name.startswith("past_")
        }

    def step(self, tokens: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """Last tokens (R,), the row that each row continues (R,) or None for its own -> logits (R, V)"""
        return self.run(tokens[:, None], rows)[:, -1]

    def run(self, tokens: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """New tokens (R, Q) -> logits (R, Q, V)"""
        rows = self.own if rows is None else rows
        found = self.graph(decoder_input_ids=tokens, rows=rows, **self.fixed, **self.past)
        self.past = {name: found[name.replace("past_", "present_")] for name in self.past}
        return found["logits"]


class TritonGenerator(OnnxGenerator):
    """`generate` over the encoder and the decoder of a server.

    Args:
        repository: the model repository's folder, of which `export.json` and `generation_config.json` are read here.
        prefix: of the models' names.
    """

    def __init__(self, client: Any, repository: Path, prefix: str = "slt"):
        manifest = read_json(repository, MANIFEST)
        self.encoder = encoder_of(lambda name: TritonGraph(client, f"{prefix}_{name}"), manifest)
        self.decoder = TritonGraph(client, f"{prefix}_decoder")
        self.defaults = read_json(repository, "generation_config.json")

    def begin(self, memory: Mapping[str, np.ndarray], beams: int) -> RemoteDecoder:
        return RemoteDecoder(self.decoder, memory, beams)
