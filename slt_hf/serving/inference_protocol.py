"""The Open Inference Protocol V2 for poses: what a model takes and gives, over REST (JSON, or JSON and bytes) and gRPC.

Input `poses` FP32 (B, T, V, C) with C = x, y[, z], confidence, and the parameters `layout` and `fps`; outputs `text`
BYTES (B) and `confidence` FP32 (B). A confidence of 0 marks a point that was not detected.

# B clips, T frames, V landmarks, C coordinates
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from slt_hf.errors import ClipError
from slt_hf.pipeline import Translation
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_clip import PoseClip, check_fps, clean
from slt_hf.serving.service import Served

INPUT = "poses"
MAX_BATCH = 64


def metadata(served: Served) -> dict[str, Any]:
    """A model's inputs and outputs."""
    return {
        "name": served.name,
        "platform": "slt_hf",
        "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, -1, -1, -1]}],
        "outputs": [
            {"name": "text", "datatype": "BYTES", "shape": [-1]},
            {"name": "confidence", "datatype": "FP32", "shape": [-1]},
        ],
    }


@dataclass(frozen=True)
class PoseTensor:
    """The one input as a request states it; nothing of it is believed before `clips` has looked."""

    name: Any
    datatype: Any
    shape: Any
    data: Any
    """Numbers in any nesting, or the little-endian bytes of float32"""
    parameters: Any

    def clips(self, model: str) -> list[PoseClip]:
        """One clip for each of the batch.

        Raises:
            ClipError: for anything but an input of this model; said as Triton says it.
        """
        if self.name != INPUT:
            raise ClipError(f"expected input '{INPUT}' for model '{model}'; see the model's metadata")
        if self.datatype != "FP32":
            raise ClipError(
                f"inference input '{INPUT}' data-type is '{self.datatype}', but model '{model}' expects 'FP32'; "
                "convert it"
            )
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


def infer_clip(body: bytes, served: Served, header_length: str | None = None) -> tuple[dict[str, Any], list[PoseClip]]:
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
        raise ClipError(f"expected 1 input for model '{served.name}', named {INPUT}; see the model's metadata")
    check_id(asked.get("id", ""))
    stated = asked["inputs"][0]
    if not isinstance(stated, dict):
        raise ClipError(f"expected input '{INPUT}' for model '{served.name}'; see the model's metadata")
    data = body[length:] if header_length is not None else stated.get("data")
    tensor = PoseTensor(
        stated.get("name"), stated.get("datatype"), stated.get("shape"), data, asked.get("parameters") or {}
    )
    return asked, tensor.clips(served.name)


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


def clip_from(array: np.ndarray, layout: str, fps: float) -> PoseClip:
    points, confidence = clean(array[..., :-1], array[..., -1])
    return PoseClip(points, confidence, layout, fps)


def infer_answer(asked: dict[str, Any], served: Served, found: list[Any]) -> dict[str, Any]:
    texts, scores = texts_and_scores(found)
    answer = {"model_name": served.name, "outputs": []} | ({"id": asked["id"]} if "id" in asked else {})
    for name, datatype, data in (("text", "BYTES", texts), ("confidence", "FP32", scores)):
        answer["outputs"].append({"name": name, "datatype": datatype, "shape": [len(data)], "data": data})
    return answer


def texts_and_scores(found: list[Any]) -> tuple[list[str], list[float]]:
    texts = [each.text if isinstance(each, Translation) else each.label for each in found]
    return texts, [float(each.confidence) for each in found]
