"""Train the three real recipes from a clean checkout and measure them on dev: `make real`.

    python scripts/make_real.py                     # outputs/real/{f1,f2,w}, results/real.json
    python scripts/make_real.py --only w            # one of them
    SLT_HF_SHARED_DATA=…/data python scripts/make_real.py --score-only

Scores are those of the finished folders through `SignClassifier` and `SignTranslator`, on the files as they were given
(`.pose` files, arrays), not on our shards.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from slt_hf import SignClassifier, SignTranslator, __version__
from slt_hf.data.stitching import StitchingSettings, join_clips
from slt_hf.evaluation.text_metrics import score_text
from slt_hf.poses.formats import read_clip

from real_data import LETTERS_FOLDER, WORDS_FOLDER, WORDS_FPS, shared_data, table  # isort: skip
from real_words import FPS, read_words  # isort: skip

SCRIPTS = Path(__file__).resolve().parent
OUTPUT, RESULTS = Path("outputs/real"), Path("results/real.json")
MOST_WORDS = 300  # scored of each split, evenly chosen
TASKS = {"f1": "train_isolated_signs.py", "f2": "train_translation.py", "w": "train_isolated_signs.py"}


def train(task: str) -> float:
    """Run a task's recipe with its script; seconds it took."""
    started = time.perf_counter()
    recipe = SCRIPTS / "recipes" / f"real_{task}.yaml"
    subprocess.run([sys.executable, str(SCRIPTS / TASKS[task]), str(recipe)], check=True)
    return time.perf_counter() - started


def top_k(labels: Sequence[str], found: Any) -> dict[str, float]:
    """top-1 and top-5 accuracy of classifications."""
    ranked = [[name for name, _ in each.labels] for each in found]
    first = float(np.mean([names[0] == label for names, label in zip(ranked, labels, strict=True)]))
    five = float(np.mean([label in names[:5] for names, label in zip(ranked, labels, strict=True)]))
    return {"top1": round(first, 4), "top5": round(five, 4), "clips": len(labels)}


def score_letters(data: Path) -> dict[str, Any]:
    """F1 on the dev alphabets, and on each of them."""
    classifier = SignClassifier.from_pretrained(OUTPUT / "f1")
    rows = [r for r in table(data / LETTERS_FOLDER) if r["split"] == "dev" and r["letter"] and r["two_handed"] == "0"]
    found: Any = classifier([str(data / LETTERS_FOLDER / row["path"]) for row in rows], top_k=5)
    scores: dict[str, Any] = {"dev": top_k([row["letter"] for row in rows], found)}
    for language in sorted({row["sign_language"] for row in rows}):
        own = [i for i, row in enumerate(rows) if row["sign_language"] == language]
        scores[f"dev {language}"] = top_k([rows[i]["letter"] for i in own], [found[i] for i in own])
    return scores


def score_spelling(data: Path) -> dict[str, Any]:
    """F2: dev words spelled by dev signers, and by the signers of training."""
    translator = SignTranslator.from_pretrained(OUTPUT / "f2")
    scores = {}
    for split, name in (("dev", "dev words, dev signers"), ("train", "dev words, training signers")):
        letters: dict[str, dict[str, Any]] = {}
        for row in table(data / LETTERS_FOLDER):
            if row["split"] == split and row["letter"] and row["two_handed"] == "0":
                clip = read_clip(data / LETTERS_FOLDER / row["path"])
                letters.setdefault(row["sign_language"], {})[row["letter"].lower()] = clip
        words = [(word, own) for own in letters.values() for word in read_words(data, "dev") if set(word) <= own.keys()]
        words = words[:: max(1, len(words) // MOST_WORDS)]
        clips = [join_clips([own[letter] for letter in word], StitchingSettings(fps=FPS)) for word, own in words]
        found: Any = translator(clips, batch_size=32)
        texts = [translation.text for translation in found]
        measured = score_text(texts, [word for word, _ in words], names=("cer", "exact_match"))
        scores[name] = {key: round(float(value), 4) for key, value in measured.items()} | {"words": len(words)}
    return scores


def score_words(data: Path) -> dict[str, Any]:
    """W on dev, which is the recording of training and says little: see the left-out sources."""
    classifier = SignClassifier.from_pretrained(OUTPUT / "w")
    rows = [row for row in table(data / WORDS_FOLDER) if row["split"] == "dev"]
    arrays = {name: np.load(data / WORDS_FOLDER / name)["keypoints"] for name in {row["file"] for row in rows}}
    clips = [arrays[row["file"]][int(row["index"])][:, -126:].reshape(-1, 42, 3) for row in rows]
    found: Any = classifier(clips, top_k=5, layout="hands_42", fps=WORDS_FPS)
    return {"dev": top_k([row["label"] for row in rows], found)}


SCORES: dict[str, Callable[[Path], dict[str, Any]]] = {"f1": score_letters, "f2": score_spelling, "w": score_words}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the shared data folder")
    parser.add_argument("--only", choices=sorted(TASKS), help="one task instead of all")
    parser.add_argument("--score-only", action="store_true", help="measure what is trained already")
    arguments = parser.parse_args()
    data, tasks = shared_data(arguments.data), [arguments.only] if arguments.only else list(TASKS)
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    if not arguments.score_only:
        for script in ("real_data.py", "real_words.py"):
            subprocess.run([sys.executable, str(SCRIPTS / script), "--data", str(data)], check=True)
    for task in tasks:
        entry = results.setdefault(task, {})
        if not arguments.score_only:
            entry["seconds"] = round(train(task))
        entry["scores"] = SCORES[task](data)
        print(task, json.dumps(entry), flush=True)
    versions = {"slt_hf": __version__, "torch": torch.__version__, "transformers": transformers.__version__}
    results["command"] = "make real"
    results["environment"] = {**versions, "python": platform.python_version(), "threads": torch.get_num_threads()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
