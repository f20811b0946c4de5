"""Manifests: one row a clip, in CSV, TSV, JSONL or Parquet, validated row by row. docs/data.md lists the columns."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from slt_hf.data.columns import CellError, canonical_columns, parse_row
from slt_hf.data.sample import FIELDS, Sample, split_name
from slt_hf.data.tables import read_table, write_table
from slt_hf.errors import ManifestError

__all__ = ["ManifestReport", "Sample", "check_manifest", "leaks", "read_manifest", "split_name", "write_manifest"]

logger = logging.getLogger(__name__)
SHOWN = 20  # problems listed before "and N more"
NOTES_SHOWN = 5  # the same for each kind of note


@dataclass
class ManifestReport:
    """What a manifest holds: its good rows, what is wrong with the others, and what to know about the whole."""

    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_manifest(
    path: str | Path,
    *,
    split: str | None = None,
    strict: bool = False,
    skip_invalid: bool = False,
    check_files: bool = True,
    encoding: str = "utf-8",
) -> list[Sample]:
    """Read a manifest; relative paths in it start at its own folder.

    Args:
        split: keep the rows of this split only (dev, val and validation are one).
        strict: a signer, recording or clip that two splits share is an error instead of a warning.
        skip_invalid: leave bad rows out, with a warning each, instead of raising.
        check_files: a named pose or video that does not exist makes its row bad. `slt-hf prepare` passes False and
            writes `missing` into its ledger instead.

    Raises:
        ManifestError: naming file, row and column of everything that is wrong. Rows count from 1, below the header.
    """
    report = check_manifest(path, check_files=check_files, encoding=encoding)
    if strict:
        report.problems += report.notes
    if report.problems and (strict or not skip_invalid):
        raise ManifestError(summary(report.problems))
    for message in [*report.problems, *report.notes]:
        logger.warning("%s", message)
    return [sample for sample in report.samples if split is None or sample.split == split_name(split)]


def check_manifest(path: str | Path, *, check_files: bool = True, encoding: str = "utf-8") -> ManifestReport:
    """Read every row and collect what is wrong, instead of stopping at the first bad row."""
    path = Path(path)
    table = read_table(path, encoding)
    report = ManifestReport()
    try:
        mapping = canonical_columns(table.columns)
    except CellError as error:
        raise ManifestError(f"{path.name}, {error}") from None
    if not {"pose", "video", "path"} & set(mapping.values()):
        table.require("pose")
    first_row: dict[str, int] = {}
    for row_number, row in enumerate(table.rows, start=1):
        try:
            sample = parse_row(row, mapping)
            _check_id(sample, first_row)
            _resolve(sample, path.parent, check_files)
        except CellError as error:
            report.problems.append(f"row {row_number} of {path.name}, {error}")
        else:
            first_row[sample.id] = row_number
            report.samples.append(sample)
    if not table.rows:
        report.problems.append(f"{path.name}: expected rows below the header, found none; fill the manifest")
    report.notes = leaks(report.samples)
    return report


def _check_id(sample: Sample, first_row: dict[str, int]) -> None:
    if sample.id in first_row:
        raise CellError(
            "id", f"a name used once (row {first_row[sample.id]} has it too)", sample.id, "rename or remove one of them"
        )


def _resolve(sample: Sample, folder: Path, check_files: bool) -> None:
    """Make the paths of a sample independent of the working directory, and see that they exist."""
    for column in ("pose", "video"):
        name = getattr(sample, column)
        if name is None or "://" in name:  # an address: slt-hf prepare fetches it
            continue
        resolved = str(folder / name)
        if check_files and not media_exists(resolved):
            raise CellError(column, "a readable file", resolved, "correct the path, or fetch the file")
        setattr(sample, column, resolved)


def media_exists(path: str) -> bool:
    """Whether a file, a folder of frames (`a/b/*.png`) or the file of a clip inside it (`data.pkl#ID`) is there."""
    candidate = Path(path)
    if "*" in candidate.name:
        return any(candidate.parent.glob(candidate.name)) if candidate.parent.is_dir() else False
    return candidate.exists() or ("#" in path and Path(path.rsplit("#", 1)[0]).exists())


def leaks(samples: Iterable[Sample]) -> list[str]:
    """One line for each signer, recording or clip that several splits share, and for each clip with two names."""
    samples = [sample for sample in samples]
    notes: list[str] = []
    for name in ("signer", "source"):
        rows: dict[str, Counter[str]] = defaultdict(Counter)
        for sample in samples:
            if (value := getattr(sample, name)) is not None and sample.split is not None:
                rows[value][sample.split] += 1
        shared = {value: splits for value, splits in rows.items() if len(splits) > 1}
        notes += [_leak(name, value, splits) for value, splits in list(shared.items())[:NOTES_SHOWN]]
        if len(shared) > NOTES_SHOWN:
            notes.append(f"and {len(shared) - NOTES_SHOWN} more, found in several splits by their {name}")
    return notes + _twins(samples)


def _leak(name: str, value: str, splits: Counter[str]) -> str:
    counts = ", ".join(f"{split} ({count} rows)" for split, count in sorted(splits.items()))
    what = "signer" if name == "signer" else "source video"
    return (
        f"column {name}: expected each {what} in one split, found {value!r} in {counts}; move its rows into one split"
    )


def _twins(samples: list[Sample]) -> list[str]:
    names: dict[tuple[str | float | None, ...], list[Sample]] = defaultdict(list)
    for sample in samples:
        names[sample.pose, sample.video, sample.start_ms, sample.end_ms].append(sample)
    twins = [group for group in names.values() if len(group) > 1]
    notes = [
        f"column id: expected each clip once, found the same clip as {', '.join(sample.id for sample in group[:4])} "
        f"({', '.join(sorted({sample.split or 'no split' for sample in group}))}); remove all but one"
        for group in twins[:NOTES_SHOWN]
    ]
    return notes + (
        [f"and {len(twins) - NOTES_SHOWN} more clips under several names"] if len(twins) > NOTES_SHOWN else []
    )


def summary(messages: list[str]) -> str:
    """The first messages, a line each, and how many more there are."""
    rest = len(messages) - SHOWN
    return "\n".join(messages[:SHOWN] + ([f"and {rest} more"] if rest > 0 else []))


def write_manifest(samples: Iterable[Sample], path: str | Path) -> int:
    """Write samples by the ending of `path` (csv, tsv, jsonl, parquet); fields that no sample has are left out.

    Returns:
        How many rows were written.
    """
    rows = [sample.to_row() for sample in samples]
    used = set().union(*rows) if rows else {"id"}
    columns = [name for name in FIELDS if name in used]
    columns += [name for name in dict.fromkeys(key for row in rows for key in row) if name not in FIELDS]
    return write_table(rows, path, columns)
