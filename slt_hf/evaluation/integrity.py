"""Are the references what people wrote? Raw text against what is left after a tokenizer.

A trimmed vocabulary silently deletes characters; scored against references that went through it, a model looks better
than it is (by about 2 BLEU in one popular code base).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slt_hf.errors import EvaluationError


@dataclass(frozen=True)
class Integrity:
    """Raw references against decode(encode(reference)).

    Attributes:
        changed: references that differ; changed_text: those that differ beyond white space.
        with_unknown: references with an unknown token.
        lost: (character, times) that decoding does not give back, most frequent first.
        examples: (raw, decoded) pairs that differ beyond white space.
    """

    items: int
    changed: int
    changed_text: int
    with_unknown: int
    lost: list[tuple[str, int]]
    examples: list[tuple[str, str]]
    decoded: list[str]


class RoundTrip:
    """The few things this module needs of a tokenizer, by transformers if it is there, else by `tokenizers` alone."""

    def __init__(
        self, encode: Callable[[str], list[int]], decode: Callable[[list[int]], str], unknown: int | None
    ) -> None:
        self.encode = encode
        self.decode = decode
        self.unknown = unknown

    def count_tokens(self, text: str) -> int:
        return len(self.encode(text))


def load_tokenizer(source: str) -> RoundTrip:
    """A tokenizer from a Hub id, a folder, or a `tokenizer.json`.

    Raises:
        EvaluationError: if there is none.
    """
    if Path(source).name == "tokenizer.json":
        return _from_file(Path(source))
    try:
        from transformers import AutoTokenizer
    except ImportError:
        return _from_file(Path(source) / "tokenizer.json")
    try:
        return wrap(AutoTokenizer.from_pretrained(source))
    except (OSError, ValueError) as error:
        raise EvaluationError(
            f"expected a tokenizer at {source}, found none ({error}); give a folder or Hub id that has one"
        ) from error


def wrap(tokenizer: Any) -> RoundTrip:
    """A tokenizer of transformers, encoding as for labels: with its special tokens, which decoding skips."""

    def decode(ids: list[int]) -> str:
        # Cleaning up would move blanks before punctuation and so change references by itself.
        return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    return RoundTrip(lambda text: tokenizer(text)["input_ids"], decode, tokenizer.unk_token_id)


def _from_file(path: Path) -> RoundTrip:
    from tokenizers import Tokenizer

    if not path.is_file():
        raise EvaluationError(
            f"expected a tokenizer at {path}, found nothing; give the folder that holds tokenizer.json"
        )
    tokenizer = Tokenizer.from_file(str(path))
    unknown = getattr(tokenizer.model, "unk_token", None)
    unknown_id = tokenizer.token_to_id(unknown) if unknown else None
    return RoundTrip(lambda text: tokenizer.encode(text).ids, tokenizer.decode, unknown_id)


def check_integrity(references: Sequence[str], tokenizer: RoundTrip) -> Integrity:
    """Send every reference through the tokenizer and back."""
    encoded = [tokenizer.encode(reference) for reference in references]
    decoded = [tokenizer.decode(ids) for ids in encoded]
    pairs = list(zip(references, decoded, strict=True))
    damaged = [(raw, back) for raw, back in pairs if raw.split() != back.split()]
    lost: Counter[str] = Counter()
    for raw, back in damaged:
        lost += Counter(raw) - Counter(back)
    return Integrity(
        items=len(references),
        changed=sum(raw != back for raw, back in pairs),
        changed_text=len(damaged),
        with_unknown=sum(tokenizer.unknown in ids for ids in encoded) if tokenizer.unknown is not None else 0,
        lost=sorted(lost.items(), key=lambda item: (-item[1], item[0]))[:20],
        examples=damaged[:5],
        decoded=decoded,
    )
