"""PoseProcessor: poses and text -> what a sign-to-text model trains on and generates from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .feature_extraction_pose import PoseFeatureExtractor
from .pose_errors import ClipError
from .pose_inputs import PoseInput

IGNORED = -100  # labels that the loss skips


class PoseProcessor(ProcessorMixin):
    """PoseFeatureExtractor and tokenizer in one; saved in `processor_config.json` beside the weights.

    Args:
        feature_extractor: poses -> `pose_values`, `attention_mask`.
        tokenizer: of the text model.

    Example:
        processor = PoseProcessor(PoseFeatureExtractor(), tokenizer)
        batch = processor(poses="hello.pose", text="Hello!", return_tensors="pt")   # pose_values, attention_mask, labels
        ids = model.generate(**processor(poses="hello.pose", return_tensors="pt"))
        processor.batch_decode(ids, skip_special_tokens=True)
    """

    feature_extractor: PoseFeatureExtractor

    def __init__(self, feature_extractor: PoseFeatureExtractor, tokenizer: Any, **kwargs: Any) -> None:
        super().__init__(feature_extractor, tokenizer, chat_template=kwargs.pop("chat_template", None))

    def __call__(  # type: ignore[override]
        self,
        poses: PoseInput | Sequence[PoseInput] | None = None,
        text: str | Sequence[str] | None = None,
        layout: str | Sequence[str] | None = None,
        fps: float | Sequence[float] | None = None,
        start_ms: float | Sequence[float | None] | None = None,
        end_ms: float | Sequence[float | None] | None = None,
        return_tensors: str | None = None,
        max_length: int | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Model input for one clip or a list of clips.

        Args:
            poses, layout, fps, start_ms, end_ms: see `PoseFeatureExtractor.__call__`.
            text: reference of each clip; gives `labels`, with pads as -100.
            return_tensors: "pt", "np" or None.
            max_length: cut labels to this many tokens; None cuts nothing.

        Returns:
            `pose_values` (B, T, V, C), `attention_mask` (B, T) and, with text, `labels` (B, L).
        """
        if poses is None and text is None:
            raise ClipError("expected poses, text or both, found neither; pass poses=")
        data: dict[str, Any] = {}
        if poses is not None:
            data |= self.feature_extractor(poses, layout, fps, start_ms, end_ms, **kwargs)
        if text is not None:
            data["labels"] = self._labels([text] if isinstance(text, str) else list(text), max_length)
            if poses is not None and len(data["labels"]) != len(data["pose_values"]):
                raise ClipError(
                    f"expected one text for each of {len(data['pose_values'])} clips, found {len(data['labels'])}; make the lists equally long"
                )
        return BatchFeature(data, tensor_type=return_tensors)

    def _labels(self, texts: list[str], max_length: int | None) -> np.ndarray:
        encoded = self.tokenizer(text_target=texts, max_length=max_length, truncation=max_length is not None)[
            "input_ids"
        ]
        labels = np.full((len(encoded), max(map(len, encoded), default=0)), IGNORED, dtype=np.int64)
        for row, ids in enumerate(encoded):
            labels[row, : len(ids)] = ids
        return labels

    @property
    def model_input_names(self) -> list[str]:
        return ["pose_values", "attention_mask"]


PoseProcessor.register_for_auto_class()
