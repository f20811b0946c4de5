"""The few things of a checkpoint's tokenizer that an export needs, from `tokenizers` alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slt_hf.checkpoint import read_json
from slt_hf.errors import ExportError

FILE = "tokenizer.json"


class ExportTokenizer:
    """Text to ids and back, under the names that transformers' tokenizers have.

    Raises:
        ExportError: if the file is damaged.
    """

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer

        path = folder / FILE
        try:
            self.tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises Exception itself
            raise ExportError(f"{path}: expected a tokenizer, found damage ({error}); export it again") from error
        self.settings = read_json(folder, "tokenizer_config.json")
        self.pad_token_id, self.eos_token_id, self.unk_token_id = map(self._special, ("pad", "eos", "unk"))

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": self.tokenizer.encode(text, add_special_tokens=add_special_tokens).ids}

    def convert_tokens_to_ids(self, token: str) -> int | None:
        return self.tokenizer.token_to_id(token)

    def decode(
        self, ids: Sequence[int], skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        text = self.tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        cleans = clean_up_tokenization_spaces
        if cleans is None:
            cleans = bool(self.settings.get("clean_up_tokenization_spaces"))
        return clean_up(text) if cleans else text

    def _special(self, name: str) -> int | None:
        token = self.settings.get(f"{name}_token")
        token = token.get("content") if isinstance(token, dict) else token
        return None if token is None else self.tokenizer.token_to_id(token)


def clean_up(text: str) -> str:
    """What transformers does where a tokenizer's config asks for it."""
    for before, after in (
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" 's", "'s"),
        (" 've", "'ve"), (" 're", "'re"),
    ):  # fmt: skip
        text = text.replace(before, after)
    return text
