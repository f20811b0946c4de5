"""Video encoder: frames -> a vector for every tubelet, through a VideoMAE that may see any number of frames.

# B batch, T frames, S steps = ceil(T / tubelet), P patches of a step, W windows, D width
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_video_encoder import VideoEncoderConfig


@dataclass
class VideoEncoderOutput(ModelOutput):
    """Steps (B, S, D), zero where masked, and their mask (B, S): S differs from the input's T."""

    last_hidden_state: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None


class VideoEncoderPreTrainedModel(PreTrainedModel):
    config: VideoEncoderConfig
    base_model_prefix = "encoder"
    main_input_name = "pixel_values"
    input_modalities = ["video"]
    supports_gradient_checkpointing = True
    _no_split_modules = ["VideoMAELayer"]
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_flash_attn = True

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, PatchPooling):
            init.zeros_(module.score)


class PatchPooling(nn.Module):
    """A learned weighted mean over the patches of a step; starts as their plain mean."""

    def __init__(self, width: int):
        super().__init__()
        self.score = nn.Parameter(torch.zeros(width))  # no Linear: transformers would initialise that as one

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """(..., P, D) -> (..., D)"""
        weights = (patches @ self.score).float().softmax(-1).to(patches.dtype)
        return (weights.unsqueeze(-1) * patches).sum(-2)


class VideoEncoderModel(VideoEncoderPreTrainedModel):
    """Windows of a clip through VideoMAE (arxiv:2203.12602), each step's patches pooled, windows joined in time.

    VideoMAE has positions for a fixed number of frames; here they are interpolated over time, so that a clip shorter
    than a window is one window of its own length, and a longer one is several, the last of which ends with the clip.
    A clip's steps depend on no batch mate and no padding.

    Example:
        ```python
        encoder = VideoEncoderModel.from_backbone(VideoMAEModel.from_pretrained("MCG-NJU/videomae-base"))
        ```
    """

    def __init__(self, config: VideoEncoderConfig, backbone=None):
        super().__init__(config)
        self.backbone = AutoModel.from_config(config.backbone_config) if backbone is None else backbone
        if config.pooling == "learned":
            self.pooling = PatchPooling(config.hidden_size)
        self.window_frames, self.window_stride = int(config.window_frames or 0), int(config.window_stride or 0)
        self.post_init()

    @classmethod
    def from_backbone(cls, backbone: PreTrainedModel, **fields) -> "VideoEncoderModel":
        """Around a trained VideoMAE.

        Args:
            fields: of `VideoEncoderConfig`.
        """
        attention = backbone.config._attn_implementation  # which a config made of this one resets
        encoder = cls(VideoEncoderConfig(backbone_config=backbone.config, **fields), backbone)
        encoder.config._attn_implementation = attention
        return encoder

    @can_return_tuple
    def forward(
        self, pixel_values: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> VideoEncoderOutput:
        """Encode clips.

        Args:
            pixel_values: (B, T, 3, H, W). attention_mask: (B, T), 1 for real frames; padding is on the right.
        """
        lengths = self._lengths(pixel_values, attention_mask)
        rows = [even_frames(pixels[:n], self.tubelet) for pixels, n in zip(pixel_values, lengths, strict=True)]
        starts = [self.window_starts(len(row)) for row in rows]
        windows = [row[first : first + self.window_frames] for row, own in zip(rows, starts, strict=True)
                   for first in own]  # fmt: skip
        encoded = self._encode_windows(windows)
        steps = []
        for row, own in zip(rows, starts, strict=True):
            steps.append(
                join_windows(encoded[: len(own)], [first // self.tubelet for first in own], len(row) // self.tubelet)
            )
            encoded = encoded[len(own) :]
        mask = torch.zeros(len(rows), max(map(len, steps)), dtype=torch.long, device=pixel_values.device)
        for row, own in enumerate(steps):
            mask[row, : len(own)] = 1
        return VideoEncoderOutput(nn.utils.rnn.pad_sequence(steps, batch_first=True), mask)

    @property
    def tubelet(self) -> int:
        """Frames of a step."""
        return self.config.backbone_config.tubelet_size

    def window_starts(self, num_frames: int) -> list[int]:
        """First frames of the windows over a clip of an even number of frames."""
        last = num_frames - self.window_frames
        if last <= 0:
            return [0]
        return [*range(0, last, self.window_stride), last]

    def patches(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Windows of equal length through the backbone, unpooled: (W, T, 3, H, W) -> (W, S, P, D)."""
        backbone = self.backbone
        embedded = backbone.embeddings.patch_embeddings(pixel_values.to(self.dtype))
        steps = pixel_values.shape[1] // self.tubelet
        places = interpolated_positions(backbone.embeddings.position_embeddings, self._own_steps(), steps)
        hidden = backbone.encoder(embedded + places.to(embedded)).last_hidden_state
        if backbone.layernorm is not None:
            hidden = backbone.layernorm(hidden)
        return hidden.unflatten(1, (steps, -1))

    def _own_steps(self) -> int:
        return self.config.backbone_config.num_frames // self.tubelet

    def _encode_windows(self, windows: list[torch.Tensor]) -> list[torch.Tensor]:
        """Pooled steps (S, D) of each window; windows of one length go through the backbone together."""
        found: dict[int, torch.Tensor] = {}
        for length in sorted({len(window) for window in windows}):
            places = [place for place, window in enumerate(windows) if len(window) == length]
            patches = self.patches(torch.stack([windows[place] for place in places]))
            pooled = self.pooling(patches) if self.config.pooling == "learned" else patches.mean(-2)
            found |= dict(zip(places, pooled, strict=True))
        return [found[place] for place in range(len(windows))]

    def _lengths(self, pixel_values, attention_mask) -> list[int]:
        size = self.config.backbone_config.image_size
        expected = (3, size, size)
        if pixel_values.ndim != 5 or tuple(pixel_values.shape[2:]) != expected:
            raise ValueError(
                f"pixel_values must be (batch, frames, {', '.join(map(str, expected))}), found "
                f"{tuple(pixel_values.shape)}; use the checkpoint's own processor"
            )
        if attention_mask is None:
            return [pixel_values.shape[1]] * len(pixel_values)
        return attention_mask.sum(-1).clamp(min=1).tolist()


def even_frames(pixels: torch.Tensor, tubelet: int) -> torch.Tensor:
    """A clip (T, ...) whose last frame is repeated until it is a whole number of tubelets."""
    return torch.cat([pixels, pixels[-1:].expand(-len(pixels) % tubelet, *pixels.shape[1:])])


def interpolated_positions(table: torch.Tensor, own_steps: int, steps: int) -> torch.Tensor:
    """Positions (1, own_steps * P, D) for another number of steps, (1, steps * P, D); as they are for their own."""
    # a graph is traced for any number of steps; for its own the interpolation below is the identity
    if steps == own_steps and not torch.compiler.is_exporting():
        return table
    by_time = table.detach()[0].unflatten(0, (own_steps, -1)).permute(1, 2, 0)  # (P, D, own_steps)
    resized = nn.functional.interpolate(by_time, size=steps, mode="linear", align_corners=False)
    return resized.permute(2, 0, 1).flatten(0, 1)[None]


def join_windows(windows: list[torch.Tensor], starts: list[int], steps: int) -> torch.Tensor:
    """Windows (S_w, D) that begin at `starts` as one sequence (steps, D); where several see a step, their mean."""
    if len(windows) == 1:
        return windows[0]
    total = windows[0].new_zeros(steps, windows[0].shape[-1])
    count = total.new_zeros(steps, 1)
    for window, first in zip(windows, starts, strict=True):
        total = total.index_add(0, torch.arange(first, first + len(window), device=total.device), window)
        count[first : first + len(window)] += 1
    return total / count
