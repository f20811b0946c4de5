"""Clips cut out, scaled down and stored frame by frame: shards from which training reads frames, not videos.

Each clip is a row with its frames as JPEG pictures in one small Motion JPEG file (column `video`, bytes): every frame
stands for itself, so any 16 or 64 of them are read without the frames between. The same code reads it as any video, by
the same times, and plain `datasets` opens the shards: native types only.

    for sample, error in decode_clips(read_manifest("wlasl100.csv"), "wlasl100_clips"): ...
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from slt_hf.data.sample import Sample
from slt_hf.data.storage import TEXT_FIELDS
from slt_hf.errors import PreparationError, SignDataError, VideoError
from slt_hf.processing.video_reading import iterate_frames

TICKS = 90_000  # a second: frame times are kept to 11 microseconds
ROWS_PER_GROUP = 32
SHARD_BYTES = 256 << 20
NOT_KEPT = ("start_ms", "end_ms")  # a row's video is its clip; where it was cut from stands in source_*_ms
SCHEMA = pa.schema(
    {
        **{name: kind for name, kind in TEXT_FIELDS.items() if name not in (*NOT_KEPT, "extractor", "checksum")},
        "source_start_ms": pa.float64(),
        "source_end_ms": pa.float64(),
        "video": pa.binary(),  # Motion JPEG in a QuickTime file
        "num_frames": pa.int32(),
        "fps": pa.float32(),  # average; the file has every frame's own time
        "width": pa.int32(),  # pixels
        "height": pa.int32(),
    }
)


@dataclass(frozen=True)
class DecodedSettings:
    """How clips are stored."""

    short_side: int = 256
    """Pixels of a picture's shorter side; smaller pictures stay as they are"""
    fps: float | None = 25.0
    """At most so many frames a second, chosen by time; None keeps all"""
    quality: int = 3
    """Of the JPEGs, from 1 (best) to 31"""


def decode_clips(
    samples: Sequence[Sample],
    folder: str | Path,
    settings: DecodedSettings | None = None,
    num_workers: int = 1,
    shard_bytes: int = SHARD_BYTES,
) -> Iterator[tuple[Sample, SignDataError | None]]:
    """Write `<split>-00000.parquet`, ... into an empty folder, a shard whenever so many bytes are full.

    Yields:
        Each sample as it is done, with the error of a clip that could not be read and is left out.

    Raises:
        PreparationError: if the folder has shards already.
    """
    folder = Path(folder)
    if any(folder.glob("*.parquet")):
        raise PreparationError(f"{folder}: expected a folder without shards, found some; name another one")
    folder.mkdir(parents=True, exist_ok=True)
    waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
    written: dict[str, int] = defaultdict(int)
    for sample, found in each_row(samples, settings or DecodedSettings(), num_workers):
        if not isinstance(found, SignDataError):
            split = sample.split or "train"
            waiting[split].append(found)
            if sum(len(row["video"]) for row in waiting[split]) >= shard_bytes:
                write_shard(folder / f"{split}-{written[split]:05d}.parquet", waiting.pop(split))
                written[split] += 1
        yield sample, found if isinstance(found, SignDataError) else None
    for split, rows in waiting.items():
        write_shard(folder / f"{split}-{written[split]:05d}.parquet", rows)


def each_row(
    samples: Iterable[Sample], settings: DecodedSettings, num_workers: int
) -> Iterator[tuple[Sample, dict[str, Any] | SignDataError]]:
    samples = list(samples)
    if num_workers < 2:
        yield from ((sample, row_or_error(sample, settings)) for sample in samples)
        return
    with ProcessPoolExecutor(num_workers) as pool:
        yield from zip(samples, pool.map(partial(row_or_error, settings=settings), samples, chunksize=4), strict=True)


def row_or_error(sample: Sample, settings: DecodedSettings) -> dict[str, Any] | SignDataError:
    try:
        return decoded_row(sample, settings)
    except SignDataError as error:
        return error


def decoded_row(sample: Sample, settings: DecodedSettings) -> dict[str, Any]:
    """A sample's columns with its clip as Motion JPEG.

    Raises:
        SignDataError: if it names no video, or one that cannot be read.
    """
    if sample.video is None:
        raise PreparationError(f"row {sample.id}: expected a video, found none; name its file in the column video")
    times: list[float] = []
    with MotionJpeg(settings.quality) as video:  # picture by picture, since an hour of them is 30 GB
        for frame in iterate_frames(sample.video, sample.start_ms, sample.end_ms, settings.fps):
            times.append(frame.time_ms)
            video.add(shrunk(frame.image, settings.short_side), frame.time_ms - times[0])
    known = {name: getattr(sample, name) for name in SCHEMA.names if name in Sample.__slots__}
    length_ms = (times[-1] - times[0]) * len(times) / max(1, len(times) - 1)
    return known | {
        "extras": json.dumps(sample.extras, ensure_ascii=False) if sample.extras else None,
        "source_start_ms": sample.start_ms,
        "source_end_ms": sample.end_ms,
        "video": video.content,
        "num_frames": len(times),
        "fps": 1000 * len(times) / length_ms if length_ms else settings.fps or 25.0,
        "width": video.size[0],
        "height": video.size[1],
    }


def shrunk(image: np.ndarray, short_side: int) -> np.ndarray:
    """A picture (H, W, 3) whose shorter side is at most so long; sides are even, as JPEG's colours ask for."""
    height, width = image.shape[:2]
    scale = min(1.0, short_side / min(height, width))
    size = tuple(max(2, 2 * round(side * scale / 2)) for side in (width, height))
    return image if size == (width, height) else np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


class MotionJpeg:
    """Pictures of one size, each with its time, as a file of JPEGs.

    Attributes:
        content: the file, once the block is over.
        size: width and height of the pictures, pixels.
    """

    def __init__(self, quality: int):
        self.quality, self.buffer = quality, BytesIO()
        self.content, self.size = b"", (0, 0)

    def __enter__(self) -> MotionJpeg:
        import av

        self.container = av.open(self.buffer, "w", format="mov")
        self.stream: Any = self.container.add_stream("mjpeg", rate=TICKS)
        context = self.stream.codec_context
        self.stream.pix_fmt, context.qmin, context.qmax = "yuvj420p", self.quality, self.quality
        return self

    def add(self, image: np.ndarray, time_ms: float) -> None:
        """The next picture (H, W, 3).

        Raises:
            VideoError: if it has another size than those before.
        """
        import av

        size = image.shape[1], image.shape[0]
        if self.size == (0, 0):
            self.size = self.stream.width, self.stream.height = size
        if size != self.size:
            raise VideoError(f"expected pictures of {self.size}, found one of {size}; re-encode the video to one size")
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts = round(time_ms * TICKS / 1000)
        self.container.mux(self.stream.encode(frame))

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed is None:
            self.container.mux(self.stream.encode(None))
        self.container.close()
        self.content = self.buffer.getvalue()


def motion_jpeg(images: Iterable[np.ndarray], times_ms: Iterable[float], quality: int) -> bytes:
    """Pictures (H, W, 3) of one size, each with its time, as a file of JPEGs."""
    with MotionJpeg(quality) as video:
        for image, time_ms in zip(images, times_ms, strict=True):
            video.add(image, time_ms)
    return video.content


def write_shard(path: Path, rows: list[dict[str, Any]]) -> None:
    """Under another name first: a file that ends in .parquet is whole."""
    draft = path.with_suffix(".draft")
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), draft, row_group_size=ROWS_PER_GROUP, compression="none")
    os.replace(draft, path)
