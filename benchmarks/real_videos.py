"""Classifiers of videos on the real isolated signs at hand: what they learn, and what they know of other people.

    python scripts/real_sign_videos.py
    python benchmarks/real_videos.py --output results/real_videos.json

Trains through scripts/train_isolated_signs.py and scores the finished folder through `SignClassifier`.

    signs    25 kinds of signs cut from WLASL videos, one recording of each. Scored: the clips of training, and the
             three recordings that come a second time, in another file (joined and compressed anew).
    letters  26 letters, drawn from poses of seven alphabets; scored on two alphabets and signers that training never
             saw.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from slt_hf import SignClassifier

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "train_isolated_signs.py"
VIDEOMAE = {
    "model_type": "videomae", "image_size": 48, "patch_size": 8, "num_frames": 8, "hidden_size": 96,
    "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 192, "hidden_dropout_prob": 0.1,
}  # fmt: skip
LETTERS = {**VIDEOMAE, "num_frames": 2, "hidden_size": 128, "intermediate_size": 256}  # they hardly move
I3D = {
    "model_type": "slt_i3d", "image_size": 48, "num_frames": 16, "width_multiplier": 0.125, "dropout": 0.3,
    "batch_norm_momentum": 0.1,  # of a few hundred steps; the published 0.01 is for many thousands
}  # fmt: skip
I3D_LETTERS = {**I3D, "num_frames": 8, "width_multiplier": 0.25}
MODELS: dict[str, dict[str, Any]] = {
    "videomae": {"signs": {"encoder_config": VIDEOMAE}, "letters": {"encoder_config": LETTERS}},
    "i3d": {"signs": {"encoder_config": I3D}, "letters": {"encoder_config": I3D_LETTERS, "num_train_epochs": 80}},
}
COMMON: dict[str, Any] = {
    "target": "gloss", "per_device_train_batch_size": 28, "lr_scheduler_type": "cosine", "warmup_steps": 30,
    "weight_decay": 0.05, "eval_strategy": "no", "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
    "seed": 0, "dataloader_pin_memory": False, "logging_steps": 50, "learning_rate": 1.0e-3,
    "card": {"license": "other", "limits": "Learned from a handful of clips, to see that it learns."},
}  # fmt: skip
TASKS: dict[str, dict[str, Any]] = {
    "signs": {"num_train_epochs": 150, "variants_per_clip": 4},
    "letters": {
        "num_train_epochs": 120, "per_device_train_batch_size": 45, "variants_per_clip": 8, "crop": 0.25,
        "label_smoothing_factor": 0.1,
    },
}


def train(task: str, model: str, data: Path, folder: Path, **options: Any) -> float:
    """Run the script; seconds it took."""
    manifest = [str((data / task / "manifest.csv").resolve())]
    recipe = {**COMMON, **TASKS[task], **MODELS[model][task], "dataset": manifest, "output_dir": str(folder), **options}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    started = time.perf_counter()
    subprocess.run([sys.executable, str(SCRIPT), str(folder / "recipe.yaml")], check=True)
    return time.perf_counter() - started


def score(task: str, data: Path, folder: Path) -> dict[str, Any]:
    """top-1 and top-5 on each split."""
    classifier = SignClassifier.from_pretrained(folder, device="cpu")
    with (data / task / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, Any] = {}
    for split in ("train", "dev"):
        own = [row for row in rows if row["split"] == split]
        ranked = [[label for label, _ in ranked_labels(classifier, data / task, row)] for row in own]
        right = [row["gloss"] for row in own]
        first = sum(names[0] == label for names, label in zip(ranked, right, strict=True)) / len(own)
        five = sum(label in names for names, label in zip(ranked, right, strict=True)) / len(own)
        found[split] = {"top1": round(first, 4), "top5": round(five, 4), "clips": len(own)}
    return found


def ranked_labels(classifier: SignClassifier, folder: Path, row: dict[str, str]) -> list[tuple[str, float]]:
    times: Any = {name: float(row[name]) for name in ("start_ms", "end_ms") if row.get(name)}
    return classifier(folder / row["video"], top_k=5, **times).labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("outputs/real/videos"))
    parser.add_argument("--models", type=Path, default=Path("outputs/real/video_models"))
    parser.add_argument("--model", choices=sorted(MODELS), default="videomae")
    parser.add_argument("--task", choices=sorted(TASKS), action="append")
    parser.add_argument("--epochs", type=int, help="fewer, to try it")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    report: dict[str, Any] = {"command": f"python {' '.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])}"}
    if arguments.output is not None and arguments.output.is_file():
        report = json.loads(arguments.output.read_text(encoding="utf-8")) | report
    report["threads"] = torch.get_num_threads()
    for task in arguments.task or TASKS:
        folder = arguments.models / f"{arguments.model}_{task}"
        epochs = {} if arguments.epochs is None else {"num_train_epochs": arguments.epochs}
        seconds = train(task, arguments.model, arguments.data, folder, **epochs)
        scores = score(task, arguments.data, folder)
        report.setdefault("results", {})[f"{arguments.model} {task}"] = {"seconds": round(seconds), "scores": scores}
        print(task, json.dumps(report["results"][f"{arguments.model} {task}"]), flush=True)
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
