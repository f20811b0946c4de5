"""What the bundled checkpoint's scores mean, and below which it should say nothing: fitted on dev people.

Sentences of the validation split, half of them filmed badly, give the share that is right at each score; people who do
not sign give the threshold that lets one text through in ten minutes, and lone signs the one that they must reach: what
hands do by chance is mostly read as one sign. Nobody here is in training or in a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.confidence import FILE, Calibration
from slt_hf.demonstration import idle_unseen, text_of_sign
from slt_hf.pipeline import SignTranslator
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.streaming import StreamingTranslator
from slt_hf.synthesis import Signer, synthesize
from slt_hf.synthesis.grammar import sentences
from slt_hf.synthesis.lexicon import lexicon

DEV_SIGNERS = 900_000_011  # mixed into every seed that draws somebody for this file
IDLE_SEEDS = 5_000_000  # from here on, so that tests, which count from 0, have other people
TEN_MINUTES = 600.0
MOST_CAREFUL = 0.5
SAYS_ALL: dict[str, Any] = {"min_confidence": 0.0, "alone_confidence": 0.0, "slowest_ms": 1e6, "slowest_sign_ms": 1e6}
SLOWEST_MS = 200.0  # for a character: 97 % of dev sentences and 95 % of lone signs are faster, idle hands rarely are
SLOWEST_SIGN_MS = 800.0  # for a sign alone: 95 % are faster; thrice that for signs and letters of sentences
ALONE_LOST = 0.3  # share of right lone signs that are kept back


def dev_sentences(count: int) -> Iterator[tuple[str, PoseClip]]:
    """Text and clip of sentences; every other one is noisy."""
    for seed in range(count):
        pair = next(pair for pair in sentences("validation", DEV_SIGNERS + seed) if len(pair.glosses) > 1)
        signer = Signer.random(np.random.default_rng((DEV_SIGNERS, seed)), noisy=seed % 2 == 1)
        yield pair.text, synthesize(list(pair.glosses), seed, signer)


def lone_signs(translator: SignTranslator) -> np.ndarray:
    """Confidence of a stream in signs that stand alone, of those that it reads right; every other one is noisy."""
    found = []
    for seed, gloss in enumerate(lexicon()):
        signer = Signer.random(np.random.default_rng((DEV_SIGNERS, seed, 1)), noisy=seed % 2 == 1)
        clip = synthesize([gloss], seed, signer)
        heard = StreamingTranslator(translator, clip.layout, **SAYS_ALL).translate(clip)
        found += [event.confidence for event in heard if event.committed == text_of_sign(gloss)]
    return np.array(found)


def idle_utterances(
    translator: SignTranslator, seeds: range, unseen: bool = False
) -> tuple[list[tuple[float, str]], float]:
    """What a stream hears of people who do not sign: confidence and text of every utterance; and its seconds."""
    heard, seconds = [], 0.0
    for seed in seeds:
        _, clip = idle_unseen(seed, unseen, noisy=seed % 2 == 1)
        stream = StreamingTranslator(translator, clip.layout, **SAYS_ALL | {"slowest_sign_ms": SLOWEST_SIGN_MS})
        heard += [(event.confidence, event.committed) for event in stream.translate(clip)]
        seconds += clip.num_frames / clip.fps
    return heard, seconds


def threshold_for(heard: list[tuple[float, str]], seconds: float) -> float:
    """The lowest confidence at which at most one text is let through in ten minutes."""
    said = sorted((confidence for confidence, text in heard if text), reverse=True)
    allowed = int(seconds / TEN_MINUTES)
    return 0.0 if len(said) <= allowed else float(np.nextafter(np.float64(said[allowed]), 1))


def calibrate(folder: Path, count: int = 600, idle: int = 200) -> Calibration:
    """Fit both and write them beside the weights.

    The threshold is never above `MOST_CAREFUL`: a text that is more likely right than wrong is said.
    """
    (folder / FILE).unlink(missing_ok=True)
    plain = SignTranslator.from_pretrained(folder, device="cpu")
    spoken = list(dev_sentences(count))
    found = plain([clip for _, clip in spoken], batch_size=16)
    scores = np.array([each.confidence for each in found])
    right = np.array([each.text == text for each, (text, _) in zip(found, spoken, strict=True)])
    heard, seconds = idle_utterances(plain, range(IDLE_SEEDS, IDLE_SEEDS + idle))
    curve = Calibration.fit(scores, right)
    alone = curve(float(np.quantile(lone_signs(plain), ALONE_LOST)))
    needed = curve(threshold_for(heard, seconds))
    threshold = min(needed, MOST_CAREFUL)
    data = f"{count} synthetic dev sentences, {right.mean():.1%} right; {seconds / 60:.0f} minutes of idle dev people"
    limits = (SLOWEST_MS, SLOWEST_SIGN_MS, round(alone, 6))
    fitted = Calibration(curve.scores, curve.confidences, round(threshold, 6), data, *limits)
    fitted.save(folder)
    said = sum(bool(text) for _, text in heard)
    print(f"{data}: {said} of {len(heard)} idle utterances say something; one in ten minutes below {needed:.3f}")
    return fitted
