"""How the real recipes do on people they have not seen: leave one alphabet (F1) or one source (W) out.

    python scripts/cross_validate_real.py [--only w]   # after real_data.py; results/real_cross_validation.json

Dev of task W is the recording that training saw, and dev of F1 is 52 clips: choices were made on these folds as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from slt_hf import SignClassifier
from slt_hf.data.storage import decode_clip

from make_real import OUTPUT, SCRIPTS, TASKS, top_k  # isort: skip
from real_data import write_shards  # isort: skip

RESULTS = Path("results/real_cross_validation.json")
GROUPS = {"f1": "sign_language", "w": "signer"}
TOO_LARGE = {"w": ("neat11-c",)}  # 14 of the 23 signs are in no other source


def fold(task: str, group: str, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Train without a group, score on it; signs that only the group has are left out."""
    column, folder = GROUPS[task], OUTPUT / "folds" / f"{task}-{group}"
    rest = [row for row in rows if row[column] != group]
    known = {row["gloss"] for row in rest}
    held = [row for row in rows if row[column] == group and row["gloss"] in known]
    write_shards([*rest, *({**row, "split": "dev"} for row in held)], folder / "data")
    command = [sys.executable, str(SCRIPTS / TASKS[task]), str(SCRIPTS / "recipes" / f"real_{task}.yaml")]
    subprocess.run([*command, "--dataset", str(folder / "data"), "--output_dir", str(folder / "model")], check=True)
    found: Any = SignClassifier.from_pretrained(folder / "model")([decode_clip(row) for row in held], batch_size=32)
    return top_k([row["gloss"] for row in held], found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(GROUPS), help="one task instead of both")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for task in [arguments.only] if arguments.only else list(GROUPS):
        rows = pq.read_table(next((OUTPUT / "data" / task).glob("train-*.parquet"))).to_pylist()
        groups = sorted({row[GROUPS[task]] for row in rows} - set(TOO_LARGE.get(task, ())))
        folds = {group: fold(task, group, rows) for group in groups}
        mean = round(float(np.mean([scores["top1"] for scores in folds.values()])), 4)
        command = f"python scripts/cross_validate_real.py --only {task}"
        results[task] = {"left out": folds, "mean top1": mean, "command": command}
        print(task, json.dumps(results[task]), flush=True)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
