"""INCLUDE: 263 isolated Indian Sign Language signs, and INCLUDE-50, its subset of 50.

Sridhar et al., "INCLUDE: A Large Scale Dataset for Indian Sign Language Recognition" (ACM Multimedia 2020).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from slt_hf.data.corpora.corpus import Annotations, Corpus, Media, split_of
from slt_hf.data.sample import Sample
from slt_hf.data.tables import read_table

NAMES = "normalized_glosses.csv"  # of OpenHands: "4. Bird" is BIRD


class INCLUDE(Corpus):
    name = "include"
    title = "INCLUDE"
    homepage = "https://zenodo.org/record/4010759"
    licence = "CC BY 4.0"
    hub_licence = "cc-by-4.0"
    ask = "https://zenodo.org/record/4010759 (zip archives by category); split files: AI4Bharat/INCLUDE or OpenHands."
    folder = """
    data_dir/
      train_include50.csv  test_include50.csv   or   train_include.csv  val_include.csv  test_include.csv
      normalized_glosses.csv                    (optional: tidy gloss names)
      Animals/4. Bird/MVI_2988.MOV              as unpacked; or poses/Animals/4. Bird/MVI_2988.pose"""
    patterns = ("*include*.csv",)
    configs = ("include50", "include")
    sign_language = "ins"
    language = "en"
    extras: ClassVar[Mapping[str, str]] = {"category": "string"}

    def find(self, path: Path, config: str | None) -> list[Path]:
        files = super().find(path, config)
        fifty = [file for file in files if "include50" in file.name]
        if path.is_file():
            return files
        return (
            fifty
            if config == "include50" or (config is None and len(fifty) == len(files))
            else [f for f in files if f not in fifty]
        )

    def read_file(self, path: Path, config: str | None) -> Annotations:
        table = read_table(path)
        table.require("Word", "Video", "FilePath")
        names = _gloss_names(path.parent)
        annotations = Annotations()
        for number, row in enumerate(table.rows, start=1):
            if not row["FilePath"].strip() or not row["Word"].strip():
                annotations.problems.append(
                    f"row {number} of {path.name}, column Word: expected a sign and its file, found an empty cell"
                )
                continue
            annotations.samples.append(
                Sample(
                    id=row["FilePath"].rsplit(".", 1)[0],
                    video=row["FilePath"],
                    gloss=names.get(row["Word"]) or re.sub(r"^\d+\.\s*", "", row["Word"]).upper(),
                    language=self.language,
                    sign_language=self.sign_language,
                    split=split_of(path),
                    extras={"category": row.get("Category")},
                )
            )
        return annotations

    def media(self, sample: Sample) -> Iterator[Media]:
        yield Media(f"poses/{sample.id}.pose")
        yield from (Media(f"{place}/{sample.video}") for place in (".", "videos"))


def _gloss_names(folder: Path) -> dict[str, str]:
    path = folder / NAMES
    if not path.is_file():
        return {}
    table = read_table(path)
    table.require("actual_gloss", "normalized_gloss")
    return {row["actual_gloss"]: row["normalized_gloss"] for row in table.rows}
