"""Two processes on a CPU (gloo) train what one process trains with the whole batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from test_training_scripts import COMMON, TINY_T5, corpus  # noqa: F401

pytestmark = pytest.mark.slow
SETTINGS: dict[str, Any] = COMMON | {
    "text_config": TINY_T5, "max_steps": 3, "learning_rate": 0.05, "lr_scheduler_type": "constant",
    "train_sampling_strategy": "sequential", "logging_steps": 1, "eval_strategy": "no",
    "optim": "sgd",  # weights move by the gradient itself, where Adam would hide a factor
}  # fmt: skip


def launch(
    script: Path, folder: Path, processes: int, sharded: dict[str, str] | None = None, **options: Any
) -> list[dict[str, Any]]:
    """Run a script under torchrun; returns the log of its steps."""
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**options, "output_dir": str(folder)}))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--standalone"]
    settings = {**os.environ, "OMP_NUM_THREADS": "1", **(sharded or {})}
    through = [str(Path(__file__).parent / "fsdp_on_cpu.py")] if sharded else []
    command = [*torchrun, *through, str(script), str(folder / "recipe.yaml")]
    subprocess.run(command, check=True, timeout=300, env=settings, cwd=script.parent.parent)
    log = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [entry for entry in log if "loss" in entry]


def test_contrast_over_two_ranks_is_contrast_over_the_whole_batch(
    repository: Path,
    corpus: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Each rank holds the four words once, so every text has its duplicate, and all but one negative, on the other."""
    from safetensors.numpy import load_file

    script = repository / "scripts" / "train_contrastive.py"
    data = {"dataset": [str(corpus / "manifest.csv")], "tokenizer": str(corpus / "tokenizer"), "chunk_size": 2}
    runs = {}
    for processes in (1, 2):
        batch = {"per_device_train_batch_size": 8 // processes}
        runs[processes] = launch(script, tmp_path / str(processes), processes, **SETTINGS | data | batch)
    for measured in ("loss", "grad_norm"):
        one, two = ([step[measured] for step in runs[processes]] for processes in (1, 2))
        np.testing.assert_allclose(two, one, atol=1e-5, err_msg=measured)
    whole, shared = (load_file(tmp_path / str(processes) / "model.safetensors") for processes in (1, 2))
    for name, value in whole.items():
        np.testing.assert_allclose(shared[name], value, atol=1e-5, err_msg=name)
    assert runs[1][0]["loss"] > runs[1][-1]["loss"], "it learns"


def accelerate_environment(config: Path) -> dict[str, str]:
    """What `accelerate launch --config_file` tells its processes; in full precision, to compare with one process.

    accelerate itself starts one process only on a machine without a GPU, so torchrun and `fsdp_on_cpu.py` do.
    """
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    arguments = launch_command_parser().parse_args(["--config_file", str(config), "train.py"])
    made = prepare_multi_gpu_env(_validate_launch_command(arguments)[0])
    told = {name: value for name, value in made.items() if name.startswith(("ACCELERATE_", "FSDP_"))}
    return {**told, "ACCELERATE_MIXED_PRECISION": "no"}


def test_sharded_weights_learn_what_whole_ones_learn(
    repository: Path,
    corpus: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """FSDP2 over gloo by scripts/accelerate/fsdp2.yaml: steps, generation at evaluation, whole weights, resuming."""
    from safetensors.numpy import load_file

    script = repository / "scripts" / "train_translation.py"
    sharded = accelerate_environment(repository / "scripts" / "accelerate" / "fsdp2.yaml")
    assert sharded["ACCELERATE_USE_FSDP"] == "true" and sharded["FSDP_VERSION"] == "2"
    data = {"dataset": [str(corpus / "manifest.csv")], "tokenizer": str(corpus / "tokenizer")}
    evaluated = {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 2}
    runs = {}
    for processes, environment in ((1, {}), (2, sharded)):
        batch = {"per_device_train_batch_size": 8 // processes}
        folder = tmp_path / str(processes)
        runs[processes] = launch(script, folder, processes, environment, **SETTINGS | data | batch | evaluated)
        assert len((folder / "predictions" / "step-000003.csv").read_text().splitlines()) == 5
    one, two = ([step["loss"] for step in runs[processes]] for processes in (1, 2))
    np.testing.assert_allclose(two, one, atol=1e-5)
    whole, shared = (load_file(tmp_path / str(processes) / "model.safetensors") for processes in (1, 2))
    assert whole.keys() == shared.keys()
    for name, value in whole.items():
        np.testing.assert_allclose(shared[name], value, atol=1e-5, err_msg=name)

    assert (tmp_path / "2" / "checkpoint-2" / "pytorch_model_fsdp_0").is_dir(), "weights were in shards"
    (tmp_path / "2" / "model.safetensors").unlink()  # as if lost after the second step, whose checkpoint is in shards
    batch = {"per_device_train_batch_size": 4, "resume": True}
    resumed = launch(script, tmp_path / "2", 2, sharded, **SETTINGS | data | batch | evaluated)
    np.testing.assert_allclose([step["loss"] for step in resumed], two, atol=1e-6)
    again = load_file(tmp_path / "2" / "model.safetensors")
    for name, value in shared.items():
        np.testing.assert_allclose(again[name], value, atol=1e-6, err_msg=name)
