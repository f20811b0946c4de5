"""Configuration of the dual encoder: signing and text in one space."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .configuration_pose_encoder import PoseEncoderConfig
from .configuration_sign_to_text import pose_config_or_same


@strict
class SignTextDualEncoderConfig(PreTrainedConfig):
    """What a dual encoder's weights are.

    Args:
        encoder_config: a pose encoder, or any video model that `AutoModel` builds, by `model_type`.
        text_config: an encoder (BERT, XLM-R) or an encoder-decoder (UMT5, BART), whose encoder half is used.
        projection_dim: width of the shared space.
        logit_scale_init_value: logarithm of the inverse temperature at the start, ln(1 / 0.07) as in CLIP.
    """

    model_type = "slt_sign_text_dual_encoder"
    sub_configs_defaults = {
        "encoder_config": SubConfigSpec(config_class=PoseEncoderConfig),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="umt5"),
    }

    encoder_config: Any = None  # a dict in files, a PreTrainedConfig once built
    text_config: Any = None
    projection_dim: int = 256
    logit_scale_init_value: float = 2.6592
    tie_word_embeddings: bool = False
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        self.encoder_config = pose_config_or_same(self.encoder_config)
        super().__post_init__(**kwargs)
