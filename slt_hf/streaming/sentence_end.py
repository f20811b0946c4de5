"""Where a sentence ended while hands stay up: before a sign that the text has no use for."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

ENDS = tuple(".?!\u3002\uff1f\uff01")  # of sentences
SHORTEST = 2  # signs: nearly every sign, looked at alone, is a whole sentence
BEGUN = 2  # signs behind a sentence that begin another: one alone may be its own last, an adjective or a question


class Guess(NamedTuple):
    """What an utterance said so far, when so many signs were read."""

    text: str
    confidence: float
    signs: int


class SentenceEnd:
    """Of guesses of one utterance. A whole sentence, read surely, is over when signs behind it leave it so, or begin
    another one; a question's last sign changes its order, and an object that follows its end.

    Args:
        surely: confidence of a sentence that is read surely.
    """

    def __init__(self, surely: float):
        self.surely = surely
        self.forget()

    def forget(self) -> None:
        """Another utterance begins."""
        self.last: Guess | None = None
        self.over: Guess | None = None  # a whole sentence that the sign behind it left as it is
        self.whole: Guess | None = None  # the last sentence that was read surely
        self.refused: Guess | None = None  # one that was over, but its own frames say something else

    def take(self, guess: Guess) -> Guess | None:
        """The sentence that was over before this guess's last signs."""
        before, self.last = self.last, guess
        if self._is_sure(guess) and is_one_sentence(guess.text):
            self.whole = guess
        if self.over is None and before is not None and self._is_sure(before) and before.text.endswith(ENDS):
            self.over = before
        if self.over is not None and not (guess.text + " ").startswith(self.over.text + " "):
            self.over = None
        if self.over is None or self.over == self.refused:
            return None
        return self.over if guess.signs >= self.over.signs + BEGUN else None

    def refuse(self) -> None:
        """What is over was read by itself, and is not what was guessed: it is not told again."""
        self.refused = self.over

    def _is_sure(self, guess: Guess) -> bool:
        return guess.signs >= SHORTEST and guess.confidence >= self.surely

    def state(self) -> dict[str, Any]:
        kept = {"last": self.last, "over": self.over, "whole": self.whole, "refused": self.refused}
        return {name: guess and tuple(guess) for name, guess in kept.items()}

    def restore(self, state: dict[str, Any]) -> None:
        guesses = {name: guess and Guess(*guess) for name, guess in state.items()}
        self.last, self.over = guesses["last"], guesses["over"]
        self.whole, self.refused = guesses["whole"], guesses["refused"]


def is_one_sentence(text: str) -> bool:
    return text.endswith(ENDS) and not any(mark in text[:-1] for mark in ENDS)


def step_between(labels: list[int], signs: int) -> int | None:
    """Encoder step half-way from the end of so many signs to the beginning of the next; None where there is no next.

    Args:
        labels: of every step, 0 for none.
    """
    runs, at = [], 0  # first step and step behind the last, of each sign
    for label, steps in groupby(labels):
        length = len(list(steps))
        runs += [(at, at + length)] if label else []
        at += length
    return (runs[signs - 1][1] + runs[signs][0]) // 2 if 0 < signs < len(runs) else None
