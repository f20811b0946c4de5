"""The Open Inference Protocol V2: what a model takes and gives, over REST (JSON, or JSON and bytes) and gRPC.

Input `poses` FP32 (B, T, V, C) with C = x, y[, z], confidence, and the parameters `layout` and `fps`; outputs `text`
BYTES (B) and `confidence` FP32 (B). A confidence of 0 marks a point that was not detected.

Or input `file` BYTES (B): videos, pictures or `.pose` files as they are, in JSON as base64. It is the only input of a
model that sees frames; one that reads poses takes either.

# B clips, T frames, V landmarks, C coordinates
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from slt_hf.errors import ClipError
from slt_hf.pipeline import Translation
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_clip import PoseClip, check_fps, clean
from slt_hf.serving.service import Served

INPUT, FILE = "poses", "file"
OUTPUTS = {"text": "BYTES", "confidence": "FP32"}
MAX_BATCH, MAX_FILES = 64, 8


def metadata(served: Served) -> dict[str, Any]:
    """A model's inputs and outputs."""
    poses = {"name": INPUT, "datatype": "FP32", "shape": [-1, -1, -1, -1]}
    return {
        "name": served.name,
        "platform": "slt_hf",
        "inputs": [{"name": FILE, "datatype": "BYTES", "shape": [-1]} if served.sees_frames else poses],
        "outputs": [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in OUTPUTS.items()],
    }


@dataclass(frozen=True)
class InputTensor:
    """The one input as a request states it; nothing of it is believed before `clips` has looked."""

    name: Any
    datatype: Any
    shape: Any
    data: Any
    """Numbers in any nesting, or the little-endian bytes of float32; of files, their bytes in base64, or each after
    its length"""
    parameters: Any

    def clips(self, served: Served) -> list[PoseClip | bytes]:
        """One clip for each of the batch: poses, or a file that is still to be opened.

        Raises:
            ClipError: for anything but an input of this model; said as Triton says it.
        """
        wanted = FILE if self.name == FILE or served.sees_frames else INPUT
        datatype = "BYTES" if wanted == FILE else "FP32"
        if self.name != wanted:
            raise ClipError(f"expected input '{wanted}' for model '{served.name}'; see the model's metadata")
        if self.datatype != datatype:
            raise ClipError(
                f"inference input '{wanted}' data-type is '{self.datatype}', but model '{served.name}' expects "
                f"'{datatype}'; convert it"
            )
        if wanted == FILE:
            return list(file_values(self.shape, self.data))
        layout, fps = layout_and_fps(self.parameters)
        values = tensor_values(self.shape, self.data, get_layout(layout).num_points)
        return [clip_from(array, layout, fps) for array in values]


def layout_and_fps(parameters: Any) -> tuple[str, float]:
    if not isinstance(parameters, dict):
        raise ClipError("expected parameters as an object with layout and fps; see the model's metadata")
    layout, fps = parameters.get("layout", "holistic_543"), parameters.get("fps", 25.0)
    if not isinstance(layout, str) or not isinstance(fps, int | float):
        raise ClipError("expected the parameters layout (text) and fps (a number); correct them")
    try:
        return layout, check_fps(float(fps), "request")
    except OverflowError as error:
        raise ClipError(f"expected frames a second, found a number too large ({error}); correct it") from error


def infer_clips(
    body: bytes, served: Served, header_length: str | None = None
) -> tuple[dict[str, Any], list[PoseClip | bytes]]:
    """The request, and its clips.

    Args:
        body: JSON, and after it the bytes of the tensor if a header length is given.
        header_length: `Inference-Header-Content-Length`, the length of the JSON; None if there is nothing else.

    Raises:
        ClipError: for anything but a request of this model.
    """
    length = header_size(header_length, len(body))
    asked = parsed(body[:length])
    if not isinstance(asked, dict) or not isinstance(asked.get("inputs"), list) or len(asked["inputs"]) != 1:
        raise ClipError(f"expected 1 input for model '{served.name}'; see the model's metadata")
    check_id(asked.get("id", ""))
    wanted_outputs(asked, served.name)
    stated = asked["inputs"][0]
    if not isinstance(stated, dict):
        raise ClipError(f"expected 1 input for model '{served.name}', as an object; see the model's metadata")
    data = body[length:] if header_length is not None else stated.get("data")
    tensor = InputTensor(
        stated.get("name"), stated.get("datatype"), stated.get("shape"), data, asked.get("parameters") or {}
    )
    return asked, tensor.clips(served)


def check_id(given: Any) -> None:
    """It goes into the answer as it came; JSON may hold half characters (\\ud800), which no answer can."""
    if not isinstance(given, str) or any("\ud800" <= each <= "\udfff" for each in given):
        raise ClipError(f"expected a text as id, found {str(given)[:40]!r}; correct it, or leave it out")


def header_size(stated: str | None, available: int) -> int:
    if stated is None:
        return available
    if not (stated.isascii() and stated.isdigit() and len(stated) < 12 and int(stated) <= available):
        raise ClipError(f"expected a header length of at most {available}, found {stated[:20]!r}; correct it")
    return int(stated)


def parsed(header: bytes) -> Any:
    try:
        return json.loads(header)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or a number of thousands of digits
        raise ClipError(f"expected a JSON request, found {error}; see the model's metadata") from error


def tensor_values(shape: Any, data: Any, num_points: int) -> np.ndarray:
    """(B, T, V, C) float32, its shape checked before anything of that size is made."""
    right = isinstance(shape, list) and len(shape) == 4 and all(type(size) is int and size > 0 for size in shape)
    if not right or shape[2] != num_points or shape[3] not in (3, 4) or shape[0] > MAX_BATCH:
        raise ClipError(
            f"unexpected shape for input '{INPUT}'. Expected [-1,-1,{num_points},3] or [-1,-1,{num_points},4] and at "
            f"most {MAX_BATCH} clips, got {shape}; name the layout of the points"
        )
    values = numbers(data)
    if values.size != math.prod(shape):
        raise ClipError(f"expected {math.prod(shape)} values for '{INPUT}', found {values.size}; send all of them")
    return values.reshape(shape)


def numbers(data: Any) -> np.ndarray:
    try:
        return np.frombuffer(data, "<f4") if isinstance(data, bytes) else np.asarray(data, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise ClipError(f"expected numbers as data of '{INPUT}', found {error}; correct them") from error


def file_values(shape: Any, data: Any) -> list[bytes]:
    if not (isinstance(shape, list) and len(shape) == 1 and type(shape[0]) is int and 0 < shape[0] <= MAX_FILES):
        raise ClipError(f"unexpected shape for input '{FILE}'. Expected [-1] and at most {MAX_FILES}, got {shape}")
    found = split(data) if isinstance(data, bytes) else [file_bytes(each) for each in as_list(data)]
    if len(found) != shape[0]:
        raise ClipError(f"expected {shape[0]} values for '{FILE}', found {len(found)}; send all of them")
    return found


def as_list(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise ClipError(f"expected a list as data of '{FILE}', found {type(data).__name__}; send one")
    return data


def file_bytes(value: Any) -> bytes:
    """Bytes as they are (gRPC), or the bytes behind base64 (JSON)."""
    try:
        return value if isinstance(value, bytes) else base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ClipError(f"expected the bytes of '{FILE}' in base64, found {error}; encode them") from error


def split(data: bytes) -> list[bytes]:
    """As the protocol packs BYTES: each after its length, 4 bytes, little-endian."""
    found: list[bytes] = []
    at = 0
    while at < len(data) and len(found) <= MAX_FILES:
        length = struct.unpack_from("<I", data, at)[0] if len(data) - at >= 4 else len(data)
        at += 4
        if length > len(data) - at:
            raise ClipError(f"expected each value of '{FILE}' after its length, found it cut off; send all of it")
        found.append(data[at : at + length])
        at += length
    return found


def clip_from(array: np.ndarray, layout: str, fps: float) -> PoseClip:
    points, confidence = clean(array[..., :-1], array[..., -1])
    return PoseClip(points, confidence, layout, fps)


def wanted_outputs(asked: dict[str, Any], model: str) -> list[str]:
    """Names of the outputs that a request asks for; all of them if it names none.

    Raises:
        ClipError: if there is no such output; said as Triton says it.
    """
    outputs = asked.get("outputs") or []
    if not isinstance(outputs, list):
        raise ClipError(f"expected outputs as a list, found {type(outputs).__name__}; see the model's metadata")
    return known_outputs([each.get("name") if isinstance(each, dict) else each for each in outputs], model)


def known_outputs(named: list[Any], model: str) -> list[str]:
    for name in named:
        if not isinstance(name, str) or name not in OUTPUTS:
            raise ClipError(f"unexpected inference output '{name}' for model '{model}'; see the model's metadata")
    return [name for name in OUTPUTS if name in named or not named]


def infer_answer(asked: dict[str, Any], served: Served, found: list[Any]) -> dict[str, Any]:
    data = dict(zip(OUTPUTS, texts_and_scores(found), strict=True))
    outputs = [
        {"name": name, "datatype": OUTPUTS[name], "shape": [len(found)], "data": data[name]}
        for name in wanted_outputs(asked, served.name)
    ]
    return {"model_name": served.name, "outputs": outputs} | ({"id": asked["id"]} if "id" in asked else {})


def texts_and_scores(found: list[Any]) -> tuple[list[str], list[float]]:
    texts = [each.text if isinstance(each, Translation) else each.label for each in found]
    return texts, [float(each.confidence) for each in found]
