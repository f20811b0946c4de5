"""Pictures of the hands beside their landmarks: a small image encoder behind a gate that is closed at first.

# B batch, T frames, S encoder steps, P pixels of a crop's side, D encoder width
"""

import torch
from torch import nn

HANDS = 2


class HandCropEncoder(nn.Module):
    """Crops of both hands -> what they add to each step of a pose encoder.

    What blurs in motion or hides behind the other hand is often wrong in landmarks and still to be seen in pictures.
    The addition passes a gate as in Flamingo (arxiv:2204.14198), tanh of one number that starts at 0: a model that gets
    this part computes at first what it did without.
    """

    def __init__(self, width: int, hidden_size: int, stride: int):
        super().__init__()
        sizes = (3, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for inputs, outputs in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.GroupNorm(4, outputs), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.project = nn.Linear(HANDS * sizes[-1] * 4, hidden_size)  # four quarters of each hand's picture
        self.norm = nn.LayerNorm(hidden_size)
        self.gate = nn.Parameter(torch.zeros(1))  # not a scalar: FSDP2 shards none
        self.stride = stride

    def forward(self, crops: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """(B, T, 2, 3, P, P) uint8, 1 where a hand is seen (B, T, 2) -> (B, S, D)"""
        there = seen.bool()
        pictures = crops[there].to(self.gate.dtype) / 127.5 - 1
        maps = nn.functional.adaptive_avg_pool2d(self.layers(pictures), 2).flatten(1)
        hands = maps.new_zeros(*there.shape, maps.shape[-1]).masked_scatter(there.unsqueeze(-1), maps)
        frames = self.norm(self.project(hands.flatten(2))) * there.any(-1, keepdim=True)
        padding = -frames.shape[1] % self.stride
        steps = nn.functional.pad(frames, (0, 0, 0, padding)).unflatten(1, (-1, self.stride))
        count = nn.functional.pad(there.any(-1), (0, padding)).unflatten(1, (-1, self.stride)).sum(-1, keepdim=True)
        return self.gate.tanh() * steps.sum(2) / count.clamp(min=1)
