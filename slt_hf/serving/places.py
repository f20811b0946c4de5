"""How much a caller has open at once, counted over all protocols."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from slt_hf.serving.errors import OverloadedError


class Places:
    """A number of places for each caller.

    Args:
        limit: places of one caller.
        what: that is done in them, for the message.
    """

    def __init__(self, limit: int, what: str):
        self.limit, self.what = limit, what
        self.taken: Counter[str] = Counter()

    @contextmanager
    def one(self, caller: str) -> Iterator[None]:
        """A place for as long as the block lasts.

        Raises:
            OverloadedError: if all of this caller's are taken.
        """
        if self.taken[caller] >= self.limit:
            raise OverloadedError(
                f"expected at most {self.limit} {self.what} of a key at once, found more; wait for one to end"
            )
        self.taken[caller] += 1
        try:
            yield
        finally:
            self.taken[caller] -= 1
            if not self.taken[caller]:
                del self.taken[caller]  # callers without a key are addresses, of which there are many
