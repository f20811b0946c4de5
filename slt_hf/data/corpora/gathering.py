"""From a corpus on disk to manifest rows: what `slt-hf manifest` and `slt-hf prepare --corpus` have in common."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from slt_hf.data.corpora import Corpus, get_corpus
from slt_hf.data.glossary import keep_glossary
from slt_hf.data.manifest import summary, write_manifest
from slt_hf.data.sample import Sample
from slt_hf.data.splits import assign_split
from slt_hf.errors import CorpusError


@dataclass
class Gathered:
    """Rows of a corpus, what was left out, and what to know.

    Attributes:
        located: how many rows have their media; None where nobody looked.
    """

    corpus: Corpus
    samples: list[Sample]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    located: int | None = None


def gather(
    corpus: str,
    annotations: str | Path,
    config: str | None = None,
    glossary: str | None = None,
    media_dir: str | Path | None = None,
    skip_invalid: bool = False,
) -> Gathered:
    """Read a corpus' annotations, keep the signs of a glossary, split what has no split, and find the media.

    Raises:
        CorpusError: unknown names, absent files, or rows that contradict themselves unless `skip_invalid`.
    """
    source = get_corpus(corpus)
    found = source.read(annotations, config)
    if found.problems and not skip_invalid:
        raise CorpusError(f"{summary(found.problems)}; correct the rows, or pass --skip-invalid")
    samples = keep_glossary(found.samples, glossary) if glossary else found.samples
    gathered = Gathered(source, samples, found.problems, found.notes)
    if made := assign_split(samples):
        gathered.notes.append(f"{source.title}: {made}")
    if media_dir is not None:
        folder = Path(media_dir).absolute()
        gathered.located = sum(_locate(source, sample, folder) for sample in samples)
    return gathered


def _locate(corpus: Corpus, sample: Sample, folder: Path) -> bool:
    """As the corpus does it; a row without media keeps the name that its video should have, for the ledger to tell."""
    named = sample.pose, sample.video
    if corpus.locate(sample, folder):
        return True
    sample.pose, sample.video = (str(folder / name) if name is not None else None for name in named)
    return False


def write_corpus_manifest(
    corpus: str, folder: str | Path, output: str | Path, config: str | None, glossary: str | None, skip_invalid: bool
) -> Path:
    """`manifest.jsonl` in `output`: every row of the corpus in `folder`, with its media and a split.

    Paths are relative to `output`, so the same corpus gives the same bytes wherever the two lie together.
    """
    gathered = gather(corpus, folder, config, glossary, folder, skip_invalid)
    output = Path(output).absolute()
    for sample in gathered.samples:
        sample.pose, sample.video = (
            os.path.relpath(name, output) if name is not None else None for name in (sample.pose, sample.video)
        )
    write_manifest(gathered.samples, output / "manifest.jsonl")
    return output / "manifest.jsonl"
