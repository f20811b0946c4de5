"""Build TensorRT engines for an export, and compare them with PyTorch: for machines with an NVIDIA GPU.

    slt-hf export MODEL --to tensorrt --output DIR
    python scripts/build_tensorrt.py DIR --checkpoint MODEL --output results/export_gpu.json

ONNX Runtime builds the engines by the profiles of DIR/tensorrt.json and keeps them in this user's cache (minutes, the
first time); that needs onnxruntime-gpu and TensorRT's libraries. An engine that this machine cannot run is reported by
name, with the reason, and the others are measured all the same. Times are of whole sentences of a fixed number of
tokens, encoder included, the best of several; what was measured is written after each engine, so a run that is cut off
has told something.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("onnx cpu", "eager float32", "eager bf16", "compiled bf16", "onnx cuda", "tensorrt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what `slt-hf export --to tensorrt` wrote")
    parser.add_argument("--checkpoint", default=None, help="the PyTorch one to compare with; bundled if left out")
    parser.add_argument("--engines", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--torch-device", default="cuda", help="cpu tries this script without a GPU")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--output", type=Path, default=None)
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(), "tokens": arguments.tokens, "seconds": {}, "not_run": {}}
    for name in arguments.engines:
        try:
            results["seconds"][name] = measure(name, arguments)
        except Exception as error:  # whatever one engine lacks, the others are measured
            results["not_run"][name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if arguments.output is not None:
            arguments.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds by batch, and the share of tokens that are those of the float32 graphs on the CPU."""
    engine = open_engine(name, arguments)
    reference = open_engine("onnx cpu", arguments)
    row: dict[str, Any] = {}
    for batch in arguments.batches:
        inputs = random_inputs(arguments.folder, batch)
        length = {"max_new_tokens": arguments.tokens, "min_new_tokens": arguments.tokens}
        found, expected = ([each.tokens for each in side.generate(inputs, **length)] for side in (engine, reference))
        row[f"batch {batch}"] = seconds(partial(engine.generate, inputs, **length), arguments.runs)
        row[f"tokens as on the cpu, batch {batch}"] = round(float((np.array(found) == np.array(expected)).mean()), 4)
    return row


def open_engine(name: str, arguments: argparse.Namespace) -> Any:
    """Opening the TensorRT one builds its engines.

    Raises:
        ExportError: naming the provider that this machine does not have.
    """
    from slt_hf.checkpoint import find_checkpoint
    from slt_hf.pipeline import text_engine

    kind, _, on = name.partition(" ")
    if kind in ("onnx", "tensorrt"):
        return text_engine(arguments.folder, on or kind, None)
    precision = {"bf16": "bfloat16"}.get(on, on)
    engine = text_engine(find_checkpoint(arguments.checkpoint), arguments.torch_device, precision)
    if kind == "compiled":
        import torch

        engine.model.forward = torch.compile(engine.model.forward, dynamic=True)
    return engine


def random_inputs(folder: Path, batch: int, frames: int = 150) -> dict[str, np.ndarray]:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))["encoder_config"]
    shape = (batch, frames, config["num_landmarks"], config["num_coordinates"])
    poses = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    poses[..., -1] = 1
    return {"pose_values": poses, "attention_mask": np.ones(shape[:2], np.int64)}


def seconds(run: Callable[[], Any], runs: int) -> float:
    """The best time; building and compiling is done."""
    took = []
    for _ in range(runs):
        started = time.perf_counter()
        run()
        took.append(time.perf_counter() - started)
    return round(min(took), 4)


def machine() -> dict[str, Any]:
    import onnxruntime
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    versions = {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}
    return {"gpu": gpu, "providers": onnxruntime.get_available_providers()} | versions


if __name__ == "__main__":
    main()
