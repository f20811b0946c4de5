"""A small grammar that yields sentences as glosses and as English, and splits them.

The English follows from the glosses by rule, so that it can be recovered from the signing: YESTERDAY makes the past and
TOMORROW the future; a subject without possessive takes "the", an object "a"; adjectives follow their noun in the
glosses; question words and the QUESTION sign end a sentence; the time begins it. ``transfer.glosses_of`` goes the
other way.

A sentence without a name belongs to a split by the hash of its English; a sentence with a name by the hash of the name.
So validation and test hold neither sentences nor names of the training split.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random

from slt_hf.synthesis.lexicon import LETTER_PREFIX
from slt_hf.synthesis.sentence_patterns import SentenceMaker, SentencePair
from slt_hf.synthesis.vocabulary import SPLITS, split_name, split_of_key


def split_of(pair: SentencePair) -> str:
    """``train``, ``validation`` or ``test``: by the name if there is one, else by the sentence."""
    return split_of_key((_names_in(pair) or [pair.text])[0])


def _names_in(pair: SentencePair) -> list[str]:
    return [gloss for gloss in pair.glosses if gloss.startswith(LETTER_PREFIX)]


def make_sentence(split: str, seed: int, index: int) -> SentencePair:
    """The sentence at a place in the endless list of a split."""
    split = split_name(split)
    rng = Random(f"{split}/{seed}/{index}")
    maker = SentenceMaker(rng, split)
    while True:
        pair = maker.draw()
        # a sentence with a name of the split always belongs to it: thinned out, to make names as frequent in all
        if split_of(pair) == split and (not _names_in(pair) or rng.uniform(0, 100) < SPLITS[split]):
            return pair


def sentences(split: str = "train", seed: int = 0) -> Iterator[SentencePair]:
    """Sentences of a split without end, the same for the same seed. Short ones may come again."""
    return (make_sentence(split, seed, index) for index in count())
