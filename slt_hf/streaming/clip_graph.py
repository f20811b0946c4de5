"""A whole clip through a pose encoder as traced graphs: the same numbers, for three quarters of the time.

# B clips, T frames, V landmarks, C coordinates, S steps, D encoder width
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from slt_hf.streaming.chunk_graph import traced

TOLERANCE = 1e-4  # of states, between a graph and its model; a graph further away is not used
BEYOND = 3  # frames by which a clip that is tried exceeds the attention window


class Encoder(nn.Module):
    def __init__(self, encoder: Any):
        super().__init__()
        self.encoder = encoder

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        output = self.encoder(values, mask)
        return output.last_hidden_state, output.attention_mask


class ClipGraph:
    """Two graphs: an encoder reads a clip that its attention window covers in one piece, and longer ones in blocks.

    Args:
        encoder: a `PoseEncoderModel` on the CPU.
    """

    def __init__(self, encoder: Any):
        config = encoder.config
        self.plain, self.shape = Encoder(encoder), (config.num_landmarks, config.num_coordinates)
        self.longest_short = config.attention_window * config.stride
        self.short = traced(self.plain, self._sample(max(1, self.longest_short // 2)))
        self.long = traced(self.plain, self._sample(2 * self.longest_short + 1))

    def __call__(self, values: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, V, C), (B, T) -> states (B, S, D), their mask (B, S)"""
        graph = self.short if values.shape[1] <= self.longest_short else self.long
        with torch.inference_mode():
            return graph(values, mask)

    def agrees(self) -> bool:
        """Whether the graphs give the model's numbers for clips of other lengths, alone and together."""
        lengths = {1: 1, self.longest_short: 2, self.longest_short + BEYOND: 1}
        given = [tuple(each[:clips] for each in self._sample(length)) for length, clips in lengths.items()]
        return all(
            bool((self(*each)[0] - self.plain(*each)[0]).abs().max() < TOLERANCE)
            and bool((self(*each)[1] == self.plain(*each)[1]).all())
            for each in given
        )

    def _sample(self, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Two clips, the second shorter."""
        mask = torch.ones(2, frames, dtype=torch.long)
        mask[1, (frames + 1) // 2 :] = 0
        return torch.rand(2, frames, *self.shape), mask
