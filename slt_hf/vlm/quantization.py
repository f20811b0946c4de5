"""Weights in 4 or 8 bits by bitsandbytes, of the language model alone."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from slt_hf.errors import RecipeError

KINDS = ("4bit", "8bit")
LANGUAGE_MODELS = ("language_model", "text_model")  # names of the part that writes; Idefics3 and SmolVLM: the second


def quantization_config(kind: str | None, config: Any, device: torch.device | None = None) -> Any:
    """bitsandbytes' settings for a model, or None.

    What sees (the vision tower and what joins it to the text) stays as it is: it is small, and loses most.

    Args:
        kind: 4bit (NF4, double quantisation: arxiv:2305.14314) or 8bit.
        config: of the model.
        device: where it will run.

    Raises:
        RecipeError: for another kind, and where it cannot run.
    """
    if kind is None:
        return None
    if kind not in KINDS:
        raise RecipeError(f"quantization: expected one of {', '.join(KINDS)}, found {kind!r}; correct it")
    if find_spec("bitsandbytes") is None:
        raise RecipeError(
            f'quantization: expected bitsandbytes for {kind}, found none; pip install "slt_hf[quantization]", or '
            "leave quantization out"
        )
    if device is not None and device.type == "mps":
        raise RecipeError(f"quantization: expected a CPU or CUDA device for {kind}, found {device}; leave it out")
    from transformers import BitsAndBytesConfig

    whole = [*parts_that_see(config), "lm_head"]
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=whole)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=whole,
    )


def parts_that_see(config: Any) -> list[str]:
    """Full names of a model's parts beside its language model; short ones are overlooked by transformers."""
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    inner = model.base_model_prefix
    return [f"{inner}.{name}" for name, _ in getattr(model, inner).named_children() if name not in LANGUAGE_MODELS]
