"""What a live translator says, and by which rules it says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slt_hf.errors import RecipeError


@dataclass(frozen=True)
class StreamEvent:
    """News of a stream.

    Attributes:
        seq: number of the event in its stream, from 0.
        committed: text of this utterance that stands; later events of the utterance begin with it.
        tentative: what seems to follow; may change.
        final: whether the utterance is over: `committed` is all of it.
        start_ms, end_ms: of the utterance so far, on the clock of the pushed times.
        confidence: of committed and tentative text together, in [0, 1].
        grounding: of a final event, where the policy asks for it: what the text owes to the signing, in [0, 1].
    """

    seq: int
    committed: str
    tentative: str
    final: bool
    start_ms: float
    end_ms: float
    confidence: float
    grounding: float | None = None


@dataclass(frozen=True)
class StreamPolicy:
    """When a stream listens, guesses, commits and keeps silent. Times in milliseconds."""

    commit: Literal["utterance", "agreement"] = "utterance"
    """"utterance": text stands when the hands are down; "agreement": also the words that the last `agreements` guesses
    begin with (local agreement, arxiv:2005.11185), for languages whose order follows the signing"""
    agreements: int = 2
    """Guesses that must agree before their words stand"""
    hold_words: int = 1
    """Last words of what guesses agree on that do not stand yet: the sign that is being made may still change them"""
    raised: float = 0.2
    """A hand is raised when its wrist is less than this below its elbow, in upper arms; hanging arms have 0.3 to 0.9"""
    start_ms: float = 120.0
    """An utterance begins when a hand has been raised for so long"""
    pause_ms: float = 160.0
    """An utterance ends when no hand has been raised for so long; twice that where hands are low, and not where they
    rested before it"""
    settle_ms: float = 40.0
    """It ends sooner when hands have been where they rested before, or on their way there, for so long, and what was
    signed is read surely"""
    rest_near: float = 0.3
    """How near that is, in upper arms"""
    ahead_ms: float = 120.0
    """Hands that will be there in so long, straight on, are on their way there"""
    sure: float = 0.5
    """Confidence with which an utterance is read surely: a sentence cut before its end mostly is not"""
    split_above: float = 0.5
    """With hands up, an utterance ends before a sign that does not change a whole sentence of such confidence; above 1
    never. It takes an encoder that tells which signs it read (a CTC head)"""
    lookback_ms: float = 320.0
    """Shown to the model from before the beginning: the way of the hand to its first sign"""
    longest_ms: float = 20_000.0
    """A longer utterance is ended where it is: memory and the cost of a guess stay bounded"""
    max_gap_ms: float = 250.0
    """Between two frames further apart nothing is made up: nobody is seen there"""
    min_confidence: float | None = None
    """Below it an utterance ends without text: the model abstains. None takes the threshold in the checkpoint's
    `calibration.json`, and 0 where it has none"""
    slowest_ms: float | None = None
    """An utterance that took longer than a second and this for each character of its text ends without text: hands were
    up for something else. None takes the checkpoint's own limits: of signs where it counts them, else this one"""
    slowest_sign_ms: float | None = None
    """The same for a sign alone, and thrice as long for each of several signs or letters, where the encoder tells
    how many it read (a CTC head)"""
    alone_certainty: float | None = None
    """Least probability that the encoder must give a sign alone, where it tells (a CTC head); None takes the
    checkpoint's own"""
    grounding: bool = False
    """Measure at the end of each utterance how much its text depends on the signing: one more forward pass"""

    def __post_init__(self) -> None:
        if self.commit not in ("utterance", "agreement"):
            raise RecipeError(f"commit: expected 'utterance' or 'agreement', found {self.commit!r}; name one of them")
        if self.agreements < 2:
            raise RecipeError(f"agreements: expected at least 2, found {self.agreements}; one guess agrees with itself")
        for name in ("start_ms", "pause_ms", "settle_ms", "lookback_ms", "longest_ms", "max_gap_ms"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"{name}: expected more than 0 ms, found {getattr(self, name)}; give a duration")
