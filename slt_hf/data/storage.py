"""Shards of prepared clips: Parquet with native types only, so that plain `datasets` opens them anywhere.

A clip's points are one binary column of C-order float16, (T, V, C), and its lengths are columns of their own: batching
opens no clip, and decoding is one `numpy.frombuffer`. float16 holds eleven bits, so points are stored relative to the
clip's centre and extent (`offset`, `scale`, per coordinate): the error is below 1/2000 of the signer's extent.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from slt_hf.errors import ClipError, PreparationError
from slt_hf.processing.landmarks import convert
from slt_hf.processing.pose_files import PoseClip

# T frames, V landmarks, C coordinates

CLIP_FIELDS: dict[str, pa.DataType] = {
    "pose": pa.binary(),  # float16 (T, V, C), C order; NaN where undetected; position = pose * scale + offset
    "confidence": pa.binary(),  # float16 (T, V), 0 where undetected
    "num_frames": pa.int32(),  # T
    "num_landmarks": pa.int32(),  # V
    "num_coordinates": pa.int32(),  # C
    "layout": pa.string(),
    "fps": pa.float32(),
    "width": pa.int32(),  # of the image, pixels
    "height": pa.int32(),
    "num_people": pa.int32(),
    "offset": pa.list_(pa.float32()),  # (C,)
    "scale": pa.list_(pa.float32()),  # (C,)
}
TEXT_FIELDS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "text": pa.string(),
    "gloss": pa.string(),
    "language": pa.string(),
    "sign_language": pa.string(),
    "signer": pa.string(),
    "split": pa.string(),
    "class_index": pa.int32(),  # of an isolated sign
    "source": pa.string(),  # the recording the clip was cut from
    "url": pa.string(),
    "start_ms": pa.float64(),  # the part of the source that the clip shows
    "end_ms": pa.float64(),
    "extractor": pa.string(),  # name and version of what made the landmarks
    "checksum": pa.string(),  # SHA-256 of the source file
    "extras": pa.string(),  # further columns of the manifest, as JSON
}
SCHEMA = pa.schema({**TEXT_FIELDS, **CLIP_FIELDS})


def encode_clip(clip: PoseClip) -> dict[str, Any]:
    """The clip as the columns of `CLIP_FIELDS`.

    Raises:
        ClipError: if there is no frame, or nothing finite in any frame.
    """
    points = np.asarray(clip.points, np.float32)
    finite = np.isfinite(points)
    if not finite.any():
        raise ClipError(f"expected a clip with landmarks, found none in {len(points)} frames of {clip.source}; skip it")
    offset, scale = _centre_and_extent(points, finite)
    unit = np.where(finite, (points - offset) / scale, np.nan)
    frames, landmarks, coordinates = points.shape
    return {
        "pose": unit.astype("<f2").tobytes(),
        "confidence": np.asarray(clip.confidence).astype("<f2").tobytes(),
        "num_frames": frames,
        "num_landmarks": landmarks,
        "num_coordinates": coordinates,
        "layout": clip.layout,
        "fps": float(clip.fps),
        "width": clip.width,
        "height": clip.height,
        "num_people": clip.num_people,
        "offset": offset.tolist(),
        "scale": scale.tolist(),
    }


def _centre_and_extent(points: np.ndarray, finite: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per coordinate the middle and half the range of the finite values, (C,) each; the scale is never 0."""
    low = np.where(finite, points, np.inf).min((0, 1))
    high = np.where(finite, points, -np.inf).max((0, 1))
    known = np.isfinite(low)
    offset = np.where(known, (low + high) / 2, 0).astype(np.float32)
    half = np.where(known, (high - low) / 2, 0)
    return offset, np.where(half > 0, half, 1).astype(np.float32)


def decode_points(row: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Points (T, V, C) relative to centre and extent, and confidence (T, V): float16 views, nothing copied."""
    shape = (row["num_frames"], row["num_landmarks"], row["num_coordinates"])
    points = np.frombuffer(row["pose"], "<f2").reshape(shape)
    return points, np.frombuffer(row["confidence"], "<f2").reshape(shape[:2])


def decode_clip(row: Mapping[str, Any], layout: str | None = None, num_axes: int | None = None) -> PoseClip:
    """The clip that `encode_clip` stored, as float32 in its original unit.

    Args:
        row: of the shards.
        layout: decode only the landmarks of this layout; None decodes all. Much the same as converting afterwards,
            and several times faster where the stored layout is large.
        num_axes: decode only the first coordinates; None decodes all.
    """
    unit, confidence = decode_points(row)
    if (layout is not None and layout != row["layout"]) or (num_axes or unit.shape[-1]) < unit.shape[-1]:
        unit, confidence = convert(unit, confidence, row["layout"], layout or row["layout"], num_axes)
    frames, landmarks, axes = unit.shape
    points = to_float32(unit)
    flat = points.reshape(frames, -1)  # a long last axis: numpy is four times slower over one of two or three values
    flat *= _repeated(row["scale"], landmarks, axes)
    flat += _repeated(row["offset"], landmarks, axes)
    return PoseClip(
        points=points,
        confidence=to_float32(confidence),
        layout=layout or row["layout"],
        fps=float(row["fps"]),
        width=row.get("width"),
        height=row.get("height"),
        num_people=row.get("num_people") or 1,
        source=row.get("source"),
    )


def _repeated(values: Any, landmarks: int, axes: int) -> np.ndarray:
    """The first of (C,) for every landmark, (V * C,) float32."""
    repeated = np.empty((landmarks, axes), np.float32)
    repeated[:] = values[:axes]
    return repeated.ravel()


def to_float32(values: np.ndarray) -> np.ndarray:
    """float16 as float32 by table, which is twice as fast as numpy's conversion and exact, NaN included."""
    return _FLOAT32_OF_FLOAT16.take(values.view(np.uint16))


_FLOAT32_OF_FLOAT16 = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


class _Chunk(NamedTuple):
    first: int  # row number of the chunk's first row
    readers: list[tuple[str, Callable[[int], Any]]]  # column name, and what gives its value in row i of the chunk


class ShardDataset:
    """Random access to the rows of a folder of shards; lengths come from the index, without opening a clip.

    Opened through `datasets`, which memory-maps the rows; one row is then a few buffer views. Rows are dictionaries
    with the shard's columns, `index` (the row's number) and `epoch`. Works with `torch.utils.data.DataLoader`, forked
    or spawned.

    Args:
        folder: what `slt-hf prepare` wrote, or any folder of such Parquet or Arrow files.
        split: the split to read; None reads every row.
        columns: names to return beside the clip's own; None returns all.
        cache_dir: where `datasets` keeps its memory-mapped copy of Parquet files.

    Raises:
        PreparationError: if the folder holds no shard, or no such split.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str | None = None,
        columns: list[str] | None = None,
        cache_dir: str | Path | None = None,
    ):
        self.folder, self.split = Path(folder), split
        self.columns = list(columns) if columns is not None else None
        self.epoch = 0
        self._dataset = _open(find_shards(folder, split), cache_dir)
        self._index()

    def set_epoch(self, epoch: int) -> None:
        """The epoch that rows carry, for augmentation that is drawn anew each time."""
        self.epoch = epoch

    def _index(self) -> None:
        table = self._dataset.data.table
        wanted = table.column_names if self.columns is None else [*self.columns, *CLIP_FIELDS, "hands"]
        names = [name for name in table.column_names if name in set(wanted)]
        self._chunks: list[_Chunk] = []
        first = 0
        for batch in table.to_batches():
            self._chunks.append(_Chunk(first, [(name, _reader(batch.column(name))) for name in names]))
            first += batch.num_rows
        self._length = first
        self._starts = [chunk.first for chunk in self._chunks]
        self.lengths = table.column("num_frames").to_numpy().astype(np.int64)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = int(index)
        if not -self._length <= index < self._length:
            raise IndexError(f"expected a row number below {self._length}, found {index}")
        index %= self._length
        first, readers = self._chunks[bisect_right(self._starts, index) - 1]
        row = {name: read(index - first) for name, read in readers}
        row["index"], row["epoch"] = index, self.epoch
        return row

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    def column(self, name: str) -> list[Any]:
        """One column as a list, e.g. every `text`."""
        return self._dataset.data.table.column(name).to_pylist()

    def clip(self, index: int) -> PoseClip:
        return decode_clip(self[index])

    def __getstate__(self) -> dict[str, Any]:
        # Buffers would be pickled by value; the datasets.Dataset travels as the path of its memory map.
        keep = ("folder", "split", "columns", "epoch", "_dataset")
        return {name: self.__dict__[name] for name in keep}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._index()


def _reader(column: pa.Array) -> Callable[[int], Any]:
    """What gives the column's value in row i. Bytes and numbers are views of the memory map, nothing is parsed."""
    kind = column.type
    if pa.types.is_binary(kind) and not column.null_count:
        return _bytes_reader(column)
    if (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and not column.null_count:
        return column.to_numpy().item
    if pa.types.is_list(kind) and not column.null_count:
        values, ends = column.values.to_numpy(), column.offsets.to_numpy()
        return lambda i: values[ends[i] : ends[i + 1]]
    return lambda i: column[i].as_py()


def _bytes_reader(column: pa.Array) -> Callable[[int], pa.Buffer]:
    """Slices of the column's one buffer: five times as fast as asking for a scalar first."""
    _, ends, content = column.buffers()
    places = np.frombuffer(ends, np.int32)[column.offset : column.offset + len(column) + 1].tolist()
    return lambda i: content.slice(places[i], places[i + 1] - places[i])


def find_shards(folder: str | Path, split: str | None = None) -> list[str]:
    """The shards below `folder` in order, those named `<split>-*` where a split is given."""
    pattern = f"{split}-*" if split else "*"
    found = sorted(
        str(path)
        for ending in (".parquet", ".arrow")
        for path in Path(folder).rglob(pattern + ending)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        wanted = f"shards of split {split!r}" if split else "shards (.parquet or .arrow)"
        raise PreparationError(f"expected {wanted} in {folder}, found none; make them with `slt-hf prepare`")
    return found


def _open(files: list[str], cache_dir: str | Path | None) -> Any:
    """All files as one memory-mapped `datasets.Dataset`."""
    import datasets

    if all(file.endswith(".arrow") for file in files):
        return datasets.concatenate_datasets([datasets.Dataset.from_file(file) for file in files])
    parquet = [file for file in files if file.endswith(".parquet")]
    bar = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        return datasets.Dataset.from_parquet(parquet, cache_dir=str(cache_dir) if cache_dir else None)
    finally:
        if bar:
            datasets.enable_progress_bars()
