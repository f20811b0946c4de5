"""Where a sentence ended while hands stay up: before a sign that the text has no use for."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

ENDS = tuple(".?!\u3002\uff1f\uff01")  # of sentences
SHORTEST = 2  # signs: nearly every sign, looked at alone, is a whole sentence
TRIED = 3  # whole sentences that are tried as the first of two, where both together were read unsurely


class Guess(NamedTuple):
    """What an utterance said so far, when so many signs were read."""

    text: str
    confidence: float
    signs: int


class SentenceEnd:
    """Of guesses of one utterance. A whole sentence, read surely, is over when another sign leaves it as it is, or
    begins another one behind it; a question's last sign changes its order, and an object that follows its end.

    Args:
        surely: confidence of a sentence that is read surely.
    """

    def __init__(self, surely: float):
        self.surely = surely
        self.forget()

    def forget(self) -> None:
        """Another utterance begins."""
        self.last: Guess | None = None
        self.whole: list[Guess] = []  # sentences that were read surely, the newest last

    def take(self, guess: Guess) -> Guess | None:
        """The sentence that was over before this guess's last sign."""
        before, self.last = self.last, guess
        if guess.signs >= SHORTEST and guess.confidence >= self.surely and is_one_sentence(guess.text):
            self.whole = [*self.whole, guess][-TRIED:]
        if before is None or before.signs < SHORTEST or before.confidence < self.surely:
            return None
        goes_on = guess.text == before.text or guess.text.startswith(before.text + " ")
        return before if before.text.endswith(ENDS) and goes_on and guess.signs > before.signs else None

    def state(self) -> dict[str, Any]:
        return {"last": self.last and tuple(self.last), "whole": [tuple(guess) for guess in self.whole]}

    def restore(self, state: dict[str, Any]) -> None:
        self.last = None if state["last"] is None else Guess(*state["last"])
        self.whole = [Guess(*guess) for guess in state["whole"]]


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
