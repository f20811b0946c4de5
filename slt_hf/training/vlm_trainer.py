"""Supervised fine-tuning of a vision-language model: trl's SFTTrainer and PEFT around our data, and our evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from peft import LoraConfig, prepare_model_for_kbit_training
from trl import SFTTrainer

from slt_hf.checkpoint import find_checkpoint
from slt_hf.engines import TorchGenerator
from slt_hf.errors import RecipeError
from slt_hf.evaluation.checkpoint import Checkpoint, as_predictions, predict
from slt_hf.evaluation.report import evaluate_predictions, write_json
from slt_hf.evaluation.run import told
from slt_hf.pipeline import SignTranslator
from slt_hf.training.dataset import SignDataset
from slt_hf.training.provenance import describe_training, public, told_recipe
from slt_hf.training.vlm_arguments import VlmDataArguments, VlmModelArguments
from slt_hf.vlm.checkpoint import ADAPTERS, WEIGHTS, base_folder, ends_of, load_base, load_parts
from slt_hf.vlm.processor import VlmProcessor
from slt_hf.vlm.settings import VlmSettings, read_prompt

CARD_METRICS = ("bleu_4", "chrf", "wer", "cer", "exact_match")


class VlmTrainer(SFTTrainer):
    """trl's trainer; the card is ours."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None: ...


def build_vlm(model: VlmModelArguments, data: VlmDataArguments, args: Any) -> tuple[Any, VlmProcessor]:
    """Model, ready for adapters, and processor.

    Raises:
        CheckpointError, RecipeError: as `load_base`; also for weights in few bits that would be trained themselves.
    """
    if model.quantization and not model.lora_r:
        raise RecipeError(f"quantization: expected lora_r above 0 with {model.quantization}, found 0; set lora_r")
    folder = find_checkpoint(model.model_name_or_path)
    if base_folder(folder) != folder:
        raise RecipeError(
            f"model_name_or_path: expected a whole model, found adapters in {folder}; merge them first, or go on with "
            "resume: true"
        )
    vlm = load_base(folder, "cpu" if args.use_cpu else None, model.dtype, model.quantization)
    # PEFT writes this down as the model that the adapters belong to: what the user named, not a place in a cache
    local = Path(model.model_name_or_path)
    vlm.name_or_path = str(local.absolute()) if local.is_dir() else model.model_name_or_path
    if model.quantization:
        vlm = prepare_model_for_kbit_training(vlm, use_gradient_checkpointing=args.gradient_checkpointing)
    settings = VlmSettings(read_prompt(data.prompt, data.prompts), data.num_frames)
    return vlm, VlmProcessor(load_parts(folder, vlm.config.model_type), settings, vlm.config.model_type)


def lora(model: VlmModelArguments) -> LoraConfig | None:
    """Adapters as the recipe says; None trains all weights."""
    if not model.lora_r:
        return None
    return LoraConfig(
        r=model.lora_r,
        lora_alpha=model.lora_alpha,
        lora_dropout=model.lora_dropout,
        target_modules=model.lora_target_modules,
    )


def save(trainer: VlmTrainer, processor: VlmProcessor) -> None:
    """The finished folder: adapters, or the whole model if all of it was trained, processor and question."""
    trainer.save_model()
    trainer.save_state()
    if trainer.is_world_process_zero():
        processor.save_pretrained(trainer.args.output_dir)


def write_merged(adapted: Any, folder: Path) -> None:
    """The whole model in place of the adapters."""
    whole = adapted.merge_and_unload()
    if hasattr(whole, "hf_quantizer"):  # set where weights were loaded in few bits, absent elsewhere
        whole.dequantize()
    whole.save_pretrained(folder)
    for name in (ADAPTERS, WEIGHTS):
        (folder / name).unlink()


def evaluate_answers(
    model: Any, processor: VlmProcessor, rows: SignDataset, data: VlmDataArguments, folder: Path, batch_size: int
) -> dict[str, Any]:
    """What the model answers about each row, through the evaluator of every checkpoint; report and predictions are
    written into the folder."""
    translator = SignTranslator(processor, TorchGenerator(model))
    options = {"max_new_tokens": data.max_new_tokens}
    checkpoint = Checkpoint(translator, False, options, ends_of(model, processor))
    every = [rows[number] for number in range(len(rows))]
    outputs = [output for _, output in predict(checkpoint, every, batch_size=batch_size)]
    predictions = as_predictions([told(row) for row in every], outputs, False, data.target)
    report = evaluate_predictions(predictions, name=folder.resolve().name)
    write_json(report, folder / "evaluation.json")
    predictions.write(str(folder / "predictions.csv"))
    return report


def write_facts(
    folder: Path, groups: tuple[VlmModelArguments, VlmDataArguments, Any], train: SignDataset, report: dict, steps: int
) -> None:
    """`card.yaml`, from which the model card is made.

    Args:
        groups: all dataclasses of the recipe.
        train: what was learned from, for its size.
        report: of `evaluate_answers`.
        steps: of the optimizer, that the weights have taken.
    """
    data, scores = groups[1], report["scores"]
    names = ", ".join(map(str, public(data.dataset or [])))
    facts = {
        "data": f"{names} (split {data.train_split}, {len(train)} clips)",
        "limits": "Not assessed beyond the scores of this card; see the data it was trained on.",
        "license": "other",
        **dict(data.card or {}),  # type: ignore[arg-type]
        "training": describe_training("vlm_sft", told_recipe(*groups), steps=steps),
        "metrics": [
            {"name": name, "value": found["score"], "dataset": names, "split": data.eval_split,
             "signature": found["signature"]}
            for name in CARD_METRICS if (found := scores.get(name))
        ],
    }  # fmt: skip
    (folder / "card.yaml").write_text(yaml.safe_dump(facts, allow_unicode=True, sort_keys=False), encoding="utf-8")
