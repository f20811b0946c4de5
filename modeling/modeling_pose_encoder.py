"""Pose encoder: landmarks -> a vector for every `stride` frames; heads for signs (classification) and glosses (CTC).

# B batch, T frames, V landmarks, C coordinates (the last is the confidence), S steps = ceil(T / stride), D width
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.loss.loss_utils import fixed_cross_entropy
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_pose_encoder import PoseEncoderConfig
from .pose_graph import FrameEncoder, GraphConvolution, PartEncoder
from .temporal_layers import TemporalLayer, Window, WindowedAttention


@dataclass
class PoseEncoderOutput(ModelOutput):
    """Encoder states.

    Attributes:
        last_hidden_state: (B, S, D), zero where masked.
        attention_mask: (B, S), 1 for steps with a real frame. Returned because S differs from the input's T.
        hidden_states: one (B, S, D) per layer and the input, with `output_hidden_states=True`.
        attentions: one (B N, H, W, window) per layer, N blocks of W queries, with eager attention and
            `output_attentions=True`.
    """

    last_hidden_state: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class SignClassifierOutput(ModelOutput):
    """Logits (B, labels) and the pooled `embeddings` (B, D) before the head, for retrieval by nearest neighbour."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    embeddings: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class SignCTCOutput(ModelOutput):
    """Logits (B, S, vocabulary) and the mask (B, S) that says which of the steps are real."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


def ctc_loss(logits, mask, labels, blank: int, num_items: torch.Tensor | int | None = None) -> torch.Tensor:
    """CTC summed over the batch and divided by the number of items, target tokens unless given.

    Args:
        logits: (B, S, vocabulary). mask: (B, S). labels: (B, L), -100 where padded.
        num_items: divisor; the Trainer's `num_items_in_batch` makes accumulated steps equal one large batch.
    """
    lengths = (labels != -100).sum(-1)
    log_probs = nn.functional.log_softmax(logits.float(), dim=-1).transpose(0, 1)
    targets = labels.masked_fill(labels == -100, blank)
    total = nn.functional.ctc_loss(
        log_probs, targets, mask.sum(-1), lengths, blank=blank, reduction="sum", zero_infinity=True
    )
    return total / (lengths.sum().clamp(min=1) if num_items is None else num_items)


class PoseEncoderPreTrainedModel(PreTrainedModel):
    config: PoseEncoderConfig
    base_model_prefix = "encoder"
    main_input_name = "pose_values"
    input_modalities = ["video"]
    supports_gradient_checkpointing = True
    _no_split_modules = ["TemporalLayer", "PartEncoder"]
    _supports_sdpa = True
    # accepted so that one string fits a whole translation model; the encoder's blocks then run on sdpa
    _supports_flex_attn = True
    _supports_flash_attn = True

    def save_pretrained(self, *args, **kwargs):
        # the bare encoder of a model with a head loads through AutoModel, also where slt_hf is not installed
        self.config.auto_map = {"AutoModel": "modeling_pose_encoder.PoseEncoderModel"}
        super().save_pretrained(*args, **kwargs)

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        std = self.config.initializer_range
        if isinstance(module, GraphConvolution):
            module.init_buffers()
        elif isinstance(module, PartEncoder):
            init.normal_(module.point_embedding, std=std)
        elif isinstance(module, FrameEncoder):
            module.init_buffers()
        elif isinstance(module, LearnedPooling):
            init.zeros_(module.score.weight)
        elif isinstance(module, nn.Conv1d):
            init.kaiming_uniform_(module.weight, a=5**0.5)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)


class PoseEncoderModel(PoseEncoderPreTrainedModel):
    """Part-wise graph convolution in each frame, early pooling, then windowed layers over time.

    The part-wise graph follows the Uni-Sign family (CoSign, arxiv:2501.15187), but pools before anything runs over
    time, so that a frame costs a twentieth, and normalises each frame by itself, so that neither padding nor batch
    mates change a result.
    """

    _can_record_outputs = {"hidden_states": TemporalLayer, "attentions": WindowedAttention}

    def __init__(self, config: PoseEncoderConfig):
        super().__init__(config)
        self.frame_encoder = FrameEncoder(config)
        self.merge = nn.Linear(config.stride * self.frame_encoder.width, config.hidden_size)
        self.layers = nn.ModuleList(TemporalLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        pose_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **kwargs,
    ) -> PoseEncoderOutput:
        """Encode whole clips.

        Args:
            pose_values: (B, T, V, C), the last coordinate being the confidence; 0 there means not seen.
            attention_mask: (B, T) at the frame rate of `pose_values`, 1 for real frames; padding is on the right.
        """
        self._check_shape(pose_values)
        attention_mask = self._frame_mask(pose_values, attention_mask)
        frames, _ = self.frame_encoder(pose_values.to(self.dtype), attention_mask)
        hidden, mask = self._merge_frames(frames, attention_mask)
        window = Window.offline(self.config, mask, hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden, mask, window, **kwargs)[0]
        return PoseEncoderOutput(
            last_hidden_state=self.norm(hidden) * mask.unsqueeze(-1).to(hidden.dtype), attention_mask=mask.long()
        )

    def initial_state(self, batch_size: int = 1) -> dict[str, torch.Tensor]:
        """The state of a stream that has not begun. A plain dict of tensors of fixed shape, L layers.

        Requires:
            `config.chunk_frames` set; a bidirectional encoder cannot stream.
        """
        config = self.config
        if config.chunk_frames is None:
            raise ValueError(
                "streaming expects an encoder trained with config.chunk_frames, found None (it looks ahead without "
                "limit); use forward on whole clips, or train with chunk_frames set"
            )
        layers, window, heads = config.num_hidden_layers, config.attention_window, config.num_attention_heads
        head_dim = config.hidden_size // heads
        past = torch.zeros(layers, batch_size, heads, window, head_dim, device=self.device, dtype=self.dtype)
        return {
            "previous_points": past.new_zeros(batch_size, config.num_landmarks, config.num_positions),
            "previous_present": past.new_zeros(batch_size, config.num_landmarks, dtype=torch.bool),
            "past_mask": past.new_zeros(batch_size, window, dtype=torch.bool),
            "past_keys": past,
            "past_values": past.clone(),
            "past_convolutions": past.new_zeros(layers, batch_size, config.conv_kernel_size - 1, config.hidden_size),
        }

    def stream(
        self,
        pose_values: torch.Tensor,
        state: dict[str, torch.Tensor],
        attention_mask: torch.Tensor | None = None,
    ) -> tuple[PoseEncoderOutput, dict[str, torch.Tensor]]:
        """Encode the next frames of a stream; concatenated outputs equal `forward` on the whole clip.

        Args:
            pose_values: (B, n * chunk_frames, V, C). At the end of a clip, pad the last chunk and mask the padding.
            state: from `initial_state` or the call before. Not modified.

        Returns:
            Output for these frames, and the state for the next call, of the same shapes: a stream's memory is bounded.
        """
        self._check_shape(pose_values)
        attention_mask = self._frame_mask(pose_values, attention_mask)
        size = self.config.chunk_frames
        if size is None or pose_values.shape[1] % size:
            raise ValueError(
                f"stream expects a multiple of config.chunk_frames ({size}) frames, found {pose_values.shape[1]}; "
                "collect frames until a chunk is full, or pad the last chunk and mask the padding"
            )
        states, masks = [], []
        for start in range(0, pose_values.shape[1], size):
            part = slice(start, start + size)
            output, state = self.stream_chunk(pose_values[:, part], state, attention_mask[:, part])
            states.append(output[0])
            masks.append(output[1])
        return PoseEncoderOutput(last_hidden_state=torch.cat(states, 1), attention_mask=torch.cat(masks, 1)), state

    def stream_chunk(self, pose_values, state, attention_mask) -> tuple[PoseEncoderOutput, dict[str, torch.Tensor]]:
        """Exactly one chunk: fixed shapes and tensors only, the graph that exporters trace."""
        previous = (state["previous_points"], state["previous_present"])
        frames, (points, present) = self.frame_encoder(pose_values.to(self.dtype), attention_mask, previous)
        hidden, mask = self._merge_frames(frames, attention_mask)
        window = Window.chunk(self.config, mask, state["past_mask"], hidden.dtype)
        kept = []
        for index, layer in enumerate(self.layers):
            past = tuple(state[name][index] for name in ("past_keys", "past_values", "past_convolutions"))
            hidden, _, new = layer(hidden, mask, window, past)
            kept.append(new)
        keys, values, convolutions = (torch.stack(tensors) for tensors in zip(*kept, strict=True))
        new_state = {
            "previous_points": points,
            "previous_present": present,
            "past_mask": torch.cat([state["past_mask"], mask], dim=1)[:, -self.config.attention_window :],
            "past_keys": keys,
            "past_values": values,
            "past_convolutions": convolutions,
        }
        hidden = self.norm(hidden) * mask.unsqueeze(-1).to(hidden.dtype)
        return PoseEncoderOutput(last_hidden_state=hidden, attention_mask=mask.long()), new_state

    def downsample_mask(self, attention_mask: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, S): a step is real if one of its frames is."""
        padded = nn.functional.pad(attention_mask.bool(), (0, -attention_mask.shape[1] % self.config.stride))
        return padded.unflatten(1, (-1, self.config.stride)).any(-1)

    def _merge_frames(self, frames, attention_mask) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, F) -> steps (B, S, D), mask (B, S)"""
        frames = nn.functional.pad(frames, (0, 0, 0, -frames.shape[1] % self.config.stride))
        steps = frames.unflatten(1, (-1, self.config.stride)).flatten(2)
        return self.merge(steps), self.downsample_mask(attention_mask)

    def _frame_mask(self, pose_values, attention_mask) -> torch.Tensor:
        if attention_mask is None:
            return torch.ones(pose_values.shape[:2], dtype=torch.bool, device=pose_values.device)
        return attention_mask.bool()

    def _check_shape(self, pose_values):
        expected = (self.config.num_landmarks, self.config.num_coordinates)
        if pose_values.ndim != 4 or tuple(pose_values.shape[2:]) != expected:
            raise ValueError(
                f"pose_values must be (batch, frames, {expected[0]}, {expected[1]}) for layout {self.config.layout}, "
                f"found {tuple(pose_values.shape)}; use the checkpoint's own processor, which converts layouts"
            )


class LearnedPooling(nn.Module):
    """A learned weighted mean over real steps; starts as their plain mean."""

    def __init__(self, width: int):
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, S, D), (B, S) -> (B, D)"""
        scores = self.score(hidden).squeeze(-1).float().masked_fill(~mask.bool(), torch.finfo(torch.float32).min)
        return torch.einsum("bs,bsd->bd", scores.softmax(-1).to(hidden.dtype), hidden)


class PoseEncoderForSignClassification(PoseEncoderPreTrainedModel):
    """One isolated sign per clip. `AutoModelForVideoClassification` finds it: a clip in, a label out."""

    def __init__(self, config: PoseEncoderConfig):
        super().__init__(config)
        self.encoder = PoseEncoderModel(config)
        self.pooling = LearnedPooling(config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels or 0)
        self.post_init()

    @can_return_tuple
    def forward(self, pose_values, attention_mask=None, labels=None, num_items_in_batch=None, **kwargs):
        """Classify clips.

        Args:
            pose_values: (B, T, V, C). attention_mask: (B, T). labels: (B,), -100 to ignore a clip.
            num_items_in_batch: clips over all accumulated steps, from the Trainer.
        """
        encoded = self.encoder(pose_values, attention_mask, **kwargs)
        embeddings = self.pooling(encoded.last_hidden_state, encoded.attention_mask)
        logits = self.classifier(self.dropout(embeddings))
        loss = None if labels is None else fixed_cross_entropy(logits.float(), labels, num_items_in_batch)
        return SignClassifierOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )


class PoseEncoderForCTC(PoseEncoderPreTrainedModel):
    """A gloss or character at every step, for continuous recognition. The blank is `config.pad_token_id` or 0."""

    def __init__(self, config: PoseEncoderConfig):
        super().__init__(config)
        if config.vocab_size is None:
            raise ValueError("a CTC head expects config.vocab_size, found None; set it to the glosses and a blank")
        self.encoder = PoseEncoderModel(config)
        self.dropout = nn.Dropout(config.dropout)
        self.ctc_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    @can_return_tuple
    def forward(self, pose_values, attention_mask=None, labels=None, num_items_in_batch=None, **kwargs):
        """Score glosses.

        Args:
            pose_values: (B, T, V, C). attention_mask: (B, T). labels: (B, L), -100 where padded.
            num_items_in_batch: target tokens over all accumulated steps, from the Trainer.
        """
        encoded = self.encoder(pose_values, attention_mask, **kwargs)
        logits = self.ctc_head(self.dropout(encoded.last_hidden_state))
        mask, blank = encoded.attention_mask, self.config.pad_token_id or 0
        loss = None if labels is None else ctc_loss(logits, mask, labels, blank, num_items_in_batch)
        return SignCTCOutput(
            loss=loss,
            logits=logits,
            attention_mask=mask,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
