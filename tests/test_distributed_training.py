"""Two processes on a CPU (gloo) train what one process trains with the whole batch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from test_training_scripts import COMMON, TINY_T5, corpus, run  # noqa: F401

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


def test_what_thaws_over_two_ranks_learns_what_it_learns_on_one(
    repository: Path,
    corpus: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """DDP exchanges gradients of what is trainable at the start alone: what thaws later would drift apart by rank.

    FSDP2 exchanges those of what is trainable when it looks.
    """
    from safetensors.numpy import load_file

    script = repository / "scripts" / "train_translation.py"
    data = {"dataset": [str(corpus / "manifest.csv")], "tokenizer": str(corpus / "tokenizer")}
    late = {"unfreeze_at_epoch": {"text_model.": 1}, "weight_decay": 0.5, "save_strategy": "steps", "save_steps": 1}
    fsdp = accelerate_environment(repository / "scripts" / "accelerate" / "fsdp2.yaml")
    runs = {}
    for name, processes, environment in (("1", 1, {}), ("2", 2, {}), ("fsdp", 2, fsdp)):
        options = SETTINGS | data | late | {"per_device_train_batch_size": 8 // processes}
        runs[name] = launch(script, tmp_path / name, processes, environment, **options)
    for measured in ("loss", "grad_norm"):
        one, two, sharded = ([step[measured] for step in runs[name]] for name in runs)
        np.testing.assert_allclose(two, one, atol=1e-5, err_msg=measured)
        np.testing.assert_allclose(sharded, one, atol=1e-5, err_msg=measured)
    frozen, thawed, alone = (
        load_file(tmp_path / run / f"checkpoint-{step}" / "model.safetensors") for run, step in ("21", "22", "11")
    )
    whole, shared, gathered = (load_file(tmp_path / run / "model.safetensors") for run in runs)
    for name, value in whole.items():
        np.testing.assert_allclose(shared[name], value, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(gathered[name], value, atol=1e-5, err_msg=name)
        if name.startswith("text_model."):
            np.testing.assert_array_equal(frozen[name], alone[name], err_msg="neither gradient nor decay moved it")
            assert (thawed[name] != frozen[name]).any(), name


def test_texts_of_two_ranks_stand_in_the_order_of_the_data(
    repository: Path,
    corpus: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Three dev clips over two ranks, one at a time: one is read twice so that ranks have equally many."""
    from slt_hf.data.tables import read_table

    learned = {"text_config": TINY_T5, "max_steps": 80, "learning_rate": 0.003, "lr_scheduler_type": "constant"}
    first = run("train_translation.py", repository, corpus, tmp_path / "first", eval_strategy="no", **learned)
    data = {"dataset": [str(corpus / "manifest.csv")], "model_name_or_path": str(first), "max_eval_samples": 3}
    still = {"text_config": None, "max_steps": 1, "learning_rate": 0.0, "eval_strategy": "steps", "eval_steps": 1}
    options = SETTINGS | data | still | {"per_device_eval_batch_size": 1}
    launch(repository / "scripts" / "train_translation.py", tmp_path / "2", 2, **options)
    rows = read_table(tmp_path / "2" / "predictions" / "step-000001.csv").rows
    assert [(row["id"], row["hypothesis"]) for row in rows] == [("c8", "hello"), ("c9", "tree"), ("c10", "house")]


def test_zero2_over_gloo_learns_what_one_process_learns(
    repository: Path,
    corpus: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """`accelerate launch` with scripts/accelerate/deepspeed_zero2.yaml, in full precision: steps, texts, resuming."""
    pytest.importorskip("deepspeed", reason="ZeRO needs deepspeed; DS_BUILD_OPS=0 pip install deepspeed")
    from safetensors.numpy import load_file

    from slt_hf import SignTranslator

    config = str(repository / "scripts" / "accelerate" / "deepspeed_zero2.yaml")
    options = ["--config_file", config, "--num_processes", "2", "--mixed_precision", "no", "--main_process_port", "0"]
    runner = str(Path(__file__).parent / "deepspeed_on_cpu.py")
    sharded = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", *options, runner]
    data = {"dataset": [str(corpus / "manifest.csv")], "tokenizer": str(corpus / "tokenizer"), "use_cpu": False}
    saved = {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 2}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}

    def shard(name: str, script: str, **more: Any) -> subprocess.CompletedProcess:
        (tmp_path / name).mkdir(exist_ok=True)
        recipe = SETTINGS | data | saved | more | {"per_device_train_batch_size": 4, "output_dir": str(tmp_path / name)}
        (tmp_path / name / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        command = [*sharded, str(repository / "scripts" / script), str(tmp_path / name / "recipe.yaml")]
        return subprocess.run(command, timeout=300, env=environment, cwd=repository, capture_output=True, text=True)

    script = repository / "scripts" / "train_translation.py"
    one = launch(script, tmp_path / "1", 1, **SETTINGS | data | saved | {"per_device_train_batch_size": 8})
    done = shard("2", "train_translation.py")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "2" / "checkpoint-2" / "global_step2").is_dir(), "DeepSpeed wrote the checkpoint"
    log = json.loads((tmp_path / "2" / "trainer_state.json").read_text())["log_history"]
    np.testing.assert_allclose([e["loss"] for e in log if "loss" in e], [e["loss"] for e in one], atol=1e-5)
    whole, shared = (load_file(tmp_path / name / "model.safetensors") for name in "12")
    for name, value in whole.items():
        np.testing.assert_allclose(shared[name], value, atol=1e-5, err_msg=name)
    assert SignTranslator.from_pretrained(tmp_path / "2", device="cpu")(str(corpus / "0.pose")).text is not None

    (tmp_path / "2" / "model.safetensors").unlink()  # as if lost after the second step
    shutil.rmtree(tmp_path / "2" / "checkpoint-3", ignore_errors=True)
    assert shard("2", "train_translation.py", resume=True).returncode == 0
    again = load_file(tmp_path / "2" / "model.safetensors")
    for name, value in shared.items():
        np.testing.assert_allclose(again[name], value, atol=1e-6, err_msg=name)

    for name, script_name, more in (
        ("3", "train_contrastive.py", {"chunk_size": 2}),
        ("4", "train_translation.py", {"unfreeze_at_epoch": {"text_model.": 1}}),
    ):
        refused = shard(name, script_name, **more)
        assert refused.returncode != 0 and "DeepSpeed" in refused.stderr and "ddp.yaml" in refused.stderr
