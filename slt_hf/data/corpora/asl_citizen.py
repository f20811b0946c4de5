"""ASL Citizen: 2731 American Sign Language signs recorded by 52 signers at home; no signer is in two splits.

Desai et al., "ASL Citizen: A Community-Sourced Dataset for Advancing Isolated Sign Language Recognition"
(NeurIPS 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from slt_hf.data.corpora.corpus import Annotations, Corpus, split_of
from slt_hf.data.sample import Sample
from slt_hf.data.tables import read_table


class ASLCitizen(Corpus):
    name = "asl_citizen"
    title = "ASL Citizen"
    homepage = "https://www.microsoft.com/en-us/research/project/asl-citizen/"
    licence = "Microsoft Research licence: research use, non-commercial; no re-identification of signers"
    ask = "the download page of Microsoft Research (search for ASL Citizen), 43 GB, no form."
    folder = """
    data_dir/
      splits/train.csv  splits/val.csv  splits/test.csv
      videos/03369501517929252-PROPOSE.mp4   or poses/<same name>.pose"""
    patterns = ("splits/*.csv", "train.csv", "val.csv", "test.csv")
    configs = ("by_signer",)
    sign_language = "ase"
    language = "en"
    extras: ClassVar[Mapping[str, str]] = {"asl_lex_code": "string"}

    def read_file(self, path: Path, config: str | None) -> Annotations:
        table = read_table(path)
        table.require("Participant ID", "Video file", "Gloss")
        annotations = Annotations()
        for number, row in enumerate(table.rows, start=1):
            empty = [column for column in ("Participant ID", "Video file", "Gloss") if not row[column].strip()]
            if empty:
                annotations.problems.append(
                    f"row {number} of {path.name}, column {empty[0]}: expected text, found an empty cell"
                )
                continue
            annotations.samples.append(
                Sample(
                    id=row["Video file"].rsplit(".", 1)[0],  # names hold dots: 4.7299129501965353e-7-seedSOUR.mp4
                    video=row["Video file"],
                    gloss=row["Gloss"],
                    language=self.language,
                    sign_language=self.sign_language,
                    signer=row["Participant ID"],
                    split=split_of(path),
                    extras={"asl_lex_code": row.get("ASL-LEX Code") or None},
                )
            )
        return annotations
