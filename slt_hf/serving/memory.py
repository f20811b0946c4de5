"""What was freed goes back to the system now and then.

glibc keeps freed memory that lies between blocks still in use, and each new length of clip leaves more of it: 22 MB in
a process within ten sentences, of which a call that takes two milliseconds gives back all but 2. Fewer arenas keep more
of it, not less: 37 MB with one.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from functools import lru_cache
from typing import Any

SECONDS = 5.0  # memory swings by what lies about meanwhile


@lru_cache(1)
def trim() -> Any:
    """glibc's `malloc_trim`; None on other systems, whose allocators do as they like."""
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):  # no such library, or musl's under its name
        return None


def give_back() -> None:
    """Once; other threads go on."""
    if trim() is not None:
        trim()(0)


async def give_back_regularly() -> None:
    """Until it is cancelled."""
    while True:
        await asyncio.sleep(SECONDS)
        await asyncio.to_thread(give_back)


class Occasionally:
    """The same between pieces of work, for a process that has no event loop."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def give_back(self, now: bool = False) -> None:
        if now or time.monotonic() - self.last > SECONDS:
            give_back()
            self.last = time.monotonic()
