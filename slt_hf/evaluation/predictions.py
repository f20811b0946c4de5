"""What is evaluated: hypotheses beside their references, from two files, from one table, or from a checkpoint's run.

References set the test set. An item without a hypothesis counts as an empty one and is counted; a hypothesis for no
item of the test set is left out and counted too.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slt_hf.data.tables import ENDINGS, read_table, read_text, write_table
from slt_hf.errors import EvaluationError

Row = Mapping[str, Any]

# The first of these columns that a table has; ours first, then what other toolkits write.
HYPOTHESIS_COLUMNS = ("hypothesis", "prediction", "predicted", "generated", "translation", "output")
REFERENCE_COLUMNS = ("reference", "text", "target", "translation", "sentence", "gloss", "label")
RANKED_COLUMNS = ("labels", "predictions")  # isolated signs: a list, best first, of labels or [label, probability]
LABEL_COLUMNS = ("label", "gloss", "reference", "text")
OWN_COLUMNS = ("hypothesis", "confidence", "grounding", "truncated", "failure")  # written by `Predictions.rows`
ID_COLUMNS = ("id", "uid", "sample_id", "video_id")


@dataclass(frozen=True)
class Predictions:
    """N items in the order of the references; every list has N entries.

    Attributes:
        hypotheses: texts, "" where the system said nothing or is missing.
        ranked: isolated signs: labels best first, empty where missing; None for text.
        confidences: of the hypothesis or of the first label, 0-1; None where unknown.
        groundings: what each text owes to the signing, 0-1; empty where it was not measured.
        truncated: whether generation stopped at its token limit; None where unknown.
        columns: other columns of the references that say something, such as language, signer or split.
        missing: ids of items without a hypothesis; unexpected: ids of hypotheses without an item.
        failures: id -> why a checkpoint gave nothing.
    """

    ids: list[str]
    references: list[str]
    hypotheses: list[str]
    ranked: list[list[str]] | None = None
    confidences: list[float | None] = field(default_factory=list)
    groundings: list[float | None] = field(default_factory=list)
    truncated: list[bool | None] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def task(self) -> str:
        return "text" if self.ranked is None else "signs"

    @property
    def sha256(self) -> str:
        """Of ids, references and outputs: two reports with the same digest speak of the same predictions."""
        content = json.dumps([self.ids, self.references, self.hypotheses, self.ranked], ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()

    def rows(self) -> list[dict[str, Any]]:
        """One row per item, as `read_predictions` takes them back."""
        rows = []
        for index, item in enumerate(self.ids):
            row: dict[str, Any] = {
                "id": item,
                "reference": self.references[index],
                "hypothesis": self.hypotheses[index],
            }
            if self.ranked is not None:
                row["labels"] = self.ranked[index]
            if self.confidences:
                row["confidence"] = self.confidences[index]
            if self.groundings:
                row["grounding"] = self.groundings[index]
            if self.truncated:
                row["truncated"] = self.truncated[index]
            if item in self.failures:
                row["failure"] = self.failures[item]
            rows.append(row | {name: values[index] for name, values in self.columns.items()})
        return rows

    def write(self, path: str | Path) -> None:
        """As csv, tsv, jsonl or parquet, by the ending."""
        write_table(self.rows(), path)


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Rows of a table, or one row `{"line": …}` per line of any other file; `-` reads lines from standard input.

    Lines end at \\n only: U+2028, form feeds and the like belong to a sentence.
    """
    if str(path) != "-" and Path(path).suffix in (*ENDINGS, ".ndjson"):
        return read_table(path).rows
    if str(path) != "-" and not Path(path).is_file():
        found = "a folder" if Path(path).is_dir() else "nothing"
        raise EvaluationError(f"expected a file of predictions or references, found {found} at {path}; check the path")
    text = sys.stdin.read() if str(path) == "-" else read_text(Path(path))
    lines = text.split("\n")
    return [{"line": line.rstrip("\r")} for line in (lines[:-1] if lines[-1] == "" else lines)]


def read_predictions(
    hypotheses: str | Path,
    references: str | Path | None = None,
    hypothesis_column: str | None = None,
    reference_column: str | None = None,
    id_column: str | None = None,
    task: str = "auto",
) -> Predictions:
    """Predictions from files: two text files line by line, two tables joined by id, or one table with both columns.

    Args:
        hypotheses, references: csv, tsv, jsonl, parquet, or one item per line; the first may hold both columns.
        hypothesis_column, reference_column, id_column: names in the tables; found by their usual names otherwise.
        task: `text`, `signs`, or `auto`: signs if the hypotheses have ranked labels.

    Raises:
        EvaluationError: if files and columns do not fit together.
    """
    said = read_rows(hypotheses)
    asked = said if references is None else read_rows(references)
    return join(said, asked, hypothesis_column, reference_column, id_column, task, alone=references is None)


def join(
    said: Sequence[Row],
    asked: Sequence[Row],
    hypothesis_column: str | None = None,
    reference_column: str | None = None,
    id_column: str | None = None,
    task: str = "auto",
    alone: bool = False,
) -> Predictions:
    """Give each reference row its hypothesis row: by id where both have one, else by place.

    `alone` says that both are the same rows, so that an id may occur twice.
    """
    if not asked:
        raise EvaluationError("expected at least one reference, found none; check the file and the split")
    said_id = _column(said, id_column, ID_COLUMNS, "id") if said else None
    asked_id = _column(asked, id_column, ID_COLUMNS, "id")
    if not alone and asked_id is not None and (said_id is not None or not said):
        by_id = _by_id(said, said_id or "", "hypotheses")
        ids = list(_by_id(asked, asked_id, "references"))
        matched = [by_id.get(item) for item in ids]
        unexpected = [item for item in by_id if item not in set(ids)]
    elif len(said) != len(asked):
        raise EvaluationError(
            f"expected as many hypotheses as references, found {len(said)} for {len(asked)}; give both files an id "
            "column, so that missing items can be told and counted as empty"
        )
    else:
        ids = [str(number if asked_id is None else row[asked_id]) for number, row in enumerate(asked, start=1)]
        matched, unexpected = list(said), []
    ranked_column = _column(said, hypothesis_column, RANKED_COLUMNS, None) if said else None
    signs = task == "signs" or (task == "auto" and _is_ranking(said, ranked_column))
    usual = LABEL_COLUMNS if signs else REFERENCE_COLUMNS
    reference_column = _required(asked, reference_column, usual, "reference")
    hypothesis_column = _hypothesis_column(
        said, hypothesis_column, ranked_column if signs else None, reference_column, alone
    )
    outputs = [None if row is None or row.get("failure") else row.get(hypothesis_column) for row in matched]
    rankings = [_ranking(output) for output in outputs] if signs else None
    return Predictions(
        ids=ids,
        references=[_text(row.get(reference_column)) for row in asked],
        hypotheses=[_first(ranking) for ranking in rankings] if rankings else [_text(output) for output in outputs],
        ranked=[[label for label, _ in ranking] for ranking in rankings] if rankings else None,
        confidences=_confidences(matched, rankings),
        groundings=_groundings(matched),
        truncated=_truncated(matched),
        columns=_other_columns(asked, {reference_column, asked_id, hypothesis_column, *OWN_COLUMNS}),
        missing=[item for item, output in zip(ids, outputs, strict=True) if output is None],
        unexpected=unexpected,
        failures={i: row["failure"] for i, row in zip(ids, matched, strict=True) if row and row.get("failure")},
    )


def _column(rows: Sequence[Row], wanted: str | None, usual: Iterable[str], what: str | None) -> str | None:
    """The named column, or the first usual one; None if there is none and none was named."""
    present = rows[0].keys() | rows[-1].keys()
    if wanted is not None and what is not None and wanted not in present:
        raise EvaluationError(f"expected a column {wanted!r} ({what}), found {', '.join(rows[0])}; name one of those")
    if wanted is not None and wanted in present:
        return wanted
    return next((name for name in usual if name in present), None)


def _required(rows: Sequence[Row], wanted: str | None, usual: Sequence[str], what: str) -> str:
    found = "line" if "line" in rows[0] and wanted is None else _column(rows, wanted, usual, what)
    if found is None:
        raise EvaluationError(
            f"expected a {what} column such as {', '.join(usual[:3])}, found {', '.join(rows[0])}; "
            f"name it with --{what}-column"
        )
    return found


def _hypothesis_column(
    said: Sequence[Row], wanted: str | None, ranked: str | None, reference_column: str, alone: bool
) -> str:
    if not said:
        return wanted or HYPOTHESIS_COLUMNS[0]
    if ranked is not None:
        return ranked
    # Files of hypotheses alone often keep the data's own column name: `text`, `label`.
    usual = (*HYPOTHESIS_COLUMNS, *(() if alone else REFERENCE_COLUMNS))
    return _required(said, wanted, [name for name in usual if not alone or name != reference_column], "hypothesis")


def _by_id(rows: Sequence[Row], column: str, what: str) -> dict[str, Row]:
    """Rows by id; the same id twice is an error, since one of the two would be scored in silence."""
    found: dict[str, Row] = {}
    for number, row in enumerate(rows, start=1):
        item = str(row.get(column))
        if item in found:
            raise EvaluationError(
                f"expected each id once among the {what}, found {item!r} again in row {number}; remove one of the two"
            )
        found[item] = row
    return found


def _is_ranking(rows: Sequence[Row], column: str | None) -> bool:
    """Whether the column holds lists, as they are or as JSON."""
    if column is None:
        return False
    value = next((row[column] for row in rows if row.get(column)), None)
    return isinstance(value, list | tuple) or (isinstance(value, str) and value.startswith("["))


def _ranking(value: Any) -> list[tuple[str, float | None]]:
    """[(label, probability or None)], best first, from a list, its JSON, or a single label."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise EvaluationError(
                f"expected ranked labels as a JSON list, found {value[:60]!r} ({error.msg}); "
                'write ["best", "second"] or [["best", 0.9], ["second", 0.1]]'
            ) from None
    if value is None or value == "":
        return []
    if isinstance(value, list | tuple):
        return [
            (str(entry[0]), float(entry[1])) if isinstance(entry, list | tuple) else (str(entry), None)
            for entry in value
        ]
    return [(str(value), None)]


def _first(ranking: list[tuple[str, float | None]]) -> str:
    return ranking[0][0] if ranking else ""


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _share(row: Row | None, column: str) -> float | None:
    value = None if row is None else row.get(column)
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise EvaluationError(
            f"column {column}: expected a number from 0 to 1, found {value!r}; correct it, or call the column otherwise"
        ) from None


def _groundings(rows: Sequence[Row | None]) -> list[float | None]:
    """From a `grounding` column; empty if nobody gave any."""
    found = [_share(row, "grounding") for row in rows]
    return found if any(value is not None for value in found) else []


def _confidences(
    matched: Sequence[Row | None], rankings: list[list[tuple[str, float | None]]] | None
) -> list[float | None]:
    """From a `confidence` column, else from the first ranked label; empty if nobody gave any."""
    found: list[float | None] = []
    for index, row in enumerate(matched):
        value = _share(row, "confidence")
        if value is None and rankings is not None and rankings[index]:
            value = rankings[index][0][1]
        found.append(value)
    return found if any(value is not None for value in found) else []


def _truncated(matched: Sequence[Row | None]) -> list[bool | None]:
    values = [None if row is None else row.get("truncated") for row in matched]
    known = {"true": True, "1": True, "false": False, "0": False}
    flags = [known.get(str(value).lower()) for value in values]
    return flags if any(flag is not None for flag in flags) else []


def _other_columns(rows: Sequence[Row], used: set[str | None]) -> dict[str, list[Any]]:
    names = [name for name in rows[0] if name not in used and name != "line"]
    names = [name for name in names if any(row.get(name) not in (None, "") for row in rows)]
    return {name: [row.get(name) for row in rows] for name in names}
