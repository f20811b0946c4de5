"""What happened to every item of a preparation: one SQLite file that survives being killed at any moment."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from slt_hf.errors import PreparationError

# status: what it means, and what to do. `ok` items are in the shards; nothing else is.
STATUSES = {
    "ok": "in the shards",
    "missing": "the file is not there",
    "dead": "the address answers that it is gone",
    "forbidden": "the address refuses; ask the owner of the corpus for access",
    "too_large": "the download is larger than --max-download-gb",
    "unreachable": "the address does not answer, or not now; run again with --retry unreachable",
    "corrupt": "the file cannot be read as what it claims to be",
    "too_short": "fewer frames than --min-frames",
    "too_long": "more frames than --max-frames",
    "mistimed": "its times lie outside the video",
    "no_person": "the extractor saw nobody in most frames",
    "several_people": "more than one person, and no box says which one signs",
    "timeout": "took longer than --timeout; it was stopped",
    "memory": "needed more than --memory-gb; it was stopped",
    "crash": "killed its worker process",
    "error": "an error that has no status of its own",
}

_TABLES = """
CREATE TABLE IF NOT EXISTS items (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, split TEXT, status TEXT NOT NULL, reason TEXT, num_frames INTEGER,
    duration_ms REAL, checksum TEXT, tools TEXT, seconds REAL, finished REAL
);
CREATE TABLE IF NOT EXISTS downloads (
    address TEXT PRIMARY KEY, status TEXT NOT NULL, reason TEXT, file TEXT, bytes INTEGER, checksum TEXT, finished REAL
);
CREATE TABLE IF NOT EXISTS shards (name TEXT PRIMARY KEY, key TEXT NOT NULL, rows INTEGER, checksum TEXT);
"""


@dataclass(frozen=True)
class Entry:
    """One item's line in the ledger."""

    id: str
    key: str  # of the row and the settings it was prepared with: another key means it must be prepared again
    status: str
    reason: str | None = None
    split: str | None = None
    num_frames: int | None = None
    duration_ms: float | None = None
    checksum: str | None = None  # SHA-256 of the source file
    tools: dict[str, str] = field(default_factory=dict)  # name: version of all that took part
    seconds: float | None = None  # time spent


class Ledger:
    """The ledger of one output folder.

    Rollback journal rather than WAL, since several nodes may share the folder over a network file system. Entries are
    committed at least every second: what a kill loses is at most a second of finished items, which are prepared again.

    Raises:
        PreparationError: if the file is no ledger.
    """

    COMMIT_SECONDS = 1.0

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(self.path, timeout=60)
            self._db.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise PreparationError(f"{path}: expected a preparation ledger, found: {error}; move it away") from None
        self._committed = time.monotonic()

    def close(self) -> None:
        self._db.commit()
        self._db.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Several changes that hold together or not at all."""
        self._db.commit()
        with self._db:
            yield

    def record(self, entry: Entry) -> None:
        """Write one item's outcome over any earlier one."""
        if entry.status not in STATUSES:
            raise ValueError(f"expected one of {', '.join(STATUSES)}, found status {entry.status!r}")
        tools = json.dumps(entry.tools, sort_keys=True)
        first = (entry.id, entry.key, entry.split, entry.status, entry.reason, entry.num_frames, entry.duration_ms)
        values = (*first, entry.checksum, tools, entry.seconds, time.time())
        self._db.execute(f"INSERT OR REPLACE INTO items VALUES ({','.join('?' * len(values))})", values)
        self._commit_now_and_then()

    def entries(self) -> dict[str, Entry]:
        """Every item's entry by id."""
        columns = "id, key, status, reason, split, num_frames, duration_ms, checksum, tools, seconds"
        rows = self._db.execute(f"SELECT {columns} FROM items ORDER BY id")
        told = [[*row[:8], json.loads(row[8]), row[9]] for row in rows]
        return {values[0]: Entry(*values) for values in told}

    def forget(self, ids: Iterable[str]) -> None:
        with self.at_once():
            self._db.executemany("DELETE FROM items WHERE id = ?", [(id,) for id in ids])

    def record_download(
        self,
        address: str,
        status: str,
        reason: str | None = None,
        file: Path | None = None,
        checksum: str | None = None,
    ) -> None:
        size = file.stat().st_size if file else None
        values = (address, status, reason, str(file) if file else None, size, checksum, time.time())
        self._db.execute("INSERT OR REPLACE INTO downloads VALUES (?,?,?,?,?,?,?)", values)
        self._commit_now_and_then()

    def downloads(self) -> dict[str, tuple[str, str | None, str | None]]:
        """Address: status, reason and file name."""
        return {row[0]: row[1:] for row in self._db.execute("SELECT address, status, reason, file FROM downloads")}

    def forget_downloads(self, addresses: Iterable[str]) -> None:
        with self.at_once():
            self._db.executemany("DELETE FROM downloads WHERE address = ?", [(address,) for address in addresses])

    def record_shard(self, name: str, key: str, rows: int, checksum: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO shards VALUES (?,?,?,?)", (name, key, rows, checksum))
        self._db.commit()

    def forget_shard(self, name: str) -> None:
        self._db.execute("DELETE FROM shards WHERE name = ?", (name,))
        self._db.commit()

    def shards(self) -> dict[str, tuple[str, int, str]]:
        """Name: key of its content, rows, SHA-256."""
        return {row[0]: row[1:] for row in self._db.execute("SELECT name, key, rows, checksum FROM shards")}

    def commit(self) -> None:
        self._db.commit()
        self._committed = time.monotonic()

    def _commit_now_and_then(self) -> None:
        if time.monotonic() - self._committed > self.COMMIT_SECONDS:
            self.commit()
