"""Messages of the Open Inference Protocol over gRPC, from and to what the service knows."""

from __future__ import annotations

import struct
from typing import Any

from tritonclient.grpc import service_pb2

from slt_hf.errors import ClipError
from slt_hf.serving.inference_protocol import FILE, OUTPUTS, InputTensor, known_outputs, metadata, texts_and_scores
from slt_hf.serving.service import Served


def input_tensor(request: Any, model: str) -> InputTensor:
    """The one input of a `ModelInferRequest`, its values raw or as contents.

    Raises:
        ClipError: if there is another number of inputs.
    """
    if len(request.inputs) != 1 or len(request.raw_input_contents) > 1:
        raise ClipError(f"expected 1 input for model '{model}', found {len(request.inputs)}; see the model's metadata")
    known_outputs([each.name for each in request.outputs], model)
    stated = request.inputs[0]
    raw = request.raw_input_contents
    contents = stated.contents.bytes_contents if stated.name == FILE else stated.contents.fp32_contents
    data = raw[0] if raw else list(contents)
    return InputTensor(stated.name, stated.datatype, list(stated.shape), data, parameters_of(request))


def parameters_of(request: Any) -> dict[str, Any]:
    found = {}
    for name, parameter in request.parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        found[name] = None if kind is None else getattr(parameter, kind)
    return found


def model_metadata(served: Served) -> Any:
    told = metadata(served)
    response = service_pb2.ModelMetadataResponse(name=told["name"], platform=told["platform"], versions=["1"])
    for tensors, kind in ((response.inputs, "inputs"), (response.outputs, "outputs")):
        for each in told[kind]:
            tensors.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
    return response


def infer_response(request: Any, served: Served, found: list[Any]) -> Any:
    """Raw contents: `as_numpy` of tritonclient 2.73 cannot read BYTES in any other form with NumPy 2."""
    texts, scores = texts_and_scores(found)
    raw = {"text": b"".join(map(length_and_bytes, texts)), "confidence": struct.pack(f"<{len(scores)}f", *scores)}
    response = service_pb2.ModelInferResponse(model_name=served.name, model_version="1", id=request.id)
    for name in known_outputs([each.name for each in request.outputs], served.name):
        response.outputs.add(name=name, datatype=OUTPUTS[name], shape=[len(found)])
        response.raw_output_contents.append(raw[name])
    return response


def length_and_bytes(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<I", len(encoded)) + encoded
