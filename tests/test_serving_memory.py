"""Freed memory goes back to the system."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from slt_hf.serving import memory


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


@pytest.mark.skipif(memory.trim() is None or sys.platform != "linux", reason="needs glibc on Linux")
def test_what_lies_between_used_blocks_is_given_back():
    blocks = [bytearray(60_000) for _ in range(2000)]  # below the size that glibc maps apart
    del blocks[:-1]  # the last one holds the heap's end where it is
    before = resident_mb()
    memory.give_back()
    assert resident_mb() < before - 50


def test_it_happens_now_and_then(monkeypatch: pytest.MonkeyPatch):
    calls: list[float] = []
    monkeypatch.setattr(memory, "give_back", lambda: calls.append(time.monotonic()))
    occasionally = memory.Occasionally()
    occasionally.give_back()
    assert not calls
    monkeypatch.setattr(memory, "SECONDS", 0.01)
    time.sleep(0.02)
    occasionally.give_back()
    assert len(calls) == 1

    async def work() -> None:
        task = asyncio.create_task(memory.give_back_regularly())
        while len(calls) < 4:
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(asyncio.wait_for(work(), 20))
