"""Model and processor from a recipe: continued from a checkpoint, or joined from an encoder and a text model."""

from __future__ import annotations

from importlib.util import find_spec
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

from slt_hf.errors import CheckpointError, RecipeError
from slt_hf.modeling import (
    PoseEncoderConfig,
    PoseEncoderForCTC,
    PoseEncoderForSignClassification,
    PoseEncoderModel,
    SignTextDualEncoderModel,
    SignToTextForConditionalGeneration,
)
from slt_hf.processing import PoseFeatureExtractor, PoseProcessor, SignVideoProcessor
from slt_hf.processing.landmarks import get_layout
from slt_hf.training.arguments import DataArguments, ModelArguments, mapping
from slt_hf.training.hand_crops import fit_processor, load_translation_model, refuse_hand_crops
from slt_hf.training.loading import load_checkpoint
from slt_hf.training.video_models import (
    build_video_classifier,
    build_video_encoder,
    build_video_extractor,
    sees_frames,
)


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


def check_quantization(model: ModelArguments, task: str) -> None:
    """Refuse what few bits cannot do, before anything is downloaded.

    Args:
        task: what is trained, for the message; few bits are for the text model of a translation model alone.

    Raises:
        RecipeError: if the recipe asks for few bits where weights would be loaded whole without a word.
    """
    if model.quantization is None:
        return
    expected = None
    if task != "translation":
        expected, found = "a text model behind a pose encoder or VideoMAE", task
    elif not model.lora_r:
        expected, found = "lora_r above 0, since weights in few bits are trained through adapters", "0"
    elif model.text_model is None:
        expected, found = "a text_model to load in few bits", "text_config, model_name_or_path or head: ctc instead"
    elif model.decoder_model is not None:
        expected, found = "a whole text_model", "two halves (decoder_model)"
    elif find_spec("bitsandbytes") is None:
        expected, found = "bitsandbytes, which `pip install 'slt_hf[quantization]'` brings", "none"
    if expected is not None:
        raise RecipeError(
            f"quantization: {model.quantization} expected {expected}, found {found}; correct it or remove the option"
        )


def quantization(model: ModelArguments) -> Any:
    """bitsandbytes settings, or None. A quantised model trains through LoRA only (`check_quantization`)."""
    if model.quantization is None:
        return None
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
    """A model that writes text, with its processor; with a VideoMAE as encoder it sees frames.

    Raises:
        RecipeError: if parts of the recipe do not fit together.
    """
    check_quantization(model, "translation")
    frames = sees_frames(model)
    processor_class = SignVideoProcessor if frames else PoseProcessor
    if frames and model.head == "ctc":
        raise RecipeError("head: expected attention for a model that sees frames, found ctc; remove the option")
    if frames or model.head == "ctc":
        refuse_hand_crops(model, data, "a model that sees frames" if frames else "head: ctc")
    if model.model_name_or_path is not None:
        processor = processor_class.from_pretrained(model.model_name_or_path)
        if model.head == "ctc":
            return load_checkpoint(PoseEncoderForCTC, model.model_name_or_path), processor
        loaded = load_translation_model(model)
        if not frames:
            fit_processor(processor.feature_extractor, loaded, data)
        return loaded, processor
    encoder: PreTrainedModel | None = build_video_encoder(model) if frames else None
    extractor: Any = build_feature_extractor(data) if encoder is None else build_video_extractor(encoder, data)
    tokenizer = load_tokenizer(model)
    options: dict[str, Any] = {"prompt": data.prompt, "language_codes": mapping(data.language_codes)}
    processor = processor_class(extractor, tokenizer, **options)
    if model.head == "ctc":
        return build_ctc_model(model, extractor, tokenizer), processor
    text_model = build_text_model(model, len(tokenizer))
    complete_token_ids(text_model, tokenizer)
    encoder = build_encoder(model, extractor) if encoder is None else encoder
    joined = SignToTextForConditionalGeneration.from_encoder_text_pretrained(
        encoder,
        text_model,
        text_encoder=model.text_encoder,  # type: ignore[arg-type]
        hand_crop_width=model.hand_crop_width,
    )
    if not frames:
        fit_processor(extractor, joined, data)
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
) -> tuple[PreTrainedModel, Any]:
    """A model that names an isolated sign, with its feature extractor."""
    check_quantization(model, "isolated signs")
    refuse_hand_crops(model, data, "isolated signs")
    if sees_frames(model):
        return build_video_classifier(model, data, classes)
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
    check_quantization(model, "the contrastive stage")
    refuse_hand_crops(model, data, "the contrastive stage")
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
