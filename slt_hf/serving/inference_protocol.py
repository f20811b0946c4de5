"""The Open Inference Protocol V2 for poses: what a model takes and gives, in JSON.

Input `poses` FP32 (B, T, V, C) with C = x, y[, z], confidence, and the parameters `layout` and `fps`; outputs `text`
BYTES (B) and `confidence` FP32 (B). A confidence of 0 marks a point that was not detected.

# B clips, T frames, V landmarks, C coordinates
"""

from __future__ import annotations

import json
import math
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


def infer_clip(body: bytes, served: Served) -> tuple[dict[str, Any], list[PoseClip]]:
    """The request, and its clips.

    Raises:
        ClipError: for anything but a request of this model; said as Triton says it.
    """
    try:
        asked = json.loads(body)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ClipError(f"expected a JSON request, found {error}; see the model's metadata") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("inputs"), list) or len(asked["inputs"]) != 1:
        raise ClipError(f"expected 1 input for model '{served.name}', named {INPUT}; see the model's metadata")
    tensor = asked["inputs"][0]
    if not isinstance(tensor, dict) or tensor.get("name") != INPUT:
        raise ClipError(f"expected input '{INPUT}' for model '{served.name}'; see the model's metadata")
    if tensor.get("datatype") != "FP32":
        raise ClipError(
            f"inference input '{INPUT}' data-type is '{tensor.get('datatype')}', but model '{served.name}' expects "
            "'FP32'; convert it"
        )
    parameters = asked.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise ClipError("expected parameters as an object with layout and fps; see the model's metadata")
    layout, fps = parameters.get("layout", "holistic_543"), parameters.get("fps", 25.0)
    if not isinstance(layout, str) or not isinstance(fps, int | float):
        raise ClipError("expected the parameters layout (text) and fps (a number); correct them")
    values = tensor_values(tensor, get_layout(layout).num_points)
    return asked, [clip_from(array, layout, check_fps(float(fps), "request")) for array in values]


def tensor_values(tensor: dict[str, Any], num_points: int) -> np.ndarray:
    """(B, T, V, C) float32, its shape checked before anything of that size is made."""
    shape: Any = tensor.get("shape")
    right = isinstance(shape, list) and len(shape) == 4 and all(type(size) is int and size > 0 for size in shape)
    if not right or shape[2] != num_points or shape[3] not in (3, 4) or shape[0] > MAX_BATCH:
        raise ClipError(
            f"unexpected shape for input '{INPUT}'. Expected [-1,-1,{num_points},3] or [-1,-1,{num_points},4] and at "
            f"most {MAX_BATCH} clips, got {shape}; name the layout of the points"
        )
    try:
        values = np.asarray(tensor.get("data"), np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise ClipError(f"expected numbers as data of '{INPUT}', found {error}; correct them") from error
    if values.size != math.prod(shape):
        raise ClipError(f"expected {math.prod(shape)} values for '{INPUT}', found {values.size}; send all of them")
    return values.reshape(shape)


def clip_from(array: np.ndarray, layout: str, fps: float) -> PoseClip:
    points, confidence = clean(array[..., :-1], array[..., -1])
    return PoseClip(points, confidence, layout, fps)


def infer_answer(asked: dict[str, Any], served: Served, found: list[Any]) -> dict[str, Any]:
    texts = [each.text if isinstance(each, Translation) else each.label for each in found]
    scores = [float(each.confidence) for each in found]
    answer = {"model_name": served.name, "outputs": []} | ({"id": asked["id"]} if "id" in asked else {})
    for name, datatype, data in (("text", "BYTES", texts), ("confidence", "FP32", scores)):
        answer["outputs"].append({"name": name, "datatype": datatype, "shape": [len(data)], "data": data})
    return answer
