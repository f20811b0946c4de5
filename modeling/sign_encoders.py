"""Which model sees the signing: ours, or any other that `AutoModel` builds.

# B batch, S encoder steps
"""

from typing import Any

import torch
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from .modeling_pose_encoder import PoseEncoderModel
from .modeling_video_encoder import VideoEncoderModel

# ours by class, since beside a checkpoint on the Hub no mapping has them; they read the frames' mask
ENCODERS = {cls.config_class.model_type: cls for cls in (PoseEncoderModel, VideoEncoderModel)}


def build_encoder(config):
    """A fresh encoder: ours by class, others by `AutoModel`."""
    if config.model_type in ENCODERS:
        return ENCODERS[config.model_type]._from_config(config)
    return AutoModel.from_config(config)


def load_encoder(encoder, kwargs: dict) -> Any:
    """A model, a config (fresh weights), or a name or folder -> an encoder; of a model with a head, its encoder.

    A VideoMAE comes inside a `VideoEncoderModel`, which gives it clips of any length.
    """
    if isinstance(encoder, PreTrainedConfig):
        encoder = build_encoder(encoder)
    elif not isinstance(encoder, PreTrainedModel):
        config = AutoConfig.from_pretrained(encoder, **kwargs)
        encoder = ENCODERS.get(config.model_type, AutoModel).from_pretrained(encoder, **kwargs)
    base = encoder.base_model
    return VideoEncoderModel.from_backbone(base) if base.config.model_type == "videomae" else base


def encoder_mask(signs) -> torch.Tensor:
    """The encoder's own mask (B, S), or all ones where it has none (video models with a fixed number of patches)."""
    mask = signs.get("attention_mask")
    return torch.ones(signs[0].shape[:2], dtype=torch.long, device=signs[0].device) if mask is None else mask
