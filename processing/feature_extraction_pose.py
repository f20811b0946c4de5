"""PoseFeatureExtractor: poses in any form -> pose_values (B, T, V, C) and attention_mask (B, T)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin

from .landmarks import get_layout
from .pose_errors import ClipError, SignDataError
from .pose_inputs import PoseInput, per_clip, to_clip
from .pose_transforms import PoseSettings, prepare_clip

# B batch, T frames, V landmarks, C coordinates


class PoseFeatureExtractor(FeatureExtractionMixin):
    """Poses in any form -> `pose_values` (B, T, V, C) float32 and `attention_mask` (B, T) int64, 1 for real frames.

    The last coordinate is the confidence; a missing point is all zeros. Settings travel in `processor_config.json`.

    Args:
        layout, num_coordinates, fps, normalization, assign_hands, signing_hand, depth, max_gap_ms, max_frames:
            see `PoseSettings`.
        provenance: what made the training poses, such as {"extractor": "mediapipe", "version": "0.10.21"}; for readers
            of the checkpoint.
    """

    model_input_names = ["pose_values", "attention_mask"]

    def __init__(
        self,
        layout: str = "signing_85",
        num_coordinates: int = 3,
        fps: float = 25.0,
        normalization: str = "shoulders",
        assign_hands: bool = True,
        signing_hand: str | None = None,
        depth: str = "given",
        max_gap_ms: float = 0.0,
        max_frames: int | None = None,
        provenance: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("feature_extractor_type", None)  # written by to_dict, which dumps every attribute
        super().__init__(**kwargs)
        self.layout = layout
        self.num_coordinates = num_coordinates
        self.fps = float(fps)
        self.normalization = normalization
        self.assign_hands = assign_hands
        self.signing_hand = signing_hand
        self.depth = depth
        self.max_gap_ms = float(max_gap_ms)
        self.max_frames = max_frames
        self.provenance = dict(provenance or {})
        _ = self.settings  # checks them

    @property
    def settings(self) -> PoseSettings:
        return PoseSettings(**{field.name: getattr(self, field.name) for field in dataclasses.fields(PoseSettings)})

    @property
    def num_landmarks(self) -> int:
        return get_layout(self.layout).num_points

    def __call__(
        self,
        poses: PoseInput | Sequence[PoseInput],
        layout: str | Sequence[str] | None = None,
        fps: float | Sequence[float] | None = None,
        start_ms: float | Sequence[float | None] | None = None,
        end_ms: float | Sequence[float | None] | None = None,
        padding: bool | str = True,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Model input for one clip or a list of clips.

        Args:
            poses: one clip, or a list: .pose path, bytes or open file, PoseClip, pose_format.Pose, or array (T, V, C).
            layout, fps: of arrays; one for all clips or a list. `fps` also replaces a file's own frame rate.
            start_ms, end_ms: read only this range; one for all clips or a list, None for the clip's own start or end.
            padding: True pads to the longest clip with zeros; False returns lists of arrays.
            return_tensors: "pt", "np" or None (numpy arrays).

        Raises:
            SignDataError: for a clip that cannot be read or understood; says which and what to do.
        """
        clips = list(poses) if isinstance(poses, (list, tuple)) else [poses]
        if not clips:
            raise ClipError("expected at least one clip, found an empty list; pass one clip or a list of clips")
        options = zip(
            *(
                per_clip(value, len(clips), name)
                for name, value in (("layout", layout), ("fps", fps), ("start_ms", start_ms), ("end_ms", end_ms))
            ),
            strict=True,
        )
        settings = self.settings
        arrays = []
        for number, (clip, option) in enumerate(zip(clips, options, strict=True)):
            try:
                arrays.append(prepare_clip(to_clip(clip, *option), settings))
            except SignDataError as error:
                if len(clips) == 1:
                    raise
                raise type(error)(f"clip {number + 1} of {len(clips)}: {error}") from error
        if not padding or padding == "do_not_pad":
            masks = [np.ones(len(array), dtype=np.int64) for array in arrays]
            return BatchFeature({"pose_values": arrays, "attention_mask": masks}, tensor_type=return_tensors)
        return self.pad(arrays, return_tensors)

    @staticmethod
    def pad(arrays: Sequence[np.ndarray], return_tensors: str | None = None) -> BatchFeature:
        """Stack prepared clips (T, V, C) with zeros behind the shorter ones."""
        longest = max(map(len, arrays))
        values = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), dtype=np.float32)
        mask = np.zeros((len(arrays), longest), dtype=np.int64)
        for row, array in enumerate(arrays):
            values[row, : len(array)], mask[row, : len(array)] = array, 1
        return BatchFeature({"pose_values": values, "attention_mask": mask}, tensor_type=return_tensors)


PoseFeatureExtractor.register_for_auto_class()  # save_pretrained copies this code beside the weights
