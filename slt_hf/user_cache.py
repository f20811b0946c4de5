"""Where files that were fetched or built for this user are kept."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """`$XDG_CACHE_HOME/slt_hf`, or `~/.cache/slt_hf` where that is not set; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slt_hf"
