"""A small grammar that yields sentences as glosses and as English, and splits them into train, validation (or dev) and test.

The English follows from the glosses by rule, so that it can be recovered from the signing: YESTERDAY makes the past and
TOMORROW the future; a subject without possessive takes "the", an object "a"; adjectives follow their noun in the
glosses; question words and the QUESTION sign end a sentence; the time begins it. ``transfer.glosses_of`` goes the other way.

A sentence without a name belongs to a split by the hash of its English; a sentence with a name by the hash of the name.
So validation and test hold neither sentences nor names of the training split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import yaml

from slt_hf.synthesis.english import past, plural, third_person, with_article
from slt_hf.synthesis.handshapes import YAML_LOADER
from slt_hf.synthesis.lexicon import LETTER_PREFIX, gloss_of, lexicon
from slt_hf.synthesis.transfer import DROPPED, forms

GRAMMAR_FILE = Path(__file__).with_name("grammar.yaml")
SPLITS = {"train": 75, "validation": 10, "test": 15}  # percent of sentences, and of names
PRONOUNS = ("I", "YOU", "WE", "THEY")
PRONOUN_OBJECTS = {"I": "me", "YOU": "you", "WE": "us", "THEY": "them"}
SAME_PERSON = {"I": ("I", "WE"), "WE": ("I", "WE"), "YOU": ("YOU",), "THEY": ("THEY",)}  # "I help us" is not said
POSSESSIVES = ("MY", "YOUR", "OUR", "THEIR")
GENERIC_VERBS = ("like", "love")  # one likes apples, not an apple
INVENTED_NAME_SHARE = 0.4  # of training names: a speller that has seen few names learns them by heart
ONSETS = "b c d f g h j k l m n p r s t v w y z br ch cl dr fl gr kr qu sh st th tr".split()
VOWEL_SOUNDS = "a e i o u a e i o ai ea ia io ou ee oo".split()
CODAS = ["", "", "", *"l m n r s t x".split(), "nd", "rt", "ck", "ss", "nn", "ll"]


@dataclass(frozen=True)
class SentencePair:
    """A sentence as glosses and in English."""

    glosses: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Phrase:
    """A noun phrase: its glosses, its English, and whether the verb takes an s."""

    glosses: tuple[str, ...]
    text: str
    singular: bool = True
    is_person: bool = True


@cache
def grammar() -> dict[str, Any]:
    """The tables of ``grammar.yaml``."""
    return yaml.load(GRAMMAR_FILE.read_text(encoding="utf-8"), YAML_LOADER)


@cache
def _words(*kinds_or_words: str) -> tuple[str, ...]:
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
        ValueError: another name.
    """
    name = "validation" if split == "dev" else split
    if name not in SPLITS:
        raise ValueError(f"expected a split among {', '.join(SPLITS)}, found {split!r}; name one of these")
    return name


def _split_of_key(key: str) -> str:
    percent = _percent(key)
    if percent < SPLITS["test"]:
        return "test"
    return "validation" if percent < SPLITS["test"] + SPLITS["validation"] else "train"


def split_of(pair: SentencePair) -> str:
    """``train``, ``validation`` or ``test``: by the name if there is one, else by the sentence."""
    return _split_of_key((_names_in(pair) or [pair.text])[0])


def _names_in(pair: SentencePair) -> list[str]:
    return [gloss for gloss in pair.glosses if gloss.startswith(LETTER_PREFIX)]


@cache
def names(split: str) -> tuple[str, ...]:
    """The given names of a split."""
    return tuple(name for name in grammar()["names"].split() if _split_of_key(LETTER_PREFIX + name.upper()) == split)


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
            and _split_of_key(LETTER_PREFIX + name.upper()) == "train"
        ):
            return name.capitalize()


class SentenceMaker:
    """Draws sentences; each ``_method`` is one pattern."""

    def __init__(self, rng: Random, split: str) -> None:
        self.rng, self.split = rng, split
        self.patterns: dict[Callable[[], SentencePair], int] = {
            self._state: 20, self._event: 22, self._habit: 14, self._place: 8, self._description: 12, self._passing: 6,
            self._introduction: 4, self._request: 3, self._yes_no: 10, self._wh: 10, self._ability: 4, self._phrase: 1,
        }  # fmt: skip

    def draw(self) -> SentencePair:
        """One sentence of any split's form; its names are from the maker's split."""
        pattern = self.rng.choices(tuple(self.patterns), tuple(self.patterns.values()))[0]
        return pattern()

    # --- parts -------------------------------------------------------------------------------------------------

    def _name(self) -> Phrase:
        invent = self.split == "train" and self.rng.random() < INVENTED_NAME_SHARE
        name = invented_name(self.rng) if invent else self.rng.choice(names(self.split))
        return Phrase((LETTER_PREFIX + name.upper(),), name)

    def _subject(self, with_animals: bool = False) -> Phrase:
        roll = self.rng.random()
        if roll < 0.3:
            pronoun = self.rng.choice(PRONOUNS)
            return Phrase((pronoun,), "I" if pronoun == "I" else pronoun.lower(), singular=False)
        if roll < 0.45:
            return self._name()
        kind = "animal" if with_animals and roll > 0.9 else "person"
        return self._owned(self.rng.choice(_words(kind)), "the")

    def _owned(self, gloss: str, article: str = "the") -> Phrase:
        """``my sister``, or ``the sister``-like where nobody owns it."""
        entry = lexicon()[gloss]
        owner = self.rng.choice((*POSSESSIVES, *POSSESSIVES, "")) if entry.get("owned", True) else ""
        if not owner:
            return Phrase((gloss,), f"{article} {entry['english']}", is_person=entry["kind"] == "person")
        return Phrase((owner, gloss), f"{owner.lower()} {entry['english']}", is_person=entry["kind"] == "person")

    def _object(self, verb: str, subject: Phrase | None = None) -> Phrase:
        gloss = self.rng.choice(_words(*grammar()["objects"][verb]))
        entry = lexicon()[gloss]
        if entry["kind"] == "person" and verb not in ("have", "need"):
            return self._person_object(subject)
        return self._thing(gloss, plain=entry["kind"] == "person", generic=verb in GENERIC_VERBS)

    def _person_object(self, subject: Phrase | None) -> Phrase:
        """``Anna``, ``them``, ``my sister``: somebody else than the subject."""
        roll = self.rng.random()
        if roll < 0.2:
            return self._name()
        if roll < 0.35 and subject is not None:
            others = [word for word in PRONOUNS if word not in SAME_PERSON.get(subject.glosses[0], ())]
            pronoun = self.rng.choice(others)
            return Phrase((pronoun,), PRONOUN_OBJECTS[pronoun])
        gloss = self.rng.choice(_words("person"))
        if not lexicon()[gloss].get("owned", True):
            return self._owned(gloss)
        owner = self.rng.choice(POSSESSIVES)
        return Phrase((owner, gloss), f"{owner.lower()} {lexicon()[gloss]['english']}")

    def _thing(self, gloss: str, plain: bool = False, generic: bool = False) -> Phrase:
        """``a red book``, ``my book``, ``two books``, ``more bread``; in glosses the adjective follows.

        ``plain`` leaves out owner and adjective; ``generic`` makes it ``red books``.
        """
        entry, rng = lexicon()[gloss], self.rng
        countable = not entry.get("mass") and entry["kind"] != "drink"
        allowed = "food_is" if entry["kind"] in ("food", "drink") else "colours_and_sizes"
        adjective = rng.choice(_words(*grammar()[allowed])) if not plain and rng.random() < 0.22 else None
        described = f"{adjective.lower()} " if adjective else ""
        after = (gloss, adjective) if adjective else (gloss,)
        roll = rng.random()
        if roll < 0.2 and not plain:
            owner = rng.choice(POSSESSIVES)
            return Phrase((owner, *after), f"{owner.lower()} {described}{entry['english']}", is_person=False)
        if roll < 0.42 and countable:
            number = rng.choice(_words("number"))
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

    def _verb_and_object(self, choices: tuple[str, ...], subject: Phrase) -> tuple[str, Phrase]:
        """A verb with an object that is not the subject itself."""
        while True:
            verb = self.rng.choice(choices)
            thing = self._object(verb, subject)
            if thing.glosses[-1] not in subject.glosses:
                return gloss_of(verb), thing

    # --- patterns ----------------------------------------------------------------------------------------------

    def _state(self) -> SentencePair:
        """``My sister likes coffee.``, ``I do not need a car.``"""
        subject = self._subject()
        verb, thing = self._verb_and_object(tuple(grammar()["states"]), subject)
        if self.rng.random() < 0.08:
            adjective = self.rng.choice(_words(*grammar()["people_feel"]))
            return _pair(
                (*subject.glosses, "FEEL", adjective),
                f"{subject.text} {_present('FEEL', subject)} {adjective.lower()}.",
            )
        if self.rng.random() < 0.22:
            helper = "does not" if subject.singular else "do not"
            return _pair(
                (*subject.glosses, "NOT", verb, *thing.glosses), f"{subject.text} {helper} {_base(verb)} {thing.text}."
            )
        return _pair(
            (*subject.glosses, verb, *thing.glosses), f"{subject.text} {_present(verb, subject)} {thing.text}."
        )

    def _event(self) -> SentencePair:
        """``Yesterday my father bought two red apples.``, ``Tomorrow Anna will not swim.``"""
        subject, (verb, what) = self._subject(), ("", Phrase((), ""))
        if self.rng.random() < 0.3:
            verb = gloss_of(self.rng.choice(grammar()["alone"]))
        else:
            events = tuple(
                verb for verb in grammar()["objects"] if verb not in ("have", "know", "understand", "like", "love")
            )
            verb, what = self._verb_and_object(events, subject)
        return self._timed(subject, verb, what)

    def _timed(self, subject: Phrase, verb: str, what: Phrase) -> SentencePair:
        time, negated = self.rng.choice(("YESTERDAY", "TOMORROW")), self.rng.random() < 0.15
        rest = f" {what.text}" if what.text else ""
        if time == "YESTERDAY":
            spoken = f"did not {_base(verb)}" if negated else past(lexicon()[verb])
        else:
            spoken = f"will {'not ' if negated else ''}{_base(verb)}"
        again = () if negated or self.rng.random() < 0.93 else ("AGAIN",)
        rest += " again" if again else ""
        glosses = (time, *subject.glosses, *(("NOT",) if negated else ()), verb, *what.glosses, *again)
        return _pair(glosses, f"{time.lower()} {subject.text} {spoken}{rest}.")

    def _habit(self) -> SentencePair:
        """``I always read books.``-like: ``My sister drinks tea in the morning.``, ``They never swim.``"""
        subject, rng = self._subject(), self.rng
        if rng.random() < 0.35:
            verb, what = gloss_of(rng.choice(grammar()["alone"])), Phrase((), "")
        else:
            verb, what = self._verb_and_object(
                ("eat", "drink", "cook", "read", "write", "wash", "help", "visit", "make", "buy"), subject
            )
        rest = f" {what.text}" if what.text else ""
        if rng.random() < 0.5:
            adverb = rng.choice(_words("adverb"))
            return _pair(
                (*subject.glosses, adverb, verb, *what.glosses),
                f"{subject.text} {adverb.lower()} {_present(verb, subject)}{rest}.",
            )
        time = rng.choice(("MORNING", "NIGHT", "EVERY-DAY"))
        return _pair(
            (time, *subject.glosses, verb, *what.glosses),
            f"{subject.text} {_present(verb, subject)}{rest} {lexicon()[time]['english']}.",
        )

    def _place(self) -> SentencePair:
        """``Tomorrow we will go to the library.``, ``Yesterday Anna went home.``"""
        verb, place = gloss_of(self.rng.choice(grammar()["towards"])), self.rng.choice(_words("place"))
        return self._timed(self._subject(), verb, Phrase((place,), _to(place)))

    def _description(self) -> SentencePair:
        """``My mother is happy.``, ``The blue car is new.``-like, with and without a time."""
        rng = self.rng
        if rng.random() < 0.65:
            subject, key = self._subject(with_animals=True), "people_are"
            key = key if subject.is_person else "animals_are"
        else:
            gloss = rng.choice((*_words("thing", "food", "drink", "place"),))
            kind = lexicon()[gloss]["kind"]
            subject = self._owned("HOUSE" if gloss == "HOME" else gloss)
            key = "food_is" if kind in ("food", "drink") else "things_are"
        adjective = rng.choice(_words(*grammar()[key]))
        time = rng.choice(("", "", "YESTERDAY", "TODAY", "TOMORROW")) if subject.is_person else ""
        adverb = "" if time or rng.random() < 0.8 else rng.choice(_words("adverb"))
        negated = not adverb and rng.random() < 0.15
        be = {"YESTERDAY": _was(subject), "TOMORROW": "will be"}.get(time, _is(subject))
        if negated:
            be = "will not be" if time == "TOMORROW" else f"{be} not"
        glosses = (
            *((time,) if time else ()),
            *subject.glosses,
            *(("NOT",) if negated else ()),
            *((adverb,) if adverb else ()),
            adjective,
        )
        words = [time.lower(), subject.text, be, adverb.lower(), adjective.lower()]
        return _pair(glosses, " ".join(filter(None, words)) + ".")

    def _passing(self) -> SentencePair:
        """``Yesterday I gave my mother a book.``"""
        verb = self.rng.choice(tuple(grammar()["passing"]))
        thing = self._thing(self.rng.choice(_words(*grammar()["passing"][verb])))
        subject = self._subject()
        person = self._person_object(subject)
        while person.glosses[-1] in subject.glosses:
            person = self._person_object(subject)
        return self._timed(
            subject, gloss_of(verb), Phrase((*person.glosses, *thing.glosses), f"{person.text} {thing.text}")
        )

    def _introduction(self) -> SentencePair:
        """``My name is Anna.``, ``Hello. My name is Anna.``"""
        owner, name = self.rng.choice(("MY", "MY", *POSSESSIVES)), self._name()
        if owner in ("OUR", "THEIR"):
            person = self.rng.choice([gloss for gloss in _words("person") if lexicon()[gloss].get("owned", True)])
            return _pair(
                (owner, person, *name.glosses), f"{owner.lower()} {lexicon()[person]['english']} is {name.text}."
            )
        pair = _pair((owner, "NAME", *name.glosses), f"{owner.lower()} name is {name.text}.")
        return SentencePair(("HELLO", *pair.glosses), f"Hello. {pair.text}") if self.rng.random() < 0.4 else pair

    def _request(self) -> SentencePair:
        """``Please help my mother.``"""
        verb = self.rng.choice(("help", "visit", "ask", "teach", "buy", "find", "wash", "read", "make", "cook"))
        thing = self._object(verb)
        return _pair(("PLEASE", gloss_of(verb), *thing.glosses), f"please {verb} {thing.text}.")

    def _yes_no(self) -> SentencePair:
        """``Do you like coffee?``, ``Did Anna read a book yesterday?``, ``Is your mother happy?``"""
        subject, rng = self._subject(), self.rng
        if rng.random() < 0.35:
            adjective = rng.choice(_words(*grammar()["people_are"]))
            return _pair(
                (*subject.glosses, adjective, "QUESTION"), f"{_is(subject)} {subject.text} {adjective.lower()}?"
            )
        if rng.random() < 0.5:
            verb, thing = self._verb_and_object(tuple(grammar()["states"]), subject)
            return _pair(
                (*subject.glosses, verb, *thing.glosses, "QUESTION"),
                f"{_does(subject)} {subject.text} {_base(verb)} {thing.text}?",
            )
        verb, thing = self._verb_and_object(
            ("buy", "eat", "drink", "find", "lose", "read", "meet", "visit", "help", "see", "forget"), subject
        )
        time = rng.choice(("YESTERDAY", "TOMORROW"))
        helper = "did" if time == "YESTERDAY" else "will"
        return _pair(
            (time, *subject.glosses, verb, *thing.glosses, "QUESTION"),
            f"{helper} {subject.text} {_base(verb)} {thing.text} {time.lower()}?",
        )

    def _wh(self) -> SentencePair:
        """``Where is my book?``, ``What do you want?``, ``When will Anna go to the store?``"""
        rng, subject = self.rng, self._subject()
        which = rng.choice(_words("question"))
        if which == "WHERE":
            thing = rng.choice(_words("thing", "person", "animal"))
            subject = self._owned(thing) if rng.random() < 0.7 else subject
            return _pair((*subject.glosses, which), f"where {_is(subject)} {subject.text}?")
        if which == "WHO":
            subject = self._owned(rng.choice(_words("person")))
            return _pair((*subject.glosses, which), f"who is {subject.text}?")
        if which == "WHAT":
            if rng.random() < 0.15:
                owner = rng.choice(POSSESSIVES)
                return _pair((owner, "NAME", which), f"what is {owner.lower()} name?")
            verb = gloss_of(
                rng.choice(
                    (
                        "eat",
                        "drink",
                        "cook",
                        "buy",
                        "want",
                        "need",
                        "like",
                        "see",
                        "read",
                        "write",
                        "learn",
                        "study",
                        "know",
                    )
                )
            )
            return _pair((*subject.glosses, verb, which), f"what {_does(subject)} {subject.text} {_base(verb)}?")
        if which == "WHEN":
            verb, place = gloss_of(rng.choice(grammar()["towards"])), rng.choice(_words("place"))
            return _pair(
                (*subject.glosses, verb, place, which), f"when will {subject.text} {_base(verb)} {_to(place)}?"
            )
        if which == "HOW":
            return _pair((*subject.glosses, which), f"how {_is(subject)} {subject.text}?")
        adjective = rng.choice(_words(*grammar()["people_feel"]))
        return _pair((*subject.glosses, adjective, which), f"why {_is(subject)} {subject.text} {adjective.lower()}?")

    def _ability(self) -> SentencePair:
        """``My brother can swim.``, ``Can you help my friend?``"""
        subject, rng = self._subject(), self.rng
        if rng.random() < 0.5:
            verb, what = (
                gloss_of(
                    rng.choice(
                        ("swim", "dance", "sing", "read", "write", "cook", "run", "walk", "drink", "eat", "work")
                    )
                ),
                Phrase((), ""),
            )
        else:
            verb, what = self._verb_and_object(
                ("help", "teach", "visit", "buy", "make", "cook", "find", "wash", "read", "see"), subject
            )
        rest = f" {what.text}" if what.text else ""
        if rng.random() < 0.4:
            return _pair(
                (*subject.glosses, "CAN", verb, *what.glosses, "QUESTION"), f"can {subject.text} {_base(verb)}{rest}?"
            )
        negated = rng.random() < 0.3
        glosses = (*subject.glosses, "CAN", *(("NOT",) if negated else ()), verb, *what.glosses)
        return _pair(glosses, f"{subject.text} {'cannot' if negated else 'can'} {_base(verb)}{rest}.")

    def _phrase(self) -> SentencePair:
        """``Thank you.``"""
        gloss = self.rng.choice(_words("phrase"))
        return SentencePair((gloss,), lexicon()[gloss]["english"])


def _pair(glosses: tuple[str, ...], text: str) -> SentencePair:
    return SentencePair(glosses, text[0].upper() + text[1:])


def _base(verb: str) -> str:
    return lexicon()[verb]["english"]


def _present(verb: str, subject: Phrase) -> str:
    return third_person(lexicon()[verb]) if subject.singular else _base(verb)


def _does(subject: Phrase) -> str:
    return "does" if subject.singular else "do"


def _is(subject: Phrase) -> str:
    return "is" if subject.singular else "am" if subject.text == "I" else "are"


def _was(subject: Phrase) -> str:
    return "was" if subject.singular or subject.text == "I" else "were"


def _to(place: str) -> str:
    return "home" if place == "HOME" else f"to the {lexicon()[place]['english']}"


def make_sentence(split: str, seed: int, index: int) -> SentencePair:
    """The sentence at a place in the endless list of a split."""
    split = split_name(split)
    rng = Random(f"{split}/{seed}/{index}")
    maker = SentenceMaker(rng, split)
    while True:
        pair = maker.draw()
        # every sentence with a name of the split belongs to it: thinned out, so that names are as frequent in all splits
        if split_of(pair) == split and (not _names_in(pair) or rng.uniform(0, 100) < SPLITS[split]):
            return pair


def sentences(split: str = "train", seed: int = 0) -> Iterator[SentencePair]:
    """Sentences of a split without end, the same for the same seed. Short ones may come again."""
    return (make_sentence(split, seed, index) for index in count())
