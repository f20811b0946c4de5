"""Tables as people have them: CSV, TSV, `|`-separated, JSONL, Parquet; read strictly, errors name file and row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slt_hf.errors import ManifestError

DELIMITERS = ("\t", "|", ",", ";")
ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
csv.field_size_limit(1 << 24)  # 16 MB a cell; the default of 128 kB is less than one line of long annotations


@dataclass(frozen=True)
class Table:
    """Rows as the file has them. Row numbers count data rows from 1; the header is not a row."""

    name: str
    columns: tuple[str, ...]
    rows: list[dict[str, Any]]

    def require(self, *columns: str) -> None:
        """Raise ManifestError, listing what was found, unless every column is there."""
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise ManifestError(
                f"{self.name}: expected the column{'s' * (len(missing) > 1)} {', '.join(missing)}, "
                f"found {', '.join(self.columns) or 'no columns'}; rename the columns of the file"
            )


def read_table(path: str | Path, encoding: str = "utf-8") -> Table:
    """Read a whole table; the format goes by the ending, the delimiter of text tables by the header line.

    Raises:
        ManifestError: absent file, unknown ending, wrong encoding, unclosed quote, row of another width, broken JSON.
    """
    path = Path(path)
    if not path.is_file():
        found, then = ("a folder", "name its corpus") if path.is_dir() else ("nothing", "check the path")
        what = "expected a table (csv, tsv, jsonl, parquet)"
        raise ManifestError(f"{path}: {what}, found {found}; {then} (docs/data.md)")
    if path.suffix == ".parquet":
        return _read_parquet(path)
    text = read_text(path, encoding)
    return _read_jsonl(path, text) if path.suffix in (".jsonl", ".ndjson") else _read_delimited(path, text)


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """The text of a file without its byte order mark."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ManifestError(
            f"{path.name}: expected {encoding} text, found byte 0x{content[error.start]:02x} in line {line}, "
            f"as latin-1 or "
            f"cp1252 would have it; convert the file (iconv -f latin1 -t utf-8) or name its encoding"
        ) from None


def read_json(path: Path) -> Any:
    """A JSON file, with an error that names the place."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ManifestError(
            f"{path.name}: expected JSON, found damage in line {error.lineno}, column {error.colno} "
            f"({error.msg}); fetch it again"
        ) from None


def _read_parquet(path: Path) -> Table:
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from both
        raise ManifestError(f"{path.name}: expected a Parquet file, found damage ({error}); write it again") from None
    return Table(path.name, tuple(table.column_names), table.to_pylist())


def _read_jsonl(path: Path, text: str) -> Table:
    rows: list[dict[str, Any]] = []
    columns: dict[str, None] = {}
    for line_number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ManifestError(
                f"line {line_number} of {path.name}: expected a JSON object, found damage ({error.msg})"
            ) from None
        if not isinstance(row, dict):
            raise ManifestError(
                f"line {line_number} of {path.name}: expected a JSON object, found {type(row).__name__}; "
                f"write one object a line"
            )
        rows.append(row)
        columns.update(dict.fromkeys(row))
    return Table(path.name, tuple(columns), rows)


def sniff_delimiter(header: str) -> str:
    """The delimiter that cuts the header into most columns: How2Sign's `.csv` files are tab separated."""
    return max(DELIMITERS, key=header.count) if any(mark in header for mark in DELIMITERS) else ","


def _read_delimited(path: Path, text: str) -> Table:
    header = text.split("\n", 1)[0].rstrip("\r")
    if not header.strip():
        raise ManifestError(f"{path.name}: expected a header line with column names, found an empty file; add one")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sniff_delimiter(header), strict=True)
    columns = tuple(name.strip() for name in next(reader))
    rows: list[dict[str, Any]] = []
    first_line = reader.line_num + 1
    try:
        for cells in reader:
            if cells:
                rows.append(_named(path.name, len(rows) + 1, first_line, columns, cells))
            first_line = reader.line_num + 1
    except csv.Error as error:
        raise ManifestError(
            f"row {len(rows) + 1} of {path.name} (from line {first_line}): expected every quotation mark to be closed, "
            f"found {error}; close or double the quote"
        ) from None
    return Table(path.name, columns, rows)


def _named(name: str, row: int, line: int, columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) != len(columns):
        raise ManifestError(
            f"row {row} of {name} (line {line}): expected {len(columns)} cells ({', '.join(columns)}), found "
            f"{len(cells)}; "
            f"quote cells that hold the delimiter"
        )
    return dict(zip(columns, cells, strict=True))


def write_table(rows: Iterable[Mapping[str, Any]], path: str | Path, columns: Sequence[str] | None = None) -> int:
    """Write rows by the ending of `path` (csv, tsv, jsonl, parquet); an absent value is an empty cell or left out.

    Returns:
        How many rows were written.
    """
    path, rows = Path(path), list(rows)
    if path.suffix not in ENDINGS:
        raise ManifestError(
            f"{path}: expected an ending among {', '.join(ENDINGS)}, found {path.suffix!r}; rename the output"
        )
    columns = list(columns) if columns is not None else list(dict.fromkeys(key for row in rows for key in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        _write_parquet(rows, path, columns)
    elif path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                kept = {key: row[key] for key in columns if row.get(key) is not None}
                file.write(json.dumps(kept, ensure_ascii=False) + "\n")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",", lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_cell(row.get(key)) for key in columns] for row in rows)
    return len(rows)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else value


def _write_parquet(rows: list[Mapping[str, Any]], path: Path, columns: Sequence[str]) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    table = pyarrow.table({key: [row.get(key) for row in rows] for key in columns})
    parquet.write_table(table, path)
