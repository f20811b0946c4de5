"""Which words stand: those that several guesses in a row begin with, and in the end all of them."""

from __future__ import annotations

from typing import Any

from slt_hf.streaming.events import StreamPolicy


class Agreement:
    """Local agreement (arxiv:2005.11185) over whole words. What stands is never taken back."""

    def __init__(self, policy: StreamPolicy):
        self.policy = policy
        self.guesses: list[list[str]] = []
        self.words: list[str] = []

    @property
    def committed(self) -> str:
        return " ".join(self.words)

    def take(self, guess: str) -> None:
        """Another guess of the whole utterance so far."""
        self.guesses = [*self.guesses, guess.split()][-self.policy.agreements :]
        if self.policy.commit != "agreement" or len(self.guesses) < self.policy.agreements:
            return
        agreed = common_start(self.guesses)
        agreed = agreed[: max(0, len(agreed) - self.policy.hold_words)]
        if len(agreed) > len(self.words) and agreed[: len(self.words)] == self.words:
            self.words = agreed

    def rest(self, guess: str) -> str:
        """What a guess says beyond the words that stand; all that follows as many words where it began otherwise."""
        return " ".join(guess.split()[len(self.words) :])

    def finish(self, text: str) -> str:
        """The text that stands in the end: the utterance's own, behind whatever stood already."""
        return " ".join([*self.words, *text.split()[len(self.words) :]])

    def state(self) -> dict[str, Any]:
        return {"guesses": [list(guess) for guess in self.guesses], "words": list(self.words)}

    def restore(self, state: dict[str, Any]) -> None:
        self.guesses, self.words = [list(guess) for guess in state["guesses"]], list(state["words"])


def common_start(guesses: list[list[str]]) -> list[str]:
    """The words that all guesses begin with."""
    found = []
    for words in zip(*guesses, strict=False):
        if len(set(words)) > 1:
            break
        found.append(words[0])
    return found
