"""How many outputs are training sentences word for word: memory, not translation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slt_hf.evaluation.reduced import words


@dataclass(frozen=True)
class Overlap:
    """Counts over N items; "loosely" ignores case, punctuation and white space.

    Attributes:
        hypotheses, hypotheses_loosely: outputs that are a training sentence.
        memorised: of these (loosely), the ones that are not the reference.
        references_loosely: references that are a training sentence: what a test set gives away.
    """

    items: int
    training_sentences: int
    hypotheses: int
    hypotheses_loosely: int
    memorised: int
    references_loosely: int


def loosely(text: str) -> str:
    return " ".join(words(text)).casefold()


def training_overlap(hypotheses: Sequence[str], references: Sequence[str], training: Iterable[str]) -> Overlap:
    """Compare outputs and references with the training sentences. Empty outputs are not counted as overlap."""
    exact = {sentence.strip() for sentence in training}
    loose = {loosely(sentence) for sentence in exact} - {""}
    from_training = [loosely(hypothesis) in loose for hypothesis in hypotheses]
    wrong = [loosely(h) != loosely(r) for h, r in zip(hypotheses, references, strict=True)]
    return Overlap(
        items=len(hypotheses),
        training_sentences=len(exact),
        hypotheses=sum(bool(hypothesis.strip()) and hypothesis.strip() in exact for hypothesis in hypotheses),
        hypotheses_loosely=sum(from_training),
        memorised=sum(copied and differs for copied, differs in zip(from_training, wrong, strict=True)),
        references_loosely=sum(seen_in_training(references, loose)),
    )


def seen_in_training(references: Sequence[str], loose: set[str]) -> list[bool]:
    return [loosely(reference) in loose for reference in references]
