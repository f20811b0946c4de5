"""Training and evaluation data by name: manifests, shards, Hub data and the synthetic signer behind one interface.

An item is a dictionary: the row's columns, `clip` where the source makes clips itself, `index` and `epoch`. The
collator reads the pose and calls the processor; nothing here knows what a model wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Dataset

from slt_hf.data.hub_videos import undecoded
from slt_hf.data.manifest import read_manifest, split_name
from slt_hf.data.tables import ENDINGS
from slt_hf.errors import RecipeError

SYNTHETIC = "synthetic"
DEFAULT_FPS = 25.0  # of a video whose header gives no rate


class Source(Protocol):
    """One corpus: rows by number, and what the whole of it says without opening a clip."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]: ...

    def column(self, name: str) -> list[Any]:
        """One column as a list; None where a row has no such value."""
        ...

    def num_frames(self) -> np.ndarray:
        """Frames of each clip at its own rate, (N,)."""
        ...


class SignDataset(Dataset):
    """Corpora joined, optionally only some of their rows.

    Args:
        sources: corpora, mixed in the order given; batches are shuffled over all of them.
        fps: rate that the processor resamples to; `lengths` are in its frames.
        rows: positions in the joined corpora to keep; all by default.

    Attributes:
        classes: label names, where clips are classified (`with_classes`); None elsewhere.
        class_ids: number of each row's label among them.
    """

    def __init__(self, sources: Sequence[Source], fps: float = 25.0, rows: np.ndarray | None = None) -> None:
        self.sources = list(sources)
        self.fps = fps
        self.ends = np.cumsum([len(source) for source in self.sources])
        self.rows = np.arange(self.ends[-1]) if rows is None else rows
        self.epoch = 0
        self.classes: list[str] | None = None
        self.class_ids: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        """Seed of augmentation, and of sources that make clips."""
        self.epoch = epoch
        for source in self.sources:
            if hasattr(source, "set_epoch"):
                source.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = int(self.rows[index])
        which = int(np.searchsorted(self.ends, row, "right"))
        item = dict(self.sources[which][row - (int(self.ends[which - 1]) if which else 0)])
        item |= {"index": int(index), "epoch": self.epoch}
        if self.classes is not None:
            item["class_id"] = self.class_ids[index]
        return item

    def column(self, name: str) -> list[Any]:
        """One column over all kept rows."""
        joined = [value for source in self.sources for value in source.column(name)]
        return [joined[row] for row in self.rows]

    @property
    def lengths(self) -> np.ndarray:
        """Frames of each clip as the model sees it, (N,)."""
        frames = np.concatenate([source.num_frames() for source in self.sources])[self.rows]
        rates = np.array([rate or self.fps for rate in self.column("fps")], np.float64)
        return np.maximum(1, np.ceil(frames * self.fps / rates)).astype(np.int64)

    def ids(self) -> list[str]:
        """Name of each row, its position where it has none."""
        return [str(row if name is None else name) for row, name in enumerate(self.column("id"))]

    def keep(self, mask: np.ndarray) -> SignDataset:
        """Only the rows where `mask` (N,) is true."""
        return SignDataset(self.sources, self.fps, self.rows[mask])

    def and_source(self, source: Source) -> SignDataset:
        """These rows, and all of one more corpus."""
        rows = np.concatenate([self.rows, self.ends[-1] + np.arange(len(source))])
        return SignDataset([*self.sources, source], self.fps, rows)

    def with_classes(self, column: str, classes: list[str] | None = None) -> SignDataset:
        """With a class number per row; class names are the sorted labels unless given.

        Raises:
            RecipeError: if a row has no label, or one that is not among `classes`.
        """
        labels = self.column(column)
        if any(label is None for label in labels):
            row = labels.index(None)
            raise RecipeError(f"expected a {column} in every row, row {row} has none; fill the column or drop the row")
        self.classes = sorted(set(labels)) if classes is None else list(classes)
        number = {name: i for i, name in enumerate(self.classes)}
        if unknown := sorted(set(labels) - number.keys()):
            raise RecipeError(f"expected the {len(number)} {column} labels of training, found {unknown[0]!r} as well")
        self.class_ids = [number[label] for label in labels]
        return self


def open_dataset(
    names: Sequence[str], split: str, fps: float, config: str | None = None, **synthetic: Any
) -> SignDataset:
    """The rows of `split` in every corpus named.

    Args:
        names: Hub ids, folders of shards, manifests, or `synthetic`.
        split: name of the split; dev and validation are one.
        fps: rate the model works at.
        config: configuration of a Hub dataset.
        synthetic: options of `SyntheticSource`.

    Raises:
        RecipeError: if nothing is named, or a corpus has no such split.
    """
    if not names:
        raise RecipeError("dataset: expected a Hub id, a folder of shards, a manifest or `synthetic`, found nothing")
    sources = [open_source(name, split, config, **synthetic) for name in names]
    for name, source in zip(names, sources, strict=True):
        if not len(source):
            raise RecipeError(f"dataset {name}: expected rows with split {split!r}, found none; name another split")
    return SignDataset(sources, fps)


def open_source(name: str, split: str, config: str | None = None, **synthetic: Any) -> Source:
    """One corpus by name."""
    if name == SYNTHETIC:
        return SyntheticSource(split_name(split), **synthetic)
    path = Path(name)
    if path.is_dir():
        return ShardSource(path, split_name(split))
    if path.suffix in ENDINGS:
        return ManifestSource(path, split)
    return HubSource(name, split, config)


class ManifestSource:
    """A manifest whose poses or videos are read when they are needed."""

    def __init__(self, path: Path, split: str) -> None:
        self.samples = read_manifest(path, split=split)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = self.samples[index]
        return {name: getattr(sample, name) for name in sample.__slots__ if name != "extras"} | sample.extras

    def column(self, name: str) -> list[Any]:
        if name == "fps":
            return [self.header(i)[1] for i in range(len(self))]
        return [getattr(sample, name, sample.extras.get(name)) for sample in self.samples]

    def num_frames(self) -> np.ndarray:
        return np.array([self.header(i)[0] for i in range(len(self))], np.int64)

    def header(self, index: int) -> tuple[int, float]:
        """Frames and rate of one clip: from the manifest, else from the file's header, else from the file."""
        sample = self.samples[index]
        if sample.num_frames is None or sample.fps is None:
            sample.num_frames, sample.fps = clip_length(sample)
        return sample.num_frames, sample.fps


def clip_length(sample: Any) -> tuple[int, float]:
    """Frames between start and end, and frame rate; only the header of a `.pose` file or a video is read."""
    from slt_hf.poses.formats import read_clip
    from slt_hf.processing.pose_files import read_pose_header

    if sample.pose is None:
        return video_length(sample)
    if str(sample.pose).endswith(".pose"):
        header = read_pose_header(sample.pose)
        start, end = sample.start_ms or 0, sample.end_ms
        frames = header.num_frames if end is None else min(header.num_frames, round(end * header.fps / 1000))
        return max(1, frames - round(start * header.fps / 1000)), header.fps
    clip = read_clip(sample.pose, sample.layout, None, sample.start_ms, sample.end_ms, default_fps=sample.fps)
    return clip.num_frames, clip.fps


def video_length(sample: Any) -> tuple[int, float]:
    """`clip_length` of a video: good enough to batch by, though headers may be wrong. A picture is one frame."""
    from slt_hf.processing.video_reading import probe_video

    info = probe_video(sample.video)
    fps = info.fps or sample.fps or DEFAULT_FPS
    end_ms = sample.end_ms if sample.end_ms is not None else info.duration_ms
    if end_ms is None:  # no header says it
        end_ms = 1000 * (info.num_frames or 1) / fps
    return max(1, round((end_ms - (sample.start_ms or 0)) * fps / 1000)), fps


class ShardSource:
    """What `slt-hf prepare` wrote; lengths are in its index."""

    def __init__(self, folder: Path, split: str) -> None:
        from slt_hf.data.storage import ShardDataset

        self.shards = ShardDataset(folder, split)

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.shards[index]

    def column(self, name: str) -> list[Any]:
        return self.shards.column(name)

    def num_frames(self) -> np.ndarray:
        return self.shards.lengths


class HubSource:
    """A dataset on the Hub in the published form (docs/preparation.md), opened by plain `datasets`."""

    def __init__(self, name: str, split: str, config: str | None) -> None:
        import datasets

        available = datasets.get_dataset_split_names(name, config)
        wanted = [own for own in available if split_name(own) == split_name(split)]
        if not wanted:
            raise RecipeError(
                f"dataset {name}: expected a split {split!r}, found {', '.join(available)}; name one of these"
            )
        self.rows = undecoded(datasets.load_dataset(name, config, split=wanted[0]))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[int(index)]

    def column(self, name: str) -> list[Any]:
        return list(self.rows[name]) if name in self.rows.column_names else [None] * len(self)

    def num_frames(self) -> np.ndarray:
        return np.asarray(self.rows["num_frames"], np.int64)


class SyntheticSource:
    """Sentences of the synthetic signer: fresh ones every epoch in training, the same ones for evaluation.

    Args:
        split: train, validation or test; no sentence and no signer of one split is in another.
        size: sentences per epoch.
        seed: of every draw.
        layout: landmarks to make; fewer are faster.
        noisy: jitter, missing hands, dropped frames.
    """

    def __init__(
        self, split: str, size: int = 10000, seed: int = 0, layout: str = "signing_85", noisy: bool = False
    ) -> None:
        self.split = {"validation": "dev"}.get(split, split)
        self.size, self.seed, self.layout, self.noisy = size, seed, layout, noisy
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch if self.split == "train" else 0

    def __len__(self) -> int:
        return self.size

    def place(self, index: int) -> int:
        """Place in the signer's endless list of sentences."""
        return self.epoch * self.size + int(index)

    def __getitem__(self, index: int) -> dict[str, Any]:
        from slt_hf.synthesis import make_sample

        sample = make_sample(self.place(index), self.split, self.seed, self.noisy, self.layout)
        return {field.name: getattr(sample, field.name) for field in fields(sample)}

    def column(self, name: str) -> list[Any]:
        """Texts and glosses come from the grammar alone; what only a made clip tells is None."""
        from slt_hf.synthesis import make_sentence

        if name not in ("text", "gloss"):
            return [None] * self.size
        pairs = [make_sentence(self.split, self.seed, self.place(index)) for index in range(self.size)]
        return [pair.text if name == "text" else " ".join(pair.glosses) for pair in pairs]

    def num_frames(self) -> np.ndarray:
        raise RecipeError(
            "frames_per_batch: expected a corpus with known lengths, found `synthetic`; remove the option"
        )
