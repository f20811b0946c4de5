"""Signing and text in one space: the contrastive stage before translation, and retrieval.

# B clips, N texts, L text tokens, P projection width
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_sign_text_dual_encoder import SignTextDualEncoderConfig
from .configuration_sign_to_text import OWN_ENCODERS
from .modeling_pose_encoder import LearnedPooling
from .sign_encoders import build_encoder, encoder_mask, load_encoder

LARGEST_SCALE = 100.0  # CLIP's clip on the inverse temperature, "to prevent training instability" (arxiv:2103.00020)


@dataclass
class SignTextDualEncoderOutput(ModelOutput):
    """Similarities and embeddings.

    Attributes:
        loss: InfoNCE, with `return_loss` and as many clips as texts.
        logits_per_sign: (B, N) cosine over temperature. logits_per_text: its transpose.
        sign_embeds: (B, P) unit vectors. text_embeds: (N, P) unit vectors.
    """

    loss: torch.Tensor | None = None
    logits_per_sign: torch.Tensor | None = None
    logits_per_text: torch.Tensor | None = None
    sign_embeds: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None


class SignTextDualEncoderModel(PreTrainedModel):
    """Two encoders, two projections and a learned temperature.

    Relations:
        The trained `encoder` goes on to translation: `SignToTextForConditionalGeneration.from_encoder_text_pretrained`
        takes this model, or its folder, as encoder.
    """

    config: SignTextDualEncoderConfig
    base_model_prefix = "encoder"
    main_input_name = "pose_values"
    input_modalities = ["video", "text"]
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = (
        False  # a loss over pairs has no number of items; the Trainer divides accumulated steps itself
    )
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_flash_attn = True

    def __init__(self, config: SignTextDualEncoderConfig, encoder=None, text_model=None):
        super().__init__(config)
        self.encoder = build_encoder(config.encoder_config) if encoder is None else encoder
        self.text_model = build_text_encoder(config.text_config) if text_model is None else text_model
        config.encoder_config, config.text_config = self.encoder.config, self.text_model.config
        self.main_input_name = self.encoder.main_input_name
        if getattr(self.text_model, "pooler", None) is not None:
            self.text_model.pooler = (
                None  # BERT's reads the first token; left in, its weights would never get a gradient
            )
        self.pooling = LearnedPooling(config.encoder_config.hidden_size)
        self.sign_projection = nn.Linear(config.encoder_config.hidden_size, config.projection_dim, bias=False)
        self.text_projection = nn.Linear(config.text_config.hidden_size, config.projection_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(config.logit_scale_init_value))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, LearnedPooling):
            init.zeros_(module.score.weight)
        elif module is self:
            init.constant_(self.logit_scale, self.config.logit_scale_init_value)

    @classmethod
    def from_encoder_text_pretrained(
        cls, encoder, text_model, projection_dim: int = 256, encoder_kwargs: dict | None = None, **text_kwargs
    ) -> "SignTextDualEncoderModel":
        """Join an encoder (model, config, name or folder) and a text model (model, name or folder)."""
        encoder = load_encoder(encoder, encoder_kwargs or {})
        text_model = load_text_encoder(text_model, text_kwargs)
        config = SignTextDualEncoderConfig(
            encoder_config=encoder.config, text_config=text_model.config, projection_dim=projection_dim
        )
        return cls(config, encoder, text_model)

    def get_sign_features(
        self, pose_values: torch.Tensor | None = None, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> torch.Tensor:
        """Clips (B, T, V, C), mask (B, T) at frame rate -> unit vectors (B, P)."""
        inputs = {self.main_input_name: kwargs.pop(self.main_input_name, pose_values)}
        if self.config.encoder_config.model_type in OWN_ENCODERS:  # others have no mask of frames
            inputs["attention_mask"] = attention_mask
        encoded = self.encoder(**inputs)
        pooled = self.pooling(encoded.last_hidden_state, encoder_mask(encoded))
        return nn.functional.normalize(self.sign_projection(pooled), dim=-1)

    def get_text_features(
        self, input_ids: torch.Tensor, text_attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Tokens (N, L), mask (N, L) -> unit vectors (N, P)."""
        if text_attention_mask is None:
            text_attention_mask = torch.ones_like(input_ids)
        hidden = self.text_model(input_ids=input_ids, attention_mask=text_attention_mask)[0]
        weight = text_attention_mask.unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)
        return nn.functional.normalize(self.text_projection(pooled), dim=-1)

    def similarity(self, sign_embeds: torch.Tensor, text_embeds: torch.Tensor) -> torch.Tensor:
        """Unit vectors (B, P), (N, P) -> logits (B, N): cosine over the learned temperature."""
        return self.logit_scale.exp().clamp(max=LARGEST_SCALE) * sign_embeds @ text_embeds.T

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor,
        pose_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        return_loss: bool = True,
        **kwargs,
    ) -> SignTextDualEncoderOutput:
        """Compare each clip with each text.

        Args:
            input_ids, text_attention_mask: (N, L). pose_values: (B, T, V, C). attention_mask: (B, T) of the poses.
            return_loss: compute the loss where B = N, pair i being clip i and text i.
        """
        sign_embeds = self.get_sign_features(pose_values, attention_mask, **kwargs)
        text_embeds = self.get_text_features(input_ids, text_attention_mask)
        logits = self.similarity(sign_embeds, text_embeds)
        loss = None
        if return_loss and logits.shape[0] == logits.shape[1]:
            loss = info_nce(logits, same_text(input_ids, text_attention_mask))
        return SignTextDualEncoderOutput(
            loss=loss,
            logits_per_sign=logits,
            logits_per_text=logits.T,
            sign_embeds=sign_embeds,
            text_embeds=text_embeds,
        )


def same_text(input_ids: torch.Tensor, text_attention_mask: torch.Tensor | None = None) -> torch.Tensor:
    """(B, L) -> (B, B): which texts are equal, padding aside."""
    if text_attention_mask is not None:
        input_ids = input_ids.masked_fill(text_attention_mask == 0, -1)
    return (input_ids[:, None] == input_ids[None]).all(-1)


def info_nce(logits: torch.Tensor, duplicates: torch.Tensor | None = None) -> torch.Tensor:
    """Symmetric InfoNCE (arxiv:2103.00020) over the pairs on the diagonal.

    Args:
        logits: (B, B).
        duplicates: (B, B), true where two pairs have the same text. Off the diagonal these are not negatives: the
            clip does say that text, so they are left out of the softmax.
    """
    logits = logits.float()
    if duplicates is not None:
        others = duplicates & ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(others, torch.finfo(logits.dtype).min)
    target = torch.arange(len(logits), device=logits.device)
    return (nn.functional.cross_entropy(logits, target) + nn.functional.cross_entropy(logits.T, target)) / 2


def build_text_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """A fresh text encoder: of an encoder-decoder, the encoder half."""
    if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING:
        return AutoModelForTextEncoding.from_config(config)
    model = AutoModel.from_config(config)
    return model.get_encoder() if config.is_encoder_decoder else model


def load_text_encoder(text_model, kwargs: dict) -> PreTrainedModel:
    """A model, or a name or folder -> a text encoder of the class that `build_text_encoder` gives for its config."""
    if not isinstance(text_model, PreTrainedModel):
        config = AutoConfig.from_pretrained(text_model, **kwargs)
        auto = AutoModelForTextEncoding if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING else AutoModel
        text_model = auto.from_pretrained(text_model, **kwargs)
    if not text_model.config.is_encoder_decoder:
        return text_model
    if type(text_model.config) not in MODEL_FOR_TEXT_ENCODING_MAPPING:
        return text_model.get_encoder()
    encoder = build_text_encoder(text_model.config)
    if isinstance(text_model, type(encoder)):
        return text_model
    if isinstance(text_model, type(encoder.get_encoder())):  # a T5's stack, as `get_encoder` of a whole one gives it
        encoder.get_encoder().load_state_dict(text_model.state_dict())
    else:  # a whole T5: its encoder half has the same names
        given = encoder.load_state_dict(text_model.state_dict(), strict=False)
        if given.missing_keys:
            raise ValueError(
                f"expected a whole text model or its encoder, found {type(text_model).__name__}, which has no "
                f"{given.missing_keys[0]}; pass one of these"
            )
    return encoder.to(text_model.dtype)
