"""`slt-hf` as its users call it, run in this process: a process of its own would import torch again for each test."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from dataclasses import dataclass
from unittest import mock

from slt_hf.cli.main import main


@dataclass(frozen=True)
class Done:
    exit_code: int
    stdout: str
    stderr: str


def cli(*arguments: object) -> Done:
    """Run the entry point of `slt-hf`, not only its typer app: exit codes and error lines are made there."""
    stdout, stderr = io.StringIO(), io.StringIO()
    argv = mock.patch.object(sys, "argv", ["slt-hf", *map(str, arguments)])
    with argv, warnings.catch_warnings(), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = exit_code_of_main()
    return Done(code, stdout.getvalue(), stderr.getvalue())


def exit_code_of_main() -> int:
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
