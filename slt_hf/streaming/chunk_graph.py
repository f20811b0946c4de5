"""One chunk of a streaming encoder as a traced graph: the same numbers, for little more than half of the time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# B batch, T frames of one chunk, V landmarks, C coordinates, S steps, D encoder width

State = dict[str, Any]  # of `PoseEncoderModel.initial_state`
Chunk = Callable[[Any, State], tuple[Any, State]]  # values (1, T, V, C), state -> states (1, S, D), next state

WARMUP = 3  # runs in which torch still optimises: no camera shall wait for them


def trace_chunk(encoder: Any) -> Chunk:
    """The graph of a `PoseEncoderModel` with `chunk_frames`; it holds the encoder's own weights, not a copy."""
    import torch

    config, state = encoder.config, encoder.initial_state()
    shape = (1, config.chunk_frames, config.num_landmarks, config.num_coordinates)
    values = torch.zeros(shape, device=encoder.device, dtype=encoder.dtype)
    mask = torch.ones(shape[:2], device=encoder.device, dtype=torch.bool)

    class OneChunk(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.mask = encoder, mask

        def forward(self, values: Any, *past: Any) -> tuple[Any, ...]:
            output, new = self.encoder.stream_chunk(values, dict(zip(state, past, strict=True)), self.mask)
            return output.last_hidden_state, *(new[name] for name in state)

    graph = traced(OneChunk(), (values, *state.values()))

    def run(values: Any, past: State) -> tuple[Any, State]:
        with torch.inference_mode():
            states, *new = graph(values, *(past[name] for name in state))
        return states, dict(zip(state, new, strict=True))

    for _ in range(WARMUP):
        run(values, state)
    return run


def traced(module: Any, inputs: tuple[Any, ...]) -> Any:
    """The graph of a module, with whatever does not depend on its inputs computed once: positions, masks."""
    import torch

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
