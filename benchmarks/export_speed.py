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
from slt_hf.pipeline import text_engine
made = text_engine(folder, "cpu", None)
config = json.loads(open(folder + "/config.json").read())["encoder_config"]
poses = np.random.default_rng(0).normal(size=(batch, 150, config["num_landmarks"], config["num_coordinates"]))
poses = poses.astype(np.float32)
poses[..., -1] = 1
mask = np.ones((batch, 150), np.int64)
length = {"max_new_tokens": tokens, "min_new_tokens": tokens}
if engine == "onnx":
    def encode():
        return made.encode({"pose_values": poses, "attention_mask": mask})
    def decode(memory):
        return [each.tokens for each in made.generate_from(memory, **length)]
else:
    import torch
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    model = made.model
    if engine == "compiled":
        model.forward = torch.compile(model.forward, dynamic=True)
    poses, mask = torch.from_numpy(poses), torch.from_numpy(mask)
    def encode():
        return model.encode(poses, mask)
    def decode(memory):
        told = {"return_dict_in_generate": True, "output_logits": True}  # as TorchGenerator needs for the confidence
        found = model.generate(encoder_outputs=memory, attention_mask=mask, **length, **told)
        return found.sequences[:, 1:].tolist()
took = {"encode": [], "decode": []}
for _ in range(runs + 1):
    started = time.perf_counter()
    memory = encode()
    encoded = time.perf_counter()
    found = decode(memory)
    took["decode"].append(time.perf_counter() - encoded)
    took["encode"].append(encoded - started)
assert all(len(each) == tokens for each in found)
print(json.dumps({name: values[1:] for name, values in took.items()}))
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
    results["seconds"] = {
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
    row: dict[str, Any] = {name: decode(folder, name, batch, arguments) for name, folder in engines.items()}
    best = {name: row[name]["decode"]["best"] for name in engines}
    return row | {"decode_times_faster": {name: round(best[name] / best["onnx"], 2) for name in best if name != "onnx"}}


def decode(folder: Path, engine: str, batch: int, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds of the encoder and of the decoder's whole loop."""
    values = map(str, (folder, engine, batch, arguments.tokens, arguments.runs, arguments.threads))
    took = json.loads(python(DECODE, *values, threads=arguments.threads)[-1])
    return {
        part: {"best": round(min(each), 4), "median": round(statistics.median(each), 4)} for part, each in took.items()
    }


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
