"""What generation does to a model's scores before it chooses: transformers' logits processors, in their order.

# R rows (clips times beams), L tokens so far, V vocabulary
"""

from __future__ import annotations

import numpy as np

from slt_hf.export.generation_options import GenerationOptions, listed

NEVER = -np.inf


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """(R, V) -> (R, V), natural logarithm."""
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def apply_rules(tokens: np.ndarray, scores: np.ndarray, options: GenerationOptions) -> np.ndarray:
    """Scores (R, V) after what the options ask for; `tokens` (R, L) are those so far, the decoder's start included."""
    scores = scores.astype(np.float32, copy=True)
    if options.repetition_penalty != 1.0:
        scores = penalise_repetition(tokens, scores, options.repetition_penalty)
    if options.no_repeat_ngram_size > 0:
        scores = forbid_ngrams(tokens, scores, options.no_repeat_ngram_size)
    length = tokens.shape[1]
    if length < options.min_length or length - 1 < options.min_new_tokens:
        scores[:, options.ends] = NEVER
    if options.forced_bos_token_id is not None and length == 1:
        scores = force(scores, [options.forced_bos_token_id])
    if options.forced_eos_token_id is not None and length == options.max_new_tokens:
        scores = force(scores, listed(options.forced_eos_token_id))
    if options.suppress_tokens:
        scores[:, options.suppress_tokens] = NEVER
    return warp(scores, options) if options.do_sample else scores


def penalise_repetition(tokens: np.ndarray, scores: np.ndarray, penalty: float) -> np.ndarray:
    """arxiv:1909.05858"""
    seen = np.take_along_axis(scores, tokens, axis=1)
    np.put_along_axis(scores, tokens, np.where(seen < 0, seen * penalty, seen / penalty), axis=1)
    return scores


def forbid_ngrams(tokens: np.ndarray, scores: np.ndarray, size: int) -> np.ndarray:
    """No sequence of `size` tokens comes twice."""
    if tokens.shape[1] + 1 < size:
        return scores
    for row, sequence in enumerate(tokens.tolist()):
        current = sequence[len(sequence) - size + 1 :]
        for start in range(len(sequence) - size + 1):
            if sequence[start : start + size - 1] == current:
                scores[row, sequence[start + size - 1]] = NEVER
    return scores


def force(scores: np.ndarray, tokens: list[int]) -> np.ndarray:
    forced = np.full_like(scores, NEVER)
    forced[:, tokens] = 0
    return forced


def warp(scores: np.ndarray, options: GenerationOptions) -> np.ndarray:
    """Temperature, then the `top_k` likeliest, then the likeliest that make up `top_p` of the probability."""
    keep = 1 if options.num_beams == 1 else 1 + len(options.ends)  # a search needs as many to go on with
    scores = scores / np.float32(options.temperature)
    if options.top_k:
        count = min(max(options.top_k, keep), scores.shape[1])
        smallest = -np.partition(-scores, count - 1, axis=1)[:, count - 1 : count]
        scores = np.where(scores < smallest, NEVER, scores)
    if options.top_p < 1.0:
        order = np.argsort(scores, axis=1, kind="stable")
        sorted_scores = np.take_along_axis(scores, order, axis=1)
        outside = np.exp(log_softmax(sorted_scores)).cumsum(1) <= 1 - options.top_p
        outside[:, -keep:] = False
        np.put_along_axis(scores, order, np.where(outside, NEVER, sorted_scores), axis=1)
    return scores
