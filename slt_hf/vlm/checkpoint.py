"""Vision-language checkpoints: a folder of LoRA adapters and the model they belong to, or a whole model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slt_hf.checkpoint import check_loaded, find_checkpoint, is_vlm_folder, read_json, without_progress_bars
from slt_hf.device import pick_device
from slt_hf.errors import CheckpointError, SignDataError
from slt_hf.vlm.settings import load_settings

if TYPE_CHECKING:
    from slt_hf.vlm.processor import VlmProcessor

ADAPTERS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # PEFT's names


def is_vlm(folder: Path) -> bool:
    """Whether a checkpoint writes text about pictures: by its files, else by the architecture its config names."""
    if (folder / ADAPTERS).is_file() or is_vlm_folder(folder):
        return True
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        named = config.get("architectures") or [""]
    except (OSError, ValueError, AttributeError):
        return False  # whoever loads it says what is wrong
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN

    return KNOWN.get(config.get("model_type")) == named[0]


def load_vlm(
    folder: Path, device: str | None = None, dtype: Any = None, quantization: str | None = None
) -> tuple[VlmProcessor, Any]:
    """Processor and model, with its adapters merged into it where its weights are whole.

    Args:
        quantization: 4bit or 8bit; None leaves the weights as they are.

    Raises:
        CheckpointError: if a weight is missing or unknown, the model cannot be understood, or its base is not there.
        RecipeError: if it cannot be quantised here.
    """
    base = base_folder(folder)
    model = load_base(base, device, dtype, quantization)
    if base != folder:
        model = with_adapters(model, folder, merge=quantization is None)
    from slt_hf.vlm.processor import VlmProcessor

    holder, model_type = folder if (folder / "tokenizer_config.json").is_file() else base, model.config.model_type
    return VlmProcessor(load_parts(holder, model_type), load_settings(folder), model_type), model.eval()


def base_folder(folder: Path) -> Path:
    """The folder with the whole model: the same, or that of the model for which the adapters were trained."""
    if not (folder / ADAPTERS).is_file():
        return folder
    told = read_json(folder, ADAPTERS)
    name = told.get("base_model_name_or_path")
    if not isinstance(name, str):
        raise CheckpointError(f"{folder / ADAPTERS}: expected base_model_name_or_path, found {name!r}; save it again")
    return find_checkpoint(name, told.get("revision"))


def load_base(folder: str | Path, device: str | None = None, dtype: Any = None, quantization: str | None = None) -> Any:
    """A whole model, strictly, from safetensors only, on the device that training and use share.

    Raises:
        CheckpointError: if it does not load whole.
        RecipeError: if it cannot be quantised here.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForImageTextToText

    from slt_hf.vlm.quantization import quantization_config

    place = pick_device(device)
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": Path(folder).is_dir()}
    try:
        config = AutoConfig.from_pretrained(folder)
        if quantization is not None:
            few = quantization_config(quantization, config, place)
            options |= {"quantization_config": few, "device_map": {"": place}}
        with without_progress_bars():
            model, report = AutoModelForImageTextToText.from_pretrained(
                folder, dtype=dtype or "auto", output_loading_info=True, **options
            )
    except SignDataError:
        raise
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{folder}: loading a vision-language model failed: {reason}; fetch it again") from error
    check_loaded(Path(folder), type(model).__name__, report)
    return model if quantization is not None else model.to(place)


def with_adapters(model: Any, folder: Path, merge: bool) -> Any:
    """The model with a folder's LoRA adapters; every one of them must find its place.

    Raises:
        CheckpointError: if they are not safetensors, or belong to another model.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{folder}: expected {path.name}, found none; save the adapters again, as safetensors")
    try:
        with safe_open(path, "pt") as file:
            saved = set(file.keys())
        adapted = PeftModel.from_pretrained(model, str(folder))
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path}: loading the adapters failed: {reason}; take those of this model") from error
    expected = set(get_peft_model_state_dict(adapted))
    check_loaded(folder, type(model).__name__, {
        "missing_keys": expected - saved, "unexpected_keys": saved - expected, "mismatched_keys": (),
    })  # fmt: skip
    return adapted.merge_and_unload() if merge else adapted


def load_parts(folder: str | Path, model_type: str) -> Any:
    """transformers' processor of a model, for pictures and text.

    Raises:
        CheckpointError: if there is none, or it cannot be made here.
    """
    from slt_hf.vlm.internvl import InternVLProcessor
    from slt_hf.vlm.pictures_only import processor_class
    from slt_hf.vlm.smolvlm import SmolVLMProcessor

    own: dict[str, Any] = {"internvl": InternVLProcessor, "smolvlm": SmolVLMProcessor}
    try:
        known = own.get(model_type) or processor_class(model_type)
        return known.from_pretrained(folder)
    except (OSError, ValueError, TypeError, ImportError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{folder}: loading the processor failed: {reason}; install what it names") from error


def ends_of(model: Any, processor: VlmProcessor) -> frozenset[int]:
    """Tokens that end an answer."""
    ends = model.generation_config.eos_token_id or processor.tokenizer.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends)
