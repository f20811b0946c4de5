"""How scripts end: one line for an error of ours, as the `slt-hf` command does."""

from __future__ import annotations

import sys
from collections.abc import Callable


def run_script(main: Callable[[], None]) -> None:
    """Run `main`; an error of ours becomes one line on stderr and exit code 2."""
    from slt_hf.errors import SignDataError

    try:
        main()
    except SignDataError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
