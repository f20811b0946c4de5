"""The checkpoint's processor without transformers: poses to arrays, and tokens to text with `tokenizers`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.checkpoint import read_json, read_processor
from slt_hf.errors import ClipError, ExportError
from slt_hf.processing.pose_inputs import per_clip, to_clip
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip

TOKENIZER = "tokenizer.json"


class ExportProcessor:
    """Poses -> `pose_values` (B, T, V, C) and `attention_mask` (B, T) as arrays; tokens -> text.

    Same results as `PoseProcessor`; the export's gate compares the two.
    """

    def __init__(self, folder: Path):
        values = read_processor(folder)
        poses = values.get("feature_extractor", values)
        names = {field.name for field in dataclasses.fields(PoseSettings)}
        self.settings = PoseSettings(**{name: value for name, value in poses.items() if name in names})
        self.prompt = values.get("prompt")
        self.language_codes: dict[str, str] = values.get("language_codes") or {}
        self.tokenizer = read_tokenizer(folder) if (folder / TOKENIZER).is_file() else None
        self.padding, self.cleans_up = 0, False
        if self.tokenizer is not None:
            named = read_json(folder, "tokenizer_config.json")
            pad = named.get("pad_token")
            pad = pad.get("content") if isinstance(pad, dict) else pad
            self.padding = self.tokenizer.token_to_id(pad) if pad is not None else 0
            self.cleans_up = bool(named.get("clean_up_tokenization_spaces"))

    def __call__(
        self,
        poses: Any,
        layout: Any = None,
        fps: Any = None,
        start_ms: Any = None,
        end_ms: Any = None,
        language: str | None = None,
        sign_language: str | None = None,
        return_tensors: str | None = None,
    ) -> dict[str, Any]:
        """Arguments as of `PoseProcessor`; arrays whatever `return_tensors` says."""
        clips = list(poses) if isinstance(poses, list | tuple) else [poses]
        given = (("layout", layout), ("fps", fps), ("start_ms", start_ms), ("end_ms", end_ms))
        options = zip(*(per_clip(value, len(clips), name) for name, value in given), strict=True)
        arrays = [
            prepare_clip(to_clip(clip, *option), self.settings) for clip, option in zip(clips, options, strict=True)
        ]
        data: dict[str, Any] = pad(arrays)
        if self.prompt is not None:
            words = self.prompt.format(language=language or "text", sign_language=sign_language or "sign language")
            ids = self._tokenizer().encode(words, add_special_tokens=False).ids
            data["prompt_input_ids"] = np.tile(np.array(ids, np.int64), (len(clips), 1))
            data["prompt_attention_mask"] = np.ones_like(data["prompt_input_ids"])
        if self.language_codes and language is not None:
            data["forced_bos_token_id"] = self.language_token(language)
        return data

    def language_token(self, language: str) -> int:
        """Id of a language's code, which the text model writes first.

        Raises:
            ClipError: for a language without a code.
        """
        if language not in self.language_codes:
            raise ClipError(
                f"expected a language among {', '.join(self.language_codes)}, found {language}; pass language= as one "
                "of them"
            )
        return int(self._tokenizer().token_to_id(self.language_codes[language]))

    def batch_decode(self, tokens: Sequence[Sequence[int]], skip_special_tokens: bool = False) -> list[str]:
        texts = self._tokenizer().decode_batch([list(row) for row in tokens], skip_special_tokens=skip_special_tokens)
        return [clean_up(text) for text in texts] if self.cleans_up else texts

    def _tokenizer(self) -> Any:
        if self.tokenizer is None:
            raise ExportError(f"expected {TOKENIZER} in the export, found none; export the checkpoint again")
        return self.tokenizer


def read_tokenizer(folder: Path) -> Any:
    """Raises:
    ExportError: if the file is damaged.
    """
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # tokenizers raises Exception itself
        raise ExportError(f"{folder / TOKENIZER}: expected a tokenizer, found damage ({error}); export again") from error


def pad(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Stack prepared clips (T, V, C) with zeros behind the shorter ones."""
    longest = max(map(len, arrays))
    values = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), np.float32)
    mask = np.zeros((len(arrays), longest), np.int64)
    for row, array in enumerate(arrays):
        values[row, : len(array)], mask[row, : len(array)] = array, 1
    return {"pose_values": values, "attention_mask": mask}


def clean_up(text: str) -> str:
    """What transformers does where a tokenizer's config asks for it."""
    for before, after in (
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" 's", "'s"),
        (" 've", "'ve"), (" 're", "'re"),
    ):  # fmt: skip
        text = text.replace(before, after)
    return text
