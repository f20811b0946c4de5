"""RWTH-PHOENIX-Weather 2014T: German Sign Language weather forecasts with glosses and German.

Camgoz et al., "Neural Sign Language Translation" (CVPR 2018). Annotations come as the corpus' own `|`-separated files
or as the gzip pickles of neccam/slt, which hold torch tensors: those are read by the allow-list reader, without torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slt_hf.data.corpora.corpus import Annotations, Corpus, Media, split_of, text_rows
from slt_hf.data.sample import Sample, split_name
from slt_hf.data.tables import read_table
from slt_hf.errors import CorpusError

FPS = 25.0


class Phoenix14T(Corpus):
    name = "phoenix14t"
    title = "RWTH-PHOENIX-Weather 2014T"
    homepage = "https://www-i6.informatik.rwth-aachen.de/~koller/RWTH-PHOENIX-2014-T/"
    licence = "CC BY-NC-SA 3.0: non-commercial, share alike"
    hub_licence = "cc-by-nc-sa-3.0"
    ask = "https://www-i6.informatik.rwth-aachen.de/~koller/RWTH-PHOENIX-2014-T/ (39 GB archive, no form)."
    folder = """
    data_dir/
      annotations/manual/PHOENIX-2014-T.train.corpus.csv  (dev, test)   or   phoenix14t.train  (dev, test; gzip pickles)
      features/fullFrame-210x260px/train/<name>/*.png   or   videos/<name>.mp4   or   poses/<name>.pose"""
    patterns = ("PHOENIX-2014-T.*.corpus.csv", "**/PHOENIX-2014-T.*.corpus.csv", "phoenix14t.*")
    configs = ("default",)
    sign_language = "gsg"
    language = "de"

    def find(self, path: Path, config: str | None) -> list[Path]:
        """One file a split: the corpus' own before the pickle of the same split."""
        files: dict[str | None, Path] = {}
        for file in super().find(path, config):
            files.setdefault(split_of(file), file)
        return list(files.values())

    def read_file(self, path: Path, config: str | None) -> Annotations:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        return self._read_pickle(path) if packed else self._read_table(path)

    def _read_table(self, path: Path) -> Annotations:
        table = read_table(path)
        table.require("speaker", "orth")
        annotations = Annotations()
        for _, row in text_rows(table, "name", "translation", annotations.problems):
            annotations.samples.append(
                self._sample(row["name"], row["orth"], row["translation"], row["speaker"], split_of(path))
            )
        return annotations

    def _read_pickle(self, path: Path) -> Annotations:
        from slt_hf.poses.safe_pickle import load_pickle

        annotations = Annotations()
        entries = load_pickle(path)
        if not isinstance(entries, list):
            raise CorpusError(
                f"{path.name}: expected a list of sentences, found {type(entries).__name__}; fetch the file again"
            )
        for number, entry in enumerate(entries, start=1):
            try:
                split, _, name = entry["name"].rpartition("/")
                sample = self._sample(
                    name, entry["gloss"], entry["text"], entry["signer"], split_name(split) or split_of(path)
                )
                sample.num_frames = _frames(entry)
            except (KeyError, TypeError, AttributeError) as error:
                annotations.problems.append(
                    f"entry {number} of {path.name}: expected name, gloss, text and signer, found {error!r}"
                )
            else:
                annotations.samples.append(sample)
        return annotations

    def _sample(self, name: str, gloss: str, text: str, signer: str, split: str | None) -> Sample:
        return Sample(
            id=name,
            video=f"{name}.mp4",
            fps=FPS,
            gloss=gloss,
            text=text,
            language=self.language,
            sign_language=self.sign_language,
            signer=signer,
            split=split,
        )

    def media(self, sample: Sample) -> Iterator[Media]:
        yield from super().media(sample)
        folder = {"validation": "dev"}.get(sample.split or "", sample.split)
        for features in ("features/fullFrame-210x260px", "fullFrame-210x260px"):
            yield Media(f"{features}/{folder}/{sample.id}/*.png")
            yield Media(f"{features}/{folder}/{sample.id}/1/*.png")


def _frames(entry: dict[str, Any]) -> int | None:
    """Frames of the sentence: as said, or the length of its features (one a frame) where there are any."""
    return int(entry["num_frames"]) if "num_frames" in entry else (len(entry.get("sign", ())) or None)
