"""`slt-hf manifest`: a corpus' own annotations as rows of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def manifest(
    corpus: Annotated[
        str, typer.Argument(help="wlasl, asl_citizen, isign, how2sign, phoenix14t, msasl, include, folder or manifest")
    ],
    annotations: Annotated[Path, typer.Argument(help="annotation file of the corpus, or the folder that holds it")],
    output: Annotated[Path, typer.Option(help="rows to write; the ending says how: .jsonl, .csv, .tsv or .parquet")],
    config: Annotated[str | None, typer.Option(help="subset, such as wlasl100; the whole file by default")] = None,
    glossary: Annotated[str | None, typer.Option(help="keep these signs only: everyday, or a file of words")] = None,
    media_dir: Annotated[Path | None, typer.Option(help="name the media found here, and fit times to them")] = None,
    skip_invalid: Annotated[
        bool, typer.Option(help="leave out rows that contradict themselves, with a warning each")
    ] = False,
    strict: Annotated[bool, typer.Option(help="splits that share a signer or a recording are an error")] = False,
) -> None:
    """Turn a corpus' annotation file or folder into manifest rows, without needing the media."""
    import sys

    from slt_hf.data.corpora.gathering import gather
    from slt_hf.data.manifest import leaks, summary, write_manifest
    from slt_hf.errors import ManifestError

    gathered = gather(corpus, annotations, config, glossary, media_dir, skip_invalid)
    shared = leaks(gathered.samples)
    if shared and strict:
        raise ManifestError(f"{summary(shared)}\nmove or remove rows, or leave --strict out")
    for message in dict.fromkeys(gathered.problems + gathered.notes + shared):
        print(f"slt-hf: {message}", file=sys.stderr)
    write_manifest(gathered.samples, output)
    if gathered.located is not None:
        print(f"media: {gathered.located} of {len(gathered.samples)} found in {media_dir}")
    source = gathered.corpus
    print(_counts(source.title, gathered.samples, output, len(gathered.problems)))
    print(f"licence: {source.licence} ({source.homepage})")


def _counts(title: str, samples: list, output: Path, skipped: int) -> str:
    """How many rows, by split, and of how many glosses and signers."""
    from collections import Counter

    splits = Counter(sample.split or "no split" for sample in samples)
    parts = [f"{count} {split}" for split, count in splits.most_common()]
    parts += [
        f"{len(values)} {name}"
        for name, values in (
            ("glosses", {sample.gloss for sample in samples} - {None}),
            ("signers", {sample.signer for sample in samples} - {None}),
            ("source videos", {sample.source for sample in samples} - {None}),
        )
        if values
    ]
    left_out = f", {skipped} left out" if skipped else ""
    return f"{title}: {len(samples)} rows in {output} ({', '.join(parts)}){left_out}"
