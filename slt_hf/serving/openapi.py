"""What `/docs` and `/openapi.json` say of bodies, refusals and keys.

Handlers read raw bytes, and the guard stands before the application: of neither FastAPI knows anything by itself.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

BYTES = {"type": "string", "format": "binary"}
FILE = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": BYTES}}}}

POSES = {
    "type": "object",
    "required": ["name", "datatype", "shape", "data"],
    "properties": {
        "name": {"const": "poses"},
        "datatype": {"const": "FP32"},
        "shape": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 4,
            "maxItems": 4,
            "description": "clips, frames, landmarks of the layout, 3 or 4 (x, y[, z], confidence)",
        },
        "data": {"type": "array", "description": "numbers, flat or nested", "items": {"type": "number"}},
    },
}
FILES = {
    "type": "object",
    "required": ["name", "datatype", "shape", "data"],
    "properties": {
        "name": {"const": "file"},
        "datatype": {"const": "BYTES"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 1},
        "data": {"type": "array", "description": "files in base64", "items": {"type": "string", "format": "byte"}},
    },
}
PARAMETERS = {
    "type": "object",
    "properties": {
        "layout": {"type": "string", "default": "holistic_543"},
        "fps": {"type": "number", "minimum": 1, "maximum": 1000, "default": 25},
    },
}
TENSORS = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {"type": "array", "items": {"anyOf": [POSES, FILES]}, "minItems": 1, "maxItems": 1},
        "parameters": PARAMETERS,
    },
}
INFER = {
    "requestBody": {
        "required": True,
        "description": "JSON; or JSON without `data`, its length in the header `Inference-Header-Content-Length`, and "
        "after it the little-endian bytes of the tensor",
        "content": {"application/json": {"schema": TENSORS}, "application/octet-stream": {"schema": BYTES}},
    }
}

ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
WHY = {
    400: "no request of the protocol",
    401: "no known key",
    404: "no such model",
    413: "more than is taken",
    422: "no clip, or none that can be read",
    429: "more than this key may ask, or the server is busy; try again later",
}


def refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route beside those of a key."""
    content = {"application/json": {"schema": ERROR}}
    return {code: {"description": WHY[code], "content": content} for code in (*codes, 401, 429)}


def ask_for_keys(app: FastAPI, public: tuple[str, ...]) -> None:
    """The schema says where a key goes, so that clients made from it bring one."""
    make = app.openapi

    def with_keys() -> dict[str, Any]:
        schema = make()
        schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"key": []}]
        for path in public:
            schema["paths"][path]["get"]["security"] = []
        return schema

    app.openapi = with_keys  # type: ignore[method-assign]
