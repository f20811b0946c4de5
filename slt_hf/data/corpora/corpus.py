"""What every corpus has in common: its card, how its annotations become samples, and where its media lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from slt_hf.data.sample import Sample, split_name
from slt_hf.data.tables import Table
from slt_hf.errors import CorpusError

SPLIT_IN_NAME = re.compile(r"(?<![a-z])(train|training|dev|val|valid|validation|test)(?![a-z])", re.IGNORECASE)
VIDEO_FOLDERS = ("videos", "video", "raw_videos", ".")
POSE_FOLDERS = ("poses", "pose", ".")


@dataclass
class Annotations:
    """What an annotation file gives: samples, rows that contradict themselves, and things to know."""

    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def extend(self, other: Annotations) -> None:
        self.samples += other.samples
        self.problems += other.problems
        self.notes += other.notes


@dataclass(frozen=True)
class Media:
    """A place where a clip may lie, below the corpus folder. `cut`: the file is the clip, so its times do not apply."""

    path: str
    cut: bool = False


class Corpus:
    """One corpus. Subclasses fill the card and read one annotation file; see docs/data.md for adding one."""

    name: ClassVar[str]
    title: ClassVar[str]
    homepage: ClassVar[str]
    licence: ClassVar[str]
    hub_licence: ClassVar[str] = "other"
    """The licence as the Hub spells it, for dataset cards."""
    ask: ClassVar[str]
    """Where and how to get the corpus."""
    folder: ClassVar[str]
    """How the folder must look, as a drawn tree."""
    patterns: ClassVar[tuple[str, ...]]
    """Annotation files below the folder, as globs."""
    configs: ClassVar[tuple[str, ...]]
    sign_language: ClassVar[str | None] = None
    language: ClassVar[str | None] = None
    extras: ClassVar[Mapping[str, str]] = {}
    """Columns beyond the Sample's fields, with their types in `datasets`' spelling."""

    def read(self, path: str | Path, config: str | None = None) -> Annotations:
        """Every sample of an annotation file, or of the annotation files of a folder; no media is needed.

        Raises:
            CorpusError: absent or laid out differently; says where to ask and how the folder must look.
            ManifestError: an annotation file that cannot be read.
        """
        config = self.check_config(config)
        annotations = Annotations()
        for file in self.find(Path(path), config):
            annotations.extend(self.read_file(file, config))
        return self._without_repeats(annotations)

    def read_file(self, path: Path, config: str | None) -> Annotations:
        raise TypeError(f"{type(self).__name__} must define read_file")

    def media(self, sample: Sample) -> Iterable[Media]:
        """Places of a sample's clip, best first."""
        name = sample.video or f"{sample.id}.mp4"
        yield from (Media(f"{place}/{sample.id}.pose") for place in POSE_FOLDERS)
        yield from (Media(f"{place}/{name}") for place in VIDEO_FOLDERS)

    def check_config(self, config: str | None) -> str | None:
        if config is not None and config not in self.configs:
            raise CorpusError(
                f"{self.title}: expected a configuration among {', '.join(self.configs)}, found {config!r}"
            )
        return config

    def find(self, path: Path, config: str | None) -> list[Path]:
        """The annotation files: `path` itself, or what the patterns find below it."""
        if path.is_file():
            return [path]
        found = [file for pattern in self.patterns for file in sorted(path.glob(pattern)) if file.is_file()]
        if not found:
            what = "none of these files" if path.is_dir() else "no such file or folder"
            raise CorpusError(f"{path}: expected annotations of {self.title}, found {what}. {self.how_to_get()}")
        return list(dict.fromkeys(found))

    def how_to_get(self) -> str:
        """Where to ask for the corpus, how the folder must look, and its licence."""
        return (
            f"Get it: {self.ask} The folder must look like this:\n{self.folder.strip(chr(10))}\n"
            f"Licence: {self.licence} ({self.homepage})"
        )

    def locate(self, sample: Sample, folder: Path) -> bool:
        """Point a sample at the media below `folder`: pose, video or both; False where there is none."""
        found: list[tuple[str, Media]] = []
        for place in self.media(sample):
            kind = "pose" if place.path.endswith(".pose") else "video"
            if all(other != kind and kept.cut == place.cut for other, kept in found) and _exists(folder, place.path):
                found.append((kind, place))
        sample.pose = sample.video = None
        for kind, place in found:
            setattr(sample, kind, str(folder / place.path))
        if found and found[0][1].cut:
            sample.start_ms = sample.end_ms = None
        return bool(found)

    def _without_repeats(self, annotations: Annotations) -> Annotations:
        """Keep the first of several rows with one id, and say so."""
        kept: dict[str, Sample] = {}
        for sample in annotations.samples:
            if sample.id not in kept:
                kept[sample.id] = sample
                continue
            same = (sample.text, sample.gloss) == (kept[sample.id].text, kept[sample.id].gloss)
            what = "the same content" if same else "different content"
            annotations.notes.append(f"{self.title}: id {sample.id} occurs again with {what}; the first is kept")
        annotations.samples = list(kept.values())
        return annotations


def _exists(folder: Path, relative: str) -> bool:
    place = folder / relative
    return any(place.parent.glob(place.name)) if "*" in place.name else place.is_file()


def split_of(path: Path) -> str | None:
    """The split that a file is named for: how2sign_realigned_val.csv is validation."""
    found = SPLIT_IN_NAME.findall(path.name)
    return split_name(found[-1]) if found else None


def text_rows(
    table: Table, id_column: str, text_column: str, problems: list[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with an id and a text; the others are added to `problems`."""
    table.require(id_column, text_column)
    for number, row in enumerate(table.rows, start=1):
        empty = [column for column in (id_column, text_column) if not str(row[column] or "").strip()]
        if empty:
            problems.append(
                f"row {number} of {table.name}, column {empty[0]}: expected text, found an empty cell; skip the row"
            )
        else:
            yield number, row
