"""I3D weights in the key layout of the public PyTorch code, seeded, so that numbers made with them once stay true."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from slt_hf.modeling.configuration_i3d import INCEPTION_CHANNELS

CLASSES = 10


def seeded_weights(channels: int = 3) -> dict[str, np.ndarray]:
    """Weights under which activations stay near 1: every tensor drawn from a seed of its own name."""
    units = {"Conv3d_1a_7x7": (channels, 64, 7), "Conv3d_2b_1x1": (64, 64, 1), "Conv3d_2c_3x3": (64, 192, 3)}
    width = 192
    for name, (b0, b1a, b1b, b2a, b2b, b3b) in INCEPTION_CHANNELS.items():
        units |= {
            f"{name}.b0": (width, b0, 1), f"{name}.b1a": (width, b1a, 1), f"{name}.b1b": (b1a, b1b, 3),
            f"{name}.b2a": (width, b2a, 1), f"{name}.b2b": (b2a, b2b, 3), f"{name}.b3b": (width, b3b, 1),
        }  # fmt: skip
        width = b0 + b1b + b2b + b3b
    weights: dict[str, np.ndarray] = {}
    for name, (inputs, outputs, size) in units.items():
        scale = (2 / (inputs * size**3)) ** 0.5
        weights[f"{name}.conv3d.weight"] = scale * normal(f"{name}.conv3d.weight", (outputs, inputs, size, size, size))
        weights[f"{name}.bn.weight"] = 1 + 0.1 * normal(f"{name}.bn.weight", (outputs,))
        weights[f"{name}.bn.bias"] = 0.1 * normal(f"{name}.bn.bias", (outputs,))
        weights[f"{name}.bn.running_mean"] = 0.1 * normal(f"{name}.bn.running_mean", (outputs,))
        weights[f"{name}.bn.running_var"] = np.exp(0.2 * normal(f"{name}.bn.running_var", (outputs,)))
        weights[f"{name}.bn.num_batches_tracked"] = np.array(0)
    weights["logits.conv3d.weight"] = normal("logits.conv3d.weight", (CLASSES, width, 1, 1, 1)) / width**0.5
    weights["logits.conv3d.bias"] = 0.1 * normal("logits.conv3d.bias", (CLASSES,))
    return {name: value.astype(np.float32 if value.ndim else np.int64) for name, value in weights.items()}


def seeded_clip(shape: tuple[int, ...]) -> np.ndarray:
    """A clip (T, C, H, W) of noise in [-1, 1]."""
    return np.random.RandomState(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


def normal(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.RandomState(crc32(name.encode())).standard_normal(shape)  # RandomState's numbers never change
