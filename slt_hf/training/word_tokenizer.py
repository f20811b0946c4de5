"""A small tokenizer for small vocabularies: whole words where they are common, single characters everywhere else.

What has to be spelled, such as a name that no training sentence held, is spelled character by character, and what is
decoded is exactly what was encoded, spaces and punctuation included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from string import ascii_letters, digits
from typing import Any

SPECIAL = ["<pad>", "</s>", "<unk>"]  # 0, 1, 2 as in T5
SPACE = "▁"  # begins each word, as in SentencePiece
PUNCTUATION = ".,?!'-:;"


def train_word_tokenizer(texts: Iterable[str], min_count: int = 5, spelled: Iterable[str] = ()) -> Any:
    """A transformers tokenizer with the words of `texts` and every letter, digit and common punctuation mark.

    Args:
        texts: sentences to take words from.
        min_count: words that are rarer are spelled.
        spelled: words that are spelled however common they are.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    before = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always"), pre_tokenizers.Punctuation("isolated")]
    )
    counts = Counter(piece for text in texts for piece, _ in before.pre_tokenize_str(text))
    never = {SPACE + word for word in spelled}
    words = sorted(piece for piece, count in counts.items() if count >= min_count and piece not in never)
    pieces = dict.fromkeys([*SPECIAL, SPACE, *ascii_letters, *digits, *PUNCTUATION, *words])
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    # longest match first, without a prefix for what continues a word
    model = models.WordPiece(vocabulary, unk_token="<unk>", continuing_subword_prefix="", max_input_chars_per_word=64)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = before
    tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
