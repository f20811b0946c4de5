"""Beam search with the states and the stopping rules of transformers 5, so that both find the same sentence.

# B clips, W beams, K candidates of a step, L tokens, V vocabulary
"""

from __future__ import annotations

import numpy as np

from slt_hf.export.generation_options import GenerationOptions
from slt_hf.export.logits_rules import apply_rules

FAR = np.float32(-1e9)  # transformers' own "not among the candidates"; in float32 sums with it are equal


class BeamSearch:
    """Running and finished beams of a batch.

    Attributes:
        tokens: of the running beams, (B, W, L), the decoder's start first.
        log_probs: the model's own log-probability of each of these tokens, (B, W, L), 0 for the start.
    """

    def __init__(self, batch: int, options: GenerationOptions, random: np.random.Generator | None):
        width = options.num_beams
        self.options, self.random, self.batch, self.width = options, random, batch, width
        self.kept = max(2, 1 + len(options.ends)) * width
        self.tokens = np.full((batch, width, 1), options.decoder_start_token_id, np.int64)
        self.log_probs = np.zeros((batch, width, 1), np.float32)
        self.scores = np.zeros((batch, width), np.float32)
        self.scores[:, 1:] = FAR  # all beams begin alike: only the first one is continued
        self.finished: list[list[tuple[list[int], list[float]]]] = [[([], [])] * width for _ in range(batch)]
        self.finished_scores = np.full((batch, width), FAR, np.float32)
        self.is_finished = np.zeros((batch, width), bool)
        self.hopeful = np.ones((batch, 1), bool)  # whether a running beam can still beat the finished ones
        self.done = False

    @property
    def last_tokens(self) -> np.ndarray:
        """(B W,)"""
        return self.tokens[:, :, -1].reshape(-1)

    def advance(self, log_probs: np.ndarray) -> np.ndarray:
        """Take one step.

        Args:
            log_probs: the model's, (B W, V).

        Returns:
            Which row each beam continues, (B W,).
        """
        candidates, parents, following = self._candidates(log_probs)
        tokens, own = self._grown(log_probs, parents, following)
        length = tokens.shape[2] - 1
        ended = np.isin(following, self.options.ends) | (length >= self.options.max_new_tokens)
        self._finish(candidates, tokens, own, ended, length)
        rows = self._run_on(candidates, tokens, own, ended, parents)
        self._decide(ended, length)
        return rows

    def best(self) -> list[tuple[list[int], list[float]]]:
        """Tokens and their log-probabilities of each clip's best beam, without the start."""
        return [beams[0] for beams in self.finished]

    def _candidates(self, log_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The K best continuations of each clip: scores, beams they continue, tokens, (B, K) each."""
        flat = self.tokens.reshape(self.batch * self.width, -1)
        scores = apply_rules(flat, log_probs, self.options).reshape(self.batch, self.width, -1)
        total = (scores + self.scores[:, :, None]).reshape(self.batch, -1)
        noise = 0.0 if self.random is None else self.random.gumbel(size=total.shape)
        best = largest(total + noise, self.kept)
        vocabulary = log_probs.shape[-1]
        return np.take_along_axis(total, best, axis=1), best // vocabulary, best % vocabulary

    def _grown(self, log_probs: np.ndarray, parents: np.ndarray, following: np.ndarray):
        """Tokens and log-probabilities of the candidates, (B, K, L + 1)."""
        clip = np.arange(self.batch)[:, None]
        own = log_probs.reshape(self.batch, self.width, -1)[clip, parents, following]
        tokens = np.append(self.tokens[clip, parents], following[:, :, None], axis=2)
        return tokens, np.append(self.log_probs[clip, parents], own[:, :, None], axis=2)

    def _finish(self, candidates, tokens, own, ended, length: int) -> None:
        """Let candidates that ended replace finished beams that are worse."""
        just_ended = ended & (np.arange(self.kept) < self.width)  # those further down are only there to go on with
        scores = candidates / np.float32(length**self.options.length_penalty)
        full = self.is_finished.all(-1, keepdims=True) & (self.options.early_stopping is True)
        scores = scores + FAR * full.astype(np.float32) + FAR * (~self.hopeful) + FAR * (~just_ended)
        merged = np.concatenate([self.finished_scores, scores.astype(np.float32)], axis=1)
        order = largest(merged, self.width)
        for clip, places in enumerate(order.tolist()):
            before = self.finished[clip]
            new = [pair(*both) for both in zip(tokens[clip], own[clip], strict=True)]
            self.finished[clip] = [(before + new)[place] for place in places]
        both = np.concatenate([self.is_finished, just_ended], axis=1)
        self.finished_scores = np.take_along_axis(merged, order, axis=1)
        self.is_finished = np.take_along_axis(both, order, axis=1)

    def _run_on(self, candidates, tokens, own, ended, parents) -> np.ndarray:
        """The best beams that have not ended, and the rows that they continue."""
        scores = candidates + FAR * ended.astype(np.float32)
        order = largest(scores, self.width)
        clip = np.arange(self.batch)[:, None]
        self.tokens, self.log_probs = tokens[clip, order], own[clip, order]
        self.scores = np.take_along_axis(scores, order, axis=1)
        return (parents[clip, order] + clip * self.width).reshape(-1)

    def _decide(self, ended: np.ndarray, length: int) -> None:
        """Whether anything is left to find."""
        options = self.options
        longest = options.early_stopping == "never" and options.length_penalty > 0.0
        reach = options.max_new_tokens if longest else length
        best = self.scores[:, :1] / np.float32(reach**options.length_penalty)
        worst = np.where(self.is_finished, self.finished_scores.min(1, keepdims=True), FAR)
        self.hopeful &= (best > worst).any(-1, keepdims=True)
        full = self.is_finished.all() and options.early_stopping is True
        self.done = bool(not self.hopeful.any() or full or ended.all())


def pair(tokens: np.ndarray, log_probs: np.ndarray) -> tuple[list[int], list[float]]:
    return tokens[1:].tolist(), log_probs[1:].tolist()


def largest(scores: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` largest of each row, best first; of equals the first."""
    if scores.shape[1] > 8 * count:  # sorting a vocabulary at every step would take longer than the model
        some = np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1)
        order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1, kind="stable")
        return np.take_along_axis(some, order, axis=1)
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]
