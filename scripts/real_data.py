"""Letters, words and signs of the shared real data as shards that the trainers read. `make real` calls it.

    python scripts/real_data.py --data ../shared/data --output outputs/real/data

    f1/  letters A to Z of one-handed alphabets; `gloss` is the letter, `sign_language` the alphabet
    w/   isolated ASL words of three sources; `gloss` is the word, `signer` the source

Clips keep both hands only: that is all that the three sources of words have in common, and all that spells a letter.
Nothing is normalised here: the processor does that, in training as in use.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slt_hf.data.sample import split_name
from slt_hf.data.storage import encode_clip
from slt_hf.errors import PreparationError
from slt_hf.poses.formats import read_clip
from slt_hf.processing.landmarks import assign_hands, convert
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_inputs import clip_from_array

HANDS = "hands_42"
WORDS_FPS = 30.0  # as the .pose copies of the same clips say
LETTERS_FOLDER, WORDS_FOLDER = Path("isolated/fingerspelling"), Path("isolated/asl_words")


def shared_data(given: Path | None = None) -> Path:
    """The folder with the real data: given, from SLT_HF_SHARED_DATA, or beside the checkout.

    Raises:
        PreparationError: if it is not there.
    """
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(given or os.environ.get("SLT_HF_SHARED_DATA") or beside)
    if not (folder / LETTERS_FOLDER / "manifest.csv").is_file():
        raise PreparationError(f"expected the shared real data in {folder}, found no letters; set SLT_HF_SHARED_DATA")
    return folder


def hands_only(clip: PoseClip) -> PoseClip:
    """The clip's two hands, in its own unit."""
    points, confidence = assign_hands(clip.points, clip.confidence, clip.layout)
    points, confidence = convert(points, confidence, clip.layout, HANDS, 3)
    return PoseClip(points, confidence, HANDS, clip.fps)


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "manifest.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def letter_rows(data: Path) -> Iterator[dict[str, Any]]:
    """Task F1: rows with a letter, of one-handed alphabets."""
    for row in table(data / LETTERS_FOLDER):
        if row["letter"] and row["two_handed"] == "0":
            clip = hands_only(read_clip(data / LETTERS_FOLDER / row["path"]))
            names = {"id": row["id"], "gloss": row["letter"], "text": row["letter"].lower()}
            yield {**names, "sign_language": row["sign_language"], "split": row["split"], **encode_clip(clip)}


def word_rows(data: Path) -> Iterator[dict[str, Any]]:
    """Task W: every word clip; the last 126 values of a frame are both hands."""
    arrays: dict[str, np.ndarray] = {}
    for row in table(data / WORDS_FOLDER):
        if row["file"] not in arrays:
            arrays[row["file"]] = np.load(data / WORDS_FOLDER / row["file"], allow_pickle=False)["keypoints"]
        clip = clip_from_array(arrays[row["file"]][int(row["index"])][:, -126:], HANDS, WORDS_FPS)
        clip.points[clip.confidence == 0] = np.nan
        names = {"id": row["id"], "gloss": row["label"], "text": row["label"]}
        yield {**names, "signer": row["signer_group"], "split": row["split"], **encode_clip(clip)}


def write_shards(rows: list[dict[str, Any]], folder: Path) -> None:
    """One Parquet shard a split."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in sorted({split_name(row["split"]) for row in rows}):
        kept = [row for row in rows if split_name(row["split"]) == split]
        pq.write_table(pa.Table.from_pylist(kept), folder / f"{split}-00000-of-00001.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the shared data folder")
    parser.add_argument("--output", type=Path, default=Path("outputs/real/data"))
    arguments = parser.parse_args()
    data = shared_data(arguments.data)
    for name, rows in (("f1", letter_rows(data)), ("w", word_rows(data))):
        write_shards(list(rows), arguments.output / name)


if __name__ == "__main__":
    main()
