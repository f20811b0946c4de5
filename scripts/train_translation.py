"""Train a model that translates signing to text, or recognises glosses.

    accelerate launch scripts/train_translation.py scripts/recipes/t5_small.yaml --dataset data/shards
    accelerate launch scripts/train_translation.py scripts/recipes/videomae_seq2seq_umt5.yaml --dataset manifest.csv
    torchrun --nproc_per_node 2 scripts/train_translation.py RECIPE.yaml    # two processes on a CPU
    … --resume    # after a crash, with the same command

Any option of the recipe may follow on the command line, and wins. The finished folder holds weights, config,
processor, generation settings, predictions and the model card, and loads with
`slt_hf.SignTranslator.from_pretrained(folder)`.
"""

from __future__ import annotations

from pathlib import Path

from transformers import EarlyStoppingCallback, set_seed

from slt_hf.cli.script import run_script
from slt_hf.data.collator import sees_frames
from slt_hf.label_ngrams import LabelNgrams
from slt_hf.training.adapters import add_lora, merge_lora
from slt_hf.training.arguments import (
    AugmentationArguments,
    DataArguments,
    ModelArguments,
    TranslationTrainingArguments,
    parse_recipe,
)
from slt_hf.training.callbacks import ModelCardCallback, PredictionsCallback
from slt_hf.training.collators import TranslationCollator
from slt_hf.training.hand_crops import check_hand_crops
from slt_hf.training.models import build_translation_model
from slt_hf.training.resuming import resume_point
from slt_hf.training.setup import build_augmentation, card_writer, evaluation_rows, training_rows
from slt_hf.training.translation_trainer import SignTranslationTrainer, TextDecoder, TranslationMetrics


def main() -> None:
    """One run: data, model, trainer, result."""
    recipe = parse_recipe((ModelArguments, DataArguments, AugmentationArguments, TranslationTrainingArguments))
    model_arguments, data, augmentation, args = recipe
    set_seed(args.seed)
    model, processor = build_translation_model(model_arguments, data)
    adapted = add_lora(model, model_arguments) if model_arguments.lora_r else {}

    check_hand_crops(processor.feature_extractor, data, augmentation)
    train = training_rows(data, processor.feature_extractor.fps, args.seed)
    dev = evaluation_rows(data, processor.feature_extractor.fps, args.seed)
    collate = TranslationCollator(
        processor,
        max_target_tokens=data.max_target_tokens,
        augmentation=build_augmentation(augmentation, sees_frames(processor)),
        text_column=data.target,
        seed=args.seed,
    )
    references = [str(text) for text in dev.column(data.target)]
    blank = None if model.can_generate() else model.config.pad_token_id
    metrics = TranslationMetrics(TextDecoder(processor.tokenizer, blank), references, dev.column("language"))

    trainer = SignTranslationTrainer(
        model=model,
        args=args,
        data_collator=collate,
        eval_collator=TranslationCollator(processor, text_column=data.target),
        train_dataset=train,
        eval_dataset=dev,
        processing_class=processor,
        compute_metrics=metrics,
        model_arguments=model_arguments,
        frames_per_batch=data.frames_per_batch,
        callbacks=[
            PredictionsCallback(dev.ids(), references, lambda: metrics.hypotheses, f".{data.predictions_format}"),
            ModelCardCallback(card_writer("translation", data, recipe, train)),
        ],
    )
    if data.early_stopping_evaluations:
        trainer.add_callback(EarlyStoppingCallback(data.early_stopping_evaluations))
    trainer.train(resume_from_checkpoint=resume_point(args))
    merge_lora(adapted, args.output_dir)
    trainer.finish()
    if data.label_ngrams and trainer.is_world_process_zero():
        lines = Path(data.label_ngrams).read_text(encoding="utf-8").splitlines()
        LabelNgrams.count(processor.tokenizer(lines)["input_ids"], model.config.vocab_size).save(args.output_dir)


if __name__ == "__main__":
    run_script(main)
