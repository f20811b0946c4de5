"""What the demo signs and its checkpoint is trained on: synthetic sentences, those for tests kept apart.

The grammar keeps sentences and names of its splits apart; nobody who signs in a test has signed in training, since
their seeds differ.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from itertools import islice
from typing import NamedTuple

import numpy as np

from slt_hf.processing.pose_files import PoseClip
from slt_hf.synthesis.choreography import choreograph
from slt_hf.synthesis.grammar import sentences
from slt_hf.synthesis.idle import draw_idle, idle_clip
from slt_hf.synthesis.lexicon import LETTER_PREFIX, letter_score, lexicon
from slt_hf.synthesis.motion import perform
from slt_hf.synthesis.phonology import Score
from slt_hf.synthesis.recording import FULL_LAYOUT, record
from slt_hf.synthesis.signer import Signer
from slt_hf.synthesis.synthesizer import synthesize

TEST_SIGNERS = 1_000_000_007  # mixed into every seed that draws somebody for a test
NOISY_SHARE = 0.4  # of training clips
BESIDE_SHARE = 0.35  # of idle clips: beside a sentence, the hands up in between
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CHARACTERS = LETTERS + "0123456789"
REAL_SIGNS = {  # label in recordings of isolated words -> target and what it says; most are signs of the lexicon too
    "can": ("CAN", "can"), "cat": ("CAT", "cat"), "deaf": ("DEAF", "deaf"), "do": ("DO", "do"),
    "feel": ("FEEL", "feel"),
    "finish": ("FINISH", "finish"), "food": ("FOOD", "food"), "go": ("GO", "go"), "have": ("HAVE", "have"),
    "hearing": ("HEARING", "hearing"), "hello": ("HELLO", "hello"), "help": ("HELP", "help"),
    "iloveyou": ("I-LOVE-YOU", "I love you"), "maybe": ("MAYBE", "maybe"), "no": ("NO", "no"), "okay": ("OKAY", "okay"),
    "play": ("PLAY", "play"), "please": ("PLEASE", "please"), "start": ("START", "start"),
    "thanks": ("THANK-YOU", "thank you"), "try": ("TRY", "try"), "yes": ("YES", "yes"),
}  # fmt: skip


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


def sign_unseen(
    text: str | None = None, seed: int | None = None, noisy: bool = False, layout: str = FULL_LAYOUT
) -> tuple[str, PoseClip, int]:
    """A sentence that training has never seen, signed by somebody it has never seen.

    Args:
        text: the sentence, if it is not to be drawn.
        seed: chooses sentence and signer; the clock does where there is none.
        noisy: filmed and extracted badly.
        layout: "signing_85" takes a fifth of the time, and is all that the bundled checkpoint looks at.

    Returns:
        Sentence, clip, seed.
    """
    seed = int(time.time_ns() // 1_000_000 % 1_000_000) if seed is None else seed
    signer = Signer.random(np.random.default_rng((TEST_SIGNERS, seed)), noisy)
    if text is not None:
        return text, synthesize(text, seed, signer, layout), seed
    # not a sign that stands alone: training has those
    pair = next(pair for pair in sentences("test", seed) if len(pair.glosses) > 1)
    return pair.text, synthesize(pair.glosses, seed, signer, layout), seed


def idle_unseen(
    seed: int, unseen: bool = False, noisy: bool = False, layout: str = FULL_LAYOUT
) -> tuple[list[str], PoseClip]:
    """Somebody training has never seen, who does not sign.

    Args:
        unseen: movements of a kind that training has never seen either.
        noisy, layout: as of `sign_unseen`.

    Returns:
        What they do, by the names of `synthesis/idle.yaml`, and the clip.
    """
    rng = np.random.default_rng((TEST_SIGNERS, seed, 1))
    drawn, signer = int(rng.integers(1 << 31)), Signer.random(rng, noisy)
    clip, movements = idle_clip(drawn, signer, int(rng.integers(1, 4)), unseen, layout)
    return movements, clip


def training_texts(count: int, seed: int) -> list[str]:
    """What training may say, for a tokenizer to take its words from: each word of a lone sign often enough."""
    alone = [text_of_sign(target) for target in [*lexicon(), *dict(REAL_SIGNS.values())]] * 5
    return [pair.text for pair in islice(sentences("train", seed), count)] + alone


# --- sources of training clips ---------------------------------------------------------------------------------------


def sentence(rng: np.random.Generator) -> Draft:
    """A sentence of the training split."""
    pair = next(sentences("train", int(rng.integers(1 << 31))))
    return sign(list(pair.glosses), pair.text, rng)


def sentence_after_sentence(rng: np.random.Generator) -> Draft:
    """Two sentences of the training split, the hands up in between: what a stream has of somebody who does not rest."""
    first, second = (next(sentences("train", int(rng.integers(1 << 31)))) for _ in range(2))
    return sign([*first.glosses, *second.glosses], f"{first.text} {second.text}", rng)


def idle(rng: np.random.Generator) -> Draft:
    """Hands that say nothing, alone or before and after a sentence, which is all that such a clip says."""
    if rng.random() > BESIDE_SHARE:
        return sign([], "", rng, before=idle_scores(rng))
    pair = next(sentences("train", int(rng.integers(1 << 31))))
    before, after = (idle_scores(rng, 2) if rng.random() < 0.6 else [] for _ in range(2))
    return sign(list(pair.glosses), pair.text, rng, before, after)


def idle_scores(rng: np.random.Generator, most: int = 3) -> list[Score]:
    return [draw_idle(rng)[1] for _ in range(rng.integers(1, most + 1))]


def signs(rng: np.random.Generator) -> Draft:
    """One to five signs in any order, which teaches them apart from the grammar; there is no text."""
    glosses = [str(gloss) for gloss in rng.choice(list(lexicon()), rng.integers(1, 6))]
    return sign(glosses, None, rng)


def word(rng: np.random.Generator) -> Draft:
    """Fingerspelled letters in any order, so that names which no sentence held are read letter by letter."""
    letters = random_letters(rng)
    return sign([LETTER_PREFIX + letters.upper()], letters.capitalize(), rng)


def random_letters(rng: np.random.Generator) -> str:
    """One to nine letters in any order, so that no letter is expected after another."""
    return "".join(rng.choice(list(LETTERS), rng.integers(1, 10)))


def text_of_sign(target: str) -> str:
    """What a sign says that stands alone: "Help."."""
    said = dict(REAL_SIGNS.values()).get(target) or str(lexicon()[target]["english"])
    return f"{said[0].upper()}{said[1:].rstrip('.')}."


def text_targets(rng: np.random.Generator, alone: float = 0.35, in_a_row: float = 0.15) -> tuple[list[int], str]:
    """A sentence of the training split as classes and text, without a clip.

    Args:
        alone: share of single signs and, mostly, of spelled words without a sentence: spelling takes longest to learn.
        in_a_row: share of sentences that another follows.
    """
    roll = rng.random()
    if roll < 0.8 * alone:
        letters = random_letters(rng)
        return [all_targets()[letter] for letter in letters], letters.capitalize()
    if roll < alone:
        target = str(rng.choice([*lexicon(), *dict(REAL_SIGNS.values())]))
        return [all_targets()[target]], text_of_sign(target)
    drawn = [next(sentences("train", int(rng.integers(1 << 31)))) for _ in range(1 + (rng.random() < in_a_row))]
    glosses = [gloss for pair in drawn for gloss in pair.glosses]
    return [all_targets()[target] for target in targets_of(glosses)], " ".join(pair.text for pair in drawn)


SOURCES = {
    "sentence": sentence,
    "sentences": sentence_after_sentence,
    "signs": signs,
    "word": word,
    "idle": idle,
}


def sign(
    glosses: list[str],
    text: str | None,
    rng: np.random.Generator,
    before: Sequence[Score] = (),
    after: Sequence[Score] = (),
) -> Draft:
    """Somebody new signs glosses; as `synthesize` does it, keeping an eye on the clock."""
    signer = Signer.random(rng, noisy=rng.random() < NOISY_SHARE)
    choreography = choreograph(glosses, signer.rest, before, after)
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
    return np.array(found, np.intp).reshape(-1, 2)


@cache
def all_targets() -> dict[str, int]:
    """Target -> class of the CTC head; 0 is the blank."""
    names = dict.fromkeys([*lexicon(), *CHARACTERS, *dict(REAL_SIGNS.values())])
    return {name: index + 1 for index, name in enumerate(names)}
