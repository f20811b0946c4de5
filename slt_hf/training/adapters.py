"""LoRA: small adapters are trained beside frozen weights, and merged into them when training is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import PreTrainedModel
from transformers.utils import logging

from slt_hf.errors import RecipeError
from slt_hf.training.arguments import ModelArguments

logger = logging.get_logger(__name__)


def add_lora(model: PreTrainedModel, arguments: ModelArguments) -> dict[str, Any]:
    """LoRA adapters (arxiv:2106.09685) on the parts that the recipe names, everything else of them frozen; other parts
    are trained whole.

    Returns:
        peft's model around each part, by the part's name, for `merge_lora`; the model itself holds the same parts.

    Raises:
        RecipeError: if the model has no such part.
    """
    adapted = {}
    for name in arguments.lora_parts or ["text_model"]:
        try:
            part: Any = model.get_submodule(name)
        except AttributeError as error:
            found = ", ".join(child for child, _ in model.named_children())
            raise RecipeError(
                f"lora_parts: expected parts of {type(model).__name__} such as {found}, found {name!r}; correct it"
            ) from error
        adapted[name] = adapt(part, arguments)
        trained = sum(p.numel() for p in adapted[name].parameters() if p.requires_grad)
        logger.info(f"LoRA trains {trained:,} weights of {part.num_parameters():,} of {name}")
    return adapted


def adapt(part: PreTrainedModel, arguments: ModelArguments) -> Any:
    """One part with adapters."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if arguments.quantization is not None:
        part = prepare_model_for_kbit_training(part, use_gradient_checkpointing=False)
    config = LoraConfig(
        r=arguments.lora_r,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=arguments.lora_target_modules or default_lora_targets(part),
    )
    return get_peft_model(part, config)


def default_lora_targets(part: PreTrainedModel) -> list[str] | str:
    """peft's own choice for the type, else every linear layer."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as TARGETS

    model_type = part.config.model_type
    return list(TARGETS.get(model_type, TARGETS.get({"umt5": "mt5"}.get(model_type, ""), ()))) or "all-linear"


def merge_lora(adapted: dict[str, Any], output_dir: str | Path) -> None:
    """Save the adapters alone in `adapter/`, those of several parts in a folder each, then merge them into the model.

    Weights in few bits are written out in float32: the finished folder is a checkpoint like any other, which loads
    without bitsandbytes, and holds what quantisation left of them.
    """
    for name, part in adapted.items():
        if PartialState().is_main_process:
            part.save_pretrained(str(Path(output_dir, "adapter", *([name] if len(adapted) > 1 else []))))
        merged = part.merge_and_unload()
        if hasattr(merged, "hf_quantizer"):  # set where weights were loaded in few bits, absent elsewhere
            merged.dequantize()
            merged.float()
