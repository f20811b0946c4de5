"""SignVideoProcessor: videos and text -> what a video-to-text model trains on and generates from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers.feature_extraction_utils import BatchFeature

from .feature_extraction_video import VideoFeatureExtractor
from .processing_pose import PoseProcessor


class SignVideoProcessor(PoseProcessor):
    """VideoFeatureExtractor and tokenizer in one; prompts, languages and labels are those of `PoseProcessor`.

    Args:
        feature_extractor: videos -> `pixel_values`, `attention_mask`.
        tokenizer: of the text model.
        prompt, language_codes: as of `PoseProcessor`.

    Example:
        processor = SignVideoProcessor(VideoFeatureExtractor(num_frames=None, fps=12.5), tokenizer)
        batch = processor(videos="hello.mp4", text="Hello!", return_tensors="pt")
        ids = model.generate(**processor(videos="hello.mp4", return_tensors="pt"))
    """

    feature_extractor: VideoFeatureExtractor  # type: ignore[assignment]

    def __init__(
        self,
        feature_extractor: VideoFeatureExtractor,
        tokenizer: Any,
        prompt: str | None = None,
        language_codes: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_extractor, tokenizer, prompt, language_codes, **kwargs)  # type: ignore[arg-type]

    def __call__(  # type: ignore[override]
        self, videos: Any = None, text: str | Sequence[str] | None = None, **kwargs: Any
    ) -> BatchFeature:
        """Model input for one clip or a list of clips.

        Args:
            videos: see `VideoFeatureExtractor.__call__`, as for fps, start_ms and end_ms.
            text, max_length, language, sign_language, return_tensors: see `PoseProcessor.__call__`.

        Returns:
            `pixel_values` (B, T, C, H, W), with frames at a fixed rate `attention_mask` (B, T); the rest as
            `PoseProcessor` gives it.
        """
        return super().__call__(videos, text, **kwargs)

    @property
    def model_input_names(self) -> list[str]:
        return ["pixel_values", "attention_mask"]


SignVideoProcessor.register_for_auto_class()
