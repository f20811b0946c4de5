"""Train a pose encoder against a frozen text encoder: a clip and its sentence attract, all others repel.

    accelerate launch scripts/train_contrastive.py scripts/recipes/pose_umt5_contrastive.yaml --dataset data/shards

The finished folder is the `encoder` of a translation recipe.
"""

from __future__ import annotations

from transformers import EarlyStoppingCallback, set_seed

from slt_hf.cli.script import run_script
from slt_hf.training.arguments import (
    AugmentationArguments,
    ContrastiveTrainingArguments,
    DataArguments,
    ModelArguments,
    parse_recipe,
)
from slt_hf.training.callbacks import ModelCardCallback
from slt_hf.training.collators import TextPairCollator
from slt_hf.training.contrastive_trainer import ContrastiveTrainer, retrieval_metrics
from slt_hf.training.models import build_dual_encoder
from slt_hf.training.resuming import resume_point
from slt_hf.training.setup import build_augmentation, card_writer, evaluation_rows, training_rows


def main() -> None:
    """One run: data, model, trainer, result."""
    recipe = parse_recipe((ModelArguments, DataArguments, AugmentationArguments, ContrastiveTrainingArguments))
    model_arguments, data, augmentation, args = recipe
    set_seed(args.seed)
    model, processor = build_dual_encoder(model_arguments, data)
    train = training_rows(data, processor.feature_extractor.fps, args.seed)
    dev = evaluation_rows(data, processor.feature_extractor.fps, args.seed)
    cut = {"text_column": data.target, "max_target_tokens": data.max_target_tokens}
    trainer = ContrastiveTrainer(
        model=model,
        args=args,
        data_collator=TextPairCollator(processor, augmentation=build_augmentation(augmentation), seed=args.seed, **cut),
        eval_collator=TextPairCollator(processor, **cut),
        train_dataset=train,
        eval_dataset=dev,
        processing_class=processor,
        compute_metrics=retrieval_metrics,
        model_arguments=model_arguments,
        frames_per_batch=data.frames_per_batch,
        callbacks=[ModelCardCallback(card_writer("contrastive", data, recipe, train))],
    )
    if data.early_stopping_evaluations:
        trainer.add_callback(EarlyStoppingCallback(data.early_stopping_evaluations))
    trainer.train(resume_from_checkpoint=resume_point(args))
    trainer.finish()


if __name__ == "__main__":
    run_script(main)
