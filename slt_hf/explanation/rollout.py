"""Attention rollout (arxiv:2005.00928) for VideoMAE: which patches of a clip reach what it passes on.

# T frames, S steps of two frames, P patches of a step, N = S P tokens of a window, H and W pixels
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers.models.videomae.modeling_videomae import VideoMAEModel, VideoMAESelfAttention

from slt_hf.modeling import VideoEncoderModel


def attention_rollout(model: Any, inputs: dict[str, Any]) -> np.ndarray:
    """Share of the pooled answer that comes from each place of one clip, (T, H, W), 0 and more.

    Args:
        model: with a VideoMAE in it: transformers' classifier, or a translation model over our `VideoEncoderModel`,
            whose windows are taken one by one and averaged where several see a frame.
    """
    backbone = next(part for part in model.modules() if isinstance(part, VideoMAEModel))
    encoder = next((part for part in model.modules() if isinstance(part, VideoEncoderModel)), None)
    pixels = inputs["pixel_values"]
    frames, _, height, width = pixels.shape[1:]
    size = backbone.config.tubelet_size
    with torch.inference_mode(), attention_of(backbone) as layers:
        if encoder is None:
            backbone(pixels)
            steps = rolled_out(layers).unflatten(0, (frames // size, -1))
        else:
            steps = over_windows(encoder, pixels[0], layers)
    grid = height // backbone.config.patch_size
    coarse = steps.unflatten(1, (grid, -1))[None, None]  # (1, 1, S, grid, grid)
    fine = torch.nn.functional.interpolate(coarse, (len(steps) * size, height, width), mode="trilinear")
    return fine[0, 0, :frames].float().cpu().numpy()


def over_windows(encoder: VideoEncoderModel, pixels: torch.Tensor, layers: list[torch.Tensor]) -> torch.Tensor:
    """(T, 3, H, W) -> (S, P), 1 on average over each window."""
    size, window = encoder.tubelet, encoder.window_frames
    rows = torch.cat([pixels, pixels[-1:].expand(-len(pixels) % size, *pixels.shape[1:])])
    total = torch.zeros(len(rows) // size, 0)
    for first in encoder.window_starts(len(rows)):
        layers.clear()
        seen = encoder.patches(rows[None, first : first + window]).shape[1]
        found = rolled_out(layers).unflatten(0, (seen, -1))
        if not total.numel():
            total, count = found.new_zeros(len(total), found.shape[1]), found.new_zeros(len(total), 1)
        total[first // size : first // size + seen] += found * found.numel()
        count[first // size : first // size + seen] += 1
    return total / count


def rolled_out(layers: list[torch.Tensor]) -> torch.Tensor:
    """How much each token counts in the mean over tokens, (N,), 1 altogether.

    Args:
        layers: attention of each layer averaged over heads, (N, N), in order. Half of a layer's output is taken to be
            its own input, which the residual connection hands on.
    """
    weights = layers[0].new_full((len(layers[0]),), 1 / len(layers[0]))
    for attention in reversed(layers):
        weights = (weights + weights @ attention) / 2
    return weights


@contextmanager
def attention_of(backbone: Any) -> Iterator[list[torch.Tensor]]:
    """Collects what the layers attend to, averaged over heads as they run: all heads of all would be gigabytes."""
    implementation = backbone.config._attn_implementation
    backbone.set_attn_implementation("eager")  # the others do not say where they look
    layers: list[torch.Tensor] = []
    hooks = [part.register_forward_hook(lambda _, __, output: layers.append(output[1].float().mean(1)[0]))
             for part in backbone.modules() if isinstance(part, VideoMAESelfAttention)]  # fmt: skip
    try:
        yield layers
    finally:
        for hook in hooks:
            hook.remove()
        backbone.set_attn_implementation(implementation)
