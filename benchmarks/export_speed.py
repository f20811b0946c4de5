"""How much sooner an export answers than PyTorch: decoding, a cold start, and what lies on the disk.

    python benchmarks/export_speed.py --output results/export_speed.json
    python benchmarks/export_speed.py --large            # also a text model of UMT5-small's size, random weights

Decoding is timed over a fixed number of tokens with the end of sentence forbidden; every engine runs in a process of
its own with the same number of threads, and the best of several runs counts, since others may use the machine. A cold
start is timed from the start of the interpreter to the first translation of a clip, in processor time and by the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DECODE = """
import json, sys, time
folder, engine, batch, tokens, runs, threads = sys.argv[1:7]
batch, tokens, runs, threads = map(int, (batch, tokens, runs, threads))
import numpy as np
if engine == "onnx":
    from slt_hf.pipeline import text_engine
    made = text_engine(folder, "cpu", None)
else:
    import torch
    torch.set_num_threads(threads)
    from slt_hf.pipeline import text_engine
    made = text_engine(folder, "cpu", None)
    if engine == "compiled":
        made.model.forward = torch.compile(made.model.forward, dynamic=True)
config = json.loads(open(folder + "/config.json").read())["encoder_config"]
random = np.random.default_rng(0)
poses = random.normal(size=(batch, 150, config["num_landmarks"], config["num_coordinates"])).astype(np.float32)
poses[..., -1] = 1
inputs = {"pose_values": poses, "attention_mask": np.ones((batch, 150), np.int64)}
took = []
for _ in range(runs + 1):
    started = time.perf_counter()
    found = made.generate(inputs, max_new_tokens=tokens, min_new_tokens=tokens)
    took.append(time.perf_counter() - started)
assert all(len(each.tokens) == tokens for each in found)
print(json.dumps(took[1:]))
"""

COLD = """
import sys
from slt_hf import SignTranslator
print(SignTranslator.from_pretrained(sys.argv[1], device="cpu")(sys.argv[2]).text)
import resource
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=None, help="checkpoint; the bundled one if left out")
    parser.add_argument("--exported", type=Path, default=None, help="its export, if it is made already")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="also torch.compile, which takes minutes")
    parser.add_argument("--large", action="store_true", help="a random translator of UMT5-small's size instead")
    parser.add_argument("--output", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        results = measure(arguments, Path(temporary))
    text = json.dumps(results, indent=2)
    print(text)
    if arguments.output is not None:
        arguments.output.write_text(text + "\n", encoding="utf-8")


def measure(arguments: argparse.Namespace, temporary: Path) -> dict[str, Any]:
    from slt_hf.checkpoint import find_checkpoint
    from slt_hf.export.exporting import export_checkpoint
    from slt_hf.processing.pose_files import write_pose
    from slt_hf.synthesis.synthesizer import synthesize

    source = large_translator(temporary / "large") if arguments.large else find_checkpoint(arguments.model)
    exported = arguments.exported or export_checkpoint(source, temporary / "export")
    clip = temporary / "clip.pose"
    write_pose(synthesize("Where is the school?"), clip)
    results: dict[str, Any] = {"machine": machine(), "threads": arguments.threads, "tokens": arguments.tokens}
    results["decode_seconds"] = {
        f"batch {batch}": decode_row(source, exported, batch, arguments) for batch in arguments.batches
    }
    results["cold_start"] = {
        name: cold_start(folder, clip, arguments) for name, folder in (("onnx", exported), ("torch", source))
    }
    results["cold_start"]["times_sooner"] = {
        unit: round(results["cold_start"]["torch"][unit] / results["cold_start"]["onnx"][unit], 2)
        for unit in ("seconds", "processor_seconds")
    }
    results["megabytes"] = {name: megabytes(folder) for name, folder in (("onnx", exported), ("torch", source))}
    return results


def decode_row(source: Path, exported: Path, batch: int, arguments: argparse.Namespace) -> dict[str, Any]:
    engines = {"onnx": exported, "eager": source} | ({"compiled": source} if arguments.compiled else {})
    row = {name: decode(folder, name, batch, arguments) for name, folder in engines.items()}
    return row | {"eager_over_onnx": round(row["eager"]["best"] / row["onnx"]["best"], 2)}


def decode(folder: Path, engine: str, batch: int, arguments: argparse.Namespace) -> dict[str, float]:
    values = map(str, (folder, engine, batch, arguments.tokens, arguments.runs, arguments.threads))
    took = json.loads(python(DECODE, *values, threads=arguments.threads)[-1])
    return {"best": round(min(took), 4), "median": round(statistics.median(took), 4)}


def cold_start(folder: Path, clip: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """The best of several: by the clock from outside, and processor time from inside."""
    import time

    clock, own, memory = [], [], []
    for _ in range(arguments.runs):
        started = time.perf_counter()
        lines = python(COLD, str(folder), str(clip), threads=arguments.threads)
        clock.append(time.perf_counter() - started)
        used, resident = map(float, lines[-1].split())
        own.append(used)
        memory.append(resident)
    return {"seconds": round(min(clock), 3), "processor_seconds": round(min(own), 3), "megabytes": round(min(memory))}


def python(code: str, *arguments: str, threads: int) -> list[str]:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.strip().splitlines()


def megabytes(folder: Path) -> float:
    kinds = (".safetensors", ".onnx", ".onnx_data")
    return round(sum(path.stat().st_size for path in folder.iterdir() if path.name.endswith(kinds)) / 1e6, 2)


def machine() -> dict[str, Any]:
    import onnxruntime
    import torch

    return {
        "python": platform.python_version(), "processors": os.cpu_count(), "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__, "load": [round(value, 1) for value in os.getloadavg()],
    }  # fmt: skip


def large_translator(folder: Path) -> Path:
    """Eight and eight layers of width 512 with 32k words, over the default pose encoder; random weights."""
    from transformers import UMT5Config

    from slt_hf.checkpoint import bundled_checkpoint, load_processor
    from slt_hf.modeling import PoseEncoderConfig, SignToTextConfig, SignToTextForConditionalGeneration

    text = UMT5Config(
        vocab_size=32128, d_model=512, d_kv=64, num_heads=6, d_ff=1024, num_layers=8, num_decoder_layers=8
    )
    config = SignToTextConfig(encoder_config=PoseEncoderConfig().to_dict(), text_config=text.to_dict())
    SignToTextForConditionalGeneration(config).save_pretrained(folder)
    load_processor(bundled_checkpoint()).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
