"""The checkpoint's processor without transformers: poses to arrays, and tokens to text with `tokenizers`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.checkpoint import read_processor
from slt_hf.errors import ClipError, ExportError
from slt_hf.export.tokenizer import FILE, ExportTokenizer
from slt_hf.processing.pose_inputs import per_clip, to_clip
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip


class ExportProcessor:
    """Poses -> `pose_values` (B, T, V, C) and `attention_mask` (B, T) as arrays; tokens -> text.

    Same results as `PoseProcessor`; the export's gate compares the two.
    """

    model_input_names = ("pose_values", "attention_mask")

    def __init__(self, folder: Path):
        values = read_processor(folder)
        poses = values.get("feature_extractor", values)
        names = {field.name for field in dataclasses.fields(PoseSettings)}
        self.settings = PoseSettings(**{name: value for name, value in poses.items() if name in names})
        self.prompt = values.get("prompt")
        self.language_codes: dict[str, str] = values.get("language_codes") or {}
        self.tokenizer = ExportTokenizer(folder) if (folder / FILE).is_file() else None

    @property
    def feature_extractor(self) -> ExportProcessor:
        """What reads poses, with its `settings`: itself."""
        return self

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
            ids = self._tokenizer()(words, add_special_tokens=False)["input_ids"]
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
        return int(self._tokenizer().convert_tokens_to_ids(self.language_codes[language]))

    def batch_decode(self, tokens: Sequence[Sequence[int]], skip_special_tokens: bool = False) -> list[str]:
        tokenizer = self._tokenizer()
        return [tokenizer.decode(row, skip_special_tokens) for row in tokens]

    def _tokenizer(self) -> Any:
        if self.tokenizer is None:
            raise ExportError(f"expected {FILE} in the export, found none; export the checkpoint again")
        return self.tokenizer


def pad(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Stack prepared clips (T, V, C) with zeros behind the shorter ones."""
    longest = max(map(len, arrays))
    values = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), np.float32)
    mask = np.zeros((len(arrays), longest), np.int64)
    for row, array in enumerate(arrays):
        values[row, : len(array)], mask[row, : len(array)] = array, 1
    return {"pose_values": values, "attention_mask": mask}

