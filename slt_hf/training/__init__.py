"""Training: one trainer a stage, the same dataset, collator and options for every model.

arguments.py              what a recipe may say
setup.py                  a recipe to its two splits, its augmentation and its card
dataset.py                manifest, shards, Hub data or the synthetic signer as rows; epochs and lengths
stitched.py               sentences joined from isolated clips, as one more corpus
collators.py              rows to batches, for each stage
models.py                 model and processor from a recipe: fresh, continued, quantised
video_models.py           the same where the model sees frames
hand_crops.py             the same where it looks at crops of the hands beside the poses
word_tokenizer.py         a tokenizer for small vocabularies
loading.py                weights from a checkpoint, whole or not at all
adapters.py               LoRA: added, saved, merged
sign_trainer.py           what all trainers share: batches by frames, layer-wise rates, freezing
contrastive_trainer.py    poses against sentences, any batch size in bounded memory
translation_trainer.py    poses or frames to text or glosses, by attention or CTC
classification_trainer.py isolated signs
vlm_arguments.py          what a recipe for a vision-language model may say
vlm_data.py               its rows, numbered for trl
vlm_trainer.py            its fine-tuning and evaluation, around trl's trainer
callbacks.py              predictions every epoch, the model card
resuming.py               where a stopped run goes on
provenance.py             what the card says of recipe, code and hardware
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "AugmentationArguments": "arguments",
    "DataArguments": "arguments",
    "ModelArguments": "arguments",
    "parse_recipe": "arguments",
    "ContrastiveTrainer": "contrastive_trainer",
    "SignClassificationTrainer": "classification_trainer",
    "SignTranslationTrainer": "translation_trainer",
}

__all__ = [
    "AugmentationArguments",
    "ContrastiveTrainer",
    "DataArguments",
    "ModelArguments",
    "SignClassificationTrainer",
    "SignTranslationTrainer",
    "parse_recipe",
]

if TYPE_CHECKING:
    from slt_hf.training.arguments import AugmentationArguments, DataArguments, ModelArguments, parse_recipe
    from slt_hf.training.classification_trainer import SignClassificationTrainer
    from slt_hf.training.contrastive_trainer import ContrastiveTrainer
    from slt_hf.training.translation_trainer import SignTranslationTrainer


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(f"slt_hf.training.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'slt_hf.training' has no attribute {name!r}")
