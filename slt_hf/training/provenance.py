"""Where a checkpoint comes from, for its card: recipe, code, hardware, and how its scores were computed."""

from __future__ import annotations

import subprocess
from dataclasses import MISSING, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

import slt_hf

# of the Trainer's own options, those that change what is learned; the others say where files go and what is shown
TOLD = (
    "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "chunk_size",
    "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "optim", "max_grad_norm",
    "label_smoothing_factor", "bf16", "gradient_checkpointing", "train_sampling_strategy", "generation_num_beams",
    "metric_for_best_model", "load_best_model_at_end", "seed",
)  # fmt: skip


def describe_training(stage: str, recipe: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The `training` of `card.yaml`.

    Args:
        stage: contrastive, translation, isolated_signs or vlm_sft.
        recipe: of `told_recipe`.
        more: anything else to tell, such as steps.
    """
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    code = f"slt_hf {slt_hf.__version__}, {commit() or 'no checkout'}"
    return {"stage": stage, "code": code, "libraries": versions, "hardware": hardware(), **more, "recipe": recipe}


def told_recipe(*groups: Any) -> dict[str, Any]:
    """What the recipe's dataclasses say and their defaults do not; of the Trainer's options, those in `TOLD`."""
    told = {}
    for group in groups:
        for field in fields(group):
            value = getattr(group, field.name)
            default = None if field.default is MISSING else field.default
            if isinstance(group, TrainingArguments):
                unset = value is None or value is False or value == -1 or (value == 0 and default == 0)
                changed = field.name in TOLD and not unset
            else:
                changed = field.name != "card" and value not in (default, {}, None)
            if changed:
                told[field.name] = public(getattr(value, "value", value))
    return told


def public(value: Any) -> Any:
    """The value, of absolute paths their last part: a card travels, and a machine's folders are nobody's business."""
    if isinstance(value, dict):
        return {name: public(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [public(part) for part in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def commit() -> str | None:
    """The commit of this package's checkout, and whether it was changed; None where it is installed from a wheel."""
    root = Path(slt_hf.__file__).parent.parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "slt_hf/__init__.py")  # a checkout around an environment is not ours
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "slt_hf", "modeling", "processing")
        return f"commit {git('rev-parse', 'HEAD')}" + (" with changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def hardware() -> str:
    """The machine in a few words."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"CPU, {torch.get_num_threads()} threads"


def score_signatures() -> dict[str, str]:
    """How the scores that choose a checkpoint are computed, by name; of rates over clips there is nothing to say."""
    from slt_hf.evaluation.text_metrics import text_metrics
    from slt_hf.training.translation_trainer import DEV_METRICS

    return {name: metric.signature for name, metric in text_metrics(["a"], ["a"], names=DEV_METRICS).items()}
