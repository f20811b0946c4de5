"""Sentences signed by many people: training and test data without a download, and letters to add to real ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from slt_hf.processing.pose_files import PoseClip
from slt_hf.synthesis.choreography import LAST_LETTER_HOLD_MS
from slt_hf.synthesis.grammar import make_sentence
from slt_hf.synthesis.lexicon import LETTER_PREFIX
from slt_hf.synthesis.recording import FULL_LAYOUT
from slt_hf.synthesis.sentence_patterns import SentencePair
from slt_hf.synthesis.signer import Signer
from slt_hf.synthesis.synthesizer import synthesize, synthesize_timed
from slt_hf.synthesis.vocabulary import SPLITS, split_name

SIGN_LANGUAGE = "ase-x-synthetic"  # modelled on American Sign Language, not a recording of it
CLIP_SEED_STRIDE, EPOCH_STRIDE = 1_000_003, 10_007  # primes: seeds of neighbouring corpora do not meet


@dataclass(frozen=True)
class SyntheticSample:
    """A signed sentence, with the fields of a manifest row."""

    id: str
    clip: PoseClip
    text: str
    gloss: str
    signer: str
    split: str
    language: str = "en"
    sign_language: str = SIGN_LANGUAGE

    @property
    def num_frames(self) -> int:
        return self.clip.num_frames

    @property
    def fps(self) -> float:
        return self.clip.fps


def signer_of(split: str, seed: int, index: int, noisy: bool = False) -> Signer:
    """The person who signs a sample. No two splits share one: the split is part of the seed."""
    return Signer.random(np.random.default_rng([list(SPLITS).index(split_name(split)), seed, index]), noisy)


def make_sample(
    index: int, split: str = "train", seed: int = 0, noisy: bool = False, layout: str = FULL_LAYOUT
) -> SyntheticSample:
    """The sample at a place in the endless corpus of a split: same arguments, same bytes."""
    return sign_sentence(make_sentence(split, seed, index), index, split, seed, noisy, layout)


def sign_sentence(
    pair: SentencePair, index: int, split: str, seed: int, noisy: bool = False, layout: str = FULL_LAYOUT
) -> SyntheticSample:
    """A given sentence, signed by the person at that place of the corpus."""
    signer = signer_of(split, seed, index, noisy)
    clip = synthesize(pair.glosses, seed=CLIP_SEED_STRIDE * seed + index, signer=signer, layout=layout)
    name = f"{split_name(split)}-{seed}-{index:06d}"
    return SyntheticSample(
        f"synthetic-{name}", clip, pair.text, " ".join(pair.glosses), f"signer-{name}", split_name(split)
    )


def synthetic_sample(
    split: str, key: tuple[int, int, int], noisy: bool = False, layout: str = FULL_LAYOUT
) -> dict[str, Any]:
    """A sample as the row a collator takes, drawn from (seed, epoch, index)."""
    seed, epoch, index = key
    sample = make_sample(index, split, EPOCH_STRIDE * seed + epoch, noisy, layout)
    row = {
        name: getattr(sample, name)
        for name in ("id", "clip", "text", "gloss", "signer", "split", "language", "sign_language")
    }
    return {**row, "num_frames": sample.num_frames, "fps": sample.fps}


def corpus(
    n: int, split: str = "train", seed: int = 0, noisy: bool = False, layout: str = FULL_LAYOUT
) -> Iterator[SyntheticSample]:
    """``n`` signed sentences, each by another person."""
    return (make_sample(index, split, seed, noisy, layout) for index in range(n))


def spell(word: str, seed: int = 0, signer: Signer | None = None, layout: str = FULL_LAYOUT) -> PoseClip:
    """Fingerspell a word."""
    return synthesize([LETTER_PREFIX + word.upper()], seed, signer, layout)


def handshape_points(
    letter: str, signer: Signer | None = None, seed: int = 0, layout: str = "hands_42", duration_ms: float = 400.0
) -> PoseClip:
    """One fingerspelled letter or digit without the way to it and back, to be mixed with real recordings of letters.

    Args:
        letter: a to z, 0 to 9.
        layout: ``hands_42``, ``holistic_75`` or any other; the hand that does not sign is there as well, at rest.
        duration_ms: how long the letter is held, about; J and Z take their time for the movement on top.
    """
    signer = signer or Signer()
    slow = replace(signer, tempo=1.0, spelling_tempo=LAST_LETTER_HOLD_MS / duration_ms)
    clip, [(_, start_ms, end_ms)] = synthesize_timed([LETTER_PREFIX + letter.upper()], seed, slow, layout)
    first, last = int(np.ceil(start_ms * clip.fps / 1000)), int(end_ms * clip.fps / 1000) + 1
    return replace(clip, points=clip.points[first:last], confidence=clip.confidence[first:last])
