"""Model inputs prepared once: what the processor makes of every row, kept beside the shards and memory-mapped.

    ready = ReadyInputs(ShardDataset("shards", "train"), processor)
    loader = DataLoader(ready, batch_sampler=FrameBudgetBatchSampler(ready.lengths, 8192), collate_fn=collator)

For training and evaluation without augmentation of the raw clip. The numbers are the processor's own, rounded to
float16; other settings or other shards give another file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.data.collator import clip_of
from slt_hf.data.storage import ShardDataset, find_shards, to_float32
from slt_hf.errors import ManifestError

# T frames, V landmarks, C coordinates

FORMAT = 1


class ReadyInputs:
    """A dataset of finished model inputs; rows have `pose_values` (T, V, C) float32 instead of a clip.

    Args:
        dataset: the shards.
        processor: a `PoseProcessor` or `PoseFeatureExtractor`.
        cache_dir: where the inputs are kept; None keeps them in the shards' folder.

    Raises:
        ManifestError: for a processor that makes crops of hands, too, which take a hundred times the space.
    """

    def __init__(self, dataset: ShardDataset, processor: Any, cache_dir: str | Path | None = None):
        self.dataset = dataset
        self.extractor = getattr(processor, "feature_extractor", processor)
        if self.extractor.hand_crop_size is not None:
            raise ManifestError(
                "expected a processor of poses alone, found one that makes crops of the hands too; train from the "
                "shards themselves"
            )
        kept = Path(cache_dir) if cache_dir else dataset.folder / ".ready"
        self.folder = kept / self._key()
        if not self.folder.exists():
            self._build()
        self.columns = [name for name in (dataset.columns or _TEXT) if name not in ("pose", "confidence")]
        self._text = {name: dataset.column(name) for name in self.columns}
        self._open()

    def _key(self) -> str:
        """Names the inputs by all that shapes them."""
        files = [Path(name) for name in find_shards(self.dataset.folder, self.dataset.split)]
        told = {
            "format": FORMAT,
            "settings": dataclasses.asdict(self.extractor.settings),
            "shards": [[str(file.relative_to(self.dataset.folder)), _checksum(file)] for file in files],
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]

    def _build(self) -> None:
        draft = self.folder.with_name(f"{self.folder.name}.{os.getpid()}")
        draft.mkdir(parents=True, exist_ok=True)
        lengths = []
        with (draft / "values.f16").open("wb") as file:
            for row in self.dataset:
                values = self.extractor(clip_of(row), return_tensors="np")["pose_values"][0]
                lengths.append(len(values))
                file.write(np.ascontiguousarray(values, "<f2").tobytes())
        np.save(draft / "lengths.npy", np.array(lengths, np.int64))
        try:
            os.replace(draft, self.folder)
        except OSError:  # another process was faster
            shutil.rmtree(draft)

    def _open(self) -> None:
        shape = (self.extractor.num_landmarks, self.extractor.num_coordinates)
        self.lengths = np.load(self.folder / "lengths.npy")
        self._ends = np.concatenate([[0], np.cumsum(self.lengths)]).tolist()
        flat = np.memmap(self.folder / "values.f16", "<f2", "r")
        self._values = np.asarray(flat).reshape(-1, *shape)  # a plain view: memmap's own indexing is ten times slower

    def set_epoch(self, epoch: int) -> None:
        self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(len(self))[int(index)]
        values = to_float32(self._values[self._ends[index] : self._ends[index + 1]])
        row = {name: column[index] for name, column in self._text.items()}
        return {**row, "pose_values": values, "index": index, "epoch": self.dataset.epoch}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_values"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()


_TEXT = ["id", "text", "gloss", "language", "sign_language", "signer", "class_index"]


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
