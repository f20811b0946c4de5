"""From a recipe to the data of a run: the two splits, the augmentation, and where things are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from slt_hf import __version__
from slt_hf.errors import RecipeError
from slt_hf.training.arguments import AugmentationArguments, DataArguments, ModelArguments, mapping
from slt_hf.training.dataset import SignDataset, open_dataset
from slt_hf.training.stitched import StitchedSource, StitchingRecipe


def training_rows(data: DataArguments, fps: float, seed: int) -> SignDataset:
    """The split to learn from, and sentences joined from isolated clips if the recipe says so."""
    if not data.stitching:
        return recorded_rows(data, fps, seed)
    recipe = StitchingRecipe.parse(mapping(data.stitching))
    joined = StitchedSource(recipe, data.train_split, fps, seed, data.dataset_config)
    return recorded_rows(data, fps, seed).and_source(joined) if data.dataset else SignDataset([joined], fps)


def refuse_stitching(data: DataArguments) -> None:
    """Joined clips show several signs, and a classifier names one."""
    if data.stitching:
        raise RecipeError(
            "stitching: expected none where isolated signs are learned, found some; remove it, or take "
            "train_translation.py with target: gloss"
        )


def recorded_rows(data: DataArguments, fps: float, seed: int) -> SignDataset:
    """The split to learn from, without the clips that are too long for training."""
    dataset = open_dataset(
        data.dataset or [],
        data.train_split,
        fps,
        data.dataset_config,
        size=data.synthetic_samples,
        seed=seed,
        layout=data.layout,
    )
    if data.max_frames is not None:
        kept = dataset.lengths <= data.max_frames
        if not kept.any():
            raise RecipeError(f"max_frames: expected clips of at most {data.max_frames} frames, found none; raise it")
        print(
            f"{int((~kept).sum())} of {len(dataset)} training clips are longer than {data.max_frames} frames: left out"
        )
        dataset = dataset.keep(kept)
    return first_rows(dataset, data.max_train_samples)


def evaluation_rows(data: DataArguments, fps: float, seed: int) -> SignDataset:
    """The split that chooses the checkpoint; nothing is left out of it."""
    if data.eval_split == "test":
        raise RecipeError(
            "eval_split: expected a split that may choose a checkpoint, found test; name dev or validation"
        )
    names = data.eval_dataset or data.dataset or []
    size = data.max_eval_samples or 200
    dataset = open_dataset(names, data.eval_split, fps, data.dataset_config, size=size, seed=seed, layout=data.layout)
    return first_rows(dataset, data.max_eval_samples)


def first_rows(dataset: SignDataset, count: int | None) -> SignDataset:
    return dataset if count is None else dataset.keep(np.arange(len(dataset)) < count)


def build_augmentation(
    arguments: AugmentationArguments, of_videos: bool = False
) -> Callable[[Any, np.random.Generator], Any] | None:
    """A function that varies a clip, or None where the recipe varies nothing.

    Args:
        of_videos: the model sees frames, whose times are always drawn anew.

    Raises:
        RecipeError: if the recipe varies what such clips do not have.
    """
    wanted = {name: value for name, value in asdict(arguments).items() if value}
    fitting = {"mirror", "crop"} if of_videos else set(asdict(arguments)) - {"crop"}
    if strangers := wanted.keys() - fitting:
        raise RecipeError(
            f"{', '.join(sorted(strangers))}: expected augmentations of {'videos' if of_videos else 'poses'} "
            f"({', '.join(sorted(fitting))}), found these as well; remove them from the recipe"
        )
    if of_videos:
        from slt_hf.processing.video_augmentation import VideoAugmentationSettings, augment_video

        varied = VideoAugmentationSettings(**wanted)
        return lambda clip, rng: augment_video(clip, rng, varied)
    if not wanted:
        return None
    from slt_hf.processing.pose_augmentation import AugmentationSettings, augment_clip

    settings = AugmentationSettings(**wanted)
    return lambda clip, rng: augment_clip(clip, rng, settings)


def card_writer(
    stage: str, data: DataArguments, model: ModelArguments, train: SignDataset
) -> Callable[[Path, dict[str, float]], None]:
    """A function that writes `card.yaml` and the model card into a finished folder.

    Args:
        stage: contrastive, translation or isolated_signs.
        data, model: the recipe.
        train: what was learned from, for its size.
    """

    def write(folder: Path, scores: dict[str, float]) -> None:
        facts = {
            "data": f"{', '.join(data.dataset or [])} (split {data.train_split}, {len(train)} clips)",
            "limits": "Not assessed beyond the scores below; see the data it was trained on.",
            "license": "other",
            **dict(data.card or {}),  # type: ignore[arg-type]
            "training": {"stage": stage, "slt_hf": __version__, "hardware": hardware(), **recipe(data, model)},
            "metrics": [
                {"name": name.removeprefix("eval_"), "value": round(value, 4), "split": data.eval_split}
                for name, value in scores.items()
                if isinstance(value, float) and not name.endswith(("per_second", "runtime")) and name != "epoch"
            ],
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "card.yaml").write_text(yaml.safe_dump(facts, allow_unicode=True, sort_keys=False), encoding="utf-8")

    return write


def recipe(data: DataArguments, model: ModelArguments) -> dict[str, Any]:
    """What the recipe changed from the defaults."""
    changed = {}
    for arguments in (model, data):
        for field in fields(arguments):
            value = getattr(arguments, field.name)
            if field.name != "card" and value not in (field.default, {}, None):
                changed[field.name] = value
    return changed


def hardware() -> str:
    """The machine in a few words, for the card."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"CPU, {torch.get_num_threads()} threads"
