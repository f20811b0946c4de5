"""VideoPixels: how a clip's frames become what a model sees, by PIL and numpy, without transformers and torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .pose_errors import VideoError
from .video_clip import VideoClip

try:
    from PIL import Image
except ImportError:  # frames that have the model's size already need no resizing
    Image = None  # type: ignore[assignment]

# B batch, T frames, C channels, H and W pixels

FITS = ("crop", "pad", "squash")
FLOW_BOUND = 20.0  # pixels a frame: optical flow beyond is cut, as for I3D (arxiv:1705.07750)


class VideoPixels:
    """One clip -> (T, C, H, W) float32; the settings are those of `VideoFeatureExtractor`, where they are explained."""

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
    ) -> None:
        self.num_frames = num_frames
        self.fps = float(fps)
        self.max_frames = max_frames
        self.image_size = image_size
        self.short_side = short_side
        self.fit = fit
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        self.flow = flow
        self._check()

    def _check(self) -> None:
        if self.fit not in FITS:
            raise VideoError(f"fit: expected one of {', '.join(FITS)}, found {self.fit!r}; correct the setting")
        if self.num_frames is not None and self.num_frames < 1:
            raise VideoError(f"num_frames: expected 1 or more, or None, found {self.num_frames}; correct the setting")
        if self.short_side is not None and self.short_side < self.image_size:
            raise VideoError(
                f"short_side: expected at least image_size {self.image_size}, found {self.short_side}; raise it"
            )

    def batch(self, values: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Clips (T, C, H, W) together, the shorter ones padded with zeros; a mask only where lengths may differ."""
        longest = max(map(len, values))
        batch = np.zeros((len(values), longest, *values[0].shape[1:]), np.float32)
        mask = np.zeros((len(values), longest), np.int64)
        for row, pixels in enumerate(values):
            batch[row, : len(pixels)], mask[row, : len(pixels)] = pixels, 1
        if self.num_frames is not None:
            return {"pixel_values": batch}
        return {"pixel_values": batch, "attention_mask": mask}

    def pixels(self, clip: VideoClip) -> np.ndarray:
        """One clip as the model sees it, (T, C, H, W) float32."""
        frames = self.frames(clip)
        if self.flow:
            return np.ascontiguousarray(frames.transpose(0, 3, 1, 2) / FLOW_BOUND, np.float32)
        mean, std = np.array(self.image_mean, np.float32), np.array(self.image_std, np.float32)
        values = frames.astype(np.float32)
        values *= 1 / (255 * std)
        values -= mean / std
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))

    def frames(self, clip: VideoClip) -> np.ndarray:
        """One clip's frames at the model's size, (T, H, W, C): uint8, or flow in pixels."""

        def fit(image: np.ndarray) -> np.ndarray:
            return self.fitted(image, clip)

        fps = None if self.num_frames is not None else self.fps
        read = clip.read(self.num_frames, fps, self.max_frames, fit)
        if read.shape[-1] != (2 if self.flow else 3):
            expected = "optical flow (T, H, W, 2)" if self.flow else "pictures (T, H, W, 3)"
            raise VideoError(f"{clip.name}: expected {expected}, found {read.shape}; give what the checkpoint reads")
        return read

    def fitted(self, image: np.ndarray, clip: VideoClip) -> np.ndarray:
        """A picture (H, W, C) cut, scaled and turned as the settings and the clip say."""
        height, width = image.shape[:2]
        size = self.image_size
        box = clip.box or (0.0, 0.0, 1.0, 1.0)
        left, top, right, bottom = box[0] * width, box[1] * height, box[2] * width, box[3] * height
        if self.fit == "crop":
            side = min(right - left, bottom - top) * size / (self.short_side or size)
            left, top = (left + right - side) / 2, (top + bottom - side) / 2
            right, bottom = left + side, top + side
        elif self.fit == "squash" and self.short_side is not None:
            beyond = (1 - size / self.short_side) / 2  # the share that is cut away on each side
            across, down = beyond * (right - left), beyond * (bottom - top)
            left, top, right, bottom = left + across, top + down, right - across, bottom - down
        if (height, width, clip.box, self.short_side) != (size, size, None, None):
            image = scaled(image, (left, top, right, bottom), size, keep_ratio=self.fit == "pad")
        if clip.light is not None:
            image = clip.light(image)
        image = image if image.shape[:2] == (size, size) else on_black(image, size)
        if not clip.mirrored:
            return image
        return image[:, ::-1] * np.array([-1, 1], image.dtype) if self.flow else image[:, ::-1]


def scaled(
    image: np.ndarray, box: tuple[float, float, float, float], size: int, keep_ratio: bool = False
) -> np.ndarray:
    """The box of a picture (H, W, C) at size x size; with `keep_ratio` its longer side has that size.

    Flow is scaled as a picture of floats, channel by channel, and its lengths with it.
    """
    if Image is None:
        raise ModuleNotFoundError("resizing frames needs Pillow: pip install pillow", name="PIL")
    width, height = box[2] - box[0], box[3] - box[1]
    shown = (size, size)
    if keep_ratio:
        shown = (max(1, round(size * width / max(width, height))), max(1, round(size * height / max(width, height))))
    if image.dtype == np.uint8:
        return np.asarray(_resized(Image.fromarray(np.ascontiguousarray(image)), shown, box))
    clipped = np.clip(image, -FLOW_BOUND, FLOW_BOUND).astype(np.float32)
    planes = [np.asarray(_resized(Image.fromarray(plane), shown, box)) for plane in np.moveaxis(clipped, -1, 0)]
    return np.stack(planes, -1) * np.array([shown[0] / width, shown[1] / height], np.float32)


def on_black(image: np.ndarray, size: int) -> np.ndarray:
    """A picture (H, W, C) in the middle of a square, black around, whatever its light."""
    canvas = np.zeros((size, size, image.shape[-1]), image.dtype)
    height, width = image.shape[:2]
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = image
    return canvas


def _resized(picture: Any, shown: tuple[int, int], box: tuple[float, float, float, float]) -> Any:
    inside = (max(0.0, box[0]), max(0.0, box[1]), min(picture.width, box[2]), min(picture.height, box[3]))
    return picture.resize(shown, Image.Resampling.BILINEAR, box=inside)
