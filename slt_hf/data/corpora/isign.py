"""iSign and ISLTranslate: Indian Sign Language sentences from YouTube, with English.

Joshi et al., "iSign: A Benchmark for Indian Sign Language Processing" (Findings of ACL 2024);
"ISLTranslate" (Findings of ACL 2023).
Neither has an official split file: rows are split by source video, so that no recording is in two splits.
"""

from __future__ import annotations

import re
from pathlib import Path

from slt_hf.data.corpora.corpus import Annotations, Corpus, split_of, text_rows
from slt_hf.data.sample import Sample
from slt_hf.data.tables import read_table

# <video>-<number> for sentences; <video>_w, _d, _e1 for a word, its description and its examples
UID = re.compile(r"(?P<video>.+?)[-_](?:\d+|[a-z]\d*)")


class ISign(Corpus):
    name = "isign"
    title = "iSign / ISLTranslate"
    homepage = "https://github.com/Exploration-Lab/iSign"
    licence = "CC BY-NC 4.0: non-commercial (videos: research use on request)"
    hub_licence = "cc-by-nc-4.0"
    ask = "https://huggingface.co/datasets/Exploration-Lab/iSign (accept the terms; text table, videos and poses)."
    folder = """
    data_dir/
      iSign_v1.1.csv  or  ISLTranslate.csv      columns uid,text
      videos/<uid>.mp4   or   poses/<uid>.pose   (unpack the part archives first: cat part_* | unzip)"""
    patterns = ("iSign*.csv", "ISLTranslate*.csv")
    configs = ("default",)
    sign_language = "ins"
    language = "en"

    def read_file(self, path: Path, config: str | None) -> Annotations:
        annotations = Annotations()
        for _, row in text_rows(read_table(path), "uid", "text", annotations.problems):
            uid = row["uid"].strip()
            found = UID.fullmatch(uid)
            annotations.samples.append(
                Sample(
                    id=uid,
                    video=f"{uid}.mp4",
                    text=row["text"],
                    language=self.language,
                    sign_language=self.sign_language,
                    split=split_of(path),
                    source=found["video"] if found else uid,
                )
            )
        return annotations
