"""Memory of one contrastive step: 4096 clips in chunks of 64, beside 64 clips, and 1024 clips without chunks.

    python benchmarks/contrastive_memory.py --threads 1 --output results/contrastive_memory.json

Each case is a process of its own: what it holds at its peak (resident set) less what it held before the batch was made.
A batch's poses and the table of similarities, of which a step makes several (B x B numbers each), grow with the batch
and are part of what is measured; activations, of which training mostly consists, must not.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import T5Config, T5EncoderModel

from slt_hf.modeling import PoseEncoderConfig, PoseEncoderModel, SignTextDualEncoderModel
from slt_hf.training.arguments import ContrastiveTrainingArguments
from slt_hf.training.contrastive_trainer import ContrastiveTrainer

CASES = ((64, 64), (4096, 64), (1024, 1024))  # clips in a batch, clips in a chunk
WORDS = 8  # in a sentence


def make_model(hidden_size: int) -> SignTextDualEncoderModel:
    """A small pose encoder beside a small frozen text encoder."""
    torch.manual_seed(0)
    encoder = PoseEncoderModel(PoseEncoderConfig(hidden_size=hidden_size))
    text = T5EncoderModel(T5Config(vocab_size=100, d_model=64, d_kv=16, num_heads=4, d_ff=128, num_layers=1))
    dual = SignTextDualEncoderModel.from_encoder_text_pretrained(encoder, text)
    dual.text_model.requires_grad_(False)
    return dual


def make_batch(clips: int, frames: int, points: int) -> dict[str, torch.Tensor]:
    """Random poses (B, T, V, 3) and sentences (B, L)."""
    tokens = torch.randint(2, 100, (clips, WORDS))
    return {
        "pose_values": torch.rand(clips, frames, points, 3),
        "attention_mask": torch.ones(clips, frames, dtype=torch.long),
        "input_ids": tokens,
        "text_attention_mask": torch.ones_like(tokens),
    }


def resident_bytes(peak: bool) -> int:
    """This process's memory: now, or at its peak so far."""
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measure(clips: int, chunk_size: int, frames: int, hidden_size: int) -> dict[str, float]:
    """One training step in this process; its memory and time."""
    model = make_model(hidden_size)
    with tempfile.TemporaryDirectory() as folder:
        args = ContrastiveTrainingArguments(folder, chunk_size=chunk_size, use_cpu=True, report_to="none")
        trainer = ContrastiveTrainer(model=model, args=args)
    trainer.current_gradient_accumulation_steps = 1
    points = model.config.encoder_config.num_landmarks
    trainer.training_step(model, make_batch(2, frames, points))  # gradients and libraries are there before we measure
    before, start = resident_bytes(peak=False), time.process_time()
    trainer.training_step(model, make_batch(clips, frames, points))
    taken = resident_bytes(peak=True) - before
    return {
        "clips": clips,
        "chunk_size": chunk_size,
        "megabytes": round(taken / 1e6, 1),
        "megabytes_of_poses": round(clips * frames * points * 3 * 4 / 1e6, 1),
        "megabytes_of_a_similarity_table": round(clips**2 * 4 / 1e6, 1),
        "processor_seconds": round(time.process_time() - start, 1),
    }


def measured_apart(clips: int, chunk_size: int, options: argparse.Namespace) -> dict[str, float]:
    """`measure` in a process of its own, whose peak no other case has raised."""
    settings = {"case": f"{clips}x{chunk_size}", "frames": options.frames, "hidden-size": options.hidden_size}
    command = [sys.executable, __file__, *(f"--{name}={value}" for name, value in settings.items())]
    ran = subprocess.run([*command, f"--threads={options.threads}"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ran.stdout.splitlines()[-1])


def sizes(case: str) -> tuple[int, int]:
    """`4096x64` -> clips of a batch, clips of a chunk."""
    clips, chunk = case.split("x")
    return int(clips), int(chunk)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=[f"{b}x{c}" for b, c in CASES], help="clips x clips of a chunk")
    parser.add_argument("--case", help="measure this one, here")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--hidden-size", type=int, default=96)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.case:
        print(json.dumps(measure(*sizes(options.case), options.frames, options.hidden_size)))
        return
    results = []
    for case in options.cases:
        results.append(measured_apart(*sizes(case), options))
        print(json.dumps(results[-1]), flush=True)
    if options.output:
        command = "python benchmarks/contrastive_memory.py " + " ".join(sys.argv[1:])
        options.output.write_text(json.dumps({"command": command, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
