"""The checkpoint's processor without transformers: clips to arrays, and tokens to text with `tokenizers`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.checkpoint import read_processor
from slt_hf.errors import ClipError, ExportError
from slt_hf.export.tokenizer import FILE, ExportTokenizer
from slt_hf.processing.pose_inputs import per_clip, to_clip
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip


class PoseArrays:
    """Poses -> `pose_values` (B, T, V, C) and `attention_mask` (B, T), as `PoseFeatureExtractor` makes them."""

    names = ("pose_values", "attention_mask")

    def __init__(self, values: dict[str, Any]):
        known = {field.name for field in dataclasses.fields(PoseSettings)}
        self.settings = PoseSettings(**{name: value for name, value in values.items() if name in known})

    def __call__(self, clip: Any, layout: Any, *how: Any) -> np.ndarray:
        return prepare_clip(to_clip(clip, layout, *how), self.settings)

    def batch(self, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return pad(arrays)


class VideoArrays:
    """Videos -> `pixel_values` (B, T, C, H, W), with a mask where lengths differ, as `VideoFeatureExtractor` does.

    What reads videos is imported here: a model of poses answers sooner without it.
    """

    names = ("pixel_values", "attention_mask")

    def __init__(self, values: dict[str, Any]):
        from slt_hf.processing.video_pixels import VideoPixels

        known = inspect.signature(VideoPixels).parameters
        self.settings = VideoPixels(**{name: value for name, value in values.items() if name in known})

    def __call__(self, clip: Any, layout: None, *how: Any) -> np.ndarray:
        from slt_hf.processing.video_clip import to_video_clip

        return self.settings.pixels(to_video_clip(clip, *how))

    def batch(self, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return self.settings.batch(arrays)


class ExportProcessor:
    """Clips -> the model's inputs as arrays; tokens -> text.

    Same results as `PoseProcessor` and `SignVideoProcessor`; the export's gate compares them.
    """

    def __init__(self, folder: Path):
        values = read_processor(folder)
        reads = values.get("feature_extractor", values)
        video = reads.get("feature_extractor_type") == "VideoFeatureExtractor"
        self.reader: PoseArrays | VideoArrays = VideoArrays(reads) if video else PoseArrays(reads)
        self.settings: Any = self.reader.settings
        self.model_input_names = self.reader.names
        self.prompt = values.get("prompt")
        self.language_codes: dict[str, str] = values.get("language_codes") or {}
        self.tokenizer = ExportTokenizer(folder) if (folder / FILE).is_file() else None

    @property
    def feature_extractor(self) -> ExportProcessor:
        """What reads clips, with its `settings`: itself."""
        return self

    @property
    def fps(self) -> float:
        """Of the model's input."""
        return self.settings.fps

    def __call__(
        self,
        clips: Any,
        layout: Any = None,
        fps: Any = None,
        start_ms: Any = None,
        end_ms: Any = None,
        language: str | None = None,
        sign_language: str | None = None,
        return_tensors: str | None = None,
    ) -> dict[str, Any]:
        """Arguments as of `PoseProcessor`; arrays whatever `return_tensors` says."""
        clips = list(clips) if isinstance(clips, list | tuple) else [clips]
        given = (("layout", layout), ("fps", fps), ("start_ms", start_ms), ("end_ms", end_ms))
        options = zip(*(per_clip(value, len(clips), name) for name, value in given), strict=True)
        arrays = [self.reader(clip, *option) for clip, option in zip(clips, options, strict=True)]
        data: dict[str, Any] = self.reader.batch(arrays)
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
            ClipError: for a language without a code, or with one that the tokenizer does not have.
        """
        if language not in self.language_codes:
            raise ClipError(
                f"expected a language among {', '.join(self.language_codes)}, found {language}; pass language= as one "
                "of them"
            )
        code, tokenizer = self.language_codes[language], self._tokenizer()
        token = tokenizer.convert_tokens_to_ids(code)
        if token is None or token == tokenizer.unk_token_id:
            raise ClipError(f"expected a code in language_codes that {FILE} has, found {code!r}; correct it there")
        return int(token)

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
