"""Crops of the hands beside poses, from a recipe: which model looks at them, what it is shown, and what cannot be."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from transformers import AutoConfig

from slt_hf.data.collator import sees_frames
from slt_hf.errors import RecipeError
from slt_hf.modeling import SignToTextForConditionalGeneration
from slt_hf.training.arguments import AugmentationArguments, DataArguments, ModelArguments
from slt_hf.training.dataset import SYNTHETIC
from slt_hf.training.loading import load_checkpoint

CROP_SIZE = 48  # pixels, where a recipe does not say
NEW_PARTS = ("hand_crops.",)  # of a checkpoint that learned without
SHAPES = ("camera", "bone_length", "finger_bend", "hand_turn")  # of hands in three dimensions; a picture has two


def refuse_hand_crops(model: ModelArguments, data: DataArguments, task: str) -> None:
    """Refuse crops where no model looks at them.

    Args:
        task: what is trained, for the message.

    Raises:
        RecipeError: if the recipe asks for crops.
    """
    if model.hand_crop_width is not None or data.hand_crop_size is not None:
        raise RecipeError(
            f"hand_crop_width: expected none for {task}, found crops of hands, which stand beside the poses of a "
            "translation model (train_translation.py, head: attention); remove hand_crop_width and hand_crop_size"
        )


def load_translation_model(model: ModelArguments) -> SignToTextForConditionalGeneration:
    """The checkpoint to go on from, with an image encoder for hands if the recipe adds one: its gate is closed, and the
    model computes at first what it did without.

    Raises:
        RecipeError: if the checkpoint has one of another width.
    """
    name, wanted = str(model.model_name_or_path), model.hand_crop_width
    found = AutoConfig.from_pretrained(name).to_dict().get("hand_crop_width")
    if wanted is None or wanted == found:
        return load_checkpoint(SignToTextForConditionalGeneration, name)
    if found is not None:
        raise RecipeError(f"hand_crop_width: expected the checkpoint's own {found}, found {wanted}; leave it out")
    return load_checkpoint(SignToTextForConditionalGeneration, name, NEW_PARTS, hand_crop_width=wanted)


def fit_processor(extractor: Any, model: Any, data: DataArguments) -> None:
    """Have a processor make the crops that the model looks at, and no others.

    Raises:
        RecipeError: if it should make some for a model that does not look at any.
    """
    looks = model.config.hand_crop_width is not None
    size = extractor.hand_crop_size if data.hand_crop_size is None else data.hand_crop_size
    if not looks and size is not None:
        raise RecipeError(
            f"hand_crop_size: expected none for a model without hand_crop_width, found {size}; set hand_crop_width, "
            "such as 16, or leave it out"
        )
    extractor.hand_crop_size = (size or CROP_SIZE) if looks else None


def check_hand_crops(extractor: Any, data: DataArguments, augmentation: AugmentationArguments) -> None:
    """Refuse what pictures of hands cannot follow, before the first batch.

    Raises:
        RecipeError: for clips without video, and for augmentations that change hands in three dimensions.
    """
    if sees_frames(extractor) or extractor.hand_crop_size is None:
        return
    if data.stitching or SYNTHETIC in (*(data.dataset or []), *(data.eval_dataset or [])):
        found = "joined clips (stitching)" if data.stitching else "the synthetic signer"
        raise RecipeError(
            f"hand_crop_width: expected recordings with their videos, found {found}, of which there are no pictures; "
            "train without hand_crop_width, or remove these"
        )
    if wanted := [name for name, value in asdict(augmentation).items() if value and name in SHAPES]:
        raise RecipeError(
            f"{', '.join(wanted)}: expected augmentations that a picture of a hand can follow, found changes of its "
            "shape; remove them, or train without hand_crop_width (tempo, trim, mirror, frame_dropout, part_dropout, "
            "rotation, shear and scale change poses and crops alike, noise the poses alone)"
        )
