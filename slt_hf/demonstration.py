"""What the demo signs and its checkpoint is trained on: synthetic sentences, those for tests kept apart.

The grammar keeps sentences and names of its splits apart; nobody who signs in a test has signed in training, since
their seeds differ.
"""

from __future__ import annotations

import time
from functools import cache
from itertools import islice
from typing import NamedTuple

import numpy as np

from slt_hf.processing.pose_files import PoseClip
from slt_hf.synthesis.choreography import choreograph
from slt_hf.synthesis.grammar import sentences
from slt_hf.synthesis.lexicon import LETTER_PREFIX, letter_score, lexicon
from slt_hf.synthesis.motion import perform
from slt_hf.synthesis.recording import record
from slt_hf.synthesis.signer import Signer
from slt_hf.synthesis.synthesizer import synthesize

TEST_SIGNERS = 1_000_000_007  # mixed into every seed that draws somebody for a test
NOISY_SHARE = 0.4  # of training clips
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CHARACTERS = LETTERS + "0123456789"


class Draft(NamedTuple):
    """A training clip before it is processed.

    Attributes:
        clip: one person's landmarks.
        text: what it says; None where there is only `targets`.
        targets: signs and fingerspelled letters in their order.
        spans_ms: from when to when each target is made; None where that is not known, as in real recordings.
    """

    clip: PoseClip
    text: str | None
    targets: list[str]
    spans_ms: np.ndarray | None


def sign_unseen(text: str | None = None, seed: int | None = None, noisy: bool = False) -> tuple[str, PoseClip, int]:
    """A sentence that training has never seen, signed by somebody it has never seen.

    Args:
        text: the sentence, if it is not to be drawn.
        seed: chooses sentence and signer; the clock does where there is none.
        noisy: filmed and extracted badly.

    Returns:
        Sentence, clip, seed.
    """
    seed = int(time.time_ns() // 1_000_000 % 1_000_000) if seed is None else seed
    signer = Signer.random(np.random.default_rng((TEST_SIGNERS, seed)), noisy)
    if text is not None:
        return text, synthesize(text, seed, signer), seed
    pair = next(sentences("test", seed))
    return pair.text, synthesize(pair.glosses, seed, signer), seed


def training_texts(count: int, seed: int) -> list[str]:
    """Sentences that training may see, for a tokenizer to take its words from."""
    return [pair.text for pair in islice(sentences("train", seed), count)]


# --- sources of training clips ---------------------------------------------------------------------------------------


def sentence(rng: np.random.Generator) -> Draft:
    """A sentence of the training split."""
    pair = next(sentences("train", int(rng.integers(1 << 31))))
    return sign(list(pair.glosses), pair.text, rng)


def signs(rng: np.random.Generator) -> Draft:
    """One to five signs in any order, which teaches them apart from the grammar; there is no text."""
    glosses = [str(gloss) for gloss in rng.choice(list(lexicon()), rng.integers(1, 6))]
    return sign(glosses, None, rng)


def word(rng: np.random.Generator) -> Draft:
    """Fingerspelled letters in any order, so that names which no sentence held are read letter by letter."""
    letters = "".join(rng.choice(list(LETTERS), rng.integers(2, 8)))
    return sign([LETTER_PREFIX + letters.upper()], letters.capitalize(), rng)


def sentence_targets(rng: np.random.Generator) -> tuple[list[int], str]:
    """A sentence of the training split as classes and text, without a clip."""
    pair = next(sentences("train", int(rng.integers(1 << 31))))
    return [all_targets()[target] for target in targets_of(list(pair.glosses))], pair.text


SOURCES = {"sentence": sentence, "signs": signs, "word": word}


def sign(glosses: list[str], text: str | None, rng: np.random.Generator) -> Draft:
    """Somebody new signs glosses; as `synthesize` does it, keeping an eye on the clock."""
    signer = Signer.random(rng, noisy=rng.random() < NOISY_SHARE)
    choreography = choreograph(glosses, signer.rest)
    motion = perform(choreography, signer, rng)
    noise = np.random.SeedSequence(int(rng.integers(1 << 31))).spawn(2)
    clip = record(motion, signer, (noise[0], noise[1]), "signing_85")
    spans = target_spans(glosses, choreography.spans)
    return Draft(clip, text, targets_of(glosses), motion.ends_ms[spans])


def targets_of(glosses: list[str]) -> list[str]:
    """Signs by their gloss, fingerspelled words letter by letter."""
    return [target for gloss in glosses for target in (spelled(gloss) or [gloss])]


def spelled(gloss: str) -> list[str]:
    """Letters of a fingerspelled gloss; none of a sign."""
    is_spelled = gloss.startswith(LETTER_PREFIX)
    return [each for each in gloss[len(LETTER_PREFIX) :].lower() if each in CHARACTERS] if is_spelled else []


def target_spans(glosses: list[str], spans: tuple[tuple[int, int], ...]) -> np.ndarray:
    """First and last keyframe of every target, (targets, 2)."""
    found: list[tuple[int, int]] = []
    for gloss, (first, last) in zip(glosses, spans, strict=True):
        letters = spelled(gloss)
        sizes = [len(letter_score(letter).durations_ms) for letter in letters] or [last - first + 1]
        ends = first + np.cumsum(sizes) - 1
        found += [(int(end - size + 1), int(end)) for end, size in zip(ends, sizes, strict=True)]
    return np.array(found).reshape(-1, 2)


@cache
def all_targets() -> dict[str, int]:
    """Target -> class of the CTC head; 0 is the blank."""
    return {name: index + 1 for index, name in enumerate([*lexicon(), *CHARACTERS])}
