"""Classifiers of videos on the real isolated signs at hand: what they learn, and what they know of other people.

    python scripts/real_sign_videos.py
    python benchmarks/real_videos.py --output results/real_videos.json                       # and --model i3d
    python benchmarks/real_videos.py --task signs --one-light --output results/real_videos.json

Trains through scripts/train_isolated_signs.py and scores the finished folder through `SignClassifier`.

    signs    25 kinds of signs cut from WLASL videos, one recording of each. Scored: the clips of training, as they are
             and disturbed; the three recordings that come a second time, in another file (joined and compressed anew);
             and how many of three signs of another language, by another signer, are found unknown. Light is varied in
             training; `--one-light` leaves that out, to see what it brings.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from slt_hf import SignClassifier
from slt_hf.processing.video_reading import read_video

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
    "i3d": {
        "signs": {"encoder_config": I3D, "num_train_epochs": 400},  # 150 are too few for it where light varies: 0.68
        "letters": {"encoder_config": I3D_LETTERS, "num_train_epochs": 80},
    },
}
COMMON: dict[str, Any] = {
    "target": "gloss", "per_device_train_batch_size": 28, "lr_scheduler_type": "cosine", "warmup_steps": 30,
    "weight_decay": 0.05, "eval_strategy": "no", "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
    "seed": 0, "dataloader_pin_memory": False, "logging_steps": 50, "learning_rate": 1.0e-3,
    "card": {"license": "other", "limits": "Learned from a handful of clips, to see that it learns."},
}  # fmt: skip
LIGHT: dict[str, Any] = {"brightness": 0.5, "contrast": 0.4, "saturation": 0.4, "hue": 0.05}
DISTURBANCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # of frames (T, H, W, 3)
    "darker": lambda frames: (0.6 * frames).astype(np.uint8),
    "much darker": lambda frames: (0.4 * frames).astype(np.uint8),  # beyond what training draws, as is what follows
    "brighter": lambda frames: np.minimum(1.6 * frames, 255).astype(np.uint8),
    "in yellow light": lambda frames: (frames * [1.0, 0.9, 0.6]).astype(np.uint8),
    "with dark shadows": lambda frames: (255 * (frames / 255) ** 2).astype(np.uint8),  # a curve; training draws lines
    "larger": lambda frames: frames[:, frames.shape[1] // 10 : -frames.shape[1] // 10,
                                    frames.shape[2] // 10 : -frames.shape[2] // 10],
    "mirrored": lambda frames: frames[:, :, ::-1],
    "second half of its frames": lambda frames: frames[len(frames) // 2 :],
}  # fmt: skip
TASKS: dict[str, dict[str, Any]] = {
    "signs": {"num_train_epochs": 150, "variants_per_clip": 16, **LIGHT},
    "letters": {
        "num_train_epochs": 120, "per_device_train_batch_size": 45, "variants_per_clip": 8, "crop": 0.25,
        "label_smoothing_factor": 0.1,
    },
}


def train(settings: dict[str, Any], manifest: Path, folder: Path) -> float:
    """Run the script; seconds it took."""
    recipe = {**settings, "dataset": [str(manifest.resolve())], "output_dir": str(folder)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    started = time.perf_counter()
    subprocess.run([sys.executable, str(SCRIPT), str(folder / "recipe.yaml")], check=True)
    return time.perf_counter() - started


def score(task: str, data: Path, folder: Path) -> dict[str, Any]:
    """top-1 and top-5 on each split."""
    classifier = SignClassifier.from_pretrained(folder, device="cpu")
    rows = rows_of(data / task)
    found: dict[str, Any] = {}
    for split in ("train", "dev"):
        own = [row for row in rows if row["split"] == split]
        ranked = [[label for label, _ in ranked_labels(classifier, data / task, row)] for row in own]
        right = [row["gloss"] for row in own]
        first = sum(names[0] == label for names, label in zip(ranked, right, strict=True)) / len(own)
        five = sum(label in names for names, label in zip(ranked, right, strict=True)) / len(own)
        found[split] = {"top1": round(first, 4), "top5": round(five, 4), "clips": len(own)}
    return found


def disturbed_scores(classifier: SignClassifier, data: Path) -> dict[str, float]:
    """top-1 of the clips of training, shown otherwise than there."""
    found = dict.fromkeys(DISTURBANCES, 0)
    own = [row for row in rows_of(data / "signs") if row["split"] == "train"]
    for row in own:
        frames = read_video(data / "signs" / row["video"], **times_of(row)).frames
        for name, disturb in DISTURBANCES.items():
            answer: Any = classifier(np.ascontiguousarray(disturb(frames)))
            found[name] += answer.label == row["gloss"]
    return {name: round(right / len(own), 4) for name, right in found.items()}


def stranger_scores(classifier: SignClassifier, data: Path) -> dict[str, Any]:
    """Signs that it was not taught: how many it calls unknown, and how sure it is of what it says of them."""
    answers: list[Any] = [classifier(data / "strangers" / row["video"]) for row in rows_of(data / "strangers")]
    told = {"clips": len(answers), "unknown": sum(not answer.known for answer in answers)}
    return told | {
        "threshold": classifier.unknown_threshold and round(classifier.unknown_threshold, 4),
        "confidences": [round(answer.confidence, 4) for answer in answers],
    }


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def times_of(row: dict[str, str]) -> dict[str, Any]:
    return {name: float(row[name]) for name in ("start_ms", "end_ms") if row.get(name)}


def ranked_labels(classifier: SignClassifier, folder: Path, row: dict[str, str]) -> list[tuple[str, float]]:
    answer: Any = classifier(folder / row["video"], top_k=5, **times_of(row))
    return answer.labels


def run(name: str, task: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and score one model on one task."""
    folder = arguments.models / name.replace(", ", "_").replace(" ", "_")
    settings = {**COMMON, **TASKS[task], **MODELS[arguments.model][task]}
    settings |= dict.fromkeys(LIGHT, 0.0) if arguments.one_light else {}
    settings |= {} if arguments.epochs is None else {"num_train_epochs": arguments.epochs}
    seconds = train(settings, arguments.data / task / "manifest.csv", folder)
    result: dict[str, Any] = {
        "command": f"python {' '.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])}",
        "settings": {key: value for key, value in settings.items() if key != "card"},
        "seconds": round(seconds), "threads": torch.get_num_threads(), "load_average": round(os.getloadavg()[1], 1),
        "scores": score(task, arguments.data, folder),
    }  # fmt: skip
    if task == "signs":
        classifier = SignClassifier.from_pretrained(folder, device="cpu")
        result["disturbed"] = disturbed_scores(classifier, arguments.data)
        result["strangers"] = stranger_scores(classifier, arguments.data)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("outputs/real/videos"))
    parser.add_argument("--models", type=Path, default=Path("outputs/real/video_models"))
    parser.add_argument("--model", choices=sorted(MODELS), default="videomae")
    parser.add_argument("--task", choices=sorted(TASKS), action="append")
    parser.add_argument("--epochs", type=int, help="fewer, to try it")
    parser.add_argument("--one-light", action="store_true", help="do not vary light in training")
    parser.add_argument("--output", type=Path, help="JSON file, to which the results are added")
    arguments = parser.parse_args()
    report: dict[str, Any] = {}
    if arguments.output is not None and arguments.output.is_file():
        report = json.loads(arguments.output.read_text(encoding="utf-8"))
    for task in arguments.task or TASKS:
        name = f"{arguments.model} {task}{', one light' if arguments.one_light else ''}"
        result = run(name, task, arguments)
        report.setdefault("results", {})[name] = result
        print(name, json.dumps(result), flush=True)
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
