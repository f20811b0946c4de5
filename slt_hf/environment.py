"""What is installed here, what the machine offers, and what is missing for which use. Behind `slt-hf env`."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

GIB = 1024**3


@dataclass(frozen=True)
class Use:
    """Something one can do with this package, and what has to be installed for it."""

    name: str
    distributions: tuple[str, ...]
    remedy: str
    command: str | None = None
    """The command that is this use; what it lacks comes with this extra, not with one that shares a part"""

    def missing(self) -> list[str]:
        return [name for name in self.distributions if version_of(name) is None]


USES = [
    Use("translate with PyTorch", ("torch", "transformers", "accelerate"), 'pip install "slt_hf[torch]"'),
    Use("run exported graphs", ("onnxruntime", "tokenizers"), 'pip install "slt_hf[onnx]"'),
    Use(
        "export checkpoints", ("torch", "transformers", "onnx", "onnxscript"), 'pip install "slt_hf[export]"', "export"
    ),
    Use("read corpora and videos", ("datasets", "pyarrow", "pandas", "av"), 'pip install "slt_hf[data]"'),
    Use("train", ("torch", "transformers", "accelerate", "datasets", "peft"), 'pip install "slt_hf[train]"'),
    Use("train vision-language models", ("trl",), 'pip install "slt_hf[vlm]"'),
    Use("evaluate", ("sacrebleu", "rouge-score", "jiwer", "matplotlib"), 'pip install "slt_hf[evaluate]"', "evaluate"),
    Use("ask a server over gRPC or live", ("tritonclient", "websockets"), 'pip install "slt_hf[client]"', "client"),
    Use(
        "serve", ("torch", "fastapi", "uvicorn", "limits", "prometheus-client"), 'pip install "slt_hf[serve]"', "serve"
    ),
    Use("look at clips in the browser", ("gradio",), 'pip install "slt_hf[demo]"'),
    Use("run the tests", ("pytest", "hypothesis", "mypy", "ruff"), 'pip install "slt_hf[dev]"'),
]

# Modules that come with a distribution of another name.
COMES_WITH = {
    "datatrove": "datasets", "google": "tritonclient", "grpc": "tritonclient", "onnx-ir": "onnxscript",
    "pebble": "datasets", "sentencepiece": "transformers", "starlette": "fastapi",
}  # fmt: skip

BASE = ("slt_hf", "numpy", "pose-format", "safetensors", "huggingface_hub", "tokenizers", "pillow", "typer")


def remedy_for(module: str, command: str | None = None) -> str | None:
    """How to install what a missing module belongs to, for a command; None if none of our uses needs it."""
    name = module.split(".")[0].replace("_", "-")
    uses = [use for use in USES if COMES_WITH.get(name, name) in use.distributions]
    own = [use for use in uses if use.command == command]
    return next((use.remedy for use in own or uses), None)


def version_of(distribution: str) -> str | None:
    """The installed version, None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def describe_environment() -> dict:
    """Versions, devices, memory, and for each use what is missing for it; plain data, ready for JSON."""
    wanted = dict.fromkeys([*BASE, *(name for use in USES for name in use.distributions)])
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "memory_gib": round(total_memory() / GIB, 1),
        "devices": describe_devices(),
        "versions": {name: version_of(name) for name in wanted},
        "missing": {use.name: {"packages": use.missing(), "remedy": use.remedy} for use in USES if use.missing()},
        "pose_extraction": describe_extraction(),
        "hub_token": "set" if hub_token_is_set() else "not set",
    }


def describe_devices() -> list[dict]:
    """What torch can compute on, with its memory; empty without torch."""
    if find_spec("torch") is None:
        return []
    import torch

    from slt_hf.device import available_devices

    def describe(name: str) -> dict:
        if not name.startswith("cuda"):
            return {"name": name}
        properties = torch.cuda.get_device_properties(name)
        return {"name": name, "model": properties.name, "memory_gib": round(properties.total_memory / GIB, 1)}

    return [describe(name) for name in available_devices()]


def total_memory() -> int:
    """Physical memory in bytes."""
    if sys.platform == "win32":
        import ctypes

        status = (
            ctypes.c_ulonglong * 8
        )()  # MEMORYSTATUSEX: length and load share the first field, total is the second
        status[0] = ctypes.sizeof(status)
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def describe_extraction() -> str:
    """Where the environment for pose extraction is, or what to do to get one."""
    from slt_hf.errors import PreparationError

    if find_spec("av") is None:
        return 'missing: pip install "slt_hf[data]"'
    from slt_hf.poses.mediapipe_extractor import find_extraction_python

    try:
        return str(find_extraction_python())
    except PreparationError:
        return "missing: make extract-env"


def hub_token_is_set() -> bool:
    from slt_hf.hub import read_token

    return read_token() is not None
