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
        alone_certainty: that the encoder must have in a sign alone: what hands do by chance is mostly read as one.
        slowest_ms: for each character of the text; infinite where there is no limit.
        slowest_sign_ms: for each sign that the encoder read, thrice that in a sentence; goes before characters.
    """

    min_confidence: float
    alone_certainty: float
    slowest_ms: float
    slowest_sign_ms: float | None

    @classmethod
    def of(cls, policy: StreamPolicy, own: Calibration) -> Silence:
        """What a policy says, and where it says nothing the checkpoint's own limits."""

        def either(asked: float | None, default: float | None) -> float | None:
            return default if asked is None else asked

        slowest = either(policy.slowest_ms, own.slowest_ms)
        by_sign = own.slowest_sign_ms if policy.slowest_ms is None else None  # what is named goes before
        return cls(
            min_confidence=either(policy.min_confidence, own.abstain_below) or 0.0,
            alone_certainty=either(policy.alone_certainty, own.alone_certainty) or 0.0,
            slowest_ms=math.inf if slowest is None else slowest,
            slowest_sign_ms=either(policy.slowest_sign_ms, by_sign),
        )

    def says(
        self, text: str, confidence: float, duration_ms: float, signs: int | None, certainty: float | None = None
    ) -> bool:
        """Whether a text is said.

        Args:
            signs: that the encoder read; None where it does not tell.
            certainty: its probability of the least certain one; None where it does not tell.
        """
        alone = is_alone(text, signs)
        surely = not alone or certainty is None or certainty >= self.alone_certainty
        return (
            surely and confidence >= self.min_confidence and duration_ms <= LEAD_MS + self._most_ms(text, signs, alone)
        )

    def _most_ms(self, text: str, signs: int | None, alone: bool) -> float:
        if signs is None or self.slowest_sign_ms is None:
            return self.slowest_ms * len(text) if text else math.inf
        return self.slowest_sign_ms * signs * (1 if alone else TOGETHER)


def is_alone(text: str, signs: int | None) -> bool:
    """Whether a text was read from one sign; of two, where it is one word and a sign was read twice."""
    words = len(text.split())
    return words <= 1 if signs is None else signs <= 1 or (words <= 1 and signs <= 2)
