"""From a recipe to the data of a run: the two splits, the augmentation, and where things are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from slt_hf.errors import RecipeError
from slt_hf.training.arguments import AugmentationArguments, DataArguments, mapping
from slt_hf.training.dataset import SignDataset, open_dataset
from slt_hf.training.provenance import describe_training, public, score_signatures, told_recipe
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
    from slt_hf.processing.pose_augmentation import AugmentationSettings, augment_clip
    from slt_hf.processing.video_augmentation import VideoAugmentationSettings, augment_video

    settings: Any = VideoAugmentationSettings if of_videos else AugmentationSettings
    wanted = {name: value for name, value in asdict(arguments).items() if value}
    fitting = {field.name for field in fields(settings)}
    if strangers := wanted.keys() - fitting:
        raise RecipeError(
            f"{', '.join(sorted(strangers))}: expected augmentations of {'videos' if of_videos else 'poses'} "
            f"({', '.join(sorted(fitting))}), found these as well; remove them from the recipe"
        )
    if not wanted and not of_videos:
        return None
    augment: Any = augment_video if of_videos else augment_clip
    varied = settings(**wanted)
    return lambda clip, rng: augment(clip, rng, varied)


def card_writer(
    stage: str, data: DataArguments, groups: Sequence[Any], train: SignDataset
) -> Callable[[Path, dict[str, float], Any], None]:
    """A function that writes `card.yaml` into a finished folder, from its scores and the Trainer's state.

    Args:
        stage: contrastive, translation or isolated_signs.
        data: the recipe's part about data.
        groups: all dataclasses of the recipe.
        train: what was learned from, for its size.
    """
    names = ", ".join(map(str, public(data.dataset or []))) or "sentences joined from isolated clips"
    dev = ", ".join(map(str, public(data.eval_dataset or data.dataset or [])))

    def write(folder: Path, scores: dict[str, float], state: Any) -> None:
        signatures = score_signatures()
        facts = {
            "data": f"{names} (split {data.train_split}, {len(train)} clips)",
            "limits": "Not assessed beyond the scores of this card; see the data it was trained on.",
            "license": "other",
            **dict(data.card or {}),  # type: ignore[arg-type]
            "training": describe_training(stage, told_recipe(*groups), steps=state.global_step),
            "metrics": [
                {
                    "name": name,
                    "value": round(value, 4),
                    "dataset": dev,
                    "split": data.eval_split,
                    "signature": next((told for known, told in signatures.items() if name.endswith(known)), ""),
                }
                for name, value in scores.items()
                if isinstance(value, float) and not name.endswith(("per_second", "runtime")) and name != "epoch"
            ],
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "card.yaml").write_text(yaml.safe_dump(facts, allow_unicode=True, sort_keys=False), encoding="utf-8")

    return write
