"""A census of failures: repetition, outputs cut at the token limit, empties, one sentence for everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LONGEST_UNIT = 6  # words of a phrase that may repeat
REPEATS = 3  # back to back, to count as heavy: "very very" is language, "very very very" seldom
LOOPING_WORDS = 8  # from this length on …
LOOPING_SHARE = 0.5  # … fewer distinct bigrams than this share of all is looping, even if not back to back


@dataclass(frozen=True)
class Census:
    """Counts over N hypotheses; shares are count / items.

    Attributes:
        cut: stopped at the token limit; None if neither the limit nor a `truncated` column is known.
        most_frequent: (output, times) of the commonest outputs: a model that ignores its input says one thing always.
        mean_words, mean_reference_words: lengths in words.
    """

    items: int
    empty: int
    repetitive: int
    repetitive_references: int
    cut: int | None
    exact: int
    distinct: int
    most_frequent: list[tuple[str, int]]
    mean_words: float
    mean_reference_words: float


def take_census(
    hypotheses: Sequence[str],
    references: Sequence[str],
    truncated: Sequence[bool | None] = (),
    count_tokens: Callable[[str], int] | None = None,
    max_tokens: int | None = None,
) -> Census:
    """Count what went wrong.

    Args:
        truncated: flags of the generator, (N,) or empty.
        count_tokens, max_tokens: instead of flags: an output of `max_tokens` tokens or more was cut.
    """
    counts = Counter(hypothesis.strip() for hypothesis in hypotheses)
    commonest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]
    return Census(
        items=len(hypotheses),
        empty=sum(not hypothesis.strip() for hypothesis in hypotheses),
        repetitive=sum(is_repetitive(hypothesis) for hypothesis in hypotheses),
        repetitive_references=sum(is_repetitive(reference) for reference in references),
        cut=_cut(hypotheses, truncated, count_tokens, max_tokens),
        exact=sum(h.strip() == r.strip() for h, r in zip(hypotheses, references, strict=True)),
        distinct=len(counts),
        most_frequent=commonest,
        mean_words=_mean_words(hypotheses),
        mean_reference_words=_mean_words(references),
    )


def is_repetitive(text: str) -> bool:
    """Whether a phrase of 1 to 6 words stands three times back to back, or half of a longer text's bigrams are repeats.

    >>> is_repetitive("the man goes goes goes home"), is_repetitive("that that is is")
    (True, False)
    """
    words = text.casefold().split()
    for size in range(1, LONGEST_UNIT + 1):
        run = 1  # how often the phrase that ends here has stood back to back, in words beyond the first
        for index in range(size, len(words)):
            run = run + 1 if words[index] == words[index - size] else 1
            if run > size * (REPEATS - 1):
                return True
    bigrams = list(zip(words, words[1:], strict=False))
    return len(words) >= LOOPING_WORDS and len(set(bigrams)) < LOOPING_SHARE * len(bigrams)


def _cut(
    hypotheses: Sequence[str],
    truncated: Sequence[bool | None],
    count_tokens: Callable[[str], int] | None,
    max_tokens: int | None,
) -> int | None:
    if truncated:
        return sum(bool(flag) for flag in truncated)
    if count_tokens is None or max_tokens is None:
        return None
    return sum(count_tokens(hypothesis) >= max_tokens for hypothesis in hypotheses)


def _mean_words(texts: Sequence[str]) -> float:
    return sum(len(text.split()) for text in texts) / len(texts)
