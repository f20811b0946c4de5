"""What the bundled checkpoint's scores mean, and when it should say nothing: fitted on dev people.

Sentences of the validation split, half of them filmed badly, give the share that is right at each score; lone signs
how certain the encoder is of them; people who do not sign give the confidence that lets one text of theirs through in
ten minutes. Nobody here is in training or in a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slt_hf.confidence import FILE, Calibration
from slt_hf.demonstration import idle_unseen, text_of_sign
from slt_hf.pipeline import SignTranslator
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.streaming import StreamEvent, StreamingTranslator
from slt_hf.streaming.silence import is_alone
from slt_hf.synthesis import Signer, synthesize
from slt_hf.synthesis.grammar import sentences
from slt_hf.synthesis.lexicon import lexicon

DEV_SIGNERS = 900_000_011  # mixed into every seed that draws somebody for this file
IDLE_SEEDS = 5_000_000  # from here on, so that tests, which count from 0, have other people
LAYOUT = "signing_85"  # all that the checkpoint looks at
TEN_MINUTES = 600.0
LEAST_CAREFUL, MOST_CAREFUL = 0.2, 0.5
SAYS_ALL: dict[str, Any] = {
    "min_confidence": 0.0, "alone_certainty": 0.0, "slowest_ms": 1e6, "slowest_sign_ms": 1e6
}  # fmt: skip
SLOWEST_MS = 200.0  # for a character: 97 % of dev sentences and 95 % of lone signs are faster, idle hands rarely are
SLOWEST_SIGN_MS = 1200.0  # for a sign alone: 99 % are faster; thrice that for signs and letters of sentences
ALONE_LOST = 0.03  # of right lone signs, which the limit of the encoder's certainty keeps back


class Heard(NamedTuple):
    """An utterance as it ended, what was read and how sure, how many signs, and how certain the encoder is of each."""

    event: StreamEvent
    text: str
    confidence: float
    signs: int
    certainty: float

    @property
    def said(self) -> str:
        return self.event.committed

    @property
    def alone(self) -> bool:
        return is_alone(self.text, self.signs)


class Listener(StreamingTranslator):
    """A stream that keeps what it read of each utterance, whether it said it or not."""

    def __init__(self, *arguments: Any, **policy: Any):
        super().__init__(*arguments, **policy)
        self.heard: list[Heard] = []

    def _close(self) -> StreamEvent:
        whole, live = self._whole(), self.live
        assert live is not None
        signs, certainty = live.signs or 0, live.certainty_of_signs or 0.0
        event = super()._close()
        text, confidence = ("", 0.0) if whole is None else (whole.text, whole.confidence)
        self.heard.append(Heard(event, text, confidence, signs, certainty))
        return event


def listen(translator: SignTranslator, clip: PoseClip, **policy: Any) -> list[Heard]:
    stream = Listener(translator, clip.layout, **SAYS_ALL | policy)
    stream.translate(clip)
    return stream.heard


def dev_sentences(count: int) -> Iterator[tuple[str, PoseClip]]:
    """Text and clip of sentences; every other one is noisy."""
    for seed in range(count):
        pair = next(pair for pair in sentences("validation", DEV_SIGNERS + seed) if len(pair.glosses) > 1)
        signer = Signer.random(np.random.default_rng((DEV_SIGNERS, seed)), noisy=seed % 2 == 1)
        yield pair.text, synthesize(list(pair.glosses), seed, signer, LAYOUT)


def lone_signs() -> Iterator[tuple[str, PoseClip]]:
    """Text and clip of each sign by itself; every other one is noisy."""
    for seed, gloss in enumerate(lexicon()):
        signer = Signer.random(np.random.default_rng((DEV_SIGNERS, seed, 1)), noisy=seed % 2 == 1)
        yield text_of_sign(gloss), synthesize([gloss], seed, signer, LAYOUT)


def certainties(translator: SignTranslator, signed: Iterable[tuple[str, PoseClip]]) -> np.ndarray:
    """The encoder's, of the least certain sign of what a stream reads right."""
    found = [(text, heard) for text, clip in signed for heard in listen(translator, clip)]
    return np.array([heard.certainty for text, heard in found if heard.text == text])


def idle_utterances(translator: SignTranslator, seeds: range, unseen: bool = False) -> tuple[list[Heard], float]:
    """What a stream says of people who do not sign, and for how many seconds they do not."""
    found, seconds = [], 0.0
    for seed in seeds:
        _, clip = idle_unseen(seed, unseen, noisy=seed % 2 == 1, layout=LAYOUT)
        found += listen(translator, clip, slowest_sign_ms=SLOWEST_SIGN_MS)
        seconds += clip.num_frames / clip.fps
    return [each for each in found if each.said], seconds


def threshold_for(values: Iterable[float], allowed: int) -> float:
    """The lowest threshold that so many of the values reach."""
    falling = sorted(values, reverse=True)
    return 0.0 if len(falling) <= allowed else float(np.nextafter(np.float64(falling[allowed]), 1))


def calibrate(folder: Path, count: int = 600, idle: int = 300) -> Calibration:
    """Fit all of it and write it beside the weights.

    The encoder must be as certain of a sign alone as it is of nearly all that are right, rather than as keeps these
    people silent: training has seen their kinds of movements, and others are read as signs more often. A text that is
    more likely right than wrong is said (`MOST_CAREFUL`), one that is right less than once in five is not.
    """
    (folder / FILE).unlink(missing_ok=True)
    plain = SignTranslator.from_pretrained(folder, device="cpu")
    spoken = list(dev_sentences(count))
    found = plain([clip for _, clip in spoken], batch_size=16)
    scores = np.array([each.confidence for each in found])
    right = np.array([each.text == text for each, (text, _) in zip(found, spoken, strict=True)])
    curve = Calibration.fit(scores, right)
    alone = float(np.quantile(certainties(plain, lone_signs()), ALONE_LOST))
    said, seconds = idle_utterances(plain, range(IDLE_SEEDS, IDLE_SEEDS + idle))
    rest = [each for each in said if not each.alone or each.certainty >= alone]
    needed = threshold_for([curve(each.confidence) for each in rest], int(seconds / TEN_MINUTES))
    threshold = min(max(needed, LEAST_CAREFUL), MOST_CAREFUL)
    data = f"{count} synthetic dev sentences, {right.mean():.1%} right; {seconds / 60:.0f} minutes of idle dev people"
    kept = (SLOWEST_MS, SLOWEST_SIGN_MS, round(alone, 6))
    fitted = Calibration(curve.scores, curve.confidences, round(threshold, 6), data, *kept)
    fitted.save(folder)
    print(f"{data}: {len(said)} texts, {len(rest)} that the encoder is certain of; confidence {needed:.3f} needed")
    return fitted
