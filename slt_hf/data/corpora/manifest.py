"""Any other collection: a manifest of the user's own (docs/data.md), opened like a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from slt_hf.data.corpora.corpus import Annotations, Corpus
from slt_hf.data.manifest import check_manifest, media_exists
from slt_hf.data.sample import Sample


class ManifestCorpus(Corpus):
    name = "manifest"
    title = "a manifest"
    homepage = "docs/data.md"
    licence = "as the owner of the clips says"
    ask = "write a table with a row for each clip: id, pose or video, text or gloss, split (docs/data.md)."
    folder = """
    data_dir/
      manifest.csv       or .tsv, .jsonl, .parquet; data_dir may also be that file itself
      ...                clips, at the paths that the manifest names"""
    patterns: ClassVar[tuple[str, ...]] = ("manifest.csv", "manifest.tsv", "manifest.jsonl", "manifest.parquet")
    configs = ("default",)
    extras: ClassVar[Mapping[str, str]] = {"extras": "string"}

    def find(self, path: Path, config: str | None) -> list[Path]:
        return super().find(path, config)[:1]

    def read_file(self, path: Path, config: str | None) -> Annotations:
        report = check_manifest(path, check_files=False)
        return Annotations(report.samples, report.problems, report.notes)

    def locate(self, sample: Sample, folder: Path) -> bool:
        """The manifest names its own files; one that is absent becomes None."""
        for kind in ("pose", "video"):
            if (name := getattr(sample, kind)) is not None and not media_exists(name):
                setattr(sample, kind, None)
        return sample.pose is not None or sample.video is not None
