"""VideoFeatureExtractor: videos in any form -> pixel_values (B, T, C, H, W), by PIL and numpy, without torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin

from .pose_errors import ClipError
from .pose_inputs import per_clip
from .video_clip import to_video_clip
from .video_pixels import VideoPixels

# B batch, T frames, C channels, H and W pixels


class VideoFeatureExtractor(VideoPixels, FeatureExtractionMixin):
    """Videos in any form -> `pixel_values` (B, T, C, H, W) float32; with frames at a fixed rate also `attention_mask`
    (B, T) int64, 1 for real frames. Settings travel in `processor_config.json`.

    Args:
        num_frames: so many frames, spread evenly over the clip; None reads `fps` frames a second.
        fps: frames a second without `num_frames`.
        max_frames: a clip with more of them is spread evenly over so many.
        image_size: side of the square that the model sees, pixels.
        short_side: scale the picture's shorter side (with `squash`, both) to this before the middle is cut out;
            `image_size` if left out.
        fit: `crop` the middle, `pad` to a square, or `squash` the whole picture into it.
        image_mean, image_std: of the normalisation, per channel of pixels in [0, 1].
        flow: read optical flow, arrays (T, H, W, 2) in pixels a frame, instead of pictures.
        provenance: what the training videos were, for readers of the checkpoint.

    Example:
        extractor = VideoFeatureExtractor(num_frames=16)
        model(**extractor("book.mp4", return_tensors="pt"))
    """

    model_input_names = ["pixel_values", "attention_mask"]

    def __init__(
        self,
        num_frames: int | None = 16,
        fps: float = 12.5,
        max_frames: int | None = 512,
        image_size: int = 224,
        short_side: int | None = None,
        fit: str = "crop",
        image_mean: Sequence[float] = (0.485, 0.456, 0.406),
        image_std: Sequence[float] = (0.229, 0.224, 0.225),
        flow: bool = False,
        provenance: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("feature_extractor_type", None)  # written by to_dict, which dumps every attribute
        FeatureExtractionMixin.__init__(self, **kwargs)
        VideoPixels.__init__(
            self, num_frames, fps, max_frames, image_size, short_side, fit, image_mean, image_std, flow
        )
        self.provenance = dict(provenance or {})

    def __call__(
        self,
        videos: Any,
        layout: None = None,
        fps: float | Sequence[float] | None = None,
        start_ms: float | Sequence[float | None] | None = None,
        end_ms: float | Sequence[float | None] | None = None,
        padding: bool = True,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Model input for one clip or a list of clips.

        Args:
            videos: one clip, or a list: path, bytes, open file, VideoClip, PIL picture, or array (T, H, W, C).
            layout: of poses; here so that every extractor is called alike.
            fps: of arrays, to cut a part out of them.
            start_ms, end_ms: read only this range; one for all clips or a list.
            padding: True pads to the longest clip with zeros; False returns lists of arrays.
            return_tensors: "pt", "np" or None (numpy arrays).

        Raises:
            SignDataError: for a clip that cannot be read; says which and what to do.
        """
        clips = list(videos) if isinstance(videos, list | tuple) else [videos]
        if not clips:
            raise ClipError("expected at least one clip, found an empty list; pass one clip or a list of clips")
        options = [per_clip(value, len(clips), name) for name, value in
                   (("fps", fps), ("start_ms", start_ms), ("end_ms", end_ms))]  # fmt: skip
        values = [self.pixels(to_video_clip(clip, *own)) for clip, *own in zip(clips, *options, strict=True)]
        if not padding:
            return BatchFeature({"pixel_values": values})
        return self.pad(values, return_tensors)

    def pad(self, values: Sequence[np.ndarray], return_tensors: str | None = None) -> BatchFeature:
        """A batch of clips (T, C, H, W), the shorter ones padded with zeros."""
        return BatchFeature(self.batch(values), tensor_type=return_tensors)


VideoFeatureExtractor.register_for_auto_class()
