"""Our trainers search hyperparameters through the Trainer's own backends."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_checkpoints import SIZES

from slt_hf.data.collator import SignCollator
from slt_hf.modeling import PoseEncoderConfig, PoseEncoderForSignClassification
from slt_hf.processing import PoseFeatureExtractor
from slt_hf.processing.pose_files import PoseClip
from slt_hf.training.arguments import ModelArguments, SignTrainingArguments
from slt_hf.training.classification_trainer import SignClassificationTrainer, classification_metrics


def rows(count: int = 8) -> list[dict[str, Any]]:
    """Clips of two classes that differ in where the right hand is."""
    found = []
    for number in range(count):
        points = np.random.default_rng(number).normal(size=(6, 85, 2)).astype(np.float32) + 200
        points[:, 5], points[:, 6], points[:, 32:53, 1] = (250, 200), (150, 200), 100 + 200 * (number % 2)
        clip = PoseClip(points, np.ones((6, 85), np.float32), "signing_85", 25.0)
        found.append({"clip": clip, "class_id": number % 2, "index": number})
    return found


def make_model(trial: Any = None) -> PoseEncoderForSignClassification:
    return PoseEncoderForSignClassification(PoseEncoderConfig(**SIZES, id2label={0: "up", 1: "down"}))


def make_trainer(folder: Path, model_init: Any = make_model) -> SignClassificationTrainer:
    arguments = SignTrainingArguments(
        output_dir=str(folder), max_steps=2, per_device_train_batch_size=4, eval_strategy="steps", eval_steps=2,
        use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    return SignClassificationTrainer(
        model_init=model_init, args=arguments, train_dataset=rows(), eval_dataset=rows(4),
        data_collator=SignCollator(PoseFeatureExtractor(), label_column="class_id"),
        compute_metrics=classification_metrics,
        model_arguments=ModelArguments(layerwise_lr_decay=0.9),
    )  # fmt: skip


def objective(metrics: dict[str, float]) -> float:
    return metrics["eval_top1"]


def test_optuna_searches_with_a_fresh_model_for_every_trial(tmp_path: Path):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(logging.ERROR)
    made: list[Any] = []

    def model_init(trial: Any = None) -> PoseEncoderForSignClassification:
        made.append(make_model())
        return made[-1]

    trainer = make_trainer(tmp_path, model_init)
    best: Any = trainer.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)},
        compute_objective=objective, direction="maximize", backend="optuna", n_trials=2,
    )  # fmt: skip
    assert 1e-4 <= best.hyperparameters["learning_rate"] <= 1e-2 and 0 <= best.objective <= 1
    assert len(made) >= 3  # one to begin with, one for each trial
    rates = {group["initial_lr"] for group in trainer.optimizer.param_groups}
    assert max(rates) == pytest.approx(trainer.args.learning_rate)  # our groups follow the trial's rate


@pytest.mark.slow
def test_ray_searches_in_processes_of_its_own(tmp_path: Path):
    ray = pytest.importorskip("ray", reason="ray is an optional backend; pip install 'ray[tune]'")
    from ray import tune

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # its processes cannot import this file
    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20, _temp_dir=tempfile.mkdtemp())
    try:
        best: Any = make_trainer(tmp_path).hyperparameter_search(
            hp_space=lambda trial: {"learning_rate": tune.loguniform(1e-4, 1e-2)},
            compute_objective=objective, direction="maximize", backend="ray", n_trials=2,
            resources_per_trial={"cpu": 1}, storage_path=str(tmp_path / "trials"),
        )  # fmt: skip
    finally:
        ray.shutdown()
    assert 1e-4 <= best.hyperparameters["learning_rate"] <= 1e-2 and 0 <= best.objective <= 1
    tried = [trial.last_result["objective"] for trial in best.run_summary.trials]
    assert len(tried) == 2 and best.objective == max(tried)


@pytest.mark.slow
def test_a_sweep_of_wandb_sets_what_its_agent_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Sweeps have no offline mode: the server and the agent that asks it are stood in for, runs are real, offline."""
    wandb = pytest.importorskip("wandb", reason="wandb is an optional backend; pip install 'slt_hf[tracking]'")
    asked: list[dict[str, Any]] = []
    drawn = [0.004, 0.002]

    def agent(sweep_id: str, function: Any, count: int) -> None:
        for rate in drawn[:count]:
            wandb.init(config={"learning_rate": rate}, project=sweep_id)
            function()
            assert trainer.args.learning_rate == rate
            wandb.finish()

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))

    def sweep(config: dict[str, Any], **kwargs: Any) -> str:
        asked.append(config)
        return "sweep"

    monkeypatch.setattr(wandb, "sweep", sweep)
    monkeypatch.setattr(wandb, "agent", agent)
    trainer = make_trainer(tmp_path)
    space = {"method": "random", "metric": {}, "parameters": {"learning_rate": {"min": 1e-3, "max": 1e-2}}}
    best: Any = trainer.hyperparameter_search(
        hp_space=lambda trial: space, compute_objective=objective, direction="maximize", backend="wandb", n_trials=2,
        metric="eval/top1",
    )  # fmt: skip
    assert asked[0]["metric"] == {"goal": "maximize", "name": "eval/top1"}
    assert best.hyperparameters["learning_rate"] in drawn and 0 <= best.objective <= 1
