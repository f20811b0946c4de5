"""VideoClip: a part of a video as its users name it; frames are read when model inputs are made of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np

from .pose_errors import ClipError, VideoError
from .video_frames import VideoBudget, read_picture
from .video_light import Light
from .video_reading import Fit, name_of, pace_times, read_video, sample_times

# T frames, H and W pixels, C channels

PICTURE_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM")
WEBP = b"WEBP"  # after eight bytes of its container


@dataclass(frozen=True)
class VideoClip:
    """A part of a video, or frames in memory.

    Attributes:
        source: path, bytes or open file of a video or picture, or frames (T, H, W, C).
        start_ms, end_ms: the part; None for the source's own beginning or end.
        fps: of frames in memory.
        seed: None reads the frames that evaluation reads; a number draws their places in time from it.
        box: left, top, right, bottom of what is looked at, as fractions of the picture; None for all of it.
        mirrored: left and right exchanged.
        light: None shows the pictures as they are.
        budget: what the source may cost; None for the default.
    """

    source: Any
    start_ms: float | None = None
    end_ms: float | None = None
    fps: float | None = None
    seed: int | None = None
    box: tuple[float, float, float, float] | None = None
    mirrored: bool = False
    light: Light | None = None
    budget: VideoBudget | None = None

    @property
    def name(self) -> str:
        """What to call the clip in messages."""
        return "array of frames" if isinstance(self.source, np.ndarray) else name_of(self.source)

    def read(
        self, num_frames: int | None, fps: float | None, max_frames: int | None, fit: Fit | None = None
    ) -> np.ndarray:
        """The frames (T, H, W, C), each passed through `fit` as it is read.

        Args:
            num_frames, fps, max_frames: as of `read_video`.

        Raises:
            VideoError, ClipError: if the source cannot be read.
        """
        if not isinstance(self.source, np.ndarray):
            part = (self.start_ms, self.end_ms)
            video = read_video(self.source, num_frames, *part, fps, self.budget, self.seed, fit, max_frames)
            return video.frames
        images = self.source[self._chosen(num_frames, fps, max_frames)]
        return images if fit is None else np.stack([fit(image) for image in images])

    def _chosen(self, num_frames: int | None, fps: float | None, max_frames: int | None) -> np.ndarray:
        """Numbers of the wanted frames of an array, which are as far apart as its `fps` says; without it, it is read
        frame by frame, as whoever made it chose."""
        available = len(self.source)
        rng = None if self.seed is None else np.random.default_rng(self.seed)
        if num_frames is None:
            found = np.arange(available)
            if fps is not None and self.fps is not None:
                found = pace_times(1000 * found / self.fps, fps, None, None, 0.0 if rng is None else rng.random())
            if max_frames is None or len(found) <= max_frames:
                return found
        count = num_frames or max_frames or 1
        places = np.full(count, 0.5) if rng is None else rng.random(count)
        return sample_times(np.arange(available, dtype=float), places, None, None)


def to_video_clip(
    source: Any, fps: float | None = None, start_ms: float | None = None, end_ms: float | None = None
) -> VideoClip:
    """A clip from whatever shows pictures: VideoClip, path, bytes, open file, PIL picture, array (T, H, W, C) or
    (H, W, C); a still picture is a clip of one frame.

    Raises:
        VideoError: for anything else, and for an address.
    """
    if isinstance(source, VideoClip):
        return source if start_ms is None and end_ms is None else replace(source, start_ms=start_ms, end_ms=end_ms)
    if isinstance(source, bytearray | memoryview):
        source = bytes(source)
    if isinstance(source, bytes) and (source.startswith(PICTURE_MAGIC) or source[8:12] == WEBP):
        source = _picture(source)
    if hasattr(source, "__array__") or hasattr(source, "__array_interface__"):
        return _cut(VideoClip(_frames(np.asarray(source)), fps=fps), start_ms, end_ms)
    if not isinstance(source, str | os.PathLike | bytes) and not hasattr(source, "read"):
        raise VideoError(
            f"expected a video's path, bytes, open file or array of frames, found {type(source).__name__}; pass one of "
            "these, or a list of them"
        )
    return VideoClip(source, start_ms, end_ms, fps)


def _picture(data: bytes) -> np.ndarray:
    try:
        return read_picture(BytesIO(data))
    except Exception as error:  # a damaged picture raises almost anything inside the decoder
        raise VideoError(f"picture of {len(data)} bytes: expected a readable one, found: {error}; skip it") from error


def _frames(array: np.ndarray) -> np.ndarray:
    """An array as frames (T, H, W, C): RGB uint8, or two channels of optical flow in pixels."""
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or array.shape[-1] not in (2, 3) or not array.size:
        raise VideoError(
            f"expected frames (T, H, W, 3), one picture (H, W, 3) or optical flow (T, H, W, 2), found {array.shape}; "
            "put channels last"
        )
    if array.shape[-1] == 3 and array.dtype != np.uint8:
        raise VideoError(f"expected RGB frames as uint8 from 0 to 255, found {array.dtype}; convert them")
    return array


def _cut(clip: VideoClip, start_ms: float | None, end_ms: float | None) -> VideoClip:
    if start_ms is None and end_ms is None:
        return clip
    if clip.fps is None:
        raise ClipError("an array of frames does not say how fast it runs: pass fps= to cut a part out of it")
    first = round((start_ms or 0.0) * clip.fps / 1000)
    last = len(clip.source) if end_ms is None else round(end_ms * clip.fps / 1000)
    if not 0 <= first < min(last, len(clip.source)):
        raise ClipError(f"expected frames from {start_ms or 0:g} ms to {end_ms} ms, found none; correct the times")
    return replace(clip, source=clip.source[first:last])
