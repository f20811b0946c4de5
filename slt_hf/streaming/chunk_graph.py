"""One chunk of a streaming encoder as traced graphs: the same numbers, for little more than half of the time.

Several graphs, one behind the other, so that no frame of a camera waits for a whole chunk: first its frames, then some
layers over time, then the next ones.

# B batch, T frames of one chunk, V landmarks, C coordinates, S steps, D encoder width
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from slt_hf.modeling.temporal_layers import Window

State = dict[str, Any]  # tensors of `PoseEncoderModel.initial_state`, those of layers in the groups of the pieces

LAYERS = 2  # of one piece: they cost about what the frames of a chunk do
OF_LAYERS = ("past_keys", "past_values", "past_convolutions")
WARMUP = 3  # runs in which torch still optimises: no camera shall wait for them


class Frames(nn.Module):
    """What comes before the layers over time."""

    def __init__(self, encoder: Any, mask: torch.Tensor):
        super().__init__()
        self.encoder, self.mask = encoder, mask

    def forward(self, values: torch.Tensor, points: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(1, T, V, C) and the frame before -> steps (1, S, D), the last frame"""
        frames, last = self.encoder.frame_encoder(values, self.mask, (points, present))
        steps = frames.unflatten(1, (-1, self.encoder.config.stride)).flatten(2)  # a chunk is whole steps
        return self.encoder.merge(steps), *last


class Layers(nn.Module):
    """Some layers over time; the last ones with the norm behind them."""

    def __init__(self, encoder: Any, first: int, mask: torch.Tensor):
        super().__init__()
        self.mask, unseen = mask, mask.new_zeros(mask.shape[0], encoder.config.attention_window)
        # all that does not depend on what was seen, once: where a step may look, and itself
        self.window = Window.chunk(encoder.config, mask, ~unseen, encoder.dtype)
        self.within = allowed(self.window)
        self.itself = allowed(Window.chunk(encoder.config, ~mask, unseen, encoder.dtype))
        self.window.implementation = "sdpa"  # whatever the encoder attends with
        self.layers = encoder.layers[first : first + LAYERS]
        self.norm = encoder.norm if first + LAYERS >= len(encoder.layers) else nn.Identity()

    def forward(self, hidden: torch.Tensor, past_mask: torch.Tensor, *past: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Steps (1, S, D), `past_mask` and `OF_LAYERS` of the state -> steps, those of the next state"""
        window, kept = copy(self.window), []
        window.mask = torch.cat([past_mask, self.mask], 1)[:, None, None] & self.within | self.itself
        for layer, *own in zip(self.layers, *past, strict=True):
            hidden, _, new = layer(hidden, self.mask, window, tuple(own))
            kept.append(new)
        return self.norm(hidden), *(torch.stack(tensors) for tensors in zip(*kept, strict=True))


class ChunkGraph:
    """The pieces of a chunk of one encoder; they hold the encoder's own weights, not a copy.

    Args:
        encoder: a `PoseEncoderModel` with `chunk_frames`.
    """

    def __init__(self, encoder: Any):
        config = encoder.config
        self.encoder, self.window = encoder, config.attention_window
        shape = (1, config.chunk_frames, config.num_landmarks, config.num_coordinates)
        values = torch.zeros(shape, device=encoder.device, dtype=encoder.dtype)
        mask = torch.ones(shape[:2], device=encoder.device, dtype=torch.bool)
        self.steps_mask, state = mask[:, :: config.stride], self.initial_state()
        self.frames = of_one_shape(Frames(encoder, mask), (values, state["previous_points"], state["previous_present"]))
        hidden = values.new_zeros(*self.steps_mask.shape, config.hidden_size)
        self.layers = [
            of_one_shape(Layers(encoder, first, self.steps_mask), (hidden, *self._past(state, group)))
            for group, first in enumerate(range(0, config.num_hidden_layers, LAYERS))
        ]
        for _ in range(WARMUP):
            self(values, state)

    def __call__(self, values: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """A chunk at once: values (1, T, V, C), state -> states (1, S, D), the next state."""
        given = values
        for piece in range(self.pieces):
            given, state = self.piece(piece, given, state)
        return given, state

    @property
    def pieces(self) -> int:
        return 1 + len(self.layers)

    def initial_state(self) -> State:
        state = dict(self.encoder.initial_state())
        groups = {name: state.pop(name).split(LAYERS) for name in OF_LAYERS}
        return state | {f"{name}_{index}": part for name, parts in groups.items() for index, part in enumerate(parts)}

    def piece(self, index: int, given: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """One piece after the other.

        Args:
            index: of the piece.
            given: values (1, T, V, C) of the chunk for the first piece; else what the piece before gave.
            state: from the piece before. Not modified.

        Returns:
            Steps (1, S, D), of the last piece the encoder's states; and the state for the next piece.
        """
        with torch.inference_mode():
            if index == 0:
                hidden, points, present = self.frames(given, state["previous_points"], state["previous_present"])
                return hidden, state | {"previous_points": points, "previous_present": present}
            hidden, *new = self.layers[index - 1](given, *self._past(state, index - 1))
            state = state | {f"{name}_{index - 1}": each for name, each in zip(OF_LAYERS, new, strict=True)}
            if index == len(self.layers):
                state["past_mask"] = torch.cat([state["past_mask"], self.steps_mask], 1)[:, -self.window :]
            return hidden, state

    @staticmethod
    def _past(state: State, group: int) -> tuple[torch.Tensor, ...]:
        return state["past_mask"], *(state[f"{name}_{group}"] for name in OF_LAYERS)


def allowed(window: Window) -> torch.Tensor:
    """(1, 1, queries, keys), boolean; eager attention adds 0 there and the lowest number elsewhere."""
    return window.mask if window.mask.dtype == torch.bool else window.mask == 0


def of_one_shape(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
    """The graph of a module for inputs of these shapes alone, in a fifth less time than `traced`: without a look at
    sizes, and of operations that are not taken apart anew in every run, as linear layers and norms are."""
    with torch.no_grad(), without_warnings():
        return traced(make_fx(module.eval())(*inputs), inputs)


def traced(module: Any, inputs: tuple[Any, ...]) -> Any:
    """The graph of a module, with whatever does not depend on its inputs computed once: positions, masks."""
    with torch.inference_mode(), without_warnings():
        return torch.jit.freeze(torch.jit.trace(module.eval(), inputs, check_trace=False))


@contextmanager
def without_warnings() -> Iterator[None]:
    """Of torch about shapes that a trace takes for constant: of a chunk they are, and what else is traced is compared;
    of transformers about losses, since tracing looks at every attribute of a model."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
