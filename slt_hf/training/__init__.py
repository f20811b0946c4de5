"""Training: one trainer a stage, the same dataset, collator and options for every model.

arguments.py              what a recipe may say
dataset.py                manifest, shards, Hub data or the synthetic signer as rows; epochs and lengths
stitched.py               sentences joined from isolated clips, as one more corpus
models.py                 model and processor from a recipe: fresh, continued, LoRA, quantised
sign_trainer.py           what all trainers share: batches by frames, layer-wise rates, freezing
contrastive_trainer.py    poses against sentences, any batch size in bounded memory
translation_trainer.py    poses to text or glosses, by attention or CTC
classification_trainer.py isolated signs
callbacks.py              predictions every epoch, the model card
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
