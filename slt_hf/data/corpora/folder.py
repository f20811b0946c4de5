"""Clips of one's own without any table: where a clip lies says what it shows (docs/data.md)."""

from __future__ import annotations

from pathlib import Path

from slt_hf.data.columns import VIDEO_ENDINGS
from slt_hf.data.corpora.corpus import Annotations
from slt_hf.data.corpora.manifest import ManifestCorpus
from slt_hf.data.sample import SPLITS, Sample
from slt_hf.errors import CorpusError

ENDINGS = (".pose", *VIDEO_ENDINGS)


class FolderCorpus(ManifestCorpus):
    name = "folder"
    title = "a folder of clips"
    ask = "put the clips of each sign into a folder of its name, or beside each clip a text file of the clip's name."
    folder = """
    data_dir/
      HELLO/anna_1.mp4         the sign HELLO; .pose or a video, or both of one name
      talk_7.mp4  talk_7.txt   what is said, in UTF-8
      train/...  test/...      optional: folders of splits around them"""
    patterns = ()

    def find(self, path: Path, config: str | None) -> list[Path]:
        if not path.is_dir() or not any(file.suffix.lower() in ENDINGS for file in path.rglob("*")):
            what = "no clip in it" if path.is_dir() else "none"
            raise CorpusError(f"{path}: expected a folder of .pose files or videos, found {what}. {self.how_to_get()}")
        return [path]

    def read_file(self, path: Path, config: str | None) -> Annotations:
        clips: dict[str, Sample] = {}
        for file in sorted(path.absolute().rglob("*")):
            if file.suffix.lower() in ENDINGS and file.is_file():
                name = file.relative_to(path.absolute()).with_suffix("").as_posix()
                setattr(clips.setdefault(name, Sample(name)), "pose" if file.suffix == ".pose" else "video", str(file))
        annotations = Annotations()
        for sample in clips.values():
            _describe(sample, path)
            if sample.text or sample.gloss:
                annotations.samples.append(sample)
            else:
                annotations.problems.append(
                    f"{sample.id}: expected it in a folder of its sign's name, or {sample.id}.txt with what is said, "
                    "found neither"
                )
        return annotations


def _describe(sample: Sample, folder: Path) -> None:
    """Split, and text or else sign, by the clip's place."""
    *folders, _ = sample.id.split("/")
    if folders and folders[0].lower() in SPLITS:
        sample.split = SPLITS[folders.pop(0).lower()]
    text = folder / f"{sample.id}.txt"
    if text.is_file():
        sample.text = text.read_text(encoding="utf-8-sig").strip()
    elif folders:
        sample.gloss = folders[-1]
