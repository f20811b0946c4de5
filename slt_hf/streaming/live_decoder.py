"""Greedy decoding in small pieces: no pushed frame waits for a whole sentence.

# L text tokens, P places that are tried beyond what is known
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slt_hf.engines import Hypothesis

AHEAD = 6  # P
LONGEST = 64  # passes of one guess; a text model that never agrees with itself is left where it is


class LiveDecoder:
    """Decodes by fixed-point iteration (Jacobi decoding, arxiv:2305.10427): every pass predicts all tokens at once from
    those of the pass before, until nothing changes, and that is the greedy sentence. The guess before is where the next
    one starts, so a guess that only grew takes two or three passes.

    Args:
        model: a `SignToTextForConditionalGeneration`.
        graph: its `TextGraph`, where it has one.
    """

    def __init__(self, model: Any, graph: Any = None):
        self.model, self.graph = model, graph
        settings = model.generation_config
        self.start: int = settings.decoder_start_token_id
        self.filler: int = settings.pad_token_id
        self.first: int | None = settings.forced_bos_token_id
        ends = settings.eos_token_id
        self.ends = {ends} if isinstance(ends, int) else set(ends or ())
        self.forget()

    def forget(self) -> None:
        self.memory: Any = None  # what the decoder attends to; None while there is nothing to do
        self.reading: Any = None  # the same, as the graph has it
        self.tokens: list[int] = []
        self.passes = 0

    def begin(self, memory: Any) -> None:
        """Something new was read: guess again, from the guess before."""
        self.memory, self.passes = memory, 0
        self.reading = None if self.graph is None else self.graph.begin(memory)

    def step(self) -> Hypothesis | None:
        """One pass of the text model; the sentence once it stands."""
        tried = self.tokens + [self.filler] * (0 if self._ends(self.tokens) else AHEAD)
        log_probs = self._log_probs([self.start, *tried])
        found = log_probs.argmax(-1).tolist()
        if self.first is not None:
            found[0] = self.first
        end = next((place for place, token in enumerate(found) if token in self.ends), len(found) - 1)
        # up to the first token that was tried in vain, each stands behind those that greedy decoding finds
        known = next((place for place, pair in enumerate(zip(tried, found, strict=False)) if pair[0] != pair[1]), end)
        self.tokens = found[: end + 1]
        self.passes += 1
        if self.passes < LONGEST and not (end <= known and self._ends(self.tokens)):
            return None
        self.memory = self.reading = None
        return Hypothesis(self.tokens, float(log_probs[np.arange(end + 1), self.tokens].sum()), end + 1)

    def _log_probs(self, fed: list[int]) -> np.ndarray:
        """Of the token after each of those fed, (L, V)."""
        import torch

        tokens = torch.tensor([fed], device=self.model.device)
        with torch.inference_mode():
            return self._logits(tokens)[0].float().log_softmax(-1).cpu().numpy()

    def _logits(self, tokens: Any) -> Any:
        if self.graph is None:
            return self.model(encoder_outputs=self.memory, decoder_input_ids=tokens, use_cache=False).logits
        if self.reading is None:
            self.reading = self.graph.begin(self.memory)
        return self.reading.score(tokens)

    def state(self) -> dict[str, Any]:
        memory = self.memory and {name: array_of(each) for name, each in self.memory.items()}
        return {"memory": memory, "tokens": list(self.tokens), "passes": self.passes}

    def restore(self, state: dict[str, Any]) -> None:
        self.memory, self.reading = state["memory"] and self._bring(state["memory"]), None
        self.tokens, self.passes = list(state["tokens"]), state["passes"]

    def _bring(self, memory: dict[str, np.ndarray]) -> Any:
        from slt_hf.modeling.modeling_sign_to_text import SignEncoderOutput

        return SignEncoderOutput(**{name: tensor_of(array, self.model) for name, array in memory.items()})

    def _ends(self, tokens: list[int]) -> bool:
        return bool(tokens) and tokens[-1] in self.ends


def array_of(tensor: Any) -> np.ndarray:
    """To be kept outside of torch; what a graph gave is an array already."""
    if isinstance(tensor, np.ndarray):
        return tensor
    return tensor.float().cpu().numpy() if tensor.is_floating_point() else tensor.cpu().numpy()


def tensor_of(array: np.ndarray, model: Any) -> Any:
    """Back, where and as precise as the model is."""
    import torch

    tensor = torch.from_numpy(np.array(array)).to(model.device)
    return tensor.to(model.dtype) if tensor.is_floating_point() else tensor
