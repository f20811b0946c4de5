"""From the cells of one manifest row to a Sample: names, units and types of columns, and what is said of misfits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from slt_hf.data.sample import FIELDS, Sample, split_name

VIDEO_ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".swf")

# Other people's names for our columns. `signal` and its neighbours are multimodalhugs' (times in milliseconds, 0 to 0
# is the
# whole clip); what a path column holds, poses or video, goes by the ending.
ALIASES = {
    "signal": "path",
    "source_signal": "path",
    "file": "path",
    "signal_start": "start_ms",
    "signal_end": "end_ms",
    "source_start": "start_ms",
    "source_end": "end_ms",
    "output": "text",
    "output_text": "text",
    "encoder_prompt": "sign_language",
    "decoder_prompt": "language",
    "spoken_language": "language",
    "signed_language": "sign_language",
    "participant_id": "signer",
    "sign": "gloss",
    "label": "gloss",
    "glosses": "gloss",
    "frames": "num_frames",
    "source_video": "source",
}
WHOLE_CLIP_IS_ZERO = {"signal_end", "source_end"}
TIME_UNITS = ("ms", "s", "frame")


class CellError(ValueError):
    """A cell that does not hold what its column promises."""

    def __init__(self, column: str, expected: str, found: Any, advice: str) -> None:
        super().__init__(f"column {column}: expected {expected}, found {found!r}; {advice}")


def _text(column: str, cell: Any) -> str:
    if isinstance(cell, str) and cell.strip():
        return cell
    if isinstance(cell, str) or cell is None:
        raise CellError(column, "text", cell, "fill the cell or remove the row")
    return str(cell)


def _name(column: str, cell: Any) -> str:
    return _text(column, cell).strip()


def _number(column: str, cell: Any) -> float:
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value) or isinstance(cell, bool):
        raise CellError(column, "a number", cell, "correct the cell")
    return value


def _time(column: str, cell: Any) -> float:
    value = _number(column, cell)
    if value < 0:
        raise CellError(column, "a time of 0 or more", cell, "leave the cell empty for the whole clip")
    return value


def _rate(column: str, cell: Any) -> float:
    value = _number(column, cell)
    if not 0 < value <= 1000:
        raise CellError(column, "frames per second above 0 and up to 1000", cell, "correct the frame rate")
    return value


def _count(column: str, cell: Any, least: int = 1) -> int:
    value = _number(column, cell)
    if value < least or not value.is_integer():
        raise CellError(column, f"a whole number of {least} or more", cell, "correct the cell")
    return int(value)


def _index(column: str, cell: Any) -> int:
    return _count(column, cell, least=0)


def _box(column: str, cell: Any) -> list[float]:
    try:
        box = [float(value) for value in (json.loads(cell) if isinstance(cell, str) else cell)]
    except (TypeError, ValueError):
        box = []
    if len(box) != 4 or not all(map(math.isfinite, box)) or box[2] <= box[0] or box[3] <= box[1]:
        raise CellError(column, "x_min, y_min, x_max, y_max in pixels as [10, 20, 300, 400]", cell, "correct the box")
    return box


def _language(column: str, cell: Any) -> str:
    return _text(column, cell).strip().strip("_")  # multimodalhugs writes language tokens: __dgs__


PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "text": _text,  # as it is, spaces too: references are the raw column
    "fps": _rate,
    "num_frames": _count,
    "width": _count,
    "height": _count,
    "bbox": _box,
    "variation": _index,
    "class_index": _index,
    "language": _language,
    "sign_language": _language,
    "split": lambda column, cell: split_name(_text(column, cell)),
}


def canonical_columns(columns: tuple[str, ...]) -> dict[str, str]:
    """Which column of the file feeds which field: {column: field}; our own names win over aliases, others are extras.

    Raises:
        CellError: times without a unit, or in two units.
    """
    for edge in ("start", "end"):
        found = [column for column in columns if column in {f"{edge}_{unit}" for unit in TIME_UNITS}]
        if edge in columns and not found:
            raise CellError(
                edge, "a unit in the name of a time column", edge, f"call it {edge}_ms, {edge}_s or {edge}_frame"
            )
        if len(found) > 1:
            raise CellError(found[1], f"one unit for {edge}", ", ".join(found), "remove all but one of them")
    mapping = {column: column for column in columns if column in FIELDS or column == "path" or _is_time(column)}
    for column in columns:
        if (
            column in ALIASES
            and ALIASES[column] not in mapping.values()
            and not (ALIASES[column] == "path" and "pose" in columns)
        ):
            mapping[column] = ALIASES[column]
    return mapping


def _is_time(column: str) -> bool:
    return column in {f"{edge}_{unit}" for edge in ("start", "end") for unit in TIME_UNITS}


def is_empty(cell: Any) -> bool:
    """Whether a cell says nothing: null, or blank text."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def parse_row(row: Mapping[str, Any], mapping: Mapping[str, str]) -> Sample:
    """Turn one row into a Sample.

    Raises:
        CellError: the first cell that does not fit.
    """
    values: dict[str, Any] = {}
    extras: dict[str, Any] = {}
    for column, cell in row.items():
        target = mapping.get(column)
        if target is None:
            extras[column] = cell
        elif not is_empty(cell):
            values[target] = _parse_cell(column, target, cell)
        elif isinstance(cell, str) and target == "text" and is_empty(row.get("gloss")):
            raise CellError(column, "text", cell, "fill the cell or remove the row")
    _name_media(values, extras)
    _convert_times(values)
    if values.get("id") is None and "id" not in mapping and (media := values.get("pose") or values.get("video")):
        values["id"] = media.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    _check_whole(values)
    return Sample(**values, extras={key: cell for key, cell in extras.items() if not is_empty(cell)})


def _parse_cell(column: str, target: str, cell: Any) -> Any:
    if _is_time(target):
        value = _time(column, cell)
        return None if column in WHOLE_CLIP_IS_ZERO and value == 0 else value
    return PARSERS.get(target, _name)(column, cell)


def _name_media(values: dict[str, Any], extras: dict[str, Any]) -> None:
    path = values.pop("path", None)
    if path is not None:
        if path.endswith(".npz") and not is_empty(extras.get("index")):
            path = f"{path}#{extras['index']}"  # many clips in one file
        kind = "video" if path.lower().endswith(VIDEO_ENDINGS) else "pose"
        values.setdefault(kind, path)


def _convert_times(values: dict[str, Any]) -> None:
    """Bring start_s and start_frame to milliseconds. Frames count from 0; the end frame is the first one left out."""
    for edge in ("start", "end"):
        seconds, frame = values.pop(f"{edge}_s", None), values.pop(f"{edge}_frame", None)
        if seconds is not None:
            values[f"{edge}_ms"] = seconds * 1000
        if frame is not None:
            if values.get("fps") is None:
                raise CellError(
                    "fps", f"the frame rate that {edge}_frame counts in", None, "add a column fps, or give times in ms"
                )
            values[f"{edge}_ms"] = frame * 1000 / values["fps"]


def _check_whole(values: Mapping[str, Any]) -> None:
    if values.get("id") is None:
        raise CellError("id", "a name for the row", None, "fill the column id")
    if values.get("pose") is None and values.get("video") is None:
        raise CellError("pose", "a path in the column pose or video", None, "name the file of the clip")
    start, end = values.get("start_ms"), values.get("end_ms")
    if end is not None and end <= (start or 0):
        raise CellError(
            "end_ms", f"an end after the start at {start or 0:g} ms", end, "correct the row, or pass --skip-invalid"
        )
