"""Speed of the default pose encoder beside the part-wise ST-GCN that open pose translators use.

    python benchmarks/encoder_speed.py --threads 2 --output results/encoder_speed.json

Both run in this one process, in turn, on random poses: frames per second of a forward pass and of a training step
(forward, backward, no optimizer), the fastest of the repeats, so that a busy machine distorts less. Then the default
encoder alone from T=256 to T=4096, where the time per frame must not grow. FLOPs are counted by torch on the modules
that are timed; a multiply-add is two.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slt_hf.modeling import PoseEncoderConfig, PoseEncoderModel
from slt_hf.processing.landmarks import get_layout

# B batch, T frames, V landmarks, C coordinates (x, y, confidence)

CASES = [(4, 64), (4, 256), (4, 1024), (1, 64), (1, 256), (1, 1024)]
LINEAR_LENGTHS = [256, 512, 1024, 2048, 4096]
REQUIRED_RATIO = 8.0  # forward, B=4, T=256


class GraphBlock(nn.Module):
    """ST-GCN block (arxiv:1801.07455): graph convolution over two hop distances, then convolution over time."""

    def __init__(self, inputs: int, outputs: int, edges: torch.Tensor, temporal_kernel: int):
        super().__init__()
        hops = torch.stack([torch.eye(len(edges)), edges])  # a point itself, then its neighbours; learned from there
        self.adjacency = nn.Parameter(hops / hops.sum(-1, keepdim=True).clamp(min=1))
        self.graph = nn.Conv2d(inputs, 2 * outputs, 1)
        padding = (temporal_kernel // 2, 0)
        self.temporal = nn.Sequential(
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, (temporal_kernel, 1), padding=padding),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, C, T, V) -> (B, C', T, V)"""
        mixed = self.graph(hidden).unflatten(1, (2, -1))
        mixed = torch.einsum("bkctv,kvw->bctw", mixed, self.adjacency)
        return torch.relu(self.temporal(mixed) + self.shortcut(hidden))


class PartwiseSTGCN(nn.Module):
    """Plain re-implementation of the encoder of the Uni-Sign family (arxiv:2501.15187), from its description.

    Body 9, hands 21 + 21 with shared weights, face 18; 3 -> 64; spatial blocks 64/128/256 with temporal kernel 1; the
    detached body feature of the anchoring joint added to each part; three blocks of 256 with temporal kernel 5; mean
    over joints; the four parts side by side to the text model's width.
    """

    POINTS = {"body": 9, "left": 21, "right": 21, "face": 18}
    ANCHORS = {"left": -2, "right": -1, "face": 0}
    SHARED = {"left": "hand", "right": "hand"}

    def __init__(self, width: int = 768):
        super().__init__()
        parts = {"body": "body", "hand": "left_hand", "face": "face"}
        graphs = {name: part_edges(part) for name, part in parts.items()}
        self.embed = nn.ModuleDict({name: nn.Linear(3, 64) for name in graphs})
        self.spatial = nn.ModuleDict({name: self._chain([64, 64, 128, 256], g, 1) for name, g in graphs.items()})
        self.temporal = nn.ModuleDict({name: self._chain([256] * 4, g, 5) for name, g in graphs.items()})
        self.project = nn.Linear(4 * 256, width)

    @staticmethod
    def _chain(widths: list[int], edges: torch.Tensor, kernel: int) -> nn.Sequential:
        return nn.Sequential(*(GraphBlock(a, b, edges, kernel) for a, b in zip(widths, widths[1:], strict=False)))

    def forward(self, poses: torch.Tensor) -> torch.Tensor:
        """(B, T, 69, 3) -> (B, T, width)"""
        pooled: list[torch.Tensor] = []
        body = poses  # replaced by the first part, which is the body
        for name, part in zip(self.POINTS, poses.split(list(self.POINTS.values()), dim=2), strict=True):
            module = self.SHARED.get(name, name)
            hidden = self.spatial[module](self.embed[module](part).permute(0, 3, 1, 2))
            if name == "body":
                body = hidden
            else:
                hidden = hidden + body[..., self.ANCHORS[name], None].detach()
            pooled.append(self.temporal[module](hidden).mean(-1))
        return self.project(torch.cat(pooled, dim=1).transpose(1, 2))


def part_edges(part: str) -> torch.Tensor:
    """Which points of a part of Uni-Sign's 69 are neighbours, (V, V) of 0 and 1."""
    layout = get_layout("unisign_69")
    place = {point: index for index, point in enumerate(layout.parts[part])}
    edges = torch.zeros(len(place), len(place))
    for a, b in layout.edges:
        if a in place and b in place:
            edges[place[a], place[b]] = edges[place[b], place[a]] = 1
    return edges


def poses(batch: int, frames: int, landmarks: int) -> torch.Tensor:
    return torch.rand(batch, frames, landmarks, 3)


def flops_per_frame(model: nn.Module, landmarks: int, frames: int = 256) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(poses(1, frames, landmarks))
    return counter.get_total_flops() / frames


def run_forward(model: nn.Module, inputs: torch.Tensor):
    with torch.no_grad():
        model(inputs)


def run_training_step(model: nn.Module, inputs: torch.Tensor):
    output = model(inputs)
    states = output if isinstance(output, torch.Tensor) else output.last_hidden_state
    states.square().mean().backward()
    model.zero_grad(set_to_none=True)


def seconds(run, *arguments) -> float:
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def compare(models: dict[str, tuple[nn.Module, int]], run, batch: int, frames: int, repeats: int) -> dict[str, float]:
    """Seconds of each model, its fastest run. The models take turns, so that a busy moment meets both."""
    inputs = {name: poses(batch, frames, landmarks) for name, (_, landmarks) in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for repeat in range(repeats + 1):
        for name, (model, _) in models.items():
            elapsed = seconds(run, model, inputs[name])
            if repeat:  # the first run of each warms caches
                times[name].append(elapsed)
    return {name: min(values) for name, values in times.items()}


def compare_all(models: dict[str, tuple[nn.Module, int]], repeats: int) -> list[dict]:
    rows = []
    for mode, run in (("forward", run_forward), ("training step", run_training_step)):
        for model, _ in models.values():
            model.train(mode != "forward")
        for batch, frames in CASES:
            times = compare(models, run, batch, frames, repeats)
            rate = {name: batch * frames / value for name, value in times.items()}
            ratio = rate["pose encoder"] / rate["ST-GCN"]
            rows.append({"mode": mode, "batch": batch, "frames": frames, "frames_per_second": rate, "ratio": ratio})
            print(
                f"{mode:14} B={batch} T={frames:5}  pose encoder {rate['pose encoder']:9.0f} frames/s   "
                f"ST-GCN {rate['ST-GCN']:7.0f} frames/s   ratio {ratio:5.1f}",
                flush=True,
            )
    return rows


def measure_linearity(model: nn.Module, landmarks: int, repeats: int) -> list[dict]:
    """Milliseconds per frame at growing length, B=1; the lengths take turns, the fastest of the repeats counts."""
    model.eval()
    inputs = {frames: poses(1, frames, landmarks) for frames in LINEAR_LENGTHS}
    best = {frames: float("inf") for frames in LINEAR_LENGTHS}
    for _ in range(repeats + 1):
        for frames, clip in inputs.items():
            best[frames] = min(best[frames], seconds(run_forward, model, clip))
    rows = [{"frames": frames, "milliseconds_per_frame": 1000 * best[frames] / frames} for frames in LINEAR_LENGTHS]
    for row in rows:
        print(f"B=1 T={row['frames']:5}  {row['milliseconds_per_frame']:.4f} ms per frame", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="write the numbers as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    encoder = PoseEncoderModel(PoseEncoderConfig())
    models = {"pose encoder": (encoder, encoder.config.num_landmarks), "ST-GCN": (PartwiseSTGCN(), 69)}
    flops = {name: flops_per_frame(model.eval(), landmarks) for name, (model, landmarks) in models.items()}
    parameters = {name: sum(p.numel() for p in model.parameters()) for name, (model, _) in models.items()}
    for name in models:
        print(f"{name:14} {flops[name] / 1e6:6.1f} MFLOP a frame, {parameters[name] / 1e6:.2f} M parameters")
    rows = compare_all(models, arguments.repeats)
    linear = measure_linearity(encoder, encoder.config.num_landmarks, arguments.repeats)
    growth = linear[-1]["milliseconds_per_frame"] / linear[0]["milliseconds_per_frame"]
    headline = next(row["ratio"] for row in rows if (row["mode"], row["batch"], row["frames"]) == ("forward", 4, 256))
    print(f"forward, B=4, T=256: {headline:.1f} times as fast (required: {REQUIRED_RATIO:g})")
    print(f"time per frame at T=4096 over T=256: {growth:.2f} (1 is linear)")
    if arguments.output:
        result = {
            "command": " ".join(["python", *sys.argv]),
            "torch": torch.__version__,
            "processor": platform.processor() or platform.machine(),
            "threads": arguments.threads,
            "repeats": arguments.repeats,
            "flops_per_frame": flops,
            "parameters": parameters,
            "speed": rows,
            "forward_ratio_at_batch_4_frames_256": headline,
            "linearity": linear,
            "time_per_frame_at_4096_over_256": growth,
        }
        arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
