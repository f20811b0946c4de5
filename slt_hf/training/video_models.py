"""Models that see frames, from a recipe: a video encoder for translation, and classifiers of isolated signs."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoConfig,
    PreTrainedModel,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    VideoMAEModel,
)

from slt_hf.convert_i3d import i3d_extractor
from slt_hf.errors import CheckpointError, RecipeError
from slt_hf.modeling import (
    I3DConfig,
    I3DForVideoClassification,
    SignToTextForConditionalGeneration,
    VideoEncoderConfig,
    VideoEncoderModel,
)
from slt_hf.processing import VideoFeatureExtractor
from slt_hf.training.arguments import DataArguments, ModelArguments, mapping
from slt_hf.training.loading import load_checkpoint

JOINED = ("slt_sign_to_text", "slt_sign_text_dual_encoder")  # configs that hold an encoder's
FRAME_ENCODERS = ("videomae", "slt_video_encoder", "slt_i3d")  # types that see frames
CLASSIFIERS = {"videomae": VideoMAEForVideoClassification, I3DConfig.model_type: I3DForVideoClassification}
VIDEOMAE_HEAD = ("classifier.", "fc_norm.")  # what a VideoMAE trained for something else lacks


def encoder_type(model: ModelArguments) -> str:
    """`model_type` of what sees the signing."""
    name = model.model_name_or_path or model.encoder
    if name is None:
        return mapping(model.encoder_config).get("model_type", "slt_pose_encoder")
    try:
        config = AutoConfig.from_pretrained(name)
    except OSError as error:
        raise CheckpointError(f"{name}: expected a checkpoint folder or Hub id, but {error}; check the name") from error
    return config.encoder_config.model_type if config.model_type in JOINED else config.model_type


def sees_frames(model: ModelArguments) -> bool:
    """Whether the recipe's model reads frames rather than poses."""
    return encoder_type(model) in FRAME_ENCODERS


def build_video_encoder(model: ModelArguments) -> VideoEncoderModel:
    """A VideoMAE that sees clips of any length, trained or fresh.

    `encoder_config` holds fields of `VideoEncoderConfig` beside a trained VideoMAE, else the fresh encoder's config:
    of `model_type` slt_video_encoder, or of videomae.
    """
    if encoder_type(model) == I3DConfig.model_type:
        raise RecipeError("encoder: expected a VideoMAE for translation, found an I3D; train it for isolated signs")
    fields = dict(mapping(model.encoder_config))
    if model.encoder is None:
        torch.manual_seed(model.model_seed)
        if fields.pop("model_type") == "videomae":
            return VideoEncoderModel.from_backbone(VideoMAEModel(VideoMAEConfig(**fields)))
        return VideoEncoderModel(VideoEncoderConfig(**fields))
    config = AutoConfig.from_pretrained(model.encoder)
    if config.model_type == "slt_sign_to_text":
        return load_checkpoint(SignToTextForConditionalGeneration, model.encoder).encoder
    if config.model_type == "slt_video_encoder":
        return load_checkpoint(VideoEncoderModel, model.encoder)
    options = attention(model)
    return VideoEncoderModel.from_backbone(load_checkpoint(VideoMAEModel, model.encoder, **options), **fields)


def attention(model: ModelArguments) -> dict[str, Any]:
    return {} if model.attn_implementation is None else {"attn_implementation": model.attn_implementation}


def build_video_extractor(
    encoder: PreTrainedModel, data: DataArguments, num_frames: int | None = None
) -> VideoFeatureExtractor:
    """What reads frames for an encoder: at its picture size, `fps` a second, or `num_frames` over the clip.

    Raises:
        RecipeError: if the recipe asks for another size or number than the encoder sees.
    """
    size = encoder.config.to_dict().get("backbone_config", encoder.config.to_dict())["image_size"]
    if data.processor is not None:
        extractor = VideoFeatureExtractor.from_pretrained(data.processor)
    else:
        fixed = {"num_frames": num_frames, "fps": data.fps, "image_size": size}
        extractor = VideoFeatureExtractor(**{**fixed, **mapping(data.processor_settings)})
    if extractor.image_size != size:
        raise RecipeError(f"image_size: expected the encoder's {size}, found {extractor.image_size}; leave it out")
    if num_frames is not None and extractor.num_frames != num_frames:
        raise RecipeError(
            f"num_frames: expected the {num_frames} frames that the classifier sees, found {extractor.num_frames}; "
            "leave it out"
        )
    return extractor


def build_video_classifier(
    model: ModelArguments, data: DataArguments, classes: list[str]
) -> tuple[PreTrainedModel, VideoFeatureExtractor]:
    """A model that names an isolated sign from frames, with its feature extractor."""
    kind = encoder_type(model)
    if kind not in CLASSIFIERS:
        raise RecipeError(
            f"encoder: expected a VideoMAE or I3D for isolated signs, found {kind}; name one such as "
            "MCG-NJU/videomae-base"
        )
    if model.model_name_or_path is not None:
        extractor = VideoFeatureExtractor.from_pretrained(model.model_name_or_path)
        return load_checkpoint(CLASSIFIERS[kind], model.model_name_or_path), extractor
    if kind == I3DConfig.model_type:
        i3d = i3d_classifier(model, classes)
        return i3d, build_i3d_extractor(i3d.config, data, model.encoder)
    classifier = videomae_classifier(model, classes)
    return classifier, build_video_extractor(classifier, data, classifier.config.num_frames)


def i3d_classifier(model: ModelArguments, classes: list[str]) -> I3DForVideoClassification:
    """An I3D with a fresh head for these classes: transfer from Kinetics, or from another list of signs."""
    fields = {**mapping(model.encoder_config), **labels_of(classes)}
    fields.pop("model_type", None)
    torch.manual_seed(model.model_seed)
    if model.encoder is None:
        return I3DForVideoClassification(I3DConfig(**fields))
    config = I3DConfig.from_pretrained(model.encoder, **fields)
    options = {"config": config, "ignore_mismatched_sizes": True}  # a head of other classes
    return load_checkpoint(I3DForVideoClassification, model.encoder, ("classifier.",), **options)


def build_i3d_extractor(config: I3DConfig, data: DataArguments, encoder: str | None) -> VideoFeatureExtractor:
    """What reads frames for an I3D, which takes any number and size of them: as its `encoder` was shown them.

    Raises:
        RecipeError: if it would read flow for a network that sees pictures, or the other way round.
    """
    settings = mapping(data.processor_settings)
    if data.processor is not None:
        extractor = VideoFeatureExtractor.from_pretrained(data.processor)
    elif encoder is not None:
        extractor = VideoFeatureExtractor(**{**VideoFeatureExtractor.from_pretrained(encoder).to_dict(), **settings})
    else:
        extractor = i3d_extractor(config, **settings)
    if extractor.flow != (config.num_channels == 2):
        raise RecipeError(
            f"flow: expected {config.num_channels == 2} for an I3D of {config.num_channels} channels, found "
            f"{extractor.flow}; leave it out"
        )
    return extractor


def labels_of(classes: list[str]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(classes)), "label2id": {name: number for number, name in enumerate(classes)}}


def videomae_classifier(model: ModelArguments, classes: list[str]) -> Any:
    """transformers' own class with a fresh head. As in VideoMAE's fine-tuning (arxiv:2203.12602), the head sees the
    mean over all patches, normalised anew; a pretrained checkpoint's config would make it see the first patch alone.
    """
    labels: dict[str, Any] = {
        **labels_of(classes),
        "problem_type": "single_label_classification",
        "use_mean_pooling": True,
    }
    fields = dict(mapping(model.encoder_config))
    fields.pop("model_type", None)
    torch.manual_seed(model.model_seed)
    if model.encoder is None:
        return VideoMAEForVideoClassification(VideoMAEConfig(**fields, **labels))
    config = AutoConfig.from_pretrained(model.encoder, **fields, **labels)
    options = {"config": config, "ignore_mismatched_sizes": True, **attention(model)}  # a head of other classes
    return load_checkpoint(VideoMAEForVideoClassification, model.encoder, VIDEOMAE_HEAD, **options)
