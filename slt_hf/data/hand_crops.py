"""Crops of the hands beside prepared poses: cut once, so that no epoch decodes whole videos for small squares of them.

The column `hands` holds one small Motion JPEG file a clip, with a frame for each of its poses: the left hand's crop,
mirrored, and the right one's beside it. It is read by the code that reads any video.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from slt_hf.data.decoded_clips import motion_jpeg
from slt_hf.data.storage import SCHEMA
from slt_hf.errors import PreparationError
from slt_hf.processing.pose_clip import PoseClip

QUALITY = 3  # of the JPEGs, from 1 (best) to 31
BLOCK = 16  # pixels that JPEG gives one colour together: crops of a multiple do not colour each other
HANDS_SCHEMA = SCHEMA.append(pa.field("hands", pa.binary()))


def schema_of(hand_crops: int | None) -> pa.Schema:
    """Columns of shards with or without crops."""
    return SCHEMA if hand_crops is None else HANDS_SCHEMA


def check_crop_size(size: int) -> None:
    """Raises PreparationError for a size that cannot be stored well."""
    if size < BLOCK or size % BLOCK:
        raise PreparationError(
            f"hand_crops: expected a multiple of {BLOCK} pixels such as 48 or 64, as JPEG colours blocks of so many, "
            f"found {size}; models may be shown another size of them"
        )


def stored_hands(clip: PoseClip, size: int) -> bytes:
    """Crops of a clip that knows where its hands are to be seen, as a shard holds them.

    Raises:
        SignDataError: if its video cannot be read, or is not the poses' own.
    """
    assert clip.hands is not None
    crops, _ = clip.hands.cut(size)  # (T, 2, 3, P, P); what is not seen is black
    beside = np.ascontiguousarray(crops.transpose(0, 3, 1, 4, 2).reshape(len(crops), size, 2 * size, 3))
    return motion_jpeg(beside, 1000 * np.arange(len(crops)) / clip.fps, QUALITY)  # type: ignore[arg-type]
