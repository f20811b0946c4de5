"""Fine-tune a vision-language model to translate signing or to name signs, from frames, with trl's SFTTrainer.

    accelerate launch scripts/train_vlm_sft.py scripts/recipes/internvl3_translation.yaml --dataset manifest.csv
    accelerate launch scripts/train_vlm_sft.py scripts/recipes/internvl3_isolated_signs.yaml --dataset manifest.csv
    … --resume true    # after a crash, with the same command

Only the answer is trained on. Any option of the recipe may follow on the command line, and wins. The finished folder
holds LoRA adapters (or, with `merge`, the whole model), the processor, the question, an evaluation on the dev split,
and loads with `slt_hf.SignTranslator.from_pretrained(folder)`.
"""

from __future__ import annotations

from pathlib import Path

from transformers import set_seed

from slt_hf.cli.script import run_script
from slt_hf.data.collator import SignCollator
from slt_hf.errors import RecipeError
from slt_hf.model_card import write_card
from slt_hf.training.arguments import AugmentationArguments, parse_recipe
from slt_hf.training.resuming import resume_point
from slt_hf.training.setup import build_augmentation
from slt_hf.training.vlm_arguments import VlmDataArguments, VlmModelArguments, VlmTrainingArguments
from slt_hf.training.vlm_data import EpochOfRows, NumberedRows, numbers, open_split, write_divisions
from slt_hf.training.vlm_trainer import VlmTrainer, build_vlm, evaluate_answers, lora, save, write_facts, write_merged


def main() -> None:
    """One run: data, model, trainer, answers to the dev split."""
    model_arguments, data, args = parse_recipe((VlmModelArguments, VlmDataArguments, VlmTrainingArguments))
    set_seed(args.seed)
    if data.eval_split == "test":
        raise RecipeError("eval_split: expected a split that may choose a checkpoint, found test; name dev")
    folder = Path(args.output_dir)
    train = open_split(data, data.train_split, data.max_train_samples)
    dev = open_split(data, data.eval_split, data.max_eval_samples)
    model, processor = build_vlm(model_arguments, data, args)

    wanted = {name: getattr(data, name) for name in ("mirror", "crop", "brightness", "contrast", "saturation", "hue")}
    varied = build_augmentation(AugmentationArguments(**wanted), of_videos=True)
    collators = {
        "train": SignCollator(processor, varied, text_column=data.target, seed=args.seed),
        "dev": SignCollator(processor, text_column=data.target),
    }
    trainer = VlmTrainer(
        model=model,
        args=args,
        data_collator=NumberedRows({"train": train, "dev": dev}, collators),
        train_dataset=numbers(train, "train"),
        eval_dataset=numbers(dev, "dev"),
        processing_class=processor.processor,
        peft_config=lora(model_arguments),
        callbacks=[EpochOfRows(train)],
    )
    trainer.train(resume_from_checkpoint=resume_point(args))
    save(trainer, processor)
    if trainer.is_world_process_zero():
        write_divisions(data, folder)
        trained = trainer.accelerator.unwrap_model(trainer.model)
        report = evaluate_answers(trained, processor, dev, data, folder, args.per_device_eval_batch_size)
        write_facts(folder, (model_arguments, data, args), train, report, trainer.state.global_step)
        write_card(folder, args.hub_model_id or folder.resolve().name)
        if model_arguments.merge and model_arguments.lora_r:
            write_merged(trained, folder)


if __name__ == "__main__":
    run_script(main)
