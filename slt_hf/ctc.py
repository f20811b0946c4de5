"""From a score for every step to a sequence of labels: connectionist temporal classification without any framework.

# S steps, V labels, L length of the label sequence; log-probabilities are natural logarithms, (S, V)

Graves et al. 2006, "Connectionist Temporal Classification"; the beam search is Hannun et al. 2014 (arxiv:1408.2873)
with an optional language model over labels (`label_ngrams.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from slt_hf.label_ngrams import LabelNgrams

NOTHING = -np.inf  # logarithm of 0


def greedy_labels(log_probs: np.ndarray, blank: int) -> list[int]:
    """The best label of each step, repetitions merged and blanks dropped."""
    best = log_probs.argmax(-1)
    changed = np.append(True, best[1:] != best[:-1]) if len(best) else np.zeros(0, bool)
    return [int(label) for label in best[changed] if label != blank]


def beam_labels(
    log_probs: np.ndarray,
    blank: int,
    num_beams: int,
    labels_per_step: int = 16,
    language_model: LabelNgrams | None = None,
) -> list[int]:
    """The label sequence with the highest probability over all its alignments, searched with a beam of prefixes.

    Args:
        num_beams: prefixes kept after each step.
        labels_per_step: extensions tried at each step, the likeliest ones.
        language_model: adds its score of each label after those before it, and of the end.
    """
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, NOTHING)}  # prefix -> ends in blank, ends in label
    for step in log_probs:
        likely = np.argsort(step)[::-1][:labels_per_step]
        grown: dict[tuple[int, ...], tuple[float, float]] = {}
        for prefix, (with_blank, with_label) in beams.items():
            total = np.logaddexp(with_blank, with_label)
            repeated = with_label + step[prefix[-1]] if prefix else NOTHING
            following = None if language_model is None else language_model.after(prefix)
            _add(grown, prefix, total + step[blank], repeated)
            for label in (int(each) for each in likely if each != blank):
                # the same label again is a new one only after a blank
                before = with_blank if prefix and label == prefix[-1] else total
                prior = 0.0 if following is None else float(following[label])
                _add(grown, (*prefix, label), NOTHING, before + step[label] + prior)
        beams = dict(sorted(grown.items(), key=lambda item: -np.logaddexp(*item[1]))[:num_beams])

    def score(prefix: tuple[int, ...]) -> float:
        end = 0.0 if language_model is None else float(language_model.after(prefix)[-1])
        return float(np.logaddexp(*beams[prefix])) + end

    best: tuple[int, ...] = max(beams, key=score)
    return list(best)


def _add(beams: dict, prefix: tuple[int, ...], with_blank: float, with_label: float) -> None:
    old = beams.get(prefix, (NOTHING, NOTHING))
    beams[prefix] = (float(np.logaddexp(old[0], with_blank)), float(np.logaddexp(old[1], with_label)))


def sequence_log_probability(log_probs: np.ndarray, labels: list[int], blank: int) -> float:
    """log P(labels | clip), summed over every alignment (the forward algorithm)."""
    path = np.full(2 * len(labels) + 1, blank)
    path[1::2] = labels
    may_skip = np.zeros(len(path), bool)  # from one label to the next without a blank, if they differ
    may_skip[3::2] = path[3::2] != path[1:-2:2]
    forward = np.where(np.arange(len(path)) < 2, log_probs[0][path], NOTHING)  # start in the first blank or label
    for step in log_probs[1:]:
        moved = np.logaddexp(forward, np.append(NOTHING, forward[:-1]))
        skipped = np.append([NOTHING, NOTHING], forward)[: len(path)]
        forward = np.where(may_skip, np.logaddexp(moved, skipped), moved) + step[path]
    return float(np.logaddexp.reduce(forward[-2:]))
