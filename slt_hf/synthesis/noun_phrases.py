"""Noun phrases: subjects and objects, with their glosses and their English."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from slt_hf.synthesis.english import plural, with_article
from slt_hf.synthesis.lexicon import LETTER_PREFIX, gloss_of, lexicon
from slt_hf.synthesis.vocabulary import grammar, invented_name, names, words

PRONOUNS = ("I", "YOU", "WE", "THEY")
PRONOUN_OBJECTS = {"I": "me", "YOU": "you", "WE": "us", "THEY": "them"}
SAME_PERSON = {"I": ("I", "WE"), "WE": ("I", "WE"), "YOU": ("YOU",), "THEY": ("THEY",)}  # "I help us" is not said
POSSESSIVES = ("MY", "YOUR", "OUR", "THEIR")
GENERIC_VERBS = ("like", "love")  # one likes apples, not an apple
INVENTED_NAME_SHARE = 0.4  # of training names: a speller that has seen few names learns them by heart


@dataclass(frozen=True)
class Phrase:
    """A noun phrase: its glosses, its English, and whether the verb takes an s."""

    glosses: tuple[str, ...]
    text: str
    singular: bool = True
    is_person: bool = True


class PhraseMaker:
    """Draws noun phrases; names come from the split."""

    def __init__(self, rng: Random, split: str) -> None:
        self.rng, self.split = rng, split

    def name(self) -> Phrase:
        invent = self.split == "train" and self.rng.random() < INVENTED_NAME_SHARE
        name = invented_name(self.rng) if invent else self.rng.choice(names(self.split))
        return Phrase((LETTER_PREFIX + name.upper(),), name)

    def subject(self, with_animals: bool = False) -> Phrase:
        roll = self.rng.random()
        if roll < 0.3:
            pronoun = self.rng.choice(PRONOUNS)
            return Phrase((pronoun,), "I" if pronoun == "I" else pronoun.lower(), singular=False)
        if roll < 0.45:
            return self.name()
        kind = "animal" if with_animals and roll > 0.9 else "person"
        return self.owned(self.rng.choice(words(kind)), "the")

    def owned(self, gloss: str, article: str = "the") -> Phrase:
        """``my sister``, or ``the sister``-like where nobody owns it."""
        entry = lexicon()[gloss]
        owner = self.rng.choice((*POSSESSIVES, *POSSESSIVES, "")) if entry.get("owned", True) else ""
        if not owner:
            return Phrase((gloss,), f"{article} {entry['english']}", is_person=entry["kind"] == "person")
        return Phrase((owner, gloss), f"{owner.lower()} {entry['english']}", is_person=entry["kind"] == "person")

    def object(self, verb: str, subject: Phrase | None = None) -> Phrase:
        gloss = self.rng.choice(words(*grammar()["objects"][verb]))
        entry = lexicon()[gloss]
        if entry["kind"] == "person" and verb not in ("have", "need"):
            return self.person_object(subject)
        return self.thing(gloss, plain=entry["kind"] == "person", generic=verb in GENERIC_VERBS)

    def person_object(self, subject: Phrase | None) -> Phrase:
        """``Anna``, ``them``, ``my sister``: somebody else than the subject."""
        roll = self.rng.random()
        if roll < 0.2:
            return self.name()
        if roll < 0.35 and subject is not None:
            others = [word for word in PRONOUNS if word not in SAME_PERSON.get(subject.glosses[0], ())]
            pronoun = self.rng.choice(others)
            return Phrase((pronoun,), PRONOUN_OBJECTS[pronoun])
        gloss = self.rng.choice(words("person"))
        if not lexicon()[gloss].get("owned", True):
            return self.owned(gloss)
        owner = self.rng.choice(POSSESSIVES)
        return Phrase((owner, gloss), f"{owner.lower()} {lexicon()[gloss]['english']}")

    def thing(self, gloss: str, plain: bool = False, generic: bool = False) -> Phrase:
        """``a red book``, ``my book``, ``two books``, ``more bread``; in glosses the adjective follows.

        ``plain`` leaves out owner and adjective; ``generic`` makes it ``red books``.
        """
        entry, rng = lexicon()[gloss], self.rng
        countable = not entry.get("mass") and entry["kind"] != "drink"
        allowed = "food_is" if entry["kind"] in ("food", "drink") else "colours_and_sizes"
        adjective = rng.choice(words(*grammar()[allowed])) if not plain and rng.random() < 0.22 else None
        described = f"{adjective.lower()} " if adjective else ""
        after = (gloss, adjective) if adjective else (gloss,)
        roll = rng.random()
        if roll < 0.2 and not plain:
            owner = rng.choice(POSSESSIVES)
            return Phrase((owner, *after), f"{owner.lower()} {described}{entry['english']}", is_person=False)
        if roll < 0.42 and countable:
            number = rng.choice(words("number"))
            word = plural(entry) if lexicon()[number]["value"] > 1 else entry["english"]
            return Phrase((number, *after), f"{number.lower()} {described}{word}", is_person=False)
        if roll < 0.47 and not plain:
            return Phrase(
                ("MORE", *after), f"more {described}{plural(entry) if countable else entry['english']}", is_person=False
            )
        text = described + (plural(entry) if generic and countable else entry["english"])
        if generic:
            return Phrase(after, text, is_person=False)
        return Phrase(after, with_article(text) if countable else text, is_person=False)

    def verb_and_object(self, choices: tuple[str, ...], subject: Phrase) -> tuple[str, Phrase]:
        """A verb with an object that is not the subject itself."""
        while True:
            verb = self.rng.choice(choices)
            thing = self.object(verb, subject)
            if thing.glosses[-1] not in subject.glosses:
                return gloss_of(verb), thing
