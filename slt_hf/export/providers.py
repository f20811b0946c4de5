"""Where ONNX Runtime computes: execution providers by the names people use, and sessions on them."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

from slt_hf.errors import ExportError
from slt_hf.export.folder import ExportFolder
from slt_hf.export.tensorrt import provider_options

# name -> (provider, what to install)
PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu and TensorRT"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml (Windows)"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime on macOS"),
}
THREADS = "OMP_NUM_THREADS"
QUIET = 3  # errors only


def provider_for(device: str | None) -> tuple[str, list[Any]]:
    """The device's name and the providers of a session on it; the best of CUDA and CPU unless one is named.

    Raises:
        ExportError: for an unknown name, or a provider that this onnxruntime lacks.
    """
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if device is None:
        device = "cuda" if PROVIDERS["cuda"][0] in available else "cpu"
    name, _, index = str(device).lower().partition(":")
    if name not in PROVIDERS or (index and not index.isdigit()):
        raise ExportError(
            f"expected a device among {', '.join(PROVIDERS)} (cuda:1 is the second one), found {device!r}; name one of "
            "these"
        )
    provider, package = PROVIDERS[name]
    if provider not in available:
        usable = ", ".join(known for known, (own, _) in PROVIDERS.items() if own in available)
        raise ExportError(
            f"device {device} needs {provider}, and this onnxruntime has only {usable}; install {package} instead of "
            "onnxruntime, or name one of these"
        )
    options = {"device_id": int(index)} if index else {}
    return name, [(provider, options), *([("CPUExecutionProvider", {})] if name != "cpu" else [])]


def open_session(export: ExportFolder, graph: str, device: str | None = None) -> Any:
    """A session of one of the export's graphs.

    The graph and its weights reach ONNX Runtime as bytes that were checked first: it opens no path by itself, so a
    graph cannot name a file outside its folder, and links of the Hub's cache do not matter.

    Raises:
        ExportError: if the export is damaged, or ONNX Runtime cannot run it.
    """
    import onnxruntime

    name, providers = provider_for(device)
    provider, given = providers[0]
    if name == "tensorrt":
        providers[0] = (provider, given | provider_options(export, graph))
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = QUIET
    if name in ("cpu", "directml"):  # sizes change from clip to clip: a plan for each is memory that stays taken
        settings.enable_mem_pattern = False
    if name == "cpu":  # planning takes longer than all else of loading, and its arena hands buffers on anyway
        settings.enable_mem_reuse = False
    if THREADS in os.environ:  # as PyTorch takes it; ONNX Runtime itself would take every processor
        settings.intra_op_num_threads = int(os.environ[THREADS].partition(",")[0])  # a list is of nested ones
    files = export.weight_files()
    content = export.graph_bytes(graph)
    maps = [mapped(path) for path in files.values()]
    if files:
        settings.add_external_initializers_from_files_in_memory(list(files), maps, [len(each) for each in maps])
    try:
        session = onnxruntime.InferenceSession(content, settings, providers=providers)
    except Exception as error:  # ONNX Runtime's errors share no class below Exception
        reason = " ".join(str(error).split())[:300]
        raise ExportError(f"{export.path}: ONNX Runtime cannot run {graph}: {reason}; export it again") from error
    if provider not in session.get_providers():
        raise ExportError(
            f"device {name}: {provider} is installed and did not start (its libraries or its driver are missing); "
            f"install what it needs, or name cpu"
        )
    return session


def mapped(path: Path) -> Any:
    """The file's bytes without reading them all at once."""
    import numpy as np

    if path.stat().st_size == 0:
        return np.zeros(0, np.uint8)
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
