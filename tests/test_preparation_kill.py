"""kill -9 at random moments: the run continues and ends with the bytes of an undisturbed one."""

from __future__ import annotations

import subprocess
import sys

import pytest


def kill_test(repository, *options: str) -> str:
    command = [sys.executable, str(repository / "scripts/kill_test.py"), *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_run_killed_three_times_ends_with_the_same_bytes(repository):
    assert "1 of 1 runs ended with the same bytes" in kill_test(repository, "--points", "1", "--kills", "3")


@pytest.mark.slow
def test_kill_at_ten_random_points_changes_no_byte(repository):
    assert "10 of 10 runs ended with the same bytes" in kill_test(repository, "--points", "10", "--seed", "1")
