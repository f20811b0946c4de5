"""The rows of a split: manifest, folder of shards, Hub dataset, or the synthetic signer.

Unlike in training, a row whose pose file is gone stays in: it will be an empty prediction with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slt_hf.data.sample import FIELDS, Sample, split_name
from slt_hf.data.tables import ENDINGS
from slt_hf.errors import EvaluationError

SYNTHETIC = "synthetic"
SYNTHETIC_SENTENCES = 200


def open_rows(
    data: str, split: str | None = "test", config: str | None = None, limit: int | None = None
) -> Sequence[Mapping[str, Any]]:
    """Rows of one split, in their own order.

    Args:
        data: manifest (csv, tsv, jsonl, parquet), folder of shards, Hub id, or `synthetic`.
        split: None for every row; dev, val and validation are one.
        config: configuration of a Hub dataset.
        limit: only the first so many.

    Raises:
        EvaluationError: if there is nothing to evaluate on.
    """
    wanted = split_name(split) if split is not None else None
    if data == SYNTHETIC:
        return SyntheticRows(wanted or "test", limit or SYNTHETIC_SENTENCES)
    rows = (
        _from_file(data, wanted)
        if Path(data).exists() or Path(data).suffix in ENDINGS
        else _from_hub(data, wanted, config)
    )
    if not len(rows):
        raise EvaluationError(f"{data}: expected rows of split {split!r}, found none; name another one with --split")
    return rows if limit is None or limit >= len(rows) else [rows[place] for place in range(limit)]


def _from_file(data: str, split: str | None) -> Sequence[Mapping[str, Any]]:
    if Path(data).is_dir():
        from slt_hf.data.storage import ShardDataset

        return ShardDataset(data, split)  # type: ignore[return-value]
    from slt_hf.data.manifest import read_manifest

    return [as_row(sample) for sample in read_manifest(data, split=split, check_files=False)]


def as_row(sample: Sample) -> dict[str, Any]:
    return {name: getattr(sample, name) for name in FIELDS} | sample.extras


def _from_hub(name: str, split: str | None, config: str | None) -> Sequence[Mapping[str, Any]]:
    import datasets

    from slt_hf.data.hub_videos import undecoded

    try:
        available = datasets.get_dataset_split_names(name, config)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EvaluationError(
            f"expected a manifest, a folder of shards or a Hub dataset, found nothing to open at {name} ({reason}); "
            "check the name, and log in for a private one"
        ) from error
    wanted = [own for own in available if split is None or split_name(own) == split]
    if not wanted:
        raise EvaluationError(f"{name}: expected a split {split!r}, found {', '.join(available)}; name one of these")
    return undecoded(datasets.concatenate_datasets([datasets.load_dataset(name, config, split=own) for own in wanted]))


class SyntheticRows(Sequence[Mapping[str, Any]]):
    """The first sentences of a split of the synthetic signer: the same every time, made when they are asked for."""

    def __init__(self, split: str, size: int) -> None:
        self.split, self.size = split, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, place: Any) -> Any:
        from slt_hf.synthesis import synthetic_sample

        if not 0 <= place < self.size:
            raise IndexError(place)
        return synthetic_sample(self.split, (0, 0, place))
