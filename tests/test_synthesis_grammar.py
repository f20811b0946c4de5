"""Sentences of the synthetic signer: English, reversible, many, and kept apart by split."""

from __future__ import annotations

from itertools import islice

import pytest

from slt_hf.errors import SignDataError
from slt_hf.synthesis import LEXICON, SentencePair, glosses_of, make_sentence, sentences, split_of
from slt_hf.synthesis.english import past, plural, third_person, with_article
from slt_hf.synthesis.lexicon import LETTER_PREFIX
from slt_hf.synthesis.transfer import DROPPED, forms
from slt_hf.synthesis.vocabulary import SPLITS, grammar, names

COUNT = 1500


@pytest.fixture(scope="module")
def pairs() -> dict[str, list[SentencePair]]:
    return {split: list(islice(sentences(split, 7), COUNT)) for split in SPLITS}


def spelled(pair: SentencePair) -> list[str]:
    return [gloss for gloss in pair.glosses if gloss.startswith(LETTER_PREFIX)]


def test_english_gives_the_glosses_back(pairs: dict[str, list[SentencePair]]) -> None:
    for split in SPLITS:
        for pair in pairs[split]:
            assert tuple(glosses_of(pair.text)) == pair.glosses, pair.text


def test_glosses_determine_the_english(pairs: dict[str, list[SentencePair]]) -> None:
    texts: dict[tuple[str, ...], str] = {}
    for pair in (pair for split in SPLITS for pair in pairs[split]):
        assert texts.setdefault(pair.glosses, pair.text) == pair.text


def test_splits_share_neither_sentences_nor_names(pairs: dict[str, list[SentencePair]]) -> None:
    texts = {split: {pair.text for pair in pairs[split]} for split in SPLITS}
    named = {split: {name for pair in pairs[split] for name in spelled(pair)} for split in SPLITS}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not texts[one] & texts[other]
        assert not named[one] & named[other]
    assert all(split_of(pair) == split for split in SPLITS for pair in pairs[split])
    assert sum(len(names(split)) for split in SPLITS) == len(grammar()["names"].split())


def test_names_are_as_frequent_in_every_split(pairs: dict[str, list[SentencePair]]) -> None:
    shares = [sum(bool(spelled(pair)) for pair in pairs[split]) / COUNT for split in SPLITS]
    assert max(shares) - min(shares) < 0.06 and 0.12 < min(shares)


def test_sentences_hardly_repeat(pairs: dict[str, list[SentencePair]]) -> None:
    """A language of N sentences repeats about COUNT^2 / 2N times; this many different ones need far over 100,000."""
    assert len({pair.text for pair in pairs["train"]}) > 0.97 * COUNT


def test_every_sign_is_used(pairs: dict[str, list[SentencePair]]) -> None:
    used = {gloss for split in SPLITS for pair in pairs[split] for gloss in pair.glosses}
    assert len(set(LEXICON) - used) <= 4


def test_sentences_are_seeded_and_can_be_entered_anywhere() -> None:
    drawn = list(islice(sentences("test", 3), 5))
    assert drawn == list(islice(sentences("test", 3), 5))
    assert drawn[4] == make_sentence("test", 3, 4) == make_sentence("test", 3, 4)
    assert make_sentence("dev", 3, 4) == make_sentence("validation", 3, 4)
    assert drawn != list(islice(sentences("test", 4), 5))


def test_sentences_look_like_sentences(pairs: dict[str, list[SentencePair]]) -> None:
    for pair in pairs["train"]:
        assert pair.text[0].isupper() and pair.text[-1] in ".?" and "  " not in pair.text
        assert (pair.text[-1] == "?") == (
            pair.glosses[-1] in ("QUESTION", "WHO", "WHAT", "WHERE", "WHEN", "WHY", "HOW")
        )


@pytest.mark.parametrize(
    ("text", "glosses"),
    [
        ("i love my sister", "I LOVE MY SISTER"),
        ("Yesterday my father bought two red apples.", "YESTERDAY MY FATHER BUY TWO APPLE RED"),
        ("Did Anna read a book yesterday?", "YESTERDAY fs:ANNA READ BOOK QUESTION"),
        ("Where is your new car?", "YOUR CAR NEW WHERE"),
        ("Can you help us?", "YOU CAN HELP WE QUESTION"),
        ("They don't like wine.", "THEY NOT LIKE WINE"),
        ("My brother cannot swim.", "MY BROTHER CAN NOT SWIM"),
        ("Hello. My name is José!", "HELLO MY NAME fs:JOSE"),
        ("I eat 3 cookies every day.", "EVERY-DAY I EAT THREE COOKIE"),
        ("Thank you.", "THANK-YOU"),
        ("My robot sleeps", "MY fs:ROBOT SLEEP"),
    ],
)
def test_text_to_glosses(text: str, glosses: str) -> None:
    assert glosses_of(text) == glosses.split()


def test_english_forms() -> None:
    assert [plural(LEXICON[word]) for word in ("BOOK", "CHURCH", "MAN", "BREAD")] == [
        "books",
        "churches",
        "men",
        "bread",
    ]
    assert [third_person(LEXICON[word]) for word in ("GO", "HAVE", "CRY", "BUY")] == ["goes", "has", "cries", "buys"]
    assert [past(LEXICON[word]) for word in ("GO", "LIKE", "HELP", "STOP")] == ["went", "liked", "helped", "stopped"]
    assert (with_article("apple"), with_article("red apple")) == ("an apple", "a red apple")


def test_no_name_is_a_word() -> None:
    assert not {name.lower() for name in grammar()["names"].split()} & (set(forms()) | DROPPED)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(SignDataError, match="expected a split among train, validation, test, found 'eval'"):
        make_sentence("eval", 0, 0)


@pytest.mark.slow
def test_there_are_more_than_a_hundred_thousand_sentences() -> None:
    assert len({pair.text for pair in islice(sentences("train", 11), 180_000)}) > 100_000
