"""When a stream keeps silent: it is not sure, or hands were up for something else than what was read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from slt_hf.confidence import Calibration
from slt_hf.streaming.events import StreamPolicy

LEAD_MS = 1000.0  # of an utterance before and after what it says: hands on their way, and the pause that ends it
TOGETHER = 3  # times as long may a sign of several take: slow signers are slow, and idle hands seldom read as several


@dataclass(frozen=True)
class Silence:
    """Below which confidence nothing is said, and how long an utterance may take for what it says.

    Attributes:
        min_confidence: of any text.
        alone_confidence: of a text read from one sign: what hands do by chance is mostly read as one.
        slowest_ms: for each character of the text.
        slowest_sign_ms: for each sign that the encoder read, thrice that in a sentence; None where it does not tell, or
            has no limit.
        by_characters: whether `slowest_ms` holds too where signs are known.
    """

    min_confidence: float
    alone_confidence: float
    slowest_ms: float
    slowest_sign_ms: float | None
    by_characters: bool

    @classmethod
    def of(cls, policy: StreamPolicy, own: Calibration) -> Silence:
        """What a policy says, and where it says nothing the checkpoint's own limits."""

        def either(asked: float | None, default: float | None) -> float | None:
            return default if asked is None else asked

        slowest = either(policy.slowest_ms, own.slowest_ms)
        return cls(
            min_confidence=either(policy.min_confidence, own.abstain_below) or 0.0,
            alone_confidence=either(policy.alone_confidence, own.alone_below) or 0.0,
            slowest_ms=math.inf if slowest is None else slowest,
            slowest_sign_ms=either(policy.slowest_sign_ms, own.slowest_sign_ms),
            by_characters=policy.slowest_ms is not None,
        )

    def says(self, text: str, confidence: float, duration_ms: float, signs: int | None) -> bool:
        """Whether a text is said.

        Args:
            signs: that the encoder read; None where it does not tell.
        """
        alone = is_alone(text, signs)
        needed = max(self.min_confidence, self.alone_confidence) if alone else self.min_confidence
        return confidence >= needed and duration_ms <= LEAD_MS + self._most_ms(text, signs, alone)

    def _most_ms(self, text: str, signs: int | None, alone: bool) -> float:
        if signs is None or self.slowest_sign_ms is None:
            return self.slowest_ms * len(text) if text else math.inf
        by_signs = self.slowest_sign_ms * signs * (1 if alone else TOGETHER)
        return min(by_signs, self.slowest_ms * len(text)) if alone or self.by_characters else by_signs


def is_alone(text: str, signs: int | None) -> bool:
    """Whether a text was read from one sign; of two, where it is one word and a sign was read twice."""
    words = len(text.split())
    return words <= 1 if signs is None else signs <= 1 or (words <= 1 and signs <= 2)
