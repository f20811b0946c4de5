"""The sentence patterns of the grammar: each yields glosses and the English that follows from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from slt_hf.synthesis.english import past, third_person
from slt_hf.synthesis.lexicon import gloss_of, lexicon
from slt_hf.synthesis.noun_phrases import POSSESSIVES, Phrase, PhraseMaker
from slt_hf.synthesis.vocabulary import grammar, words


@dataclass(frozen=True)
class SentencePair:
    """A sentence as glosses and in English."""

    glosses: tuple[str, ...]
    text: str


class SentenceMaker(PhraseMaker):
    """Draws sentences; each ``_method`` is one pattern."""

    def __init__(self, rng: Random, split: str) -> None:
        super().__init__(rng, split)
        self.patterns: dict[Callable[[], SentencePair], int] = {
            self._state: 20, self._event: 22, self._habit: 14, self._place: 8, self._description: 12, self._passing: 6,
            self._introduction: 4, self._request: 3, self._yes_no: 10, self._wh: 10, self._ability: 4, self._phrase: 1,
        }  # fmt: skip

    def draw(self) -> SentencePair:
        """One sentence of any split's form; its names are from the maker's split."""
        pattern = self.rng.choices(tuple(self.patterns), tuple(self.patterns.values()))[0]
        return pattern()

    def _state(self) -> SentencePair:
        """``My sister likes coffee.``, ``I do not need a car.``"""
        subject = self.subject()
        verb, thing = self.verb_and_object(tuple(grammar()["states"]), subject)
        if self.rng.random() < 0.08:
            adjective = self.rng.choice(words(*grammar()["people_feel"]))
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
        subject, (verb, what) = self.subject(), ("", Phrase((), ""))
        if self.rng.random() < 0.3:
            verb = gloss_of(self.rng.choice(grammar()["alone"]))
        else:
            events = tuple(
                verb for verb in grammar()["objects"] if verb not in ("have", "know", "understand", "like", "love")
            )
            verb, what = self.verb_and_object(events, subject)
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
        subject, rng = self.subject(), self.rng
        if rng.random() < 0.35:
            verb, what = gloss_of(rng.choice(grammar()["alone"])), Phrase((), "")
        else:
            verb, what = self.verb_and_object(
                ("eat", "drink", "cook", "read", "write", "wash", "help", "visit", "make", "buy"), subject
            )
        rest = f" {what.text}" if what.text else ""
        if rng.random() < 0.5:
            adverb = rng.choice(words("adverb"))
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
        verb, place = gloss_of(self.rng.choice(grammar()["towards"])), self.rng.choice(words("place"))
        return self._timed(self.subject(), verb, Phrase((place,), _to(place)))

    def _description(self) -> SentencePair:
        """``My mother is happy.``, ``The blue car is new.``-like, with and without a time."""
        rng = self.rng
        if rng.random() < 0.65:
            subject, key = self.subject(with_animals=True), "people_are"
            key = key if subject.is_person else "animals_are"
        else:
            gloss = rng.choice((*words("thing", "food", "drink", "place"),))
            kind = lexicon()[gloss]["kind"]
            subject = self.owned("HOUSE" if gloss == "HOME" else gloss)
            key = "food_is" if kind in ("food", "drink") else "things_are"
        adjective = rng.choice(words(*grammar()[key]))
        time = rng.choice(("", "", "YESTERDAY", "TODAY", "TOMORROW")) if subject.is_person else ""
        adverb = "" if time or rng.random() < 0.8 else rng.choice(words("adverb"))
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
        spoken = [time.lower(), subject.text, be, adverb.lower(), adjective.lower()]
        return _pair(glosses, " ".join(filter(None, spoken)) + ".")

    def _passing(self) -> SentencePair:
        """``Yesterday I gave my mother a book.``"""
        verb = self.rng.choice(tuple(grammar()["passing"]))
        thing = self.thing(self.rng.choice(words(*grammar()["passing"][verb])))
        subject = self.subject()
        person = self.person_object(subject)
        while person.glosses[-1] in subject.glosses:
            person = self.person_object(subject)
        return self._timed(
            subject, gloss_of(verb), Phrase((*person.glosses, *thing.glosses), f"{person.text} {thing.text}")
        )

    def _introduction(self) -> SentencePair:
        """``My name is Anna.``, ``Hello. My name is Anna.``"""
        owner, name = self.rng.choice(("MY", "MY", *POSSESSIVES)), self.name()
        if owner in ("OUR", "THEIR"):
            person = self.rng.choice([gloss for gloss in words("person") if lexicon()[gloss].get("owned", True)])
            return _pair(
                (owner, person, *name.glosses), f"{owner.lower()} {lexicon()[person]['english']} is {name.text}."
            )
        pair = _pair((owner, "NAME", *name.glosses), f"{owner.lower()} name is {name.text}.")
        return SentencePair(("HELLO", *pair.glosses), f"Hello. {pair.text}") if self.rng.random() < 0.4 else pair

    def _request(self) -> SentencePair:
        """``Please help my mother.``"""
        verb = self.rng.choice(("help", "visit", "ask", "teach", "buy", "find", "wash", "read", "make", "cook"))
        thing = self.object(verb)
        return _pair(("PLEASE", gloss_of(verb), *thing.glosses), f"please {verb} {thing.text}.")

    def _yes_no(self) -> SentencePair:
        """``Do you like coffee?``, ``Did Anna read a book yesterday?``, ``Is your mother happy?``"""
        subject, rng = self.subject(), self.rng
        if rng.random() < 0.35:
            adjective = rng.choice(words(*grammar()["people_are"]))
            return _pair(
                (*subject.glosses, adjective, "QUESTION"), f"{_is(subject)} {subject.text} {adjective.lower()}?"
            )
        if rng.random() < 0.5:
            verb, thing = self.verb_and_object(tuple(grammar()["states"]), subject)
            return _pair(
                (*subject.glosses, verb, *thing.glosses, "QUESTION"),
                f"{_does(subject)} {subject.text} {_base(verb)} {thing.text}?",
            )
        verb, thing = self.verb_and_object(
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
        rng, subject = self.rng, self.subject()
        which = rng.choice(words("question"))
        if which == "WHERE":
            thing = rng.choice(words("thing", "person", "animal"))
            subject = self.owned(thing) if rng.random() < 0.7 else subject
            return _pair((*subject.glosses, which), f"where {_is(subject)} {subject.text}?")
        if which == "WHO":
            subject = self.owned(rng.choice(words("person")))
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
            verb, place = gloss_of(rng.choice(grammar()["towards"])), rng.choice(words("place"))
            return _pair(
                (*subject.glosses, verb, place, which), f"when will {subject.text} {_base(verb)} {_to(place)}?"
            )
        if which == "HOW":
            return _pair((*subject.glosses, which), f"how {_is(subject)} {subject.text}?")
        adjective = rng.choice(words(*grammar()["people_feel"]))
        return _pair((*subject.glosses, adjective, which), f"why {_is(subject)} {subject.text} {adjective.lower()}?")

    def _ability(self) -> SentencePair:
        """``My brother can swim.``, ``Can you help my friend?``"""
        subject, rng = self.subject(), self.rng
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
            verb, what = self.verb_and_object(
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
        gloss = self.rng.choice(words("phrase"))
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
