"""Training and translation on one GPU: precision, attention kernels, `torch.compile`, checkpointing, and same numbers.

    python benchmarks/gpu_speed.py --output results/gpu_speed.json
    python benchmarks/gpu_speed.py --only parity generation

Sizes are those of the recipes, weights and inputs random, except for `parity`, which reads synthetic sentences with the
bundled checkpoint on both devices. Steps are timed by the clock, from an idle device to an idle one, after a warm-up;
the median counts. Memory is the most that torch had allocated. Run on a CPU (`--device cpu --tiny`) it only shows that
it runs.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import UMT5Config, VideoMAEConfig

from slt_hf.demonstration import sign_unseen
from slt_hf.modeling import PoseEncoderConfig, PoseEncoderModel, SignToTextConfig, SignToTextForConditionalGeneration
from slt_hf.pipeline import SignTranslator

sys.path.insert(0, str(Path(__file__).resolve().parent))
from encoder_speed import PartwiseSTGCN  # isort: skip

# B batch, T frames, V landmarks, C coordinates

FRAMES, TOKENS = 256, 32
TEXT = {"vocab_size": 32128, "d_model": 512, "d_kv": 64, "num_heads": 6, "d_ff": 1024}  # UMT5-small, fewer words
VIDEO = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}  # base


class Bench:
    """What every part needs: the device, sizes, and how to time."""

    def __init__(self, device: str, tiny: bool, repeats: int) -> None:
        self.device, self.tiny, self.repeats = torch.device(device), tiny, repeats

    def seconds(self, run: Callable[[], Any]) -> float:
        """Median of the repeats after three warm-ups; the device is waited for, so that queued work is counted."""
        for _ in range(1 if self.tiny else 3):
            run()
        took = []
        for _ in range(2 if self.tiny else self.repeats):
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            started = time.perf_counter()
            run()
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            took.append(time.perf_counter() - started)
        return statistics.median(took)

    def measured(self, run: Callable[[], Any], items: int) -> dict[str, float | None]:
        """Items a second, and gigabytes at the peak; None on a CPU, where torch does not count them."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        seconds = self.seconds(run)
        peak = round(torch.cuda.max_memory_allocated() / 1e9, 2) if self.device.type == "cuda" else None
        return {"per_second": round(items / seconds, 1), "ms": round(1000 * seconds, 2), "gigabytes": peak}


def translator(bench: Bench) -> SignToTextForConditionalGeneration:
    """The default pose encoder with a text model of UMT5-small's depth and width."""
    torch.manual_seed(0)
    depth = 1 if bench.tiny else 8
    text = UMT5Config(**TEXT, num_layers=depth, num_decoder_layers=depth)
    config = SignToTextConfig(encoder_config=PoseEncoderConfig().to_dict(), text_config=text.to_dict())
    return SignToTextForConditionalGeneration(config).to(bench.device)


def video_translator(bench: Bench, attention: str) -> SignToTextForConditionalGeneration:
    """VideoMAE-base with the same text model."""
    torch.manual_seed(0)
    depth = 1 if bench.tiny else 8
    backbone = VideoMAEConfig(**VIDEO | ({"num_hidden_layers": 1} if bench.tiny else {}))
    text = UMT5Config(**TEXT, num_layers=depth, num_decoder_layers=depth)
    encoder = {"model_type": "slt_video_encoder", "backbone_config": backbone.to_dict()}
    config = SignToTextConfig(encoder_config=encoder, text_config=text.to_dict())
    config._attn_implementation = attention
    return SignToTextForConditionalGeneration(config).to(bench.device)


def pose_batch(bench: Bench, batch: int, frames: int = FRAMES) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    encoder = PoseEncoderConfig()
    poses = torch.rand(batch, frames, encoder.num_landmarks, encoder.num_coordinates, device=bench.device)
    mask = torch.ones(batch, frames, dtype=torch.long, device=bench.device)
    labels = torch.randint(3, TEXT["vocab_size"], (batch, TOKENS), device=bench.device)
    return {"pose_values": poses, "attention_mask": mask, "labels": labels}


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if on else "highest")
    yield
    torch.set_float32_matmul_precision(before)


def training_step(model: Any, batch: dict[str, torch.Tensor], bf16: bool, device: str) -> Callable[[], None]:
    """Forward, backward and AdamW, as the trainers do it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device == "cuda")

    def step() -> None:
        with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def training(bench: Bench) -> dict[str, Any]:
    """Clips a second of the pose-to-text model: B=32, T=256, 32 tokens."""
    size = 2 if bench.tiny else 32
    batch, kind, rows = pose_batch(bench, size), bench.device.type, {}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("fp32", {}),
        ("tf32", {"tf32": True}),
        ("bf16", {"bf16": True}),
        ("bf16, gradient checkpointing", {"bf16": True, "checkpointing": True}),
        ("bf16, torch.compile", {"bf16": True, "compile": True}),
    ]
    for name, how in cases:
        model = translator(bench).train()
        if how.get("checkpointing"):
            model.gradient_checkpointing_enable()
        if how.get("compile"):
            model.forward = torch.compile(model.forward)  # type: ignore[method-assign]
        with tf32(bool(how.get("tf32"))):
            rows[name] = bench.measured(training_step(model, batch, bool(how.get("bf16")), kind), size)
        print("training", name, rows[name], flush=True)
        del model
    return {"batch": size, "frames": FRAMES, "tokens": TOKENS, "clips": rows}


def attention(bench: Bench) -> dict[str, Any]:
    """The encoder of VideoMAE-base translation in bf16, 16 frames of 224 x 224: which kernel computes the attention."""
    size = 1 if bench.tiny else 16
    torch.manual_seed(0)
    frames = torch.rand(size, 16, 3, 224, 224, device=bench.device)
    cases = [("eager", "eager", None), ("sdpa, math", "sdpa", SDPBackend.MATH)]
    if bench.device.type == "cuda":
        cases += [
            ("sdpa, memory-efficient", "sdpa", SDPBackend.EFFICIENT_ATTENTION),
            ("sdpa, flash", "sdpa", SDPBackend.FLASH_ATTENTION),
        ]
    rows = {}
    for name, implementation, kernel in cases:
        model = video_translator(bench, implementation)
        encoder = model.encoder.train()
        batch = {model.encoder.main_input_name: frames}

        def step(encoder: Any = encoder, batch: Any = batch) -> None:
            with torch.autocast(bench.device.type, torch.bfloat16):
                states = encoder(**batch).last_hidden_state
            states.float().square().mean().backward()
            encoder.zero_grad(set_to_none=True)

        with sdpa_kernel(kernel) if kernel else nullcontext():
            rows[name] = bench.measured(step, size)
        print("attention", name, rows[name], flush=True)
        del model, encoder
    return {"batch": size, "what": "forward and backward of the encoder", "clips": rows}


def encoder(bench: Bench) -> dict[str, Any]:
    """Frames a second of the pose encoder beside the part-wise ST-GCN, forward, B=32, T=256."""
    size, rows = 2 if bench.tiny else 32, {}
    for precision in ("fp32", "bf16"):
        for name, model, points in (
            ("pose encoder", PoseEncoderModel(PoseEncoderConfig()), PoseEncoderConfig().num_landmarks),
            ("ST-GCN", PartwiseSTGCN(), 69),
        ):
            model = model.to(bench.device).eval()
            poses = torch.rand(size, FRAMES, points, 3, device=bench.device)

            def run(model: Any = model, poses: Any = poses, low: bool = precision == "bf16") -> None:
                with torch.inference_mode(), torch.autocast(bench.device.type, torch.bfloat16, low):
                    model(poses)

            rows[f"{name}, {precision}"] = bench.measured(run, size * FRAMES)
    print("encoder", rows, flush=True)
    return {"batch": size, "frames": FRAMES, "frames_measured": rows}


def generation(bench: Bench) -> dict[str, Any]:
    """Sentences of 48 tokens from 256 frames, greedy."""
    rows: dict[str, Any] = {}
    tokens = 4 if bench.tiny else 48
    told = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "num_beams": 1}
    for name, dtype, cache in (
        ("fp32", torch.float32, None),
        ("bf16", torch.bfloat16, None),
        ("bf16, torch.compile, static cache", torch.bfloat16, "static"),
    ):
        model = translator(bench).eval().to(dtype)
        if cache and bench.device.type != "cuda":
            continue
        for batch in (1, 8) if bench.tiny else (1, 8, 64):
            inputs = pose_batch(bench, batch)
            del inputs["labels"]
            inputs["pose_values"] = inputs["pose_values"].to(dtype)

            def run(model: Any = model, inputs: Any = inputs, cache: Any = cache) -> None:
                with torch.inference_mode():
                    model.generate(**inputs, **told, **({"cache_implementation": cache} if cache else {}))

            try:
                rows[f"{name}, batch {batch}"] = bench.measured(run, batch)
            except Exception as error:  # what a version of torch cannot compile is a result, too
                rows[f"{name}, batch {batch}"] = {"failed": f"{type(error).__name__}: {str(error)[:200]}"}
            print("generation", name, batch, rows[f"{name}, batch {batch}"], flush=True)
    return {"tokens": tokens, "frames": FRAMES, "sentences": rows}


def parity(bench: Bench) -> dict[str, Any]:
    """The bundled checkpoint on synthetic sentences: what the CPU says, the GPU says."""
    count = 4 if bench.tiny else 100
    drawn = [sign_unseen(seed=seed) for seed in range(count)]
    clips, said = [clip for _, clip, _ in drawn], [text for text, _, _ in drawn]
    texts = {}
    for name, device, dtype in (
        ("cpu fp32", "cpu", None),
        ("fp32", bench.device, None),
        ("bf16", bench.device, "bfloat16"),
    ):
        model = SignTranslator.from_pretrained(device=str(device), dtype=dtype)
        texts[name] = [each.text for each in model(clips, batch_size=25)]
    same: dict[str, Any] = {}
    model = SignTranslator.from_pretrained(device="cpu").engine.model  # type: ignore[attr-defined]
    inputs = pose_batch(bench, 4)
    labels = inputs.pop("labels") % 50 + 3
    with torch.inference_mode():
        reference = model(**{k: v.cpu() for k, v in inputs.items()}, labels=labels.cpu()).logits
        moved = model.to(bench.device)(**inputs, labels=labels).logits.cpu()
    same["largest relative difference of logits, fp32"] = float((reference - moved).abs().max() / reference.abs().max())
    for name in ("fp32", "bf16"):
        same[f"same text as the CPU, {name}"] = sum(map(str.__eq__, texts["cpu fp32"], texts[name])) / count
    right = {name: sum(map(str.__eq__, said, found)) / count for name, found in texts.items()}
    print("parity", same, right, flush=True)
    return {"sentences": count, **same, "exact match": right}


def contrastive(bench: Bench) -> dict[str, Any]:
    """Chunked gradients (GradCache): 4096 clips in chunks beside one chunk, T=64."""
    from contrastive_memory import make_batch, make_model

    from slt_hf.training.arguments import ContrastiveTrainingArguments
    from slt_hf.training.contrastive_trainer import ContrastiveTrainer

    rows: dict[str, Any] = {}
    for clips, chunk in ((4, 2),) if bench.tiny else ((256, 256), (4096, 256), (4096, 4096)):
        model = make_model(192)
        arguments = ContrastiveTrainingArguments(
            output_dir="outputs/gpu_speed", chunk_size=chunk, per_device_train_batch_size=clips, report_to="none",
            use_cpu=bench.device.type == "cpu", bf16=bench.device.type == "cuda",
        )  # fmt: skip
        trainer = ContrastiveTrainer(model=model, args=arguments)
        batch = {
            k: v.to(bench.device) for k, v in make_batch(clips, 64, model.config.encoder_config.num_landmarks).items()
        }
        trainer.model.to(bench.device).train()
        trainer.current_gradient_accumulation_steps = 1  # `train` sets it

        def step(trainer: Any = trainer, batch: Any = batch) -> None:
            trainer.training_step(trainer.model, dict(batch))

        rows[f"{clips} in chunks of {chunk}"] = bench.measured(step, clips)
    print("contrastive", rows, flush=True)
    return {"frames": 64, "clips": rows}


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "parity": parity,
    "encoder": encoder,
    "training": training,
    "attention": attention,
    "contrastive": contrastive,
    "generation": generation,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--tiny", action="store_true", help="smallest sizes, to see that it runs")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    bench = Bench(arguments.device, arguments.tiny, arguments.repeats)
    results: dict[str, Any] = {"command": " ".join(["python", *sys.argv]), "machine": machine(bench)}
    for part in arguments.only:
        started = time.perf_counter()
        results[part] = PARTS[part](bench) | {"took_seconds": round(time.perf_counter() - started, 1)}
        if arguments.output:  # after each part: a lease may end before the last
            arguments.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def machine(bench: Bench) -> dict[str, Any]:
    import transformers

    name = torch.cuda.get_device_name() if bench.device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": name, "torch": torch.__version__, "transformers": transformers.__version__}


if __name__ == "__main__":
    main()
