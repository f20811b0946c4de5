"""Build TensorRT engines for an export, and compare them with eager PyTorch: for machines with an NVIDIA GPU.

    slt-hf export MODEL --to tensorrt --output DIR
    python scripts/build_tensorrt.py DIR --checkpoint MODEL --output results/export_gpu.json

ONNX Runtime builds the engines by the profiles of DIR/tensorrt.json and keeps them in DIR/tensorrt_engines (minutes,
the first time). Times are of whole sentences of a fixed number of tokens, the best of several. Needs
onnxruntime-gpu and TensorRT's libraries; nothing here was run where this script was written.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what `slt-hf export --to tensorrt` wrote")
    parser.add_argument("--checkpoint", default=None, help="the PyTorch one to compare with; bundled if left out")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--output", type=Path, default=None)
    arguments = parser.parse_args()
    results = {
        f"batch {batch}": {name: seconds(engine, batch, arguments) for name, engine in engines(arguments).items()}
        for batch in arguments.batches
    }
    text = json.dumps({"tokens": arguments.tokens, "seconds": results}, indent=2)
    print(text)
    if arguments.output is not None:
        arguments.output.write_text(text + "\n", encoding="utf-8")


def engines(arguments: argparse.Namespace) -> dict[str, Any]:
    """TensorRT, CUDA, eager bf16 and compiled; opening the first one builds its engines."""
    import torch

    from slt_hf.checkpoint import find_checkpoint
    from slt_hf.pipeline import text_engine

    source = find_checkpoint(arguments.checkpoint)
    compiled = text_engine(source, "cuda", "bfloat16")
    compiled.model.forward = torch.compile(compiled.model.forward, dynamic=True)
    return {
        "tensorrt": text_engine(arguments.folder, "tensorrt", None),
        "onnx cuda": text_engine(arguments.folder, "cuda", None),
        "eager bf16": text_engine(source, "cuda", "bfloat16"),
        "compiled bf16": compiled,
    }


def seconds(engine: Any, batch: int, arguments: argparse.Namespace) -> float:
    """The best time of a batch, after one run that builds or compiles."""
    config = json.loads((arguments.folder / "config.json").read_text(encoding="utf-8"))["encoder_config"]
    shape = (batch, 150, config["num_landmarks"], config["num_coordinates"])
    poses = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    inputs = {"pose_values": poses, "attention_mask": np.ones(shape[:2], np.int64)}
    took = []
    for _ in range(arguments.runs + 1):
        started = time.perf_counter()
        engine.generate(inputs, max_new_tokens=arguments.tokens, min_new_tokens=arguments.tokens)
        took.append(time.perf_counter() - started)
    return round(min(took[1:]), 4)


if __name__ == "__main__":
    main()
