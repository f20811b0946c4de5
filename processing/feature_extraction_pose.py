"""PoseFeatureExtractor: poses in any form -> pose_values (B, T, V, C) and attention_mask (B, T)."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin

from .hand_crops import with_hands
from .landmarks import get_layout
from .pose_clip import PoseClip, PoseWarning
from .pose_errors import ClipError, SignDataError
from .pose_inputs import PoseInput, per_clip, to_clip
from .pose_resampling import nearest_frames
from .pose_transforms import PoseSettings, is_mirrored, prepare_clip

# B batch, T frames, V landmarks, C coordinates, P pixels of a crop's side


class PoseFeatureExtractor(FeatureExtractionMixin):
    """Poses in any form -> `pose_values` (B, T, V, C) float32 and `attention_mask` (B, T) int64, 1 for real frames.

    The last coordinate is the confidence; a missing point is all zeros. Settings travel in `processor_config.json`.
    With `hand_crop_size`, clips that come with their video also give `crop_values` (B, T, 2, 3, P, P) uint8, left hand
    then right, at the times of `pose_values`, and `crop_mask` (B, T, 2) int64, 1 where a hand is seen.

    Args:
        layout, num_coordinates, fps, normalization, assign_hands, signing_hand, depth, max_gap_ms, max_frames:
            see `PoseSettings`.
        provenance: what made the training poses, such as {"extractor": "mediapipe", "version": "0.10.21"}; for readers
            of the checkpoint.
        hand_crop_size: P, for a model that looks at crops of the hands, too (`hand_crops.py`); None for poses alone.
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
        hand_crop_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("feature_extractor_type", None)  # written by to_dict, which dumps every attribute
        super().__init__(**kwargs)
        if hand_crop_size is not None and hand_crop_size < 8:  # the image encoder halves it three times
            raise ClipError(f"hand_crop_size: expected 8 or more pixels, or None, found {hand_crop_size}; correct it")
        self.hand_crop_size = hand_crop_size
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

    def to_dict(self) -> dict[str, Any]:
        """What is saved; without crops, the same as before there were any."""
        values = super().to_dict()
        if self.hand_crop_size is None:
            values.pop("hand_crop_size", None)
        return values

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
        video: Any = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Model input for one clip or a list of clips.

        Args:
            poses: one clip, or a list: .pose path, bytes or open file, PoseClip, pose_format.Pose, or array (T, V, C).
            layout, fps: of arrays; one for all clips or a list. `fps` also replaces a file's own frame rate.
            start_ms, end_ms: read only this range; one for all clips or a list, None for the clip's own start or end.
            padding: True pads to the longest clip with zeros; False returns lists of arrays.
            return_tensors: "pt", "np" or None (numpy arrays).
            video: of the same recording and from the same beginning as the poses, for `hand_crop_size`: path, bytes,
                open file, frames (T, H, W, 3) or VideoClip; a list for several clips, None for one without.

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
        videos = per_clip(video, len(clips), "video")
        settings = self.settings
        arrays, hands = [], []
        for number, (clip, option, shown) in enumerate(zip(clips, options, videos, strict=True)):
            try:
                read = self._with_video(to_clip(clip, *option), shown, *option[2:])
                arrays.append(prepare_clip(read, settings))
                hands.append(None if self.hand_crop_size is None else self.hand_crops(read, len(arrays[-1])))
            except SignDataError as error:
                if len(clips) == 1:
                    raise
                raise type(error)(f"clip {number + 1} of {len(clips)}: {error}") from error
        if not padding or padding == "do_not_pad":
            masks = [np.ones(len(array), dtype=np.int64) for array in arrays]
            data = {"pose_values": arrays, "attention_mask": masks} | self._batch_hands(hands, None)
            return BatchFeature(data, tensor_type=return_tensors)
        batch = self.pad(arrays, return_tensors)
        crops = self._batch_hands(hands, batch["pose_values"].shape[1])
        return BatchFeature({**batch, **crops}, tensor_type=return_tensors) if crops else batch

    def _with_video(self, clip: PoseClip, video: Any, start_ms: float | None, end_ms: float | None) -> PoseClip:
        if video is None:
            return clip
        if self.hand_crop_size is None:
            raise ClipError(
                f"{clip.name}: expected poses alone, since this checkpoint has no crops of hands, found a video beside "
                "them; leave video= out"
            )
        return with_hands(clip, video, start_ms, whole=end_ms is None)

    def hand_crops(self, clip: PoseClip, num_frames: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Crops (T, 2, 3, P, P) and where hands are seen (T, 2) for the `num_frames` frames that `prepare_clip` makes
        of a clip; None where the clip does not say where its hands are to be seen."""
        assert self.hand_crop_size is not None
        hands = clip.hands
        if hands is None:
            return None
        if len(hands) != clip.num_frames:
            raise ClipError(
                f"{clip.name}: expected pictures of the hands for {clip.num_frames} frames, found {len(hands)}; cut "
                "`clip.hands` as the clip was cut (`take`), or set it to None"
            )
        hands = hands.mirrored() if is_mirrored(clip, self.settings) else hands
        frames = nearest_frames(clip.num_frames, clip.fps, self.fps)[:num_frames]
        return hands.take(frames).cut(self.hand_crop_size)

    def _batch_hands(self, hands: Sequence[Any], longest: int | None) -> dict[str, Any]:
        """Crops of a batch, those of clips without video empty and masked; nothing where no clip has any.

        Args:
            longest: frames to pad to; None gives lists.
        """
        if self.hand_crop_size is None:
            return {}
        if any(own is None for own in hands):
            warnings.warn(
                "a checkpoint that looks at crops of the hands was given poses without their video: it goes by "
                "landmarks alone there; pass video=",
                PoseWarning,
                stacklevel=3,
            )
        if longest is None:
            return {"crop_values": [own and own[0] for own in hands], "crop_mask": [own and own[1] for own in hands]}
        if all(own is None for own in hands):
            return {}
        values = np.zeros((len(hands), longest, 2, 3, self.hand_crop_size, self.hand_crop_size), np.uint8)
        mask = np.zeros((len(hands), longest, 2), np.int64)
        for row, own in enumerate(hands):
            if own is not None:
                values[row, : len(own[0])], mask[row, : len(own[1])] = own
        return {"crop_values": values, "crop_mask": mask}

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
