"""A vision-language checkpoint: seconds to load it, seconds a clip, and memory, whole and in 8 and 4 bits.

    python benchmarks/vlm_speed.py --model OpenGVLab/InternVL3-2B-hf --clips *.mp4 --output results/vlm_speed.json
    python benchmarks/vlm_speed.py --tiny       # a random InternVL of a few layers: says only that the benchmark runs

Each way runs in a process of its own, so that one does not profit from what another loaded. Memory on a GPU is torch's
peak, on a CPU the process' peak of resident pages. Without --clips, eight made-up ones of three seconds are read. Ways
that cannot run here are listed with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np

WAYS = ("none", "8bit", "4bit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder or Hub repository")
    parser.add_argument("--tiny", action="store_true", help="make a random model instead")
    parser.add_argument("--clips", type=Path, nargs="+", help="videos")
    parser.add_argument("--device", help="cuda, cpu; the best one there is if left out")
    parser.add_argument("--dtype", help="bfloat16, float32; the checkpoint's own if left out")
    parser.add_argument("--new-tokens", type=int, default=32, help="written for each clip, no fewer and no more")
    parser.add_argument("--rounds", type=int, default=3, help="over all clips; the median counts")
    parser.add_argument("--output", type=Path, help="JSON file of the results")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # in the child
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options)))
        return
    if bool(options.model) == options.tiny:
        parser.error("give either --model or --tiny")
    with tempfile.TemporaryDirectory() as folder:
        options.model = options.model or str(make_model(Path(folder) / "tiny"))
        options.clips = options.clips or [make_clip(Path(folder) / f"{number}.mp4") for number in range(8)]
        result = {"about": about(options), "ways": {way: in_child(options, way) for way in WAYS}}
    print(json.dumps(result, indent=2))
    if options.output:
        options.output.write_text(json.dumps(result, indent=2) + "\n")


def in_child(options: argparse.Namespace, way: str) -> dict[str, Any]:
    """One way's numbers, or why it cannot run."""
    command = [sys.executable, __file__, "--way", way, "--model", options.model, "--rounds", str(options.rounds)]
    command += ["--new-tokens", str(options.new_tokens), "--clips", *map(str, options.clips)]
    for name in ("device", "dtype"):
        command += [f"--{name}", getattr(options, name)] if getattr(options, name) else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": done.returncode}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: F401  (imports are no loading time)

    from slt_hf.errors import RecipeError
    from slt_hf.pipeline import SignTranslator
    from slt_hf.vlm.processor import VlmProcessor  # noqa: F401

    begin = time.perf_counter()
    quantization = None if options.way == "none" else options.way
    try:
        translator = SignTranslator.from_pretrained(
            options.model, device=options.device, dtype=options.dtype, quantization=quantization
        )
    except RecipeError as error:
        return {"refused": " ".join(str(error).split())}
    loaded = time.perf_counter() - begin
    length = {"max_new_tokens": options.new_tokens, "min_new_tokens": options.new_tokens}
    translator(options.clips[0], **length)  # kernels are chosen and caches filled
    seconds, parts = [], []
    for _ in range(options.rounds):
        for clip in options.clips:
            begin = time.perf_counter()
            parts.append(translator(str(clip), **length).timings)
            seconds.append(time.perf_counter() - begin)
    model: Any = translator.engine
    on_gpu = model.model.device.type == "cuda"
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10  # Linux counts in kB
    return {
        "load_s": round(loaded, 2),
        "clip_s": round(statistics.median(seconds), 4),
        "of_which_ms": {name: round(statistics.median(part[name] for part in parts), 1) for name in parts[0]},
        "memory_gb": round((torch.cuda.max_memory_allocated() if on_gpu else resident) / 1e9, 3),
        "memory_of": "GPU" if on_gpu else "process",
        "parameters": model.model.num_parameters(),
    }


def make_clip(path: Path) -> Path:
    """Three seconds of grain."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 448, 336, "yuv420p"
        for _ in range(75):
            image = rng.integers(0, 256, (21, 28, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def make_model(folder: Path) -> Path:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from tiny_vlm import save_vlm

    return save_vlm(folder, width=128)  # bitsandbytes wants no less


def about(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    import transformers

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    name = "a random InternVL of two layers" if options.tiny else Path(options.model).name
    return {
        "model": name, "clips": len(options.clips), "new_tokens": options.new_tokens, "gpu": gpu,
        "threads": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }  # fmt: skip


if __name__ == "__main__":
    main()
