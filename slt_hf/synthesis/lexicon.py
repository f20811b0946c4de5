"""The signs by gloss, read from ``lexicon.yaml`` and compiled on first use."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from slt_hf.synthesis.handshapes import YAML_LOADER
from slt_hf.synthesis.phonology import Score, score_of

LEXICON_FILE = Path(__file__).with_name("lexicon.yaml")
LETTER_PREFIX = "fs:"  # glosses of fingerspelled words: "fs:ANNA"
LETTER_DEFAULTS = {"at": "spell", "palm": "forward", "fingers": "up"}


@cache
def _table() -> dict[str, Any]:
    return yaml.load(LEXICON_FILE.read_text(encoding="utf-8"), YAML_LOADER)


def gloss_of(name: str) -> str:
    """``thank_you`` in the file is the gloss ``THANK-YOU``."""
    return name.upper().replace("_", "-")


@cache
def lexicon() -> dict[str, dict[str, Any]]:
    """Gloss to its entry in the file, letters not included."""
    return {gloss_of(name): {"english": name.replace("_", " "), **entry} for name, entry in _table()["signs"].items()}


@cache
def letter_entry(character: str) -> dict[str, Any]:
    """The description of a fingerspelled letter or digit, in the same form as a sign's."""
    return {"hand": character, **LETTER_DEFAULTS, **_table()["letters"].get(character, {})}


@cache
def sign_score(gloss: str) -> Score:
    """Keyframes and strokes of a sign of the lexicon."""
    return score_of(lexicon()[gloss], _table()["bases"])


@cache
def letter_score(character: str) -> Score:
    """Keyframes and strokes of one letter or digit as it is fingerspelled."""
    return score_of(letter_entry(character), _table()["bases"])
