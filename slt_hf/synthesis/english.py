"""English word forms: plurals, third persons, past tenses, articles. Regular unless the lexicon says otherwise."""

from __future__ import annotations

from typing import Any

VOWELS = "aeiou"


def plural(entry: dict[str, Any]) -> str:
    """``book`` -> ``books``; mass nouns have none and stay as they are."""
    return entry.get("plural") or (entry["english"] if entry.get("mass") else with_s(entry["english"]))


def third_person(entry: dict[str, Any]) -> str:
    """``buy`` -> ``buys``."""
    return entry.get("third") or with_s(entry["english"])


def past(entry: dict[str, Any]) -> str:
    """``help`` -> ``helped``."""
    word = entry["english"]
    return entry.get("past") or word + ("d" if word.endswith("e") else "ed")


def with_s(word: str) -> str:
    """The ending of plurals and third persons."""
    if word.endswith(("s", "x", "ch", "sh")):
        return word + "es"
    return word + "s"


def with_article(phrase: str) -> str:
    """``an apple``, ``a red apple``."""
    return f"{'an' if phrase[0].lower() in VOWELS else 'a'} {phrase}"
