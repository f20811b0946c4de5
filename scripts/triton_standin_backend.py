"""ONNX Runtime as a Python backend of Triton, for servers that come without its own.

`scripts/check_triton.py` puts it where Triton looks for the backend named `onnxruntime`: server, repository and
configurations are then the real ones, and what computes is ONNX Runtime through Python. Not for serving.
"""

import json
from pathlib import Path

import onnxruntime
import triton_python_backend_utils as pb_utils  # Triton's own; it is there inside the server alone


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
        config = json.loads(args["model_config"])
        self.inputs, self.outputs = ([entry["name"] for entry in config[kind]] for kind in ("input", "output"))

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        feed = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        found = self.session.run(self.outputs, feed)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, array) for name, array in zip(self.outputs, found, strict=True)]
        )
