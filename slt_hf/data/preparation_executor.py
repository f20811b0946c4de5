"""The same preparation on a laptop or a cluster: datatrove's executors around our tasks.

datatrove gives each task a rank; a task writes every n-th shard and holds its own pool of killable workers, since
datatrove's pools hang when a worker dies. The ledger, not datatrove's markers, knows what is done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datatrove.executor.base import PipelineExecutor
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.executor.ray import RayPipelineExecutor
from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger

from slt_hf.data.preparation import Progress, finish, run_task
from slt_hf.data.preparation_plan import Plan, load_plan
from slt_hf.errors import PreparationError


class PrepareShards(PipelineStep):
    """Write this rank's share of a folder's shards."""

    name = "Prepare shards"
    type = "slt_hf"

    def __init__(self, folder: str | Path, progress: Progress | None = None):
        super().__init__()
        self.folder, self.progress = str(folder), progress

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> None:
        run_task(load_plan(self.folder), rank, world_size, self.progress)


class FinishDataset(PipelineStep):
    """Card and census, when all shards are there."""

    name = "Finish dataset"
    type = "slt_hf"

    def __init__(self, folder: str | Path):
        super().__init__()
        self.folder = str(folder)

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> None:
        finish(load_plan(self.folder))


class Local(LocalPipelineExecutor):
    """Tasks one after the other in this process.

    datatrove's own `run` starts a manager process, which would outlive a kill -9 of ours.
    """

    def run(self) -> None:
        for rank in self.get_incomplete_ranks():
            self._run_for_rank(rank)


def local(plan: Plan, tasks: int, progress: Progress | None = None, **_: Any) -> list[PipelineExecutor]:
    """One task after the other on this machine; the workers inside a task are what makes it fast."""
    step = PrepareShards(plan.folder, progress)
    return [
        Local([step], tasks=tasks, workers=1, logging_dir=_logs(plan, "shards"), skip_completed=False),
        _finishing(plan),
    ]


def _finishing(plan: Plan) -> Local:
    step = FinishDataset(plan.folder)
    return Local([step], tasks=1, workers=1, logging_dir=_logs(plan, "finish"), skip_completed=False)


def slurm(
    plan: Plan, tasks: int, partition: str = "", time: str = "24:00:00", **options: Any
) -> list[PipelineExecutor]:
    """A job array of tasks, then a job that finishes; the folder must lie on a shared file system."""
    if not partition:
        raise PreparationError("expected the Slurm partition to run in, found none; pass --slurm-partition")
    settings = plan.settings
    memory_gb = max(2, (settings.memory_bytes or 8 << 30) >> 30)
    activate = f"source {Path(sys.prefix) / 'bin/activate'}"
    common = {"partition": partition, "time": time, "env_command": activate, "skip_completed": False, **options}
    shards = SlurmPipelineExecutor(
        [PrepareShards(plan.folder)],
        tasks=tasks,
        cpus_per_task=settings.workers,
        mem_per_cpu_gb=memory_gb,
        job_name="slt-hf-prepare",
        logging_dir=_logs(plan, "shards"),
        **common,
    )
    last = SlurmPipelineExecutor(
        [FinishDataset(plan.folder)],
        tasks=1,
        job_name="slt-hf-prepare-finish",
        logging_dir=_logs(plan, "finish"),
        depends=shards,
        **common,
    )
    return [last]  # launches what it depends on


def ray(plan: Plan, tasks: int, **options: Any) -> list[PipelineExecutor]:
    """Tasks as Ray actors, then the finish here; the folder must lie on a shared file system."""
    cpus, memory = plan.settings.workers, plan.settings.memory_bytes or 8 << 30
    return [
        RayPipelineExecutor(
            [PrepareShards(plan.folder)],
            tasks=tasks,
            cpus_per_task=cpus,
            mem_per_cpu_gb=memory / 2**30,
            logging_dir=_logs(plan, "shards"),
            skip_completed=False,
            **options,
        ),
        _finishing(plan),
    ]


EXECUTORS: dict[str, Callable[..., list[PipelineExecutor]]] = {"local": local, "slurm": slurm, "ray": ray}


def execute(plan: Plan, executor: str = "local", tasks: int = 1, **options: Any) -> None:
    """Run, or submit, the plan's tasks.

    Raises:
        PreparationError: if there is no such executor, or it cannot be used here.
    """
    if executor not in EXECUTORS:
        raise PreparationError(f"expected an executor among {', '.join(EXECUTORS)}, found {executor!r}; choose one")
    logger.disable("datatrove")  # our own progress and ledger say more
    try:
        for each in EXECUTORS[executor](plan, tasks, **options):
            each.run()
    except ImportError as error:
        raise PreparationError(f"expected {executor} to be installed, found: {error}; install it") from None
    except FileNotFoundError as error:
        if executor != "slurm":
            raise
        raise PreparationError(f"expected Slurm's {error.filename} here, found none; run on a login node") from None
    finally:
        logger.enable("datatrove")


def _logs(plan: Plan, name: str) -> str:
    return str(plan.work / "logs" / name)
