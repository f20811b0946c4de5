"""The same command from a laptop to a cluster: the executors give the same bytes and share one ledger."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slt_hf.data.ledger import Ledger
from slt_hf.data.manifest import write_manifest
from slt_hf.data.preparation import PreparationSettings, begin, prepare
from slt_hf.data.preparation_executor import execute
from slt_hf.data.preparation_plan import load_plan
from slt_hf.data.sample import Sample
from slt_hf.errors import PreparationError
from slt_hf.processing.pose_files import PoseClip, write_pose

SETTINGS = PreparationSettings(workers=1, shard_clips=3)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(6):
        points = np.random.default_rng(i).normal(size=(10 + i, 75, 3)).astype(np.float32)
        clip = PoseClip(points, np.ones((10 + i, 75), np.float32), "holistic_75", 25.0)
        write_pose(clip, folder / f"{i}.pose")
    write_manifest([Sample(str(i), pose=f"{i}.pose", text="x") for i in range(7)], folder / "manifest.csv")
    return folder / "manifest.csv"


def shards(folder: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in [*folder.glob("data/*"), folder / "census.json"]}
    assert len(found) == 4
    return found


@pytest.fixture(scope="module")
def undisturbed(manifest, tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    prepare(manifest, folder, SETTINGS)
    return shards(folder)


def test_local_executor_in_one_task_or_two_gives_the_same_bytes(manifest, undisturbed, tmp_path):
    for tasks in (1, 2):
        folder = tmp_path / str(tasks)
        execute(begin(manifest, folder, SETTINGS), "local", tasks)
        assert shards(folder) == undisturbed


def write_command(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.slow
def test_slurm_jobs_give_the_same_bytes_and_write_the_same_ledger(manifest, undisturbed, tmp_path, monkeypatch):
    """Slurm's commands are played by small scripts that keep what is submitted; then each task runs as Slurm would."""
    commands = tmp_path / "bin"
    commands.mkdir()
    submitted = tmp_path / "submitted"
    write_command(commands / "sbatch", f'for last; do :; done; cat "$last" >> {submitted}; echo Submitted batch job 42')
    write_command(commands / "scontrol", "echo localhost")
    monkeypatch.setenv("PATH", f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    plan = begin(manifest, tmp_path / "shards", SETTINGS)
    execute(plan, "slurm", 2, partition="cpu", time="01:00:00")
    script = submitted.read_text()
    assert "#SBATCH --partition=cpu" in script and "#SBATCH --array=0-1" in script and "--time=01:00:00" in script
    assert f"source {sys.prefix}/bin/activate" in script
    logs = tmp_path / "shards/.prepare/logs"
    for name, rank in (("shards", 1), ("shards", 0), ("finish", 0)):
        environment = os.environ | {"SLURM_ARRAY_TASK_ID": str(rank), "SLURM_NODELIST": "localhost"}
        command = ["launch_pickled_pipeline", str(logs / name / "executor.pik")]
        run = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    assert shards(tmp_path / "shards") == undisturbed
    with Ledger(plan.ledger_path) as ledger:
        assert [entry.status for entry in ledger.entries().values()] == ["ok"] * 6 + ["missing"]


@pytest.mark.slow
def test_ray_actors_give_the_same_bytes(manifest, undisturbed, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is too heavy for the environment of every day: pip install ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    settings = replace(SETTINGS, memory_bytes=2 << 30)  # what an actor asks Ray for
    execute(begin(manifest, tmp_path / "shards", settings), "ray", 2)
    assert shards(tmp_path / "shards") == undisturbed


def test_executor_that_cannot_run_here_says_why(manifest, tmp_path, monkeypatch):
    plan = begin(manifest, tmp_path / "shards", SETTINGS)
    with pytest.raises(PreparationError, match="local, slurm, ray, found 'cloud'"):
        execute(plan, "cloud")
    with pytest.raises(PreparationError, match="pass --slurm-partition"):
        execute(plan, "slurm")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PreparationError, match="run on a login node"):
        execute(plan, "slurm", partition="cpu")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PreparationError, match="expected ray to be installed"):
        execute(plan, "ray")


def test_command_prints_the_census_and_report_repeats_it(manifest, tmp_path, capsys):
    from slt_hf.cli.main import app

    folder = str(tmp_path / "shards")
    app(["prepare", str(manifest), "--output", folder, "--shard-clips", "3", "--workers", "1"], standalone_mode=False)
    told = capsys.readouterr()
    assert "| train | 7 | 6 | 1 | 75 | 0.00 |" in told.out and "- 6: expected 6.pose, found nothing there" in told.out
    assert "7/7" in told.err and "missing=1" in told.err
    (tmp_path / "shards/census.json").unlink()
    app(["prepare", "--report", "--output", folder], standalone_mode=False)
    assert capsys.readouterr().out == told.out
    assert (tmp_path / "shards/census.json").exists()


def test_report_of_an_unfinished_run_counts_what_is_pending(manifest, tmp_path, capsys):
    from slt_hf.cli.prepare import print_report

    print_report(begin(manifest, tmp_path / "shards", SETTINGS))
    assert "7 items are not settled yet" in capsys.readouterr().out
    assert load_plan(tmp_path / "shards").settings == SETTINGS
