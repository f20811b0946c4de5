"""Grad-CAM (arxiv:1610.02391) for I3D: where in the clip the last block's features speak for an answer.

# T frames, H and W pixels; T', H', W' places of the last block; D channels
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from slt_hf.explanation.answers import Score


def class_activation(model: Any, inputs: dict[str, Any], score: Score) -> np.ndarray:
    """A map over one clip, (T, H, W), 0 and more.

    Args:
        model: an `I3DForVideoClassification`; its input a batch of one clip without padding.
    """
    kept: list[torch.Tensor] = []

    def keep(_: Any, __: Any, features: torch.Tensor) -> torch.Tensor:
        kept.append(features.detach().requires_grad_(True))  # the network below takes no part in the gradient
        return kept[-1]

    hook = model.i3d.layers["Mixed_5c"].register_forward_hook(keep)
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(score(inputs), kept[0])
    finally:
        hook.remove()
    weights = gradient.mean((-3, -2, -1), keepdim=True)
    coarse = (weights * kept[0].detach()).sum(1, keepdim=True).relu()  # (1, 1, T', H', W')
    frames, _, height, width = inputs["pixel_values"].shape[1:]
    fine = torch.nn.functional.interpolate(coarse.float(), (frames, height, width), mode="trilinear")
    return fine[0, 0].cpu().numpy()
