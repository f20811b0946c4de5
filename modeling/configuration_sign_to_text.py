"""Configuration of sign-to-text translation: an encoder, a whole text model, and how they are joined."""

import copy
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .configuration_pose_encoder import PoseEncoderConfig
from .configuration_video_encoder import VideoEncoderConfig

OWN_ENCODERS = {config.model_type: config for config in (PoseEncoderConfig, VideoEncoderConfig)}


@strict
class SignToTextConfig(PreTrainedConfig):
    """What a translation checkpoint is.

    Args:
        encoder_config: a pose or video encoder of ours, or any model that `AutoModel` builds, by `model_type`.
        text_config: any encoder-decoder of transformers' Seq2SeqLM mapping.
        text_encoder: `use` sends the sign features through the text model's encoder as `inputs_embeds`; `skip` gives
            them straight to the decoder's cross-attention.
        text_head_tied: whether the text model's head shares its embedding. The T5 family forgets this in its own
            config (UMT5 forces it to true), and with it whether logits are scaled by d_model^-0.5.
        ctc_vocab_size: glosses of an extra CTC head on the encoder, blank being 0; `None` without it.
        ctc_weight: weight of its loss beside the translation loss.
        ctc_compression: give the text model one vector per recognised gloss, the mean of the steps that the CTC head
            reads as it (arxiv:2104.08191), instead of every step: translation from a dozen vectors is learned in far
            fewer sentences than from a hundred. For an encoder whose CTC head is already good.
        hand_crop_width: channels of an image encoder for crops of the hands beside a pose encoder (a multiple of 4),
            whose output is added through a gate that starts at zero; `None` without it.
    """

    model_type = "slt_sign_to_text"
    sub_configs_defaults = {
        "encoder_config": SubConfigSpec(config_class=PoseEncoderConfig),  # others: pose_config_or_same
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="umt5"),
    }

    encoder_config: Any = None  # a dict in files, a PreTrainedConfig once built
    text_config: Any = None
    text_encoder: Literal["use", "skip"] = "use"
    text_head_tied: bool | None = None
    ctc_vocab_size: int | None = None
    ctc_weight: float | int = 0.3
    ctc_compression: bool = False
    hand_crop_width: int | None = None
    is_encoder_decoder: bool = True
    tie_word_embeddings: bool = False  # nothing to tie here; the text model ties its own
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        self.encoder_config = pose_config_or_same(self.encoder_config)
        super().__post_init__(**kwargs)
        if self.text_head_tied is None:
            self.text_head_tied = self.text_config.get_text_config(decoder=True).tie_word_embeddings
        if self.ctc_compression and self.ctc_vocab_size is None:
            raise ValueError("ctc_compression expects a CTC head to read glosses with, found none; set ctc_vocab_size")

    def validate_hand_crops(self):
        """Called by `@strict` after construction.

        Raises:
            ValueError: if there are no landmarks to which crops of the hands could be added.
        """
        if self.hand_crop_width is None:
            return
        found = self.encoder_config.model_type
        if found != PoseEncoderConfig.model_type or self.hand_crop_width % 4:
            raise ValueError(
                f"hand_crop_width expects a pose encoder and a multiple of 4, found {found} and {self.hand_crop_width}"
                "; correct the config"
            )

    def get_text_config(self, decoder=None, encoder=None) -> PreTrainedConfig:
        """The text model's config or a half of it; upstream would take the `text_encoder` switch for a config.

        Of a T5 whose decoder is deeper than its encoder, upstream gives the encoder's depth for both, and the cache
        that `generate` builds from it would be too small.
        """
        config = self.text_config.get_text_config(decoder=decoder, encoder=encoder)
        depth = getattr(config, "num_decoder_layers", None)
        if decoder and not encoder and depth is not None and depth != config.num_hidden_layers:
            config = copy.deepcopy(config)
            config.num_hidden_layers = depth
        return config


def pose_config_or_same(encoder_config: dict | PreTrainedConfig | None) -> PreTrainedConfig:
    """Our own encoders' configs by class, since beside a checkpoint on the Hub nothing has registered it by name."""
    if isinstance(encoder_config, PreTrainedConfig):
        return encoder_config
    values = dict(encoder_config or {})
    model_type = values.pop("model_type", PoseEncoderConfig.model_type)
    if model_type in OWN_ENCODERS:
        return OWN_ENCODERS[model_type](**values)
    return AutoConfig.for_model(model_type, **values)
