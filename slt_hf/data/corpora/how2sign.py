"""How2Sign: continuous American Sign Language, instructional videos with English sentences, times realigned by hand.

Duarte et al., "How2Sign: A Large-scale Multimodal Dataset for Continuous American Sign Language" (CVPR 2021).
The released `.csv` files are tab separated, copies of them often comma separated: the header tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slt_hf.data.corpora.corpus import Annotations, Corpus, Media, split_of, text_rows
from slt_hf.data.sample import Sample
from slt_hf.data.tables import read_table


class How2Sign(Corpus):
    name = "how2sign"
    title = "How2Sign"
    homepage = "https://how2sign.github.io"
    licence = "CC BY-NC 4.0: non-commercial"
    hub_licence = "cc-by-nc-4.0"
    ask = "https://how2sign.github.io (download links for videos, clips, keypoints and the realigned sentences)."
    folder = """
    data_dir/
      how2sign_realigned_train.csv  how2sign_realigned_val.csv  how2sign_realigned_test.csv
      raw_videos/<VIDEO_NAME>.mp4   whole videos, cut by the times of the file, or
      videos/<SENTENCE_NAME>.mp4    sentence clips, or
      poses/<SENTENCE_NAME>.pose"""
    patterns = (
        "*how2sign_realigned_*.csv",
        "*how2sign_realigned_*.tsv",
        "**/how2sign_realigned_*.csv",
        "*how2sign_*.csv",
    )
    configs = ("realigned",)
    sign_language = "ase"
    language = "en"

    def read_file(self, path: Path, config: str | None) -> Annotations:
        table = read_table(path)
        table.require("VIDEO_NAME")
        start, end = ("START_REALIGNED", "END_REALIGNED") if "START_REALIGNED" in table.columns else ("START", "END")
        table.require(start, end)
        annotations = Annotations()
        for number, row in text_rows(table, "SENTENCE_NAME", "SENTENCE", annotations.problems):
            try:
                start_ms, end_ms = round(float(row[start]) * 1000, 3), round(float(row[end]) * 1000, 3)
            except (TypeError, ValueError):
                start_ms = end_ms = -1.0
            if not 0 <= start_ms < end_ms:
                annotations.problems.append(
                    f"row {number} of {path.name}, column {end}: expected seconds with the end after the start, "
                    f"found {row[start]} to {row[end]}; correct the row or skip it"
                )
                continue
            annotations.samples.append(
                Sample(
                    id=row["SENTENCE_NAME"],
                    video=f"{row['VIDEO_NAME']}.mp4",
                    start_ms=start_ms,
                    end_ms=end_ms,
                    text=row["SENTENCE"],
                    language=self.language,
                    sign_language=self.sign_language,
                    signer=_signer(row["SENTENCE_NAME"]),
                    split=split_of(path),
                    source=row["VIDEO_NAME"],
                )
            )
        return annotations

    def media(self, sample: Sample) -> Iterator[Media]:
        yield from (Media(f"{place}/{sample.id}.pose", cut=True) for place in ("poses", "pose"))
        yield from (Media(f"{place}/{sample.id}.mp4", cut=True) for place in ("videos", "clips", "raw_videos"))
        yield from (Media(f"{place}/{sample.source}.mp4") for place in ("raw_videos", "videos"))


def _signer(sentence_name: str) -> str | None:
    """How2Sign writes the signer before the camera: -d5dN54tH2E_0-1-rgb_front is signer 1."""
    parts = sentence_name.rsplit("-", 2)
    return parts[1] if len(parts) == 3 and parts[1].isdigit() else None
