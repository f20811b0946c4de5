"""Rows of a split as trl's SFTTrainer wants them: numbers, behind which our own data set and collator do the work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import TrainerCallback

from slt_hf.data.collator import SignCollator
from slt_hf.data.manifest import read_manifest, split_name, write_manifest
from slt_hf.data.splits import assign_split
from slt_hf.data.tables import ENDINGS
from slt_hf.errors import RecipeError
from slt_hf.training.dataset import ManifestSource, SignDataset, Source, open_source
from slt_hf.training.vlm_arguments import VlmDataArguments


def open_split(data: VlmDataArguments, split: str, count: int | None) -> SignDataset:
    """The rows of one split, from official splits or from a division that knows glosses.

    Raises:
        RecipeError: if there are none.
    """
    if not data.dataset:
        raise RecipeError("dataset: expected a manifest with videos or a Hub id, found nothing; name one")
    sources = [_source(name, split, data) for name in data.dataset]
    for name, source in zip(data.dataset, sources, strict=True):
        if not len(source):
            raise RecipeError(f"dataset {name}: expected rows with split {split!r}, found none; name another split")
    rows = SignDataset(sources)
    return rows if count is None else rows.keep(np.arange(len(rows)) < count)


def _source(name: str, split: str, data: VlmDataArguments) -> Source:
    if Path(name).suffix not in ENDINGS:
        return open_source(name, split, data.dataset_config)
    source = ManifestSource(Path(name), split)
    if not len(source):
        source.samples = [sample for sample in divided(name, data.split_seed) if sample.split == split_name(split)]
    return source


def divided(manifest: str | Path, seed: int) -> list[Any]:
    """All rows of a manifest, with the splits of `slt_hf.data.splits` where it names none."""
    samples = read_manifest(manifest)
    assign_split(samples, seed)
    return samples


def write_divisions(data: VlmDataArguments, folder: Path) -> None:
    """Manifests that name no splits, written out with those they were given: the test split, and others' baselines,
    are to be the same."""
    for name in data.dataset or []:
        if Path(name).suffix in ENDINGS and not any(sample.split for sample in read_manifest(name)):
            folder.mkdir(parents=True, exist_ok=True)
            write_manifest(divided(name, data.split_seed), folder / f"{Path(name).stem}-divided.csv")


def numbers(rows: SignDataset, split: str) -> Dataset:
    """What the trainer shuffles and batches."""
    return Dataset.from_dict({"number": list(range(len(rows))), "split": [split] * len(rows)})


class NumberedRows:
    """Numbers to batches: the rows of their split through that split's collator.

    Args:
        rows, collators: by the name of the split; only training augments.
    """

    def __init__(self, rows: dict[str, SignDataset], collators: dict[str, SignCollator]) -> None:
        self.rows, self.collators = rows, collators

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        split = examples[0]["split"]
        return self.collators[split]([self.rows[split][example["number"]] for example in examples])


class EpochOfRows(TrainerCallback):
    """Tells the rows which epoch it is, since the frames that are drawn depend on it."""

    def __init__(self, rows: SignDataset) -> None:
        self.rows = rows

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.rows.set_epoch(int((state.epoch or 0) + 1e-6))
