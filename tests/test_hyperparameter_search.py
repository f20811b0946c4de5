"""Our trainers search hyperparameters through the Trainer's own backends."""

from __future__ import annotations

import logging
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


def test_optuna_searches_with_a_fresh_model_for_every_trial(tmp_path: Path):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(logging.ERROR)
    made: list[Any] = []

    def model_init(trial: Any = None) -> PoseEncoderForSignClassification:
        made.append(PoseEncoderForSignClassification(PoseEncoderConfig(**SIZES, id2label={0: "up", 1: "down"})))
        return made[-1]

    arguments = SignTrainingArguments(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, eval_strategy="steps", eval_steps=2,
        use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    trainer = SignClassificationTrainer(
        model_init=model_init, args=arguments, train_dataset=rows(), eval_dataset=rows(4),
        data_collator=SignCollator(PoseFeatureExtractor(), label_column="class_id"),
        compute_metrics=classification_metrics,
        model_arguments=ModelArguments(layerwise_lr_decay=0.9),
    )  # fmt: skip
    best: Any = trainer.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)},
        compute_objective=lambda metrics: metrics["eval_top1"],
        direction="maximize", backend="optuna", n_trials=2,
    )  # fmt: skip
    assert 1e-4 <= best.hyperparameters["learning_rate"] <= 1e-2 and 0 <= best.objective <= 1
    assert len(made) >= 3  # one to begin with, one for each trial
    rates = {group["initial_lr"] for group in trainer.optimizer.param_groups}
    assert max(rates) == pytest.approx(trainer.args.learning_rate)  # our groups follow the trial's rate
