"""Preparation: a manifest in, shards out. Killed at any moment it continues, and ends with the same bytes.

    census = prepare("train.csv", "shards", PreparationSettings(workers=8))

How that holds together:

    .prepare/plan.json       which item goes into which shard: a function of manifest and settings alone
    .prepare/ledger.sqlite   what happened to each item, download and shard
    .prepare/items/          rows that are ready, one file each, waiting for their shard
    data/*.parquet           a shard is written when all of its items are settled, then renamed into place

Every step can be repeated and takes effect by a rename or a transaction, so what a kill interrupts is done again.
Items run in children that may be stopped, crash or be killed: each costs itself alone.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pebble import ProcessExpired, ProcessPool

from slt_hf.data.census import Census, take_census
from slt_hf.data.dataset_card import write_card
from slt_hf.data.fetch import Fetched, fetch
from slt_hf.data.hand_crops import schema_of
from slt_hf.data.ledger import Entry, Ledger
from slt_hf.data.manifest import read_manifest
from slt_hf.data.preparation_item import Job, Outcome, check_extractor, prepare_item, read_table, start_child
from slt_hf.data.preparation_plan import (
    Item,
    Plan,
    PreparationSettings,
    Shard,
    adopt,
    make_plan,
    save_plan,
)
from slt_hf.data.storage import SCHEMA
from slt_hf.errors import PreparationError

__all__ = ["Census", "PreparationSettings", "begin", "finish", "prepare", "run_task"]

ROWS_PER_GROUP = 100  # Parquet row group: what a stream reads at once
DOWNLOADS_AT_ONCE = 2
# What a worker needs is imported once, in the server it is forked from. pyarrow imports pandas with its first row: a
# third of a second on a quiet machine, which would count towards the time limit of each new worker's first item.
PRELOADED = ["__main__", "slt_hf.data.preparation_item", "pandas", "pyarrow.pandas_compat"]

Progress = Callable[[Entry], None]


def prepare(
    manifest: str | Path,
    output: str | Path,
    settings: PreparationSettings | None = None,
    retry: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Census:
    """Prepare a manifest on this machine, or continue where an earlier run was stopped.

    Args:
        manifest: CSV, TSV, JSONL or Parquet of samples; paths in it start at its folder.
        output: folder of the shards.
        settings: what counts as a usable clip, who extracts, and how much at once.
        retry: statuses of an earlier run to try again.
        progress: called with each item's entry as it is settled.

    Raises:
        ManifestError: if the manifest is wrong.
        PreparationError: if the run cannot go on at all. What is wrong with single items is in the census.
    """
    plan = begin(manifest, output, settings or PreparationSettings(), retry)
    run_task(plan, 0, 1, progress)
    return finish(plan)


def begin(
    manifest: str | Path,
    output: str | Path,
    settings: PreparationSettings,
    retry: tuple[str, ...] = (),
    skip_invalid: bool = False,
    strict: bool = False,
) -> Plan:
    """Make the plan, and the folder fit it; `skip_invalid` and `strict` are those of `read_manifest`."""
    samples = read_manifest(manifest, check_files=False, skip_invalid=skip_invalid, strict=strict)
    if not samples:
        raise PreparationError(f"{manifest}: expected rows, found none; fill the manifest")
    plan = make_plan(samples, Path(manifest).absolute().parent, Path(output).absolute(), settings)
    with Ledger(plan.ledger_path) as ledger:
        adopt(plan, ledger, retry)
    save_plan(plan)
    return plan


def run_task(plan: Plan, rank: int = 0, world_size: int = 1, progress: Progress | None = None) -> None:
    """Write every `world_size`-th shard, beginning with number `rank`."""
    with Ledger(plan.ledger_path) as ledger:
        _Task(plan, plan.shards[rank::world_size], ledger, progress).run()


def finish(plan: Plan) -> Census:
    """Check that all shards are there, write card and census, remove what was only needed on the way.

    Raises:
        PreparationError: if some task has not done its part.
    """
    with Ledger(plan.ledger_path) as ledger:
        done = ledger.shards()
        absent = [shard.name for shard in plan.shards if done.get(shard.name, ("",))[0] != shard.key]
        if absent:
            raise PreparationError(f"{len(absent)} of {len(plan.shards)} shards are not written yet; run prepare again")
        census = take_census(plan, ledger)
    write_card(plan, census)
    shutil.rmtree(plan.work / "items", ignore_errors=True)
    return census


class _Task:
    """One task's loop: downloads and items in flight, shards written as they become complete."""

    def __init__(self, plan: Plan, shards: list[Shard], ledger: Ledger, progress: Progress | None):
        self.plan, self.ledger, self.progress = plan, ledger, progress
        self.settings = plan.settings
        written = ledger.shards()
        self.shards = [shard for shard in shards if written.get(shard.name, ("",))[0] != shard.key]
        self.entries, self.downloads = ledger.entries(), ledger.downloads()
        self.open = {shard.name: set(self._unsettled(shard)) for shard in self.shards}  # ids still to settle
        self.items = {item.sample.id: (item, shard) for shard in self.shards for item in shard.items}
        self.ready: deque[Item] = deque()
        self.waiting: dict[str, list[Item]] = {}  # for the download of an address
        self.futures: dict[Future[Any], Item | str] = {}

    def _unsettled(self, shard: Shard) -> list[str]:
        settled = []
        for item in shard.items:
            entry = self.entries.get(item.sample.id)
            if entry and entry.key == item.key and (entry.status != "ok" or self.plan.item_file(item).exists()):
                settled.append(item.sample.id)
        return [item.sample.id for item in shard.items if item.sample.id not in set(settled)]

    def run(self) -> None:
        for shard in self.shards:
            for item in shard.items:
                if item.sample.id in self.open[shard.name]:
                    self._enqueue(item)
        for shard in self.shards:
            self._write_if_complete(shard)
        if self.ready or self.waiting:
            self._work()

    def _enqueue(self, item: Item) -> None:
        address = self.plan.address(item.sample)
        if address is None:
            self.ready.append(item)
            return
        status, reason, _ = self.downloads.get(address, (None, None, None))
        if status == "ok" and Path(str(self.plan.local_file(item.sample))).exists():
            self.ready.append(item)
        elif status not in (None, "ok"):
            self._settle(item, Outcome(str(status), reason))
        else:
            self.waiting.setdefault(address, []).append(item)

    def _work(self) -> None:
        workers = max(1, min(self.settings.workers, len(self.ready) + sum(map(len, self.waiting.values()))))
        pool = _pool(workers, self.settings.memory_bytes)
        fetchers = _pool(DOWNLOADS_AT_ONCE, 0)  # starts its processes with the first download
        try:
            self._check_extractor(pool)
            to_fetch = deque(self.waiting)
            while self.ready or to_fetch or self.futures:
                self._fill(pool, fetchers, to_fetch)
                done, _ = wait(self.futures, return_when=FIRST_COMPLETED)
                for future in done:
                    self._collect(future)
        finally:
            for each in (pool, fetchers):
                each.stop()
                each.join()

    def _check_extractor(self, pool: ProcessPool) -> None:
        """Without an extractor every video would fail: say so once, before the first."""
        fetched = [item.sample for group in self.waiting.values() for item in group]
        here = [item.sample for item in self.ready if Path(str(self.plan.local_file(item.sample))).exists()]
        if any(sample.pose is None for sample in [*here, *fetched]):  # a video that is missing needs no extractor
            try:
                pool.schedule(check_extractor, args=[self.settings.item], timeout=300).result()
            except (TimeoutError, ProcessExpired) as error:
                raise PreparationError(
                    f"expected the extractor {self.settings.item.extractor} to start, found: {error or 'no answer'}; "
                    "try `slt-hf extract` on one video, or raise --memory-gb"
                ) from None

    def _fill(self, pool: ProcessPool, fetchers: ProcessPool, to_fetch: deque[str]) -> None:
        """Keep a few jobs in line, no more: a pool's queue is lost with it."""
        fetching = sum(isinstance(what, str) for what in self.futures.values())
        while to_fetch and fetching < 2 * DOWNLOADS_AT_ONCE:
            address = to_fetch.popleft()
            arguments = [address, self.plan.downloads, self.settings.fetch]
            future: Future[Any] = fetchers.schedule(fetch, args=arguments, timeout=self.settings.fetch_timeout_seconds)
            self.futures[future] = address
            fetching += 1
        while self.ready and len(self.futures) - fetching < 2 * self.settings.workers:
            item = self.ready.popleft()
            future = pool.schedule(prepare_item, args=[self._job(item)], timeout=self.settings.timeout_seconds)
            self.futures[future] = item

    def _job(self, item: Item) -> Job:
        file = self.plan.local_file(item.sample)
        return Job(item.sample, file, str(self.plan.item_file(item)), item.key, self.settings.item)

    def _collect(self, future: Future[Any]) -> None:
        what = self.futures.pop(future)
        if isinstance(what, str):
            self._downloaded(what, self._fetched(what, future))
        else:
            self._settle(what, self._outcome(future))

    def _outcome(self, future: Future[Any]) -> Outcome:
        try:
            return future.result()
        except TimeoutError:
            limit = self.settings.timeout_seconds
            return Outcome("timeout", f"took longer than {limit:g} s and was stopped", seconds=limit)
        except ProcessExpired as error:
            return Outcome("crash", f"killed its worker: {_how_it_ended(error.exitcode)}")
        except MemoryError:
            return Outcome("memory", "needed more memory than an item may have")

    def _fetched(self, address: str, future: Future[Any]) -> Fetched:
        try:
            return future.result()
        except TimeoutError:
            limit = self.settings.fetch_timeout_seconds
            return Fetched(address, "timeout", f"{address}: download took longer than {limit:g} s; run again to go on")
        except ProcessExpired as error:
            return Fetched(address, "crash", f"{address}: killed its worker: {_how_it_ended(error.exitcode)}")

    def _downloaded(self, address: str, fetched: Fetched) -> None:
        self.ledger.record_download(address, fetched.status, fetched.reason, fetched.file)
        for item in self.waiting.pop(address):
            if fetched.status == "ok":
                self.ready.append(item)
            else:
                self._settle(item, Outcome(fetched.status, fetched.reason))

    def _settle(self, item: Item, outcome: Outcome) -> None:
        sample = item.sample
        entry = Entry(
            sample.id,
            item.key,
            outcome.status,
            self.plan.without_paths(outcome.reason),
            sample.split or "train",
            outcome.num_frames,
            outcome.duration_ms,
            outcome.checksum,
            outcome.tools,
            outcome.seconds,
        )
        self.ledger.record(entry)
        self.entries[sample.id] = entry
        if self.progress:
            self.progress(entry)
        shard = self.items[sample.id][1]
        self.open[shard.name].discard(sample.id)
        self._write_if_complete(shard)

    def _write_if_complete(self, shard: Shard) -> None:
        if self.open.get(shard.name, True):  # items still open, or written already
            return
        del self.open[shard.name]
        self.ledger.commit()
        good = [item for item in shard.items if self.entries[item.sample.id].status == "ok"]
        files = [self.plan.item_file(item) for item in good]
        checksum = write_shard(files, self.plan.folder / shard.name, schema_of(self.settings.item.hand_crops))
        self.ledger.record_shard(shard.name, shard.key, len(good), checksum)
        for file in files:
            file.unlink()


def _pool(workers: int, memory_bytes: int) -> ProcessPool:
    """Killable workers, forked from a clean server: a plain fork would copy threads and locks of whoever calls us."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return ProcessPool(workers, initializer=start_child, initargs=(memory_bytes,), context=context)


def write_shard(rows: list[Path], path: Path, schema: pa.Schema = SCHEMA) -> str:
    """Rows into one Parquet file, in order; the same rows give the same bytes. Returns their SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    with pq.ParquetWriter(draft, schema, compression="zstd", use_dictionary=["layout", "extractor", "split"]) as writer:
        for first in range(0, len(rows), ROWS_PER_GROUP):
            group = [read_table(row) for row in rows[first : first + ROWS_PER_GROUP]]
            writer.write_table(pa.concat_tables(group).combine_chunks(), row_group_size=ROWS_PER_GROUP)
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    os.replace(draft, path)
    return checksum


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
