"""How much sooner an export answers than PyTorch: decoding, a cold start, and what lies on the disk.

    python benchmarks/export_speed.py --compiled --output results/export_speed.json
    python benchmarks/export_speed.py --large            # also a text model of UMT5-small's size, random weights

Decoding is timed over a fixed number of tokens with the end of sentence forbidden. Every engine lives in a process of
its own with the same number of threads, and they take turns: whatever else the machine does hits all of them alike.
The best of the rounds counts; the median of the rounds' own ratios stands beside it. A cold start is timed from the
start of the interpreter to the first translation of a clip, by the clock and in processor time, in turns as well, and
beside it the mere import of torch and of the transformers classes that a translator is made of.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

WORKER = """
import json, sys, time
folder, engine, batch, tokens, threads = sys.argv[1:6]
batch, tokens, threads = map(int, (batch, tokens, threads))
import numpy as np
from slt_hf.pipeline import text_engine
made = text_engine(folder, "cpu", None)
config = json.loads(open(folder + "/config.json").read())["encoder_config"]
poses = np.random.default_rng(0).normal(size=(batch, 150, config["num_landmarks"], config["num_coordinates"]))
poses = poses.astype(np.float32)
poses[..., -1] = 1
mask = np.ones((batch, 150), np.int64)
length = {"max_new_tokens": tokens, "min_new_tokens": tokens}
if engine.startswith("onnx"):
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
def once():
    started = time.perf_counter()
    memory = encode()
    encoded = time.perf_counter()
    used = time.process_time()
    found = decode(memory)
    took = {"encode": encoded - started, "decode": time.perf_counter() - encoded}
    assert all(len(each) == tokens for each in found)
    return took | {"decode_processor": time.process_time() - used}
once()
print("ready", flush=True)
for _ in sys.stdin:
    print(json.dumps(once()), flush=True)
"""

USED = """
import time
most = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # getrusage counts the parent's too
print(time.process_time(), int(most.split()[1]) / 1024)
"""
COLD = (
    """
import sys
from slt_hf import SignTranslator
print(SignTranslator.from_pretrained(sys.argv[1], device="cpu")(sys.argv[2]).text)
"""
    + USED
)
IMPORTS = "import torch\nfrom transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration\n" + USED
NAMES_ALONE = "import torch, transformers\n" + USED  # transformers imports nothing before it is asked for a class


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=None, help="checkpoint; the bundled one if left out")
    parser.add_argument("--exported", type=Path, default=None, help="its export, if it is made already")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="also torch.compile, which takes minutes")
    parser.add_argument("--patience", type=float, default=600, help="seconds that an engine may take to get ready")
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
    folders = {"onnx": exported, "onnx_int8": int8_copy(exported, temporary / "int8"), "eager": source}
    if arguments.compiled:
        folders["compiled"] = source
    clip = temporary / "clip.pose"
    write_pose(synthesize("Where is the school?"), clip)
    results: dict[str, Any] = {"machine": machine(), "threads": arguments.threads, "tokens": arguments.tokens}
    results["seconds"] = {f"batch {batch}": decode_row(folders, batch, arguments) for batch in arguments.batches}
    results["cold_start"] = cold_starts(exported, source, clip, arguments)
    results["megabytes"] = {name: megabytes(folders[name]) for name in ("onnx", "onnx_int8", "eager")}
    return results


def int8_copy(exported: Path, folder: Path) -> Path:
    """The export in eight bits, without the gate that judges it."""
    from slt_hf.checkpoint import read_json
    from slt_hf.export.exporting import write_manifest
    from slt_hf.export.folder import MANIFEST
    from slt_hf.export.quantization import quantize_export

    shutil.copytree(exported, folder)
    architecture = read_json(folder, MANIFEST)["architecture"]
    write_manifest(folder, architecture, quantize_export(folder), "int8")
    return folder


def decode_row(folders: dict[str, Path], batch: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the encoder and of the decoder's whole loop, by engine; all of them once in every round."""
    rounds: list[dict[str, dict[str, float]]] = []
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(worker(folder, name, batch, arguments)) for name, folder in folders.items()
        }
        ready = {name: process for name, process in workers.items() if process is not None}
        for _ in range(arguments.runs):
            rounds.append({name: ask(process) for name, process in ready.items()})
    row: dict[str, Any] = {
        name: {part: summary([each[name][part] for each in rounds]) for part in rounds[0][name]} for name in ready
    }
    late = f"not ready within {arguments.patience} seconds"
    row |= {name: late for name in folders if name not in ready}
    others = [name for name in ready if name != "onnx"]
    best, used = ({name: row[name][part]["best"] for name in ready} for part in ("decode", "decode_processor"))
    ratios = {name: [each[name]["decode"] / each["onnx"]["decode"] for each in rounds] for name in others}
    return row | {
        "decode_times_faster": {name: round(best[name] / best["onnx"], 2) for name in others},
        "decode_times_less_processor_time": {name: round(used[name] / used["onnx"], 2) for name in others},
        "decode_times_faster_median_of_rounds": {name: round(statistics.median(ratios[name]), 2) for name in others},
    }


@contextlib.contextmanager
def worker(
    folder: Path, engine: str, batch: int, arguments: argparse.Namespace
) -> Iterator[subprocess.Popen[str] | None]:
    """An engine in a process that waits to be asked; it has run once. None if that took too long."""
    values = map(str, (folder, engine, batch, arguments.tokens, arguments.threads))
    command = [sys.executable, "-c", WORKER, *values]
    with tempfile.TemporaryFile("w+") as told, subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, text=True,
        env=environment(arguments.threads),
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdin is not None
        if not select.select([process.stdout], [], [], arguments.patience)[0]:
            process.kill()
            yield None
            return
        if process.stdout.readline().strip() != "ready":
            process.wait()
            told.seek(0)
            raise SystemExit(told.read())
        yield process
        process.stdin.close()


def ask(process: subprocess.Popen[str]) -> dict[str, float]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return dict(json.loads(process.stdout.readline()))


def cold_starts(exported: Path, source: Path, clip: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """By the clock from outside, and processor time from inside; the best of the rounds."""
    programs: dict[str, tuple[str, list[Path]]] = {
        "onnx": (COLD, [exported, clip]), "torch": (COLD, [source, clip]),
        "import_torch_and_classes": (IMPORTS, []), "import_torch_transformers_names": (NAMES_ALONE, []),
    }  # fmt: skip
    rounds = [
        {name: cold_start(code, given, arguments.threads) for name, (code, given) in programs.items()}
        for _ in range(arguments.runs)
    ]
    units = ("seconds", "processor_seconds", "megabytes")
    best = {name: {unit: min(each[name][unit] for each in rounds) for unit in units} for name in programs}
    sooner = {
        f"than_{name}": {unit: round(best[name][unit] / best["onnx"][unit], 2) for unit in units[:2]}
        for name in programs
        if name != "onnx"
    }
    return {name: {unit: round(value, 3) for unit, value in each.items()} for name, each in best.items()} | {
        "times_sooner": sooner
    }


def cold_start(code: str, arguments: Sequence[Path], threads: int) -> dict[str, float]:
    started = time.perf_counter()
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(threads))
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr)
    used, resident = map(float, done.stdout.strip().splitlines()[-1].split())
    return {"seconds": seconds, "processor_seconds": used, "megabytes": resident}


def environment(threads: int) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}


def summary(values: Sequence[float]) -> dict[str, float]:
    return {"best": round(min(values), 4), "median": round(statistics.median(values), 4)}


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
