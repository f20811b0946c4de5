"""English to glosses, word by word and with the few rules of order that the grammar has.

Made for the sentences of ``grammar``; other English comes out as a signed word order of its own, with words that have
no sign fingerspelled.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from slt_hf.errors import SignDataError
from slt_hf.synthesis.english import past, plural, third_person
from slt_hf.synthesis.lexicon import LETTER_PREFIX, lexicon

DROPPED = frozenset("a an the am is are was were be do does did will to of".split())
ALSO: dict[str, tuple[str, ...]] = {
    "me": ("I",), "us": ("WE",), "them": ("THEY",), "cannot": ("CAN", "NOT"), "hi": ("HELLO",), "bye": ("GOODBYE",),
    "thanks": ("THANK-YOU",), "sorry": ("SORRY",), "mom": ("MOTHER",), "dad": ("FATHER",),
}  # fmt: skip
NOUNS = frozenset("person animal food drink thing place".split())
LONGEST_PHRASE = 3  # words: "in the morning"


@cache
def forms() -> dict[str, tuple[str, ...]]:
    """Every English form of every sign, in lower case, and its glosses."""
    table: dict[str, tuple[str, ...]] = {}
    for gloss, entry in lexicon().items():
        if gloss == "QUESTION":
            continue  # the sign that ends a question is not the word
        kinds = {"verb": (third_person, past)}.get(entry["kind"], (plural,) if entry["kind"] in NOUNS else ())
        for word in (entry["english"], *(form(entry) for form in kinds)):
            table.setdefault(re.sub(r"[^a-z ]", "", word.lower()), (gloss,))
        if entry["kind"] == "number":
            table[str(entry["value"])] = (gloss,)
    return {**table, **ALSO}


def glosses_of(text: str) -> list[str]:
    """Glosses of an English text: ``"I love Anna."`` -> ``["I", "LOVE", "fs:ANNA"]``.

    Raises:
        SignDataError: there is nothing to sign in the text.
    """
    glosses = []
    for sentence, mark in re.findall(r"([^.?!]+)([.?!]?)", text):
        glosses += _in_order(_looked_up(sentence), asks=mark == "?")
    if not glosses:
        raise SignDataError(f"expected words to sign, found {text!r}; give a sentence such as 'I love my sister.'")
    return glosses


def _looked_up(sentence: str) -> list[str]:
    """Signs of the words, longest phrases first; other words are fingerspelled, articles and helpers dropped."""
    words = re.findall(r"[a-z0-9]+", _plain(sentence))
    glosses: list[str] = []
    at = 0
    while at < len(words):
        for length in range(LONGEST_PHRASE, 0, -1):
            phrase = " ".join(words[at : at + length])
            if phrase in forms() and at + length <= len(words):
                glosses += forms()[phrase]
                break
        else:
            length = 1
            if words[at] not in DROPPED:
                glosses.append(LETTER_PREFIX + words[at].upper())
        at += length
    return glosses


def _plain(sentence: str) -> str:
    """Lower case, without accents and contractions: there are signs for letters a to z only."""
    letters = unicodedata.normalize("NFKD", sentence.lower().replace("’", "'"))
    text = "".join(character for character in letters if not unicodedata.combining(character))
    return re.sub(r"'(m|s|re|ll)\b", "", text.replace("can't", "cannot").replace("won't", "not").replace("n't", " not"))


def _kind(gloss: str) -> str:
    return lexicon()[gloss]["kind"] if gloss in lexicon() else "name"


def _in_order(glosses: list[str], asks: bool) -> list[str]:
    """Time first, question last, ability before the verb, adjectives after their noun."""
    times = [gloss for gloss in glosses if _kind(gloss) == "time"]
    questions = [gloss for gloss in glosses if _kind(gloss) == "question"]
    rest = [gloss for gloss in glosses if _kind(gloss) not in ("time", "question")]
    if asks and rest[:1] == ["CAN"]:
        verb = next((i for i, gloss in enumerate(rest) if _kind(gloss) == "verb"), len(rest))
        rest = [*rest[1:verb], "CAN", *rest[verb:]]
    for i in range(len(rest) - 1):
        if _kind(rest[i]) == "adjective" and _kind(rest[i + 1]) in NOUNS:
            rest[i], rest[i + 1] = rest[i + 1], rest[i]
    return [*times, *rest, *questions, *(["QUESTION"] if asks and not questions else [])]
