"""What is traced: a module with named tensors, and which of their axes may have any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

CLIPS = 2  # that a graph is traced by


@dataclass
class GraphSpec:
    """A graph to be written.

    Attributes:
        name: of its file, and in `export.json`.
        module: takes the inputs by name, gives a dictionary of tensors.
        inputs: tensors to trace it by.
        axes: input -> axis -> what the axis counts, for axes that may have any size.
    """

    name: str
    module: nn.Module
    inputs: dict[str, torch.Tensor]
    axes: dict[str, dict[int, str]]
