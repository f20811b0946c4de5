"""Model and processor from a recipe: continued from a checkpoint, or joined from an encoder and a text model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    EncoderDecoderModel,
    PreTrainedModel,
)
from transformers.utils import logging

from slt_hf.errors import CheckpointError, RecipeError
from slt_hf.modeling import (
    PoseEncoderConfig,
    PoseEncoderForCTC,
    PoseEncoderForSignClassification,
    PoseEncoderModel,
    SignTextDualEncoderModel,
    SignToTextForConditionalGeneration,
)
from slt_hf.processing import PoseFeatureExtractor, PoseProcessor
from slt_hf.processing.landmarks import get_layout
from slt_hf.training.arguments import DataArguments, ModelArguments, mapping

logger = logging.get_logger(__name__)


def load_checkpoint(cls: type[PreTrainedModel], name: str, **kwargs: Any) -> PreTrainedModel:
    """`from_pretrained` that refuses a checkpoint with weights missing, instead of making some up.

    Raises:
        CheckpointError: if the checkpoint is absent or does not hold every weight of `cls`.
    """
    try:
        model, info = cls.from_pretrained(name, output_loading_info=True, **kwargs)
    except OSError as error:
        raise CheckpointError(f"{name}: expected a checkpoint folder or Hub id, but {error}; check the name") from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{name}: expected every weight of {cls.__name__}, found {len(missing)} missing, such as {missing[0]}; "
            "use a checkpoint of this class"
        )
    return model


def load_encoder(name: str) -> PoseEncoderModel:
    """The pose encoder inside a checkpoint of any stage: contrastive, translation, classification or CTC."""
    config = AutoConfig.from_pretrained(name)
    if config.model_type == "slt_pose_encoder":
        architecture = (config.architectures or ["PoseEncoderModel"])[0]
        owners = {
            "PoseEncoderForCTC": PoseEncoderForCTC,
            "PoseEncoderForSignClassification": PoseEncoderForSignClassification,
        }
        if architecture in owners:
            return load_checkpoint(owners[architecture], name).encoder
        return load_checkpoint(PoseEncoderModel, name)
    owners = {
        "slt_sign_to_text": SignToTextForConditionalGeneration,
        "slt_sign_text_dual_encoder": SignTextDualEncoderModel,
    }
    if config.model_type not in owners:
        raise CheckpointError(
            f"{name}: expected a checkpoint with a pose encoder, found model type {config.model_type}; name one of ours"
        )
    return load_checkpoint(owners[config.model_type], name).encoder


def build_feature_extractor(data: DataArguments) -> PoseFeatureExtractor:
    """The processor's pose side, from the recipe or from another checkpoint."""
    if data.processor is not None:
        return PoseFeatureExtractor.from_pretrained(data.processor)
    return PoseFeatureExtractor(
        layout=data.layout, fps=data.fps, normalization=data.normalization, **mapping(data.processor_settings)
    )


def build_encoder(model: ModelArguments, extractor: PoseFeatureExtractor, **fields: Any) -> PoseEncoderModel:
    """A trained encoder, or a fresh one for the extractor's layout."""
    if model.encoder is not None:
        encoder = load_encoder(model.encoder)
        if encoder.config.num_landmarks != get_layout(extractor.layout).num_points:
            raise RecipeError(
                f"layout: expected the {encoder.config.num_landmarks} landmarks of encoder {model.encoder}, found "
                f"{extractor.layout}; set `processor: {model.encoder}` to take its processor over"
            )
        return encoder
    torch.manual_seed(model.model_seed)
    return PoseEncoderModel(encoder_config(model, extractor, **fields))


def encoder_config(model: ModelArguments, extractor: PoseFeatureExtractor, **fields: Any) -> PoseEncoderConfig:
    """Config of a fresh encoder: what the extractor fixes, then what the recipe changes."""
    return PoseEncoderConfig.from_layout(
        get_layout(extractor.layout),
        num_coordinates=extractor.num_coordinates,
        fps=extractor.fps,
        **{**mapping(model.encoder_config), **fields},
    )


def build_text_model(model: ModelArguments, vocabulary: int | None = None) -> PreTrainedModel:
    """The text model: pretrained, two pretrained halves, or fresh from a config.

    Raises:
        RecipeError: if the recipe names none, or several.
    """
    if (model.text_model is None) == (model.text_config is None):
        raise RecipeError(
            "expected either text_model or text_config in the recipe, found both or neither; give one of them"
        )
    if model.text_config is not None:
        torch.manual_seed(model.model_seed)
        fields = dict(mapping(model.text_config))
        if vocabulary is not None:
            fields.setdefault("vocab_size", vocabulary)
        return AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(fields.pop("model_type"), **fields))
    if model.decoder_model is not None:
        return EncoderDecoderModel.from_encoder_decoder_pretrained(model.text_model, model.decoder_model)
    options = {"attn_implementation": model.attn_implementation, "quantization_config": quantization(model)}
    options = {name: value for name, value in options.items() if value is not None}
    dtype = getattr(torch, model.dtype) if model.dtype else torch.float32
    return AutoModelForSeq2SeqLM.from_pretrained(model.text_model, dtype=dtype, **options)


def quantization(model: ModelArguments) -> Any:
    """bitsandbytes settings, or None. A quantised model trains through LoRA only."""
    if model.quantization is None:
        return None
    if not model.lora_r:
        raise RecipeError(
            f"quantization: expected lora_r above 0 with {model.quantization}, found 0; weights in few bits cannot be "
            "trained, so set lora_r"
        )
    from transformers import BitsAndBytesConfig

    if model.quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def load_tokenizer(model: ModelArguments) -> Any:
    """The recipe's tokenizer, else the text model's.

    Raises:
        RecipeError: if neither is named.
    """
    name = model.tokenizer or model.text_model or model.model_name_or_path
    if name is None:
        raise RecipeError(
            "tokenizer: expected a Hub id or folder, found none; with text_config a tokenizer must be named"
        )
    tokenizer = AutoTokenizer.from_pretrained(name)
    if tokenizer.pad_token_id is None:  # GPT-2
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def build_translation_model(model: ModelArguments, data: DataArguments) -> tuple[PreTrainedModel, PoseProcessor]:
    """A model that writes text, with its processor."""
    if model.model_name_or_path is not None:
        processor = PoseProcessor.from_pretrained(model.model_name_or_path)
        cls = PoseEncoderForCTC if model.head == "ctc" else SignToTextForConditionalGeneration
        return load_checkpoint(cls, model.model_name_or_path), processor
    extractor, tokenizer = build_feature_extractor(data), load_tokenizer(model)
    processor = PoseProcessor(extractor, tokenizer, prompt=data.prompt, language_codes=mapping(data.language_codes))
    if model.head == "ctc":
        return build_ctc_model(model, extractor, tokenizer), processor
    text_model = build_text_model(model, len(tokenizer))
    complete_token_ids(text_model, tokenizer)
    encoder = build_encoder(model, extractor)
    joined = SignToTextForConditionalGeneration.from_encoder_text_pretrained(
        encoder, text_model, text_encoder=model.text_encoder  # type: ignore[arg-type]
    )
    # text models come with limits of their own, T5 with 20 tokens: outputs may be as long as targets
    joined.generation_config.max_length, joined.generation_config.max_new_tokens = None, data.max_target_tokens
    return joined, processor


def complete_token_ids(text_model: PreTrainedModel, tokenizer: Any) -> None:
    """Start, end and padding of a text model that its config leaves open (BERT+GPT-2, fresh models)."""
    start = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    start = tokenizer.pad_token_id if start is None else start
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    wanted = {"decoder_start_token_id": start, "eos_token_id": end, "pad_token_id": tokenizer.pad_token_id}
    for name, value in wanted.items():
        if getattr(text_model.config, name, None) is None:
            setattr(text_model.config, name, value)
        if getattr(text_model.generation_config, name, None) is None:
            setattr(text_model.generation_config, name, getattr(text_model.config, name))


def build_ctc_model(model: ModelArguments, extractor: PoseFeatureExtractor, tokenizer: Any) -> PoseEncoderForCTC:
    """An encoder with a CTC head over the tokenizer's vocabulary; the padding token is the blank."""
    fields = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    if model.encoder is None:
        torch.manual_seed(model.model_seed)
        return PoseEncoderForCTC(encoder_config(model, extractor, **fields))
    return with_encoder(PoseEncoderForCTC, build_encoder(model, extractor), fields, model.model_seed)


def build_classification_model(
    model: ModelArguments, data: DataArguments, classes: list[str]
) -> tuple[PreTrainedModel, PoseFeatureExtractor]:
    """A model that names an isolated sign, with its feature extractor."""
    if model.model_name_or_path is not None:
        extractor = PoseFeatureExtractor.from_pretrained(model.model_name_or_path)
        return load_checkpoint(PoseEncoderForSignClassification, model.model_name_or_path), extractor
    extractor = build_feature_extractor(data)
    labels = {"id2label": dict(enumerate(classes)), "label2id": {name: i for i, name in enumerate(classes)}}
    if model.encoder is None:
        torch.manual_seed(model.model_seed)
        return PoseEncoderForSignClassification(encoder_config(model, extractor, **labels)), extractor
    encoder = build_encoder(model, extractor)
    return with_encoder(PoseEncoderForSignClassification, encoder, labels, model.model_seed), extractor


def with_encoder(cls: Any, encoder: PoseEncoderModel, fields: dict[str, Any], seed: int) -> Any:
    """A model of `cls` around a trained encoder, its head fresh."""
    torch.manual_seed(seed)
    owner = cls(PoseEncoderConfig(**{**encoder.config.to_dict(), **fields}))
    owner.encoder.load_state_dict(encoder.state_dict())
    return owner


def build_dual_encoder(model: ModelArguments, data: DataArguments) -> tuple[SignTextDualEncoderModel, PoseProcessor]:
    """Pose encoder and frozen text encoder for the contrastive stage, with their processor."""
    if model.model_name_or_path is not None:
        processor = PoseProcessor.from_pretrained(model.model_name_or_path)
        return load_checkpoint(SignTextDualEncoderModel, model.model_name_or_path), processor
    extractor, tokenizer = build_feature_extractor(data), load_tokenizer(model)
    text_model = text_encoder_of(model, len(tokenizer))
    dual = SignTextDualEncoderModel.from_encoder_text_pretrained(build_encoder(model, extractor), text_model)
    dual.text_model.requires_grad_(False)  # the space of the text model is the target, and stays
    return dual, PoseProcessor(extractor, tokenizer)


def text_encoder_of(model: ModelArguments, vocabulary: int) -> PreTrainedModel:
    """The encoder half of a sequence-to-sequence model, or any text encoder that `AutoModel` loads."""
    if model.text_config is None and model.text_model is not None:
        config = AutoConfig.from_pretrained(model.text_model)
        if not config.is_encoder_decoder:
            return AutoModel.from_pretrained(model.text_model)
    return build_text_model(model, vocabulary).get_encoder()


def add_lora(model: SignToTextForConditionalGeneration, arguments: ModelArguments) -> Any:
    """LoRA adapters on the text model, everything else of it frozen; encoder and projector are trained whole.

    Returns:
        peft's model around the same text model: call `merge_and_unload()` on it when training is done, so that the
        finished folder is a checkpoint like any other.
    """
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    text_model = model.text_model
    if arguments.quantization is not None:
        text_model = prepare_model_for_kbit_training(text_model, use_gradient_checkpointing=False)
    config = LoraConfig(
        r=arguments.lora_r,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=arguments.lora_target_modules or default_lora_targets(text_model),
    )
    adapted = get_peft_model(text_model, config)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    logger.info(f"LoRA trains {trained:,} weights of {text_model.num_parameters():,} of the text model")
    return adapted


def default_lora_targets(text_model: PreTrainedModel) -> list[str] | str:
    """peft's own choice for the type, else every linear layer."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as TARGETS

    model_type = text_model.config.model_type
    return list(TARGETS.get(model_type, TARGETS.get({"umt5": "mt5"}.get(model_type, ""), ()))) or "all-linear"


def merge_lora(adapted: Any, output_dir: str | Path) -> None:
    """Save the adapters alone in `adapter/`, then merge them into the text model; nothing without adapters.

    Weights in few bits are written out in float32: the finished folder is a checkpoint like any other, which loads
    without bitsandbytes, and holds what quantisation left of them.
    """
    if adapted is None:
        return
    adapted.save_pretrained(str(Path(output_dir) / "adapter"))
    text_model = adapted.merge_and_unload()
    if hasattr(text_model, "hf_quantizer"):  # set where weights were loaded in few bits, absent elsewhere
        text_model.dequantize()
        text_model.float()
