"""Reduced BLEU: BLEU without the most frequent function words, so that content is told from fluency.

Derivation of the word list, the same for every language:

1. count the words of the training text (of the references, if no training text is given), case folded;
2. take the most frequent words until they make up half of all running words: a handful of types;
3. of these keep the closed classes (articles, pronouns, prepositions, conjunctions, auxiliaries, question words) where
   `CLOSED_CLASSES` knows the language: "rain" may be as frequent as "the" in weather reports, and is still content.

Punctuation goes too. The report prints the list.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

COVERAGE = 0.5  # of running words

# Written for this package from the closed word classes of each language's grammar.
CLOSED_CLASSES: dict[str, frozenset[str]] = {
    "en": frozenset(
        """a an the this that these those i me my mine myself you your yours yourself he him his himself she
        her hers herself it its itself we us our ours ourselves they them their theirs themselves one ones
        who whom whose which what where when why how and or but nor so yet if then than because while
        although though until unless since as of in on at by for with from to into onto over under about
        above below after before between through during against around up down out off near across along
        behind beside without within be am is are was were been being have has had having do does did doing
        will would shall should can could may might must not no n't 's 'm 're 've 'll 'd there here some any
        each every all both just very too also only""".split()
    ),
    "de": frozenset(
        """der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner ich du er
        sie es wir ihr mich dich ihn uns euch mir dir ihm ihnen mein dein sein unser euer sich dieser diese
        dieses diesen diesem jeder jede jedes wer was wo wann warum wie welche welcher und oder aber denn
        sondern dass weil wenn als ob damit in im an am auf aus bei beim mit nach von vom vor zu zum zur für
        über unter zwischen durch gegen ohne um bis seit ins bin bist ist sind seid war waren wird werden
        wurde wurden habe hast hat haben hatte hatten kann können muss müssen soll sollen will wollen darf
        nicht auch noch schon nur sehr so da dort hier dann man""".split()
    ),
}  # fmt: skip


def words(text: str) -> list[str]:
    """Words at white space without the punctuation around them, case kept; for every script that spaces its words."""
    stripped = (_strip_punctuation(word) for word in text.split())
    return [word for word in stripped if word]


def _strip_punctuation(word: str) -> str:
    """Punctuation and symbols off both ends; not by `\\w`, which cuts Devanagari and Thai at their vowel signs."""
    kept = [index for index, character in enumerate(word) if unicodedata.category(character)[0] not in "PS"]
    return word[kept[0] : kept[-1] + 1] if kept else ""


def function_words(texts: Iterable[str], language: str | None = None) -> list[str]:
    """The list that the derivation above gives, most frequent first.

    Args:
        texts: training sentences, or references where there are none.
        language: two-letter code; step 3 is left out for a language without closed classes here.
    """
    counts = Counter(word.casefold() for text in texts for word in words(text))
    ranking = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    half, covered, frequent = COVERAGE * sum(counts.values()), 0, []
    for word, count in ranking:
        if covered >= half:
            break
        frequent.append(word)
        covered += count
    closed = CLOSED_CLASSES.get(language or "")
    return [word for word in frequent if closed is None or word in closed]


def without(texts: Sequence[str], removed: Collection[str]) -> list[str]:
    """The texts' other words, joined by blanks."""
    removed = frozenset(removed)
    return [" ".join(word for word in words(text) if word.casefold() not in removed) for text in texts]
