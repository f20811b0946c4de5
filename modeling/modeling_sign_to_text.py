"""Sign to text: encoder -> projector -> a whole pretrained text model.

# B batch, T frames, S encoder steps, P prompt tokens, L text tokens, D width of the text model
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoModelForSeq2SeqLM, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.loss.loss_utils import fixed_cross_entropy
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput
from transformers.utils.generic import can_return_tuple

from .configuration_sign_to_text import OWN_ENCODERS, SignToTextConfig
from .ctc_compression import compress_runs
from .hand_crop_encoder import HandCropEncoder
from .modeling_pose_encoder import ctc_loss
from .sign_encoders import build_encoder, encoder_mask, load_encoder
from .text_models import head_is_tied, text_generation_config, text_width, untie_head


@dataclass
class SignEncoderOutput(BaseModelOutput):
    """What the decoder attends to. `attention_mask` (B, P + S) goes with it, so that beams and rows stay in step.

    `encoder_states` (B, S, encoder width) are the sign encoder's own, for the CTC head, `encoder_mask` (B, S) theirs.
    `router_logits` is always `None`; mixtures of experts (NLLB-MoE) read it from any encoder's output.
    """

    attention_mask: torch.Tensor | None = None
    encoder_states: torch.Tensor | None = None
    encoder_mask: torch.Tensor | None = None
    router_logits: tuple[torch.Tensor, ...] | None = None


@dataclass
class SignToTextOutput(Seq2SeqLMOutput):
    """Seq2SeqLMOutput with the CTC head's logits (B, S, glosses) where there is one."""

    ctc_logits: torch.Tensor | None = None


class SignProjector(nn.Module):
    """Sign features -> the text model's embedding space, at the size of its embeddings."""

    def __init__(self, encoder_width: int, text_width: int):
        super().__init__()
        self.linear = nn.Linear(encoder_width, text_width)
        self.norm = nn.RMSNorm(text_width, eps=1e-6)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(hidden))


class SignEncoderView(nn.Module):
    """What `generate` calls as the encoder. Holds no parameters, so none is saved or counted twice."""

    _owner: "SignToTextForConditionalGeneration"

    def __init__(self, owner: "SignToTextForConditionalGeneration"):
        super().__init__()
        object.__setattr__(self, "_owner", owner)  # not a submodule: that would be a cycle
        self.main_input_name = owner.main_input_name

    def forward(self, *args, **kwargs) -> SignEncoderOutput:
        return self._owner.encode(*args, **kwargs)


class SignToTextPreTrainedModel(PreTrainedModel):
    config: SignToTextConfig
    base_model_prefix = "model"
    main_input_name = "pose_values"
    input_modalities = ["video", "text"]
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_flash_attn = True

    def save_pretrained(self, *args, **kwargs):
        # both Auto classes load the generating class, also where slt_hf is not installed
        self.config.auto_map = {"AutoModel": "modeling_sign_to_text.SignToTextForConditionalGeneration"}
        super().save_pretrained(*args, **kwargs)

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, SignProjector):
            init.xavier_uniform_(module.linear.weight)
        elif isinstance(module, HandCropEncoder):
            init.zeros_(module.gate)
        elif isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, nonlinearity="relu")


class SignToTextForConditionalGeneration(SignToTextPreTrainedModel, GenerationMixin):
    """Translate signing to text.

    Example:
        ```python
        model = SignToTextForConditionalGeneration.from_encoder_text_pretrained("org/pose-encoder", "google/umt5-small")
        tokens = model.generate(**processor(poses="clip.pose", return_tensors="pt"), num_beams=4)
        ```
    """

    def __init__(self, config: SignToTextConfig, encoder=None, text_model=None):
        super().__init__(config)
        self.encoder = build_encoder(config.encoder_config) if encoder is None else encoder
        self.text_model = AutoModelForSeq2SeqLM.from_config(config.text_config) if text_model is None else text_model
        config.encoder_config, config.text_config = self.encoder.config, self.text_model.config
        self.main_input_name = self.encoder.main_input_name
        sign_width = config.encoder_config.hidden_size
        self.projector = SignProjector(sign_width, text_width(self.text_model, config.text_encoder))
        if config.ctc_vocab_size is not None:
            self.ctc_head = nn.Linear(sign_width, config.ctc_vocab_size)
        if config.hand_crop_width is not None:
            stride = config.encoder_config.stride
            self.hand_crops = HandCropEncoder(config.hand_crop_width, sign_width, stride)
        if not config.text_head_tied:
            untie_head(self.text_model)
        self.post_init()
        self.generation_config = text_generation_config(self.text_model)
        if getattr(config.text_config, "decoder_start_token_id", None) is None:  # T5Config has no such field of its own
            config.text_config.decoder_start_token_id = self.generation_config.decoder_start_token_id

    @classmethod
    def from_encoder_text_pretrained(
        cls,
        encoder,
        text_model,
        text_encoder: Literal["use", "skip"] = "use",
        encoder_kwargs: dict | None = None,
        hand_crop_width: int | None = None,
        **text_kwargs,
    ) -> "SignToTextForConditionalGeneration":
        """Join a trained encoder and a pretrained text model. The text model's head is kept as it is.

        Args:
            encoder: a model, a config (fresh weights), or a name or folder for `AutoModel.from_pretrained`.
            text_model: a model, or a name or folder for `AutoModelForSeq2SeqLM.from_pretrained`.
            text_encoder: `use` or `skip` the text model's encoder.
            encoder_kwargs, text_kwargs: passed to the two `from_pretrained`.
            hand_crop_width: of an image encoder for crops of the hands, from random weights.
        """
        encoder = load_encoder(encoder, encoder_kwargs or {})
        if not isinstance(text_model, PreTrainedModel):
            text_model = AutoModelForSeq2SeqLM.from_pretrained(text_model, **text_kwargs)
        attention = [(part.config, part.config._attn_implementation) for whole in (encoder, text_model)
                     for part in whole.modules() if isinstance(part, PreTrainedModel)]  # fmt: skip
        config = SignToTextConfig(
            encoder_config=encoder.config,
            text_config=text_model.config,
            text_encoder=text_encoder,
            text_head_tied=head_is_tied(text_model),
            hand_crop_width=hand_crop_width,
        )
        model = cls(config, encoder, text_model)
        for own, implementation in attention:  # a config made of configs resets theirs, and attention would be eager
            own._attn_implementation = implementation
        # sign features start at the size of the token embeddings they stand in for
        size = text_model.get_input_embeddings().weight.detach().float().square().mean().sqrt()
        nn.init.constant_(model.projector.norm.weight, size.item())
        return model.to(text_model.dtype)

    def get_encoder(self, modality=None):
        """The whole way from poses to what the decoder attends to, as one callable for `generate`."""
        return SignEncoderView(self) if modality is None else super().get_encoder(modality=modality)

    def get_decoder(self):
        return self.text_model.get_decoder()

    def get_input_embeddings(self):
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value):
        self.text_model.set_input_embeddings(value)

    def get_output_embeddings(self):
        return self.text_model.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings):
        self.text_model.set_output_embeddings(new_embeddings)

    def resize_token_embeddings(self, *args, **kwargs):
        return self.text_model.resize_token_embeddings(*args, **kwargs)

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Labels (B, L) shifted right as the text model was trained to see them; a language code stays in front."""
        labels = labels.masked_fill(labels == -100, self.generation_config.pad_token_id)
        own = getattr(self.text_model, "prepare_decoder_input_ids_from_labels", None)  # five of the mapping lack it
        if own is not None:
            return own(labels)
        start = labels.new_full((labels.shape[0], 1), self.generation_config.decoder_start_token_id)
        return torch.cat([start, labels[:, :-1]], dim=1)

    def _prepare_cache_for_generation(self, *args, **kwargs):
        """T5Gemma has a way of its own to make the cache; the usual way reads the decoder from our config."""
        own = type(self.text_model)._prepare_cache_for_generation
        if own is GenerationMixin._prepare_cache_for_generation:
            return super()._prepare_cache_for_generation(*args, **kwargs)
        return self.text_model._prepare_cache_for_generation(*args, **kwargs)

    def encode(
        self,
        pose_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        prompt_input_ids: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        sign_states: torch.Tensor | None = None,
        sign_mask: torch.Tensor | None = None,
        crop_values: torch.Tensor | None = None,
        crop_mask: torch.Tensor | None = None,
        **kwargs,
    ) -> SignEncoderOutput:
        """Everything before the decoder.

        Args:
            pose_values: (B, T, V, C); the encoder's own main input (`pixel_values`) is taken by name instead.
            attention_mask: (B, T) at frame rate; downsampled here.
            prompt_input_ids: (B, P) tokens put before the sign features, such as "translate to German:".
            prompt_attention_mask: (B, P).
            sign_states: (B, S, encoder width) from `encoder.stream`, instead of `pose_values`; a live translator
                passes the result on as `generate(encoder_outputs=...)`.
            sign_mask: (B, S), with `sign_states`.
            crop_values, crop_mask: (B, T, 2, 3, P, P) and (B, T, 2), for a model with `hand_crop_width`; without them
                it goes by the landmarks alone.
        """
        if sign_states is None:
            signs = self.encode_signs(pose_values, attention_mask, **kwargs)
        else:
            signs = SignEncoderOutput(last_hidden_state=sign_states, attention_mask=sign_mask)
        states, states_mask = signs.last_hidden_state, encoder_mask(signs)
        if crop_values is not None:
            if self.config.hand_crop_width is None:
                raise ValueError(
                    "crop_values expect a model with hand_crop_width, found one of poses alone; leave them out, or "
                    "load it with hand_crop_width=16 and train on"
                )
            states = states + self.hand_crops(crop_values, crop_mask) * states_mask.unsqueeze(-1).to(states.dtype)
        features, mask = self.text_features(states, states_mask)
        if prompt_input_ids is not None:
            features, mask = self._prepend_prompt(features, mask, prompt_input_ids, prompt_attention_mask)
        if self.config.text_encoder == "use":
            self.check_steps(features)
            features = self.encode_text(features, mask)
        return SignEncoderOutput(
            last_hidden_state=features, attention_mask=mask, encoder_states=states, encoder_mask=states_mask
        )

    def encode_signs(self, pose_values=None, attention_mask=None, **kwargs):
        """The sign encoder alone, with its own output."""
        inputs = {self.main_input_name: kwargs.pop(self.main_input_name, pose_values)}
        if self.config.encoder_config.model_type in OWN_ENCODERS:
            inputs["attention_mask"] = attention_mask
        return self.encoder(**inputs)

    def text_features(self, states, states_mask) -> tuple[torch.Tensor, torch.Tensor]:
        """States of the sign encoder (B, S, width), their mask -> what the text model reads (B, S', D), its mask."""
        if self.config.ctc_compression:
            states, states_mask = compress_runs(states, states_mask, self.ctc_head(states).argmax(-1))
        return self.projector(states.to(self.projector.linear.weight.dtype)), states_mask

    def _prepend_prompt(self, features, mask, prompt_input_ids, prompt_attention_mask):
        if prompt_attention_mask is None:
            prompt_attention_mask = torch.ones_like(prompt_input_ids)
        prompt = self.text_model.get_input_embeddings()(prompt_input_ids).to(features.dtype)
        features, mask = torch.cat([prompt, features], 1), torch.cat([prompt_attention_mask.to(mask.dtype), mask], 1)
        return without_leading_padding(features, mask)

    @cached_property
    def text_positions(self) -> int | None:
        """Steps that the text encoder has positions for. Kept: transformers copies the whole config to answer."""
        return getattr(self.text_model.config.get_text_config(encoder=True), "max_position_embeddings", None)

    def check_steps(self, features):
        """Refuse more steps than the text encoder has positions for."""
        limit = self.text_positions
        if limit is not None and features.shape[1] > limit:
            raise ValueError(
                f"the text encoder has positions for {limit} steps, found {features.shape[1]} (prompt and sign "
                "features); cut the clip into shorter ones, use a larger encoder stride, or text_encoder='skip'"
            )

    def encode_text(self, features, mask) -> torch.Tensor:
        """The text encoder alone: features (B, S', D), their mask -> what the decoder attends to."""
        encoder = self.text_model.get_encoder()
        # input_ids by name, since FSMT's encoder has no default for it
        return encoder(input_ids=None, inputs_embeds=features, attention_mask=mask, return_dict=True)[0]

    @can_return_tuple
    def forward(
        self,
        pose_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values=None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        gloss_labels: torch.Tensor | None = None,
        prompt_input_ids: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        crop_values: torch.Tensor | None = None,
        crop_mask: torch.Tensor | None = None,
        use_cache: bool | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        input_ids=None,
        inputs_embeds=None,
        **kwargs,
    ) -> SignToTextOutput:
        """Translate, or compute the loss of a translation.

        Args:
            pose_values: (B, T, V, C). attention_mask: (B, T), always at frame rate.
            labels: (B, L) text tokens, -100 where padded.
            gloss_labels: (B, G) for the CTC head, -100 where padded; beside `labels`.
            crop_values, crop_mask: crops of the hands, as of `encode`.
            num_items_in_batch: label tokens over all accumulated steps and processes, from the Trainer.
            input_ids, inputs_embeds: ignored; PEFT's wrappers pass them as `None`.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encode(
                pose_values,
                attention_mask,
                prompt_input_ids,
                prompt_attention_mask,
                crop_values=crop_values,
                crop_mask=crop_mask,
                **self._encoder_inputs(kwargs),
            )
        kwargs.pop(self.main_input_name, None)
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        # labels are not passed down: text models divide their loss by this batch's tokens alone
        output = self.text_model(
            encoder_outputs=SignEncoderOutput(last_hidden_state=encoder_outputs[0]),
            attention_mask=encoder_outputs["attention_mask"],
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            decoder_inputs_embeds=decoder_inputs_embeds,
            past_key_values=past_key_values,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        loss, ctc_logits = None, None
        if self.config.ctc_vocab_size is not None:
            ctc_logits = self.ctc_head(encoder_outputs["encoder_states"])
        if labels is not None:
            items = (labels != -100).sum() if num_items_in_batch is None else num_items_in_batch
            loss = self._loss(output.logits, labels, items)
            if gloss_labels is not None:
                gloss_loss = ctc_loss(ctc_logits, encoder_outputs["encoder_mask"], gloss_labels, 0, items)
                loss = loss + self.config.ctc_weight * gloss_loss
        return SignToTextOutput(
            loss=loss,
            logits=output.logits,
            past_key_values=output.past_key_values,
            decoder_hidden_states=output.decoder_hidden_states,
            decoder_attentions=output.decoder_attentions,
            cross_attentions=output.cross_attentions,
            encoder_last_hidden_state=encoder_outputs[0],
            ctc_logits=ctc_logits,
        )

    def _encoder_inputs(self, kwargs: dict) -> dict:
        return {name: kwargs[name] for name in (self.main_input_name,) if name in kwargs}

    def _loss(self, logits, labels, num_items_in_batch) -> torch.Tensor:
        """Cross-entropy summed over tokens, divided by their number in the whole step (all accumulated batches)."""
        return fixed_cross_entropy(
            logits.float().flatten(0, 1), labels.to(logits.device).flatten(), num_items_in_batch, ignore_index=-100
        )


def without_leading_padding(features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What is masked in front (of a shorter prompt) goes to the end: BART and its kin count positions from the front.

    Args:
        features: (B, S, D). mask: (B, S).
    """
    first = (mask.cumsum(1) == 0).sum(1, keepdim=True)
    places = (torch.arange(mask.shape[1], device=mask.device) + first) % mask.shape[1]
    return features.gather(1, places.unsqueeze(-1).expand_as(features)), mask.gather(1, places)
