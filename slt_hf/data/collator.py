"""Rows to model inputs: shard row, manifest row or joined clip -> clip -> augmentation -> processor -> batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from slt_hf.data.storage import decode_clip
from slt_hf.errors import ManifestError
from slt_hf.processing.hand_crops import with_hands, with_stored_hands
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_files import PoseClip
from slt_hf.processing.video_clip import VideoClip, to_video_clip

# What sizes and hands go by, besides the model's own landmarks
NORMALISED_BY = {
    *("left_shoulder", "right_shoulder", "left_wrist", "right_wrist"),
    *("left_hand_wrist", "right_hand_wrist", "left_hand_middle_mcp", "right_hand_middle_mcp"),
}

Augmentation = Callable[[Any, np.random.Generator], Any]  # a PoseClip to one, or a VideoClip to one


class SignCollator:
    """Turns a list of rows into one batch by calling the processor that use calls too, so the two cannot drift apart.

    A row is a shard row (`ShardDataset`, or plain `datasets`), a `Sample` or a dictionary of its fields with a `pose`
    or `video` path, a dictionary with a `clip`, or a row of `ReadyInputs`. Augmentation is drawn from (seed, epoch,
    index), the last two from the row: the same whatever the batch, the worker or the resume. Labels are the raw text
    through the processor's tokenizer, or `label_ids[row[label_column]]` for classification.

    Args:
        processor: a `PoseProcessor` or `SignVideoProcessor`, or its feature extractor where there is no text.
        augmentation: changes a clip before the processor sees it; None for evaluation.
        text_column: the reference text, or None for no text labels.
        label_column: the class of an isolated sign.
        label_ids: class number by label.
        seed: of the augmentation.

    Example:
        >>> collator = SignCollator(processor, text_column="text")  # doctest: +SKIP
        >>> model(**collator([dataset[0], dataset[1]])).loss  # doctest: +SKIP
    """

    def __init__(
        self,
        processor: Any,
        augmentation: Augmentation | None = None,
        text_column: str | None = "text",
        label_column: str | None = None,
        label_ids: Mapping[str, int] | None = None,
        seed: int = 0,
    ):
        self.processor, self.augmentation = processor, augmentation
        self.text_column = text_column if label_column is None else None
        self.label_column, self.label_ids = label_column, label_ids
        self.seed = seed

    def __call__(self, rows: Sequence[Any]) -> dict[str, Any]:
        """The batch: `pose_values` (B, T, V, C) or `pixel_values` (B, T, 3, H, W), `attention_mask` (B, T), with crops
        of hands `crop_values` and `crop_mask`, and `labels` (B, L) or (B,)."""
        rows = [as_mapping(row) for row in rows]
        texts = None if self.text_column is None else [filled(row, self.text_column) for row in rows]
        if "pose_values" in rows[0]:
            batch = self._ready(rows, texts)
        elif texts is None:
            batch = self.processor(self.clips(rows), return_tensors="pt")
        else:
            batch = self.processor(self.clips(rows), text=texts, return_tensors="pt")
        if self.label_column is not None:
            batch["labels"] = self._class_labels(rows)
        return dict(batch)

    def _ready(self, rows: Sequence[Mapping[str, Any]], texts: list[str] | None) -> dict[str, Any]:
        """Pad inputs that the processor has made before (`ReadyInputs`)."""
        import torch

        if self.augmentation is not None:
            raise ManifestError("expected clips to augment, found finished inputs; train from the shards themselves")
        arrays = [torch.from_numpy(row["pose_values"]) for row in rows]
        lengths = torch.tensor([len(array) for array in arrays])
        batch = {} if texts is None else dict(self.processor(text=texts, return_tensors="pt"))
        batch["pose_values"] = torch.nn.utils.rnn.pad_sequence(arrays, batch_first=True)
        batch["attention_mask"] = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
        return batch

    def clips(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The rows' clips as the processor takes them, augmented; with their hands where it makes crops of those."""
        extractor = getattr(self.processor, "feature_extractor", self.processor)
        clips: Any = (video_clip_of(row) for row in rows)
        if not sees_frames(extractor):
            # augmentation may turn hands in three dimensions
            num_axes = extractor.num_coordinates - 1 if self.augmentation is None else None
            clips = (clip_of(row, extractor.layout, num_axes) for row in rows)
            if extractor.hand_crop_size is not None:
                clips = (with_hands_of(row, clip) for row, clip in zip(rows, clips, strict=True))
        return [self._augmented(clip, row, place) for place, (clip, row) in enumerate(zip(clips, rows, strict=True))]

    def _augmented(self, clip: Any, row: Mapping[str, Any], place: int) -> Any:
        if self.augmentation is None:
            return clip
        rng = np.random.default_rng((self.seed, row.get("epoch") or 0, row.get("index", place)))
        return self.augmentation(clip, rng)

    def _class_labels(self, rows: list[Mapping[str, Any]]) -> Any:
        import torch

        assert self.label_column is not None
        labels = [filled(row, self.label_column) for row in rows]
        if self.label_ids is None:
            return torch.tensor([int(label) for label in labels])
        for row, label in zip(rows, labels, strict=True):
            if label not in self.label_ids:
                raise ManifestError(
                    f"row {row.get('id')}: expected one of the model's {len(self.label_ids)} labels, found {label!r} "
                    f"in column {self.label_column}; correct the row, or train with its label"
                )
        return torch.tensor([self.label_ids[label] for label in labels])


def sees_frames(processor: Any) -> bool:
    """Whether a processor or feature extractor reads frames rather than poses."""
    return processor.model_input_names[0] == "pixel_values"


def video_clip_of(row: Mapping[str, Any]) -> VideoClip:
    """The part of a video that a row names; its frames are read by the processor.

    Args:
        row: of a manifest or a Hub dataset (`Video(decode=False)`: bytes or a path), or with a `clip`.

    Raises:
        ManifestError: if it has none.
    """
    video = row.get("video") if row.get("clip") is None else row["clip"]
    video = bytes_of(video)
    if video is None:
        raise ManifestError(
            f"row {row.get('id')}: expected a video, found none{' but poses' if row.get('pose') else ''}; name its "
            "file in the column video, or use a checkpoint that reads poses"
        )
    fps = row.get("fps") if isinstance(video, np.ndarray) else None  # files know their own times
    return to_video_clip(video, fps, row.get("start_ms"), row.get("end_ms"))


def with_hands_of(row: Mapping[str, Any], clip: PoseClip, needed: bool = True) -> PoseClip:
    """A row's clip, which knows where its hands are to be seen: in the crops that were cut before (column `hands`), or
    in its video.

    Args:
        needed: a row with neither is an error; otherwise its clip comes back as it is.

    Raises:
        ManifestError: if the row has poses alone.
    """
    if row.get("hands") is not None:
        return with_stored_hands(clip, bytes_of(row["hands"]))
    video = row.get("video")
    if video is None and needed and clip.hands is None:
        raise ManifestError(
            f"row {row.get('id')}: expected poses and the video that they were found in, since crops of the hands are "
            "learned, found poses alone; name it in the column video, or train without hand_crop_width"
        )
    if video is None:
        return clip
    start, end = row.get("start_ms"), row.get("end_ms")
    return with_hands(clip, bytes_of(video), start, whole=end is None)


def bytes_of(value: Any) -> Any:
    """A column of a shard, a Hub data set or a manifest as bytes or a path."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    return value.to_pybytes() if isinstance(value, pa.Buffer) else value


def clip_of(row: Mapping[str, Any], layout: str | None = None, num_axes: int | None = None) -> PoseClip:
    """The clip a row holds or names.

    Args:
        row: of shards, of a manifest, or with a `clip`.
        layout: that the model reads: of a shard row only its landmarks are decoded, where that changes nothing.
        num_axes: that the model reads, likewise; None decodes all, as augmentation may want depth.

    Raises:
        ManifestError: if it has none.
        SignDataError: if its file cannot be read.
    """
    if row.get("clip") is not None:
        return row["clip"]
    pose = row.get("pose")
    if pose is not None and not isinstance(pose, str):
        return _decode_for(row, layout, num_axes)
    if pose is None:
        raise ManifestError(
            f"row {row.get('id')}: expected poses, found none{' but a video' if row.get('video') else ''}; "
            "run `slt-hf prepare` on the manifest first"
        )
    from slt_hf.poses.formats import read_clip

    times = {"start_ms": row.get("start_ms"), "end_ms": row.get("end_ms")}
    return read_clip(pose, layout=row.get("layout"), default_fps=row.get("fps"), **times)


def _decode_for(row: Mapping[str, Any], layout: str | None, num_axes: int | None) -> PoseClip:
    """The clip with no more landmarks than the model and its normalisation look at."""
    if layout is None or not NORMALISED_BY <= set(get_layout(layout).points):
        return decode_clip(row)
    clip = decode_clip(row, layout, num_axes)
    shoulders = [get_layout(layout).points.index(name) for name in ("left_shoulder", "right_shoulder")]
    seen = (clip.confidence[:, shoulders] > 0).all(-1).any()
    return clip if seen else decode_clip(row)  # without shoulders, sizes may be taken from all points there are


def as_mapping(row: Any) -> Mapping[str, Any]:
    if is_dataclass(row) and not isinstance(row, type):
        return {entry.name: getattr(row, entry.name) for entry in fields(row)}
    return row


def filled(row: Mapping[str, Any], column: str) -> Any:
    value = row.get(column)
    if value is None:
        raise ManifestError(f"row {row.get('id')}: expected {column}, found none; fill it or leave the row out")
    return value
