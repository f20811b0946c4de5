"""A vision-language checkpoint: seconds to load it, seconds a clip, and memory, in several precisions.

    python benchmarks/vlm_speed.py --model OpenGVLab/InternVL3-2B-hf --clips *.mp4 --output results/vlm_speed.json
    python benchmarks/vlm_speed.py --shape 1B --made-clips 1 --rounds 1 --output results/vlm_speed.json
    python benchmarks/vlm_speed.py --shape tiny     # a few layers: says only that the benchmark runs

Without a checkpoint, `--shape` makes one of random weights in the sizes of InternVL3's: time and memory are those of
the real one, as neither depends on what the weights are, and its answers mean nothing. It is saved, and loaded as any
other. Its tokenizer knows letters alone, so its question is some hundred tokens longer, beside 2048 of the frames.

Answers of a fixed number of new tokens are timed: one word, and a sentence. Each way runs in a process of its own, so
that one does not profit from what another loaded. Memory on a GPU is torch's peak, on a CPU the process' peak of
resident pages. Without --clips, made-up ones of three seconds are read. Ways that cannot run here are listed with the
reason; results are added to those that the output file holds.
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

WAYS = ("float32", "bfloat16", "8bit", "4bit")
ANSWERS = {"one word": 4, "sentence": 32}  # new tokens
VISION = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
          "image_size": [448, 448], "patch_size": [14, 14], "attention_bias": True}  # fmt: skip  (InternViT-300M)
QWEN = {"model_type": "qwen2", "vocab_size": 151674, "num_key_value_heads": 2, "max_position_embeddings": 32768,
        "tie_word_embeddings": False}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {  # the language models are Qwen2.5-0.5B and -1.5B
    "1B": QWEN | {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "intermediate_size": 4864},
    "2B": QWEN | {"hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "intermediate_size": 8960},
    "tiny": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder or Hub repository")
    parser.add_argument("--shape", choices=sorted(SHAPES), help="of a model of random weights, made instead")
    parser.add_argument("--clips", type=Path, nargs="+", help="videos")
    parser.add_argument("--made-clips", type=int, default=8, help="so many without --clips")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="precisions to try")
    parser.add_argument("--answers", nargs="+", choices=sorted(ANSWERS), default=list(ANSWERS))
    parser.add_argument("--device", help="cuda, cpu; the best one there is if left out")
    parser.add_argument("--rounds", type=int, default=3, help="over all clips; the median counts")
    parser.add_argument("--output", type=Path, help="JSON file, to which the results are added")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # in the child
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options)))
        return
    if bool(options.model) == bool(options.shape):
        parser.error("give either --model or --shape")
    with tempfile.TemporaryDirectory() as folder:
        name = Path(options.model).name if options.model else f"InternVL3-{options.shape}'s shape, random weights"
        options.model = options.model or str(make_model(Path(folder) / "model", options.shape))
        options.clips = options.clips or [
            make_clip(Path(folder) / f"{number}.mp4") for number in range(options.made_clips)
        ]
        for way in options.ways:
            found = about(options) | in_child(options, way)
            print(json.dumps({name: {way: found}}, indent=2), flush=True)
            if options.output:
                keep(options.output, name, way, found)


def keep(output: Path, name: str, way: str, found: dict[str, Any]) -> None:
    """Add to what the file holds: large models take long, and a run that is stopped keeps what it knows."""
    report = json.loads(output.read_text()) if output.is_file() else {"results": {}}
    report["results"].setdefault(name, {})[way] = found
    output.write_text(json.dumps(report, indent=2) + "\n")


def in_child(options: argparse.Namespace, way: str) -> dict[str, Any]:
    """One way's numbers, or why it cannot run."""
    command = [sys.executable, __file__, "--way", way, "--model", options.model, "--rounds", str(options.rounds)]
    command += ["--answers", *options.answers, "--clips", *map(str, options.clips)]
    command += ["--device", options.device] if options.device else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": done.returncode}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: F401  (imports are no loading time)

    from slt_hf.errors import RecipeError
    from slt_hf.pipeline import SignTranslator
    from slt_hf.vlm.processor import VlmProcessor  # noqa: F401

    few = options.way if options.way in ("8bit", "4bit") else None
    begin = time.perf_counter()
    try:
        translator = SignTranslator.from_pretrained(
            options.model, device=options.device, dtype="bfloat16" if few else options.way, quantization=few
        )
    except RecipeError as error:
        return {"refused": " ".join(str(error).split())}
    loaded = time.perf_counter() - begin
    told: dict[str, Any] = {"load_s": round(loaded, 2), "answers": {}}
    for name in options.answers:
        told["answers"][name] = timed(translator, options, ANSWERS[name])
    model: Any = translator.engine
    on_gpu = model.model.device.type == "cuda"
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10  # Linux counts in kB
    memory = torch.cuda.max_memory_allocated() if on_gpu else resident
    asked = translator.processor(str(options.clips[0]))["input_ids"].shape[1]
    return told | {
        "memory_gb": round(memory / 1e9, 2), "memory_of": "GPU" if on_gpu else "process",
        "parameters": model.model.num_parameters(), "frames": translator.processor.settings.num_frames,
        "prompt_tokens": asked,
    }  # fmt: skip


def timed(translator: Any, options: argparse.Namespace, tokens: int) -> dict[str, Any]:
    """Seconds a clip for answers of so many new tokens, no fewer and no more."""
    length = {"max_new_tokens": tokens, "min_new_tokens": tokens}
    if options.rounds * len(options.clips) > 1:
        translator(str(options.clips[0]), **length)  # kernels are chosen and caches filled
    seconds, parts = [], []
    for _ in range(options.rounds):
        for clip in options.clips:
            begin = time.perf_counter()
            parts.append(translator(str(clip), **length).timings)
            seconds.append(time.perf_counter() - begin)
    of_which = {name: round(statistics.median(part[name] for part in parts) / 1000, 3) for name in parts[0]}
    return {"new_tokens": tokens, "clip_s": round(statistics.median(seconds), 3), "of_which_s": of_which}


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


def make_model(folder: Path, shape: str) -> Path:
    """A checkpoint of random weights, as on the Hub, in bfloat16."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from tiny_vlm import SPECIAL, TEMPLATE, save_model, save_vlm, tiny_vlm_tokenizer

    if shape == "tiny":
        return save_vlm(folder, width=128)  # bitsandbytes wants no less
    import torch
    from transformers import InternVLConfig, InternVLForConditionalGeneration
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    from slt_hf.vlm.internvl import InternVLProcessor

    torch.manual_seed(0)
    image = SPECIAL.index("<IMG_CONTEXT>")
    config = InternVLConfig(
        vision_config=VISION, text_config=SHAPES[shape], image_token_id=image, tie_word_embeddings=False
    )
    save_model(InternVLForConditionalGeneration(config).to(torch.bfloat16), folder)
    pictures = GotOcr2ImageProcessorPil(size={"height": 448, "width": 448}, crop_to_patches=True)
    InternVLProcessor(pictures, tiny_vlm_tokenizer(), 256, chat_template=TEMPLATE).save_pretrained(folder)
    return folder


def about(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    import transformers

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "command": f"python {' '.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])}",
        "clips": len(options.clips), "rounds": options.rounds, "gpu": gpu, "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[1], 1), "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }  # fmt: skip


if __name__ == "__main__":
    main()
