"""Which item goes into which shard: a function of manifest and settings alone, kept in the output folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from slt_hf.data.fetch import FetchSettings, file_for, is_address
from slt_hf.data.hand_crops import schema_of
from slt_hf.data.ledger import Ledger
from slt_hf.data.preparation_item import ItemSettings, item_key, write_table
from slt_hf.data.sample import Sample
from slt_hf.errors import PreparationError
from slt_hf.poses.video import VideoBudget


@dataclass(frozen=True)
class PreparationSettings:
    """How a preparation runs. Only `item` and `shard_clips` shape the result."""

    item: ItemSettings = field(default_factory=ItemSettings)
    fetch: FetchSettings = field(default_factory=FetchSettings)
    shard_clips: int = 1000
    """Manifest rows in a shard"""
    workers: int = 2
    """Worker processes of one task"""
    timeout_seconds: float = 600.0
    """Longest time for one item"""
    fetch_timeout_seconds: float = 3600.0
    """Longest time for one download"""
    memory_bytes: int = 6 << 30
    """Most address space of a worker; 0 for no limit (needed with CUDA)"""
    licence: str | None = None
    """Of the data as the Hub spells it, for the dataset card"""
    terms: str | None = None
    """The licence in words and where it stands, for the card"""
    name: str | None = None
    """Of the dataset, for the card; None takes the folder's"""


class Item(NamedTuple):
    """A manifest row and the name of its content."""

    sample: Sample
    key: str


class Shard(NamedTuple):
    """Some items of one split, in manifest order."""

    name: str  # data/train-00000-of-00003.parquet
    items: list[Item]

    @property
    def key(self) -> str:
        return digest([item.key for item in self.items])


@dataclass(frozen=True)
class Plan:
    """Everything a task needs to know."""

    folder: Path
    root: Path  # of the manifest: its paths start here
    settings: PreparationSettings
    shards: list[Shard]

    @property
    def work(self) -> Path:
        """Where all that is not the result is kept."""
        return self.folder / ".prepare"

    @property
    def ledger_path(self) -> Path:
        return self.work / "ledger.sqlite"

    @property
    def downloads(self) -> Path:
        return self.work / "downloads"

    @property
    def items(self) -> Iterator[Item]:
        return (item for shard in self.shards for item in shard.items)

    def item_file(self, item: Item) -> Path:
        """Where an item's row waits for its shard."""
        name = digest([item.sample.id, item.key])
        return self.work / "items" / name[:2] / f"{name}.arrow"

    def address(self, sample: Sample) -> str | None:
        """Where to fetch a sample's file that is not there; None if it is, or if nobody says."""
        local = sample.pose or sample.video
        if is_address(local):
            return local
        return sample.url if is_address(sample.url) and local and not Path(local).exists() else None

    def local_file(self, sample: Sample) -> str | None:
        """The file of a sample: its own, or the downloaded one."""
        address = self.address(sample)
        return sample.pose or sample.video if address is None else str(file_for(address, self.downloads))

    def without_paths(self, reason: str | None) -> str | None:
        """A reason as it may be published: paths as the manifest has them, none of this machine."""
        return reason and reason.replace(f"{self.downloads}/", "").replace(f"{self.root}/", "")


def make_plan(samples: list[Sample], root: Path, folder: Path, settings: PreparationSettings) -> Plan:
    """Splits in order of their first row; each cut into shards of as many rows as even, at most `shard_clips`."""
    splits: dict[str, list[Item]] = {}
    for sample in samples:
        splits.setdefault(sample.split or "train", []).append(Item(sample, item_key(sample, settings.item, root)))
    shards = []
    for split, items in splits.items():
        count = -(-len(items) // settings.shard_clips)
        starts = [len(items) * i // count for i in range(count + 1)]
        for i in range(count):
            name = f"data/{_file_name(split)}-{i:05d}-of-{count:05d}.parquet"
            shards.append(Shard(name, items[starts[i] : starts[i + 1]]))
    return Plan(folder, root, settings, shards)


def _file_name(split: str) -> str:
    safe = "".join(c if c.isalnum() or c == "_" else "_" for c in split)
    if not safe.strip("_"):
        raise PreparationError(f"expected a split named with letters or digits, found {split!r}; rename it")
    return safe


def save_plan(plan: Plan) -> None:
    """Written last, so that its presence means that the folder fits it."""
    told = {
        "root": str(plan.root),
        "settings": asdict(plan.settings),
        "shards": [[shard.name, [[asdict(item.sample), item.key] for item in shard.items]] for shard in plan.shards],
    }
    plan.work.mkdir(parents=True, exist_ok=True)
    draft = plan.work / "plan.json.new"
    draft.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    os.replace(draft, plan.work / "plan.json")


def load_plan(folder: str | Path) -> Plan:
    """The plan of a folder.

    Raises:
        PreparationError: if it has none.
    """
    folder = Path(folder)
    path = folder / ".prepare/plan.json"
    if not path.exists():
        raise PreparationError(f"expected a folder of `slt-hf prepare`, found none at {folder}; check the path")
    told = json.loads(path.read_text(encoding="utf-8"))
    shards = [Shard(name, [Item(Sample(**sample), key) for sample, key in items]) for name, items in told["shards"]]
    return Plan(folder, Path(told["root"]), _settings(told["settings"]), shards)


def _settings(told: dict[str, Any]) -> PreparationSettings:
    item = told["item"] | {"budget": VideoBudget(**told["item"]["budget"])}
    return PreparationSettings(**told | {"item": ItemSettings(**item), "fetch": FetchSettings(**told["fetch"])})


def adopt(plan: Plan, ledger: Ledger, retry: Iterable[str] = ()) -> None:
    """Make the folder fit a plan: shards that the plan still wants stay, rows of the others go back to waiting.

    A grown or corrected manifest, other shard sizes or a retry therefore cost only the items that changed.
    """
    wanted = {item.sample.id: item for item in plan.items}
    entries = ledger.entries()
    retry = set(retry)
    again = [id for id, entry in entries.items() if entry.status in retry]
    if "ok" in retry:
        raise PreparationError("expected statuses other than ok to retry; remove the folder to begin again")
    keys = {shard.name: shard.key for shard in plan.shards}
    touched = {shard.name for shard in plan.shards if any(item.sample.id in again for item in shard.items)}
    for name, (key, _, _) in ledger.shards().items():
        if keys.get(name) != key or name in touched:
            unpack(plan, name, wanted)
            ledger.forget_shard(name)
            (plan.folder / name).unlink(missing_ok=True)
    stale = [id for id, entry in entries.items() if id not in wanted or wanted[id].key != entry.key]
    ledger.forget([*stale, *again])
    ledger.forget_downloads([address for address, (status, *_) in ledger.downloads().items() if status in retry])


def unpack(plan: Plan, name: str, wanted: dict[str, Item]) -> None:
    """Put the rows of a shard back where rows wait for theirs."""
    path = plan.folder / name
    if not path.exists():
        return
    file, schema = pq.ParquetFile(path), schema_of(plan.settings.item.hand_crops)
    if file.schema_arrow.names != schema.names:
        return  # with crops or without: no item is the same
    for batch in file.iter_batches(batch_size=64):
        table = pa.Table.from_batches([batch]).cast(schema)
        for i, id in enumerate(table.column("id").to_pylist()):
            if id in wanted:
                write_table(table.slice(i, 1), plan.item_file(wanted[id]))


def digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
