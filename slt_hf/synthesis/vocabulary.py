"""The words of the grammar and the names, and which split each belongs to."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from slt_hf.errors import SignDataError
from slt_hf.synthesis.handshapes import YAML_LOADER
from slt_hf.synthesis.lexicon import LETTER_PREFIX, gloss_of, lexicon
from slt_hf.synthesis.transfer import DROPPED, forms

GRAMMAR_FILE = Path(__file__).with_name("grammar.yaml")
SPLITS = {"train": 75, "validation": 10, "test": 15}  # percent of sentences, and of names
ONSETS = "b c d f g h j k l m n p r s t v w y z br ch cl dr fl gr kr qu sh st th tr".split()
VOWEL_SOUNDS = "a e i o u a e i o ai ea ia io ou ee oo".split()
CODAS = ["", "", "", *"l m n r s t x".split(), "nd", "rt", "ck", "ss", "nn", "ll"]


@cache
def grammar() -> dict[str, Any]:
    """The tables of ``grammar.yaml``."""
    return yaml.load(GRAMMAR_FILE.read_text(encoding="utf-8"), YAML_LOADER)


@cache
def words(*kinds_or_words: str) -> tuple[str, ...]:
    """Glosses of words and of all words of a kind."""
    found = []
    for item in kinds_or_words:
        members = [gloss for gloss, entry in lexicon().items() if entry["kind"] == item]
        found += members or [gloss_of(item)]
    return tuple(found)


def _percent(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 100


def split_name(split: str) -> str:
    """``train``, ``validation`` (also ``dev``) or ``test``.

    Raises:
        SignDataError: another name.
    """
    name = "validation" if split == "dev" else split
    if name not in SPLITS:
        raise SignDataError(f"expected a split among {', '.join(SPLITS)}, found {split!r}; name one of these")
    return name


def split_of_key(key: str) -> str:
    percent = _percent(key)
    if percent < SPLITS["test"]:
        return "test"
    return "validation" if percent < SPLITS["test"] + SPLITS["validation"] else "train"


@cache
def names(split: str) -> tuple[str, ...]:
    """The given names of a split."""
    return tuple(name for name in grammar()["names"].split() if split_of_key(LETTER_PREFIX + name.upper()) == split)


def invented_name(rng: Random) -> str:
    """A pronounceable name of two or three syllables that no list holds."""
    while True:
        name = "".join(
            rng.choice(ONSETS) + rng.choice(VOWEL_SOUNDS) for _ in range(rng.choice((1, 2, 2)))
        ) + rng.choice(CODAS)
        if rng.random() < 0.3:
            name = rng.choice("aeiou") + name
        if (
            3 <= len(name) <= 9
            and name not in DROPPED
            and name not in forms()
            and split_of_key(LETTER_PREFIX + name.upper()) == "train"
        ):
            return name.capitalize()
