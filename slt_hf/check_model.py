"""Does a Hub text model fit SignToText, and in how much memory? Answered from its config: no weight is downloaded.

Memory, in bytes per parameter of the text model:

    use     the weights: 4 (fp32), 2 (bf16), 1 (8-bit), 0.516 (4-bit: NF4, blocks of 64, double quantisation)
    train   weights, gradient and AdamW's two moments, all in that precision: 16 (fp32), 8 (bf16)
    LoRA    frozen weights as for use, and 16 for each adapter parameter, which stay in fp32

In 8 and 4 bits only linear layers shrink; embeddings, norms and the head stay in bf16; such weights train through LoRA
alone. `bf16: true` in a recipe computes in bf16 but keeps fp32 weights, and so takes the memory of fp32;
`dtype: bfloat16` holds the weights in bf16. Our encoder and projector train in fp32 beside it (16 bytes each).
Activations come on top; `activation_bytes` estimates them.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slt_hf.errors import CheckpointError, HubError

WEIGHT_BYTES = {"fp32": 4.0, "bf16": 2.0, "8bit": 1.0, "4bit": 0.5 + (1 + 4 / 256) / 64}
TRAINED_BYTES = {"fp32": 16.0, "bf16": 8.0}
ADAPTER_BYTES = ENCODER_BYTES = 16.0
FRAMES_PER_STEP = 2  # of our encoder's default config: stride 2 at 25 frames a second
FPS = 25.0


@dataclass(frozen=True)
class ModelFit:
    """What is known of a text model from its config.

    Attributes:
        fits: whether SignToText can drive it; reasons: why not.
        width: what the projector must produce; None if it does not fit.
        parameters: all; linear_parameters: those that quantisation shrinks; adapter_parameters: of LoRA at `lora_r`.
        encoder_parameters: of our default pose encoder and the projector to this width.
        longest_input: positions of the text encoder; longest_output: of the decoder; None where positions are relative.
        memory: precision -> {"use", "train", "lora"} in bytes, None where impossible.
        activations: bytes per clip in training, rough.
    """

    name: str
    model_type: str
    fits: bool
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    architecture: str | None = None
    width: int | None = None
    vocabulary: int | None = None
    parameters: int = 0
    linear_parameters: int = 0
    adapter_parameters: int = 0
    encoder_parameters: int = 0
    lora_r: int = 16
    lora_targets: list[str] = field(default_factory=list)
    longest_input: int | None = None
    longest_output: int | None = None
    decoder_start_token_id: int | None = None
    forced_bos_token_id: int | None = None
    language_codes: int | None = None
    memory: dict[str, dict[str, float | None]] = field(default_factory=dict)
    activations: float = 0.0


def check_model(
    name: str, lora_r: int = 16, frames: int = 256, tokens: int = 64, decoder: str | None = None
) -> ModelFit:
    """Look at a model of the Hub, a folder, or a `config.json`.

    Args:
        decoder: a causal model that `name` is joined with as encoder, such as BERT with GPT-2.
        lora_r: rank of the adapters to count.
        frames, tokens: of a typical clip and its text, for the estimate of activations.

    Raises:
        HubError: if the Hub cannot be reached or does not have it.
        CheckpointError: if a local config cannot be understood.
    """
    config = load_config(name)
    if decoder is not None:
        from transformers import EncoderDecoderConfig

        config = EncoderDecoderConfig.from_encoder_decoder_configs(config, load_config(decoder))
    reasons = reasons_against(config)
    if reasons:
        return ModelFit(name, config.model_type, fits=False, reasons=reasons)
    from transformers import AutoModelForSeq2SeqLM

    model = empty_model(AutoModelForSeq2SeqLM, config)
    if "inputs_embeds" not in inspect.signature(model.get_encoder().forward).parameters:
        return ModelFit(
            name, config.model_type, False, ["its encoder takes no inputs_embeds, so no sign features either"]
        )
    return measured(name, config, model, lora_r, frames, tokens)


def load_config(name: str) -> Any:
    """The config of a Hub model, folder or file."""
    from transformers import AutoConfig

    local = Path(name).exists()
    try:
        return AutoConfig.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        if local or isinstance(error, ValueError | KeyError):
            raise CheckpointError(
                f"{name}: expected the config of a model that transformers knows, found none ({reason}); "
                "give a folder with config.json, or a Hub id"
            ) from error
        raise HubError(
            f"expected {name} on the Hub, but could not get its config ({reason}); check the name and the network, "
            "log in for a gated model, or give a local folder"
        ) from error


def reasons_against(config: Any) -> list[str]:
    """Why this kind of model cannot be the text model; empty if it can."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    )

    kind = config.model_type
    if kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        if config.is_encoder_decoder:
            return []
        return [f"{kind} takes sound or pictures in and has no text encoder and decoder of its own"]
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return [
            f"{kind} is no sequence-to-sequence model; join two halves: `text_model` with `decoder_model` (--decoder)"
        ]
    return [f"{kind} is not in transformers' sequence-to-sequence mapping; take T5, BART, M2M100 or their kin"]


def empty_model(cls: Any, config: Any) -> Any:
    """The model without memory behind its weights, for counting."""
    import torch

    with torch.device("meta"):
        return cls.from_config(config)


def measured(name: str, config: Any, model: Any, lora_r: int, frames: int, tokens: int) -> ModelFit:
    """All numbers of a model that fits."""
    from slt_hf.modeling.text_models import text_generation_config, text_width

    width = text_width(model, "use")
    parameters = sum(weight.numel() for weight in model.parameters())
    linear = {path: layer for path, layer in linear_layers(model).items() if not path.endswith("lm_head")}
    linear_parameters = sum(layer.weight.numel() for layer in linear.values())
    targets = lora_targets(config.model_type)
    adapted = [layer for path, layer in linear.items() if not targets or path.rsplit(".", 1)[-1] in targets]
    adapter_parameters = sum(lora_r * sum(layer.weight.shape) for layer in adapted)
    encoder_parameters = our_parameters(width)
    generation = text_generation_config(model)
    longest_input, longest_output = limits(config)
    return ModelFit(
        name=name,
        model_type=config.model_type,
        fits=True,
        notes=notes_on(config.model_type, longest_input),
        architecture=type(model).__name__,
        width=width,
        vocabulary=model.get_input_embeddings().weight.shape[0],
        parameters=parameters,
        linear_parameters=linear_parameters,
        adapter_parameters=adapter_parameters,
        encoder_parameters=encoder_parameters,
        lora_r=lora_r,
        lora_targets=targets or ["all-linear"],
        longest_input=longest_input,
        longest_output=longest_output,
        decoder_start_token_id=generation.decoder_start_token_id,
        forced_bos_token_id=generation.forced_bos_token_id,
        language_codes=count_language_codes(name),
        memory=memory(parameters, linear_parameters, adapter_parameters, encoder_parameters),
        activations=activation_bytes(model, config, frames, tokens),
    )


def linear_layers(model: Any) -> dict[str, Any]:
    """What bitsandbytes quantises and LoRA adapts: linear layers, GPT-2's among them; each has a weight of two axes."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return {path: layer for path, layer in model.named_modules() if isinstance(layer, torch.nn.Linear | Conv1D)}


def lora_targets(model_type: str) -> list[str]:
    """The layers that peft adapts for this type by its own choice, as training does; empty for all linear layers."""
    try:
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as TARGETS
    except ImportError:
        return []
    return list(TARGETS.get(model_type, TARGETS.get({"umt5": "mt5"}.get(model_type, ""), ())))


def our_parameters(width: int) -> int:
    """Our default pose encoder and the projector (norm and linear) to the text model's width."""
    from slt_hf.modeling import PoseEncoderConfig, PoseEncoderModel

    config = PoseEncoderConfig()
    encoder = empty_model(_Own(PoseEncoderModel), config)
    return sum(weight.numel() for weight in encoder.parameters()) + config.hidden_size * width + 2 * width


class _Own:
    """`from_config` for a class of ours, as Auto classes have it."""

    def __init__(self, cls: Any) -> None:
        self.cls = cls

    def from_config(self, config: Any) -> Any:
        return self.cls(config)


def memory(parameters: int, linear: int, adapters: int, encoder: int) -> dict[str, dict[str, float | None]]:
    """Bytes by precision, by the formulas of this module."""
    table: dict[str, dict[str, float | None]] = {}
    for precision, each in WEIGHT_BYTES.items():
        rest = WEIGHT_BYTES["bf16"] if precision in ("8bit", "4bit") else each
        weights = linear * each + (parameters - linear) * rest
        trained = TRAINED_BYTES.get(precision)
        table[precision] = {
            "use": weights + encoder * 4.0,
            "train": None if trained is None else parameters * trained + encoder * ENCODER_BYTES,
            "lora": weights + adapters * ADAPTER_BYTES + encoder * ENCODER_BYTES,
        }
    return table


def activation_bytes(model: Any, config: Any, frames: int, tokens: int) -> float:
    """What training keeps for the way back, per clip, in 16 bits without checkpointing: rough.

    Each layer keeps s·d·34 + 5·a·s² bytes for s positions, width d and a heads (arxiv:2205.05198, equation 1), a
    decoder layer half as much again for its cross-attention; logits take twice 4 bytes for every token and entry.
    """
    steps = -(-frames // FRAMES_PER_STEP)
    width = model.get_input_embeddings().weight.shape[1]
    text = getattr(config, "encoder", config).get_text_config()
    heads, layers = text.num_attention_heads, text.num_hidden_layers
    decoder_layers = getattr(config, "num_decoder_layers", None) or getattr(config, "decoder_layers", None) or layers

    def layer(positions: int) -> float:
        return 34.0 * positions * width + 5.0 * heads * positions**2

    vocabulary = model.get_input_embeddings().weight.shape[0]
    return layers * layer(steps) + 1.5 * decoder_layers * layer(tokens) + 8.0 * tokens * vocabulary


def limits(config: Any) -> tuple[int | None, int | None]:
    """Longest input and output in positions; None where positions are relative or sinusoids go on for ever."""
    halves = (getattr(config, "encoder", config), getattr(config, "decoder", config))
    if config.model_type in ("t5", "mt5", "umt5", "longt5", "switch_transformers"):
        return None, None
    names = (
        ("max_encoder_position_embeddings", "max_position_embeddings"),
        ("max_decoder_position_embeddings", "max_position_embeddings", "n_positions"),
    )
    found: list[int | None] = []
    for half, keys in zip(halves, names, strict=True):
        values = half.get_text_config().to_dict()
        found.append(next((values[key] for key in keys if values.get(key)), None))
    return found[0], found[1]


def notes_on(model_type: str, longest_input: int | None) -> list[str]:
    """What to know before training it."""
    notes = []
    if model_type in ("t5", "mt5", "umt5", "longt5", "switch_transformers"):
        notes.append("overflows in fp16: train in bf16 or fp32")
    if longest_input is not None:
        seconds = longest_input * FRAMES_PER_STEP / FPS
        notes.append(
            f"its encoder reads {longest_input} steps, {seconds:.0f} s of signing; not so with `text_encoder: skip`"
        )
    if model_type in ("mbart", "m2m_100", "nllb-moe"):
        notes.append("is told the target language by a first token: set `language_codes` in the recipe")
    if model_type == "encoder-decoder":
        notes.append("its cross-attention starts untrained, unless a checkpoint of the pair has trained it")
    return notes


def count_language_codes(name: str) -> int | None:
    """Language tokens of its tokenizer; None if it has none or cannot be opened here."""
    from transformers import AutoTokenizer

    if Path(name).exists() and not any(Path(name).glob("token*.json")):
        return None  # AutoTokenizer would make an empty one up, with the language codes of the type's first model
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, ImportError, TypeError):
        return None
    codes = getattr(tokenizer, "lang_code_to_id", None)
    return len(codes) if codes else None
