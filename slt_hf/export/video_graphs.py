"""The graphs of models that see frames.

A VideoMAE sees a window; cutting a clip into windows and joining them stays outside (`windows.py`), since what a graph
computes cannot depend on how long each clip of a batch is.

# W windows, S steps of a window, K frames of a step, B clips, T frames, C channels, H and W pixels, D width
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from slt_hf.export.graph_spec import CLIPS, GraphSpec

STEPS = 3  # of the windows that a graph is traced by


class WindowGraph(nn.Module):
    """Windows of one length through the backbone, pooled: (W, S, K, C, H, W) -> (W, S, D)."""

    def __init__(self, encoder: Any):
        super().__init__()
        self.encoder = encoder

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        patches = self.encoder.patches(inputs["window_values"].flatten(1, 2))
        learned = self.encoder.config.pooling == "learned"
        return {"window_states": self.encoder.pooling(patches) if learned else patches.mean(-2)}


class VideoMAEGraph(nn.Module):
    """transformers' classifier, which is made for one number of frames: (B, T, C, H, W) -> (B, labels)."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.model(**inputs).logits}


class I3DGraph(nn.Module):
    """I3D over clips of one length, as `I3DForVideoClassification` answers without a mask."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        from slt_hf.modeling.modeling_i3d import pooled_steps

        *_, (_, features) = self.model.i3d.endpoints(inputs["pixel_values"])
        steps = pooled_steps(features)
        embeddings = steps.mean(1)
        return {"logits": self.model.pooled_logits(steps, embeddings), "embeddings": embeddings}


def window_spec(encoder: Any) -> GraphSpec:
    size = encoder.config.backbone_config.image_size
    windows = torch.rand(CLIPS, STEPS, encoder.tubelet, 3, size, size)
    axes = {"window_values": {0: "windows", 1: "window_steps"}}
    return GraphSpec("window", WindowGraph(encoder), {"window_values": windows}, axes)


def windows_of(model: Any) -> dict[str, int] | None:
    """How clips are cut for a graph of windows, None for a model that sees whole clips; for `export.json`."""
    encoder = getattr(model, "encoder", model)  # a bare encoder is one itself
    if type(encoder).__name__ != "VideoEncoderModel":
        return None
    return {"frames": encoder.window_frames, "stride": encoder.window_stride, "step": encoder.tubelet}


def classifier_spec(model: Any) -> GraphSpec:
    config = model.config
    clips = torch.rand(CLIPS, config.num_frames, config.num_channels, config.image_size, config.image_size)
    graph = VideoMAEGraph(model) if config.model_type == "videomae" else I3DGraph(model)
    return GraphSpec("encoder", graph, {"pixel_values": clips}, {"pixel_values": {0: "batch"}})
