"""From a step function to sentences, in numpy: greedy, sampled, or by beam search as transformers does it.

# B clips, W beams, R = B W rows, L tokens, V vocabulary
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slt_hf.engines import Hypothesis, hypothesis_until_end
from slt_hf.export.beam_search import BeamSearch
from slt_hf.export.generation_options import GenerationOptions
from slt_hf.export.logits_rules import apply_rules, log_softmax

# last tokens (R,) and, where rows changed places, the row each one continues (R,) -> logits (R, V)
Step = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


def generate_tokens(step: Step, batch: int, options: GenerationOptions) -> list[Hypothesis]:
    """One hypothesis a clip, with the model's own log-probabilities of its tokens, before any rule."""
    random = np.random.default_rng(options.seed) if options.do_sample else None  # whose import takes its time
    if options.num_beams > 1:
        return search(step, batch, options, random)
    tokens = np.full((batch, 1), options.decoder_start_token_id, np.int64)
    chosen: list[np.ndarray] = []
    running = np.ones(batch, bool)
    for _ in range(options.max_new_tokens):
        logits = step(tokens[:, -1], None)
        scores = apply_rules(tokens, logits, options)
        following = scores.argmax(-1) if random is None else draw(scores, random)
        following = np.where(running, following, options.padding)
        chosen.append(np.take_along_axis(log_softmax(logits), following[:, None], axis=1)[:, 0])
        tokens = np.append(tokens, following[:, None], axis=1)
        running &= ~np.isin(following, options.ends)
        if not running.any():
            break
    scores = np.stack(chosen, 1)
    return [
        hypothesis_until_end(row, own, options.ends)
        for row, own in zip(tokens[:, 1:].tolist(), scores.tolist(), strict=True)
    ]


def draw(scores: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One token a row, (R, V) -> (R,), each as often as its probability says (Gumbel's maximum)."""
    return (scores + random.gumbel(size=scores.shape)).argmax(-1)


def search(step: Step, batch: int, options: GenerationOptions, random: np.random.Generator | None) -> list[Hypothesis]:
    """Beam search; the graph keeps one row for each beam and is told which row each one continues."""
    beams = BeamSearch(batch, options, random)
    rows = None
    while not beams.done:
        logits = step(beams.last_tokens, rows)
        rows = beams.advance(log_softmax(logits))
    return [hypothesis_until_end(row, own, options.ends) for row, own in beams.best()]
