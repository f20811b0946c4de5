"""A whole clip through a pose encoder as traced graphs: the same numbers, for three quarters of the time; of a small
classifier of signs, for half of it or less.

# B clips, T frames, V landmarks, C coordinates, S steps, D encoder width
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from slt_hf.modeling.modeling_pose_encoder import PoseEncoderForSignClassification
from slt_hf.streaming.chunk_graph import traced

TOLERANCE = 1e-4  # of states and probabilities, between a graph and its model; a graph further away is not used
BEYOND = 3  # frames by which a clip that is tried exceeds the attention window


class Encoder(nn.Module):
    """(B, T, V, C), (B, T) -> states (B, S, D), their mask (B, S)"""

    def __init__(self, encoder: Any):
        super().__init__()
        self.encoder = encoder

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        output = self.encoder(values, mask)
        return output.last_hidden_state, output.attention_mask


class Labels(nn.Module):
    """(B, T, V, C), (B, T) -> probabilities (B, labels)"""

    def __init__(self, classifier: Any):
        super().__init__()
        self.classifier = classifier

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.classifier(values, mask).logits.float().softmax(-1),)


class ClipGraph:
    """Two graphs: an encoder reads a clip that its attention window covers in one piece, and longer ones in blocks.

    Args:
        plain: `Encoder` or `Labels`, on the CPU.
        config: of the encoder.
    """

    def __init__(self, plain: nn.Module, config: Any):
        self.plain, self.shape = plain, (config.num_landmarks, config.num_coordinates)
        self.longest_short = config.attention_window * config.stride
        self.short = traced(self.plain, self._sample(max(1, self.longest_short // 2)))
        self.long = traced(self.plain, self._sample(2 * self.longest_short + 1))

    def __call__(self, values: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        graph = self.short if values.shape[1] <= self.longest_short else self.long
        with torch.inference_mode():
            return graph(values, mask)

    def agrees(self) -> bool:
        """Whether the graphs give the model's numbers for clips of other lengths, alone and together."""
        lengths = {1: 1, self.longest_short: 2, self.longest_short + BEYOND: 1}
        given = [tuple(each[:clips] for each in self._sample(length)) for length, clips in lengths.items()]
        pairs = [pair for each in given for pair in zip(self(*each), self.plain(*each), strict=True)]
        return all(bool((graph.float() - plain.float()).abs().max() < TOLERANCE) for graph, plain in pairs)

    def _sample(self, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Two clips, the second shorter."""
        mask = torch.ones(2, frames, dtype=torch.long)
        mask[1, (frames + 1) // 2 :] = 0
        return torch.rand(2, frames, *self.shape), mask


def trace_labels(model: Any) -> ClipGraph | None:
    """Of a classifier of signs from poses; None for others, on a GPU, and in half precision."""
    known = isinstance(model, PoseEncoderForSignClassification)
    if not known or model.device.type != "cpu" or model.dtype != torch.float32:
        return None
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):  # a seed means the same with graphs as without
        graph = ClipGraph(Labels(model), model.config)
        return graph if graph.agrees() else None
