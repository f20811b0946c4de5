"""The ledger: one line an item, whatever kills the writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from slt_hf.data.ledger import STATUSES, Entry, Ledger
from slt_hf.errors import PreparationError


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_entry_comes_back_as_it_was(path):
    entry = Entry("a", "k", "ok", "a note", "train", 12, 480.0, "abc", {"mediapipe": "0.10.21"}, 1.5)
    with Ledger(path) as ledger:
        ledger.record(entry)
    with Ledger(path) as ledger:
        assert ledger.entries() == {"a": entry}


def test_later_outcome_replaces_the_earlier_one(path):
    with Ledger(path) as ledger:
        ledger.record(Entry("a", "k", "timeout"))
        ledger.record(Entry("a", "k", "ok"))
        assert [entry.status for entry in ledger.entries().values()] == ["ok"]
        ledger.forget(["a"])
        assert ledger.entries() == {}


def test_unknown_status_is_a_mistake_of_ours(path):
    with Ledger(path) as ledger, pytest.raises(ValueError, match="found status 'fine'"):
        ledger.record(Entry("a", "k", "fine"))


def test_every_status_of_the_issue_is_explained():
    named = "ok missing dead forbidden corrupt too_short mistimed no_person several_people timeout"
    assert set(named.split()) <= STATUSES.keys() and all(STATUSES.values())


def test_downloads_and_shards_are_kept(path, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"1234")
    with Ledger(path) as ledger:
        ledger.record_download("http://a/clip.mp4", "ok", None, tmp_path / "clip.mp4")
        ledger.record_shard("data/train-0.parquet", "key", 7, "abc")
    with Ledger(path) as ledger:
        assert ledger.downloads() == {"http://a/clip.mp4": ("ok", None, str(tmp_path / "clip.mp4"))}
        assert ledger.shards() == {"data/train-0.parquet": ("key", 7, "abc")}


def test_killed_writer_leaves_a_ledger_that_opens_with_all_that_was_committed(path):
    program = f"""
    import os, signal
    from slt_hf.data.ledger import Entry, Ledger
    ledger = Ledger({str(path)!r})
    ledger.record(Entry("committed", "k", "ok"))
    ledger.commit()
    for i in range(500):
        ledger.record(Entry(str(i), "k", "ok"))
    os.kill(os.getpid(), signal.SIGKILL)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=dict(os.environ))
    assert run.returncode == -signal.SIGKILL
    with Ledger(path) as ledger:
        assert "committed" in ledger.entries()
        ledger.record(Entry("next", "k", "ok"))


def test_other_file_is_not_taken_for_a_ledger(path):
    path.write_text("id,status\n" * 100)
    with pytest.raises(PreparationError, match="expected a preparation ledger"):
        Ledger(path)
