"""A sentence's glosses as one score: signs and letters in a row, rest at both ends, and what face and head do.

K keyframes; 2 hands, the dominant first.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from slt_hf.errors import SignDataError
from slt_hf.synthesis.lexicon import LETTER_PREFIX, letter_score, lexicon, sign_score
from slt_hf.synthesis.phonology import AUTO, Score, score_of

LETTER_HOLD_MS, LAST_LETTER_HOLD_MS = 80.0, 170.0
LETTER_DRIFT_M, DOUBLED_LETTER_M = 0.006, 0.035  # a word drifts outwards; a doubled letter slides there
REST_MS = 120.0
RESTING = {"lap": {"palm": "back up", "fingers": "in down"}, "hanging": {"palm": "in", "fingers": "down forward"}}
IDLE_KEYFRAMES = 7  # an idle hand that is needed again within so many keyframes stays up
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")

ARRAYS = ("places", "offsets", "contacts", "shapes", "rotations", "active", "durations_ms", "cycles", "motions")


@dataclass(frozen=True)
class Sentence:
    """The score of a whole utterance, and for every gloss the keyframes it spans."""

    score: Score
    spans: tuple[tuple[int, int], ...]
    spelled: np.ndarray  # (K,) bool: within a fingerspelled word
    head: tuple[tuple[str, int, int], ...]  # (movement, first keyframe, last keyframe)
    brows: tuple[tuple[str, int, int], ...]


def choreograph(
    glosses: Sequence[str], rest: str = "lap", before: Sequence[Score] = (), after: Sequence[Score] = ()
) -> Sentence:
    """Put the signs of a sentence in a row.

    Args:
        before, after: movements that are no signs (``idle``), the hands up between them and the sentence.

    Raises:
        SignDataError: there is nothing to do, or a gloss is neither in the lexicon nor fingerspelled (``fs:NAME``).
    """
    if not glosses and not before and not after:
        raise SignDataError("expected at least one gloss, found none; give for example ['MY', 'NAME', 'fs:ANNA']")
    signs = [_score(gloss) for gloss in glosses]
    parts = [_rest_score(), *before, *signs, *after, _rest_score()]
    ends = np.cumsum([len(part.durations_ms) for part in parts])
    first = 1 + len(before)  # part of the first sign
    places = range(first, first + len(signs))
    spans = tuple((int(ends[part - 1]), int(ends[part]) - 1) for part in places)
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
    arrays["durations_ms"][0] = 0.0
    _rest_idle_hands(arrays, rest)
    spelled = np.zeros(int(ends[-1]), dtype=bool)
    for gloss, (first, last) in zip(glosses, spans, strict=True):
        spelled[first + 1 : last + 1] = gloss.startswith(LETTER_PREFIX)
    return Sentence(Score(**arrays), spans, spelled, _head(glosses, signs, spans), _brows(glosses, signs, spans))


def _score(gloss: str) -> Score:
    if gloss.startswith(LETTER_PREFIX):
        return spelled_score(gloss[len(LETTER_PREFIX) :].lower())
    if gloss not in lexicon():
        near = difflib.get_close_matches(gloss.upper(), lexicon(), 3)
        raise SignDataError(
            f"expected a gloss of the lexicon, found {gloss!r}; "
            f"{'did you mean ' + ' or '.join(near) + '? Or' if near else ''} fingerspell it as '{LETTER_PREFIX}{gloss}'"
        )
    return sign_score(gloss)


@cache
def _rest_score() -> Score:
    return resting(REST_MS)


def resting(duration_ms: float) -> Score:
    """Both hands idle for a while."""
    first = sign_score("I")
    rows: dict[str, Any] = {name: getattr(first, name)[:1].copy() for name in ARRAYS}
    rows["active"][:] = False
    rows = {name: np.concatenate([row, row]) for name, row in rows.items()}
    rows["durations_ms"] = np.array([AUTO, duration_ms])
    rows["motions"][:], rows["cycles"][:] = 0.0, 0.0
    return Score(**rows)


def spelled_score(word: str) -> Score:
    """The letters of a word in a row: short holds, drifting outwards. Characters that have no letter are left out."""
    letters = [character for character in word.lower() if character in LETTERS]
    if not letters:
        raise SignDataError(f"expected letters a to z or digits to fingerspell, found {word!r}; transcribe it")
    parts = [letter_score(letter) for letter in letters]
    lengths = [len(part.durations_ms) for part in parts]
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
    doubled = np.array([0.0, *(float(a == b) for a, b in zip(letters, letters[1:], strict=False))])
    drift = LETTER_DRIFT_M * np.arange(len(letters)) + DOUBLED_LETTER_M * np.cumsum(doubled)
    arrays["offsets"][:, 0, 0] -= np.repeat(drift, lengths)
    last = np.cumsum(lengths) - 1
    arrays["durations_ms"][last] = LETTER_HOLD_MS
    arrays["durations_ms"][last[-1]] = LAST_LETTER_HOLD_MS
    return Score(**arrays)


def _rest_idle_hands(arrays: dict[str, np.ndarray], rest: str) -> None:
    """An idle hand waits near where it was if it is soon needed again; otherwise it goes to its resting place."""
    pose = _resting_pose(rest)
    for hand in range(2):
        used = np.flatnonzero(arrays["active"][:, hand])
        for k in np.flatnonzero(~arrays["active"][:, hand]):
            before, after = used[used < k], used[used > k]
            waits = len(before) and len(after) and after[0] - before[-1] <= IDLE_KEYFRAMES
            for name in ("places", "offsets", "contacts", "shapes", "rotations"):
                arrays[name][k, hand] = arrays[name][before[-1], hand] if waits else getattr(pose, name)[0, 0]


@cache
def _resting_pose(rest: str) -> Score:
    return score_of({"hand": "relaxed", "at": rest, **RESTING[rest]}, {})


def _head(
    glosses: Sequence[str], parts: Sequence[Score], spans: Sequence[tuple[int, int]]
) -> tuple[tuple[str, int, int], ...]:
    """Head movements of signs; a negation is shaken until the end of the sentence."""
    movements = []
    for gloss, part, (first, last) in zip(glosses, parts, spans, strict=True):
        if part.head is not None:
            movements.append((part.head, first, spans[-1][1] if gloss in ("NOT", "NEVER") else last))
    return tuple(movements)


def _brows(
    glosses: Sequence[str], parts: Sequence[Score], spans: Sequence[tuple[int, int]]
) -> tuple[tuple[str, int, int], ...]:
    """Brows of signs; in a question they hold for the whole sentence."""
    movements = []
    for gloss, part, (first, last) in zip(glosses, parts, spans, strict=True):
        if part.brows is not None:
            asks = gloss == "QUESTION" or lexicon().get(gloss, {}).get("kind") == "question"
            movements.append((part.brows, spans[0][0] if asks else first, last))
    return tuple(movements)
