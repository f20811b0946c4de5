"""I3D: frames or optical flow -> what an isolated sign is, by three-dimensional convolutions (arxiv:1705.07750).

# B batch, T frames, C channels, S steps = ceil(T / 8) - 1 (at least 1), H and W pixels, D width
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.loss.loss_utils import fixed_cross_entropy
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_i3d import INCEPTION_CHANNELS, I3DConfig

POOLED_STEPS = 2  # time steps of the last block that one answer sees


@dataclass
class I3DOutput(ModelOutput):
    """Features of a clip.

    Attributes:
        last_hidden_state: (B, S, D), averaged over the picture and two steps; zero where masked.
        attention_mask: (B, S). Returned because S differs from the input's T.
        hidden_states: with `output_hidden_states`, the output of every layer by its published name, batched as they
            are (all clips of a batch must then be of one length): (B, channels, T', H', W').
    """

    last_hidden_state: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None
    hidden_states: dict[str, torch.Tensor] | None = None


@dataclass
class I3DClassifierOutput(ModelOutput):
    """Logits (B, labels) and the pooled `embeddings` (B, D) before the head, for retrieval by nearest neighbour."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    embeddings: torch.Tensor | None = None
    hidden_states: dict[str, torch.Tensor] | None = None


def pad_same(values: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
    """Zeros around (..., T, H, W), the odd one at the end, so that ceil(size / stride) places come out (TensorFlow's
    SAME, with which the published weights were trained)."""
    amounts: list[int] = []
    for size, width, step in zip(values.shape[-3:], kernel, stride, strict=True):
        total = max(width - (size % step or step), 0)
        amounts = [total // 2, total - total // 2, *amounts]  # the last dimension comes first
    return nn.functional.pad(values, amounts)


class BatchNorm(nn.BatchNorm3d):
    """Batch norm that may keep to its stored statistics in training."""

    def __init__(self, channels: int, config: I3DConfig):
        super().__init__(channels, eps=config.batch_norm_eps, momentum=config.batch_norm_momentum)
        self.batch_statistics = config.batch_statistics

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if self.batch_statistics:
            return super().forward(values)
        return nn.functional.batch_norm(
            values, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


class ConvolutionUnit(nn.Module):
    """Convolution, batch norm, ReLU. Parts are named as in the published PyTorch weights, here and below."""

    def __init__(self, config: I3DConfig, inputs: int, outputs: int, size: int, stride: int = 1):
        super().__init__()
        self.kernel, self.stride = (size,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inputs, outputs, self.kernel, self.stride, bias=False)
        self.bn = BatchNorm(outputs, config)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv3d(pad_same(values, self.kernel, self.stride))).relu()


class MaxPool(nn.Module):
    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        # zeros around are what the published network sees; its inputs are above zero after every ReLU
        return nn.functional.max_pool3d(pad_same(values, self.kernel, self.stride), self.kernel, self.stride)


class InceptionBlock(nn.Module):
    """Four branches side by side."""

    def __init__(self, config: I3DConfig, inputs: int, branches: tuple[int, ...]):
        super().__init__()
        widths = [config.channels(width) for width in branches]
        self.b0 = ConvolutionUnit(config, inputs, widths[0], 1)
        self.b1a = ConvolutionUnit(config, inputs, widths[1], 1)
        self.b1b = ConvolutionUnit(config, widths[1], widths[2], 3)
        self.b2a = ConvolutionUnit(config, inputs, widths[3], 1)
        self.b2b = ConvolutionUnit(config, widths[3], widths[4], 3)
        self.b3a = MaxPool((3, 3, 3), (1, 1, 1))
        self.b3b = ConvolutionUnit(config, inputs, widths[5], 1)
        self.width = widths[0] + widths[2] + widths[4] + widths[5]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.cat(
            [
                self.b0(values),
                self.b1b(self.b1a(values)),
                self.b2b(self.b2a(values)),
                self.b3b(self.b3a(values)),
            ],
            dim=1,
        )


def build_layers(config: I3DConfig) -> nn.ModuleDict:
    """The network by the published names of its layers, in order."""
    first, second = config.channels(64), config.channels(192)
    layers: dict[str, nn.Module] = {
        "Conv3d_1a_7x7": ConvolutionUnit(config, config.num_channels, first, 7, stride=2),
        "MaxPool3d_2a_3x3": MaxPool((1, 3, 3), (1, 2, 2)),
        "Conv3d_2b_1x1": ConvolutionUnit(config, first, first, 1),
        "Conv3d_2c_3x3": ConvolutionUnit(config, first, second, 3),
        "MaxPool3d_3a_3x3": MaxPool((1, 3, 3), (1, 2, 2)),
    }
    before = {"Mixed_4b": ("MaxPool3d_4a_3x3", 3), "Mixed_5b": ("MaxPool3d_5a_2x2", 2)}
    width = second
    for name, branches in INCEPTION_CHANNELS.items():
        if name in before:
            pool, size = before[name]
            layers[pool] = MaxPool((size,) * 3, (2, 2, 2))
        layers[name] = block = InceptionBlock(config, width, branches)
        width = block.width
    return nn.ModuleDict(layers)


class I3DPreTrainedModel(PreTrainedModel):
    config: I3DConfig
    base_model_prefix = "i3d"
    main_input_name = "pixel_values"
    input_modalities = ["video"]
    _no_split_modules = ["InceptionBlock"]

    def save_pretrained(self, *args, **kwargs):
        # the bare network of a classifier loads through AutoModel, also where slt_hf is not installed
        self.config.auto_map = {"AutoModel": "modeling_i3d.I3DModel"}
        super().save_pretrained(*args, **kwargs)

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, nn.Conv3d):
            init.kaiming_normal_(module.weight, nonlinearity="relu")


class I3DModel(I3DPreTrainedModel):
    """The network without its classifier: what public code calls `extract_features`.

    Example:
        ```python
        model = I3DModel.from_pretrained("org/i3d-wlasl")
        features = model(**extractor("book.mp4", return_tensors="pt")).last_hidden_state  # (1, 7, 1024) of 64 frames
        ```
    """

    def __init__(self, config: I3DConfig):
        super().__init__(config)
        self.layers = build_layers(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> I3DOutput:
        """Features of clips.

        Args:
            pixel_values: (B, T, C, H, W) in [-1, 1].
            attention_mask: (B, T), 1 for real frames; padding is on the right.
        """
        lengths = self._lengths(pixel_values, attention_mask)
        rows: list[torch.Tensor] = [pixel_values.new_empty(0)] * len(lengths)
        seen: dict[str, torch.Tensor] = {}
        for length in sorted(set(lengths)):  # padding would reach into the last steps of a clip
            places = [place for place, own in enumerate(lengths) if own == length]
            seen = {}
            for name, features in self.endpoints(pixel_values[places, :length]):
                if output_hidden_states:
                    seen[name] = features
            for place, row in zip(places, pooled_steps(features), strict=True):
                rows[place] = row
        mask = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long, device=pixel_values.device)
        for place, row in enumerate(rows):
            mask[place, : len(row)] = 1
        states = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return I3DOutput(states, mask, seen if output_hidden_states else None)

    def endpoints(self, pixel_values: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
        """Every layer's published name and output, in order: (B, T, C, H, W) of one length -> (B, D, T', H', W')."""
        hidden = pixel_values.to(self.dtype).transpose(1, 2)
        for name, layer in self.layers.items():
            hidden = layer(hidden)
            yield name, hidden

    def _lengths(self, pixel_values, attention_mask) -> list[int]:
        expected = self.config.num_channels
        if pixel_values.ndim != 5 or pixel_values.shape[2] != expected or min(pixel_values.shape[3:]) < 32:
            raise ValueError(
                f"pixel_values must be (batch, frames, {expected}, 32 or more, 32 or more), found "
                f"{tuple(pixel_values.shape)}; use the checkpoint's own processor"
            )
        if attention_mask is None:
            return [pixel_values.shape[1]] * len(pixel_values)
        return attention_mask.sum(-1).clamp(min=1).tolist()


def pooled_steps(features: torch.Tensor) -> torch.Tensor:
    """The last block averaged over the picture and over every two neighbouring steps, (B, D, T', H', W') -> (B, S, D).

    The published network pools pictures of 224 pixels by a kernel of their own size, 7 x 7; so does this one, for any.
    """
    steps = features.mean((-2, -1))
    return nn.functional.avg_pool1d(steps, min(POOLED_STEPS, steps.shape[-1]), stride=1).transpose(1, 2)


class I3DForVideoClassification(I3DPreTrainedModel):
    """One isolated sign per clip: the answers of all steps, averaged over time or the highest (`time_pooling`).

    Example:
        ```python
        model = AutoModelForVideoClassification.from_pretrained("org/i3d-wlasl", trust_remote_code=True)
        ```
    """

    def __init__(self, config: I3DConfig):
        super().__init__(config)
        self.i3d = I3DModel(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels or 0)
        self.post_init()

    @can_return_tuple
    def forward(self, pixel_values, attention_mask=None, labels=None, num_items_in_batch=None, **kwargs):
        """Classify clips.

        Args:
            pixel_values: (B, T, C, H, W). attention_mask: (B, T). labels: (B,), -100 to ignore a clip.
            num_items_in_batch: clips over all accumulated steps, from the Trainer.
        """
        seen = self.i3d(pixel_values, attention_mask, **kwargs)
        mask = seen.attention_mask.unsqueeze(-1).to(seen.last_hidden_state.dtype)
        embeddings = (seen.last_hidden_state * mask).sum(1) / mask.sum(1)
        logits = self.pooled_logits(seen.last_hidden_state, embeddings, seen.attention_mask)
        loss = None if labels is None else fixed_cross_entropy(logits.float(), labels, num_items_in_batch)
        return I3DClassifierOutput(loss=loss, logits=logits, embeddings=embeddings, hidden_states=seen.hidden_states)

    def pooled_logits(
        self, steps: torch.Tensor, embeddings: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits (B, labels) of a clip's steps (B, S, D), their mean (B, D) and their mask (B, S)."""
        if self.config.time_pooling == "mean":  # the head is linear: the mean of its answers is its answer to the mean
            return self.classifier(self.dropout(embeddings))
        answers = self.classifier(self.dropout(steps))
        if mask is not None:
            answers = answers.masked_fill(mask.unsqueeze(-1) == 0, torch.finfo(answers.dtype).min)
        return answers.amax(1)
