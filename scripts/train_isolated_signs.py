"""Train a model that names an isolated sign, and calibrate when it should say that it does not know.

    accelerate launch scripts/train_isolated_signs.py scripts/recipes/islr_wlasl.yaml --dataset data/shards
    accelerate launch scripts/train_isolated_signs.py scripts/recipes/videomae_islr_asl_citizen.yaml --dataset a.csv

The finished folder loads with `slt_hf.SignClassifier.from_pretrained(folder)`; its embeddings serve as a dictionary.
"""

from __future__ import annotations

from transformers import EarlyStoppingCallback, set_seed

from slt_hf.cli.script import run_script
from slt_hf.data.collator import SignCollator, sees_frames
from slt_hf.training.adapters import add_lora, merge_lora
from slt_hf.training.arguments import (
    AugmentationArguments,
    DataArguments,
    ModelArguments,
    SignTrainingArguments,
    parse_recipe,
)
from slt_hf.training.callbacks import ModelCardCallback
from slt_hf.training.classification_trainer import SignClassificationTrainer, classification_metrics
from slt_hf.training.collators import VariantCollator
from slt_hf.training.models import build_classification_model
from slt_hf.training.resuming import resume_point
from slt_hf.training.setup import build_augmentation, card_writer, evaluation_rows, refuse_stitching, training_rows


def main() -> None:
    """One run: data, model, trainer, threshold, result."""
    recipe = parse_recipe((ModelArguments, DataArguments, AugmentationArguments, SignTrainingArguments))
    model_arguments, data, augmentation, args = recipe
    set_seed(args.seed)
    refuse_stitching(data)
    train = training_rows(data, data.fps, args.seed).with_classes(data.target)
    dev = evaluation_rows(data, data.fps, args.seed).with_classes(data.target, train.classes)
    model, extractor = build_classification_model(model_arguments, data, train.classes or [])
    adapted = add_lora(model, model_arguments) if model_arguments.lora_r else {}
    vary = build_augmentation(augmentation, sees_frames(extractor))
    options = {"augmentation": vary, "label_column": "class_id", "seed": args.seed}
    collator = SignCollator(extractor, **options)
    if data.variants_per_clip:
        collator = VariantCollator(extractor, data.variants_per_clip, **options)
    trainer = SignClassificationTrainer(
        model=model,
        args=args,
        data_collator=collator,
        eval_collator=SignCollator(extractor, label_column="class_id"),
        train_dataset=train,
        eval_dataset=dev,
        processing_class=extractor,
        compute_metrics=classification_metrics,
        model_arguments=model_arguments,
        frames_per_batch=data.frames_per_batch,
        class_balanced=data.class_balanced,
        callbacks=[ModelCardCallback(card_writer("isolated_signs", data, recipe, train))],
    )
    if data.early_stopping_evaluations:
        trainer.add_callback(EarlyStoppingCallback(data.early_stopping_evaluations))
    trainer.train(resume_from_checkpoint=resume_point(args))
    trainer.calibrate(dev, data.answer_precision)
    trainer.save_metrics("dictionary", trainer.dictionary_metrics(train, dev))
    merge_lora(adapted, args.output_dir)
    trainer.finish()


if __name__ == "__main__":
    run_script(main)
