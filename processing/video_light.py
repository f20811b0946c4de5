"""Another light on a clip: brighter or darker, harder or softer, paler or in other colours. Needs numpy alone.

    VideoClip("book.mp4", light=Light(brightness=0.6))
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .pose_errors import VideoError

# H and W pixels

LUMA = np.array([0.299, 0.587, 0.114])  # how bright red, green and blue look (ITU-R BT.601)
GREY = 127.5  # contrast turns around it
# RGB -> one axis of brightness and two of colour (YIQ): a turn of the last two is a turn of the hue
YIQ = np.array([LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@dataclass(frozen=True)
class Light:
    """A change of light and colours, one for all frames of a clip: a camera's own does not flicker.

    Attributes:
        brightness: factor of every value; 1 leaves it.
        contrast: factor of the distance to middle grey.
        saturation: factor of the distance to the grey of the same brightness; 0 is black and white.
        hue: turn of the colours, as a share of the whole circle.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0

    def matrix(self) -> np.ndarray:
        """The change of a pixel's colour, (3, 4): a factor for each of red, green, blue, and what is added."""
        angle = 2 * np.pi * self.hue
        cos, sin = np.cos(angle), np.sin(angle)
        turned = np.linalg.solve(YIQ, np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ YIQ)
        grey = np.tile(LUMA, (3, 1))
        coloured = (self.saturation * np.eye(3) + (1 - self.saturation) * grey) @ turned
        added = np.full((3, 1), GREY * (1 - self.contrast))
        return np.concatenate([self.contrast * self.brightness * coloured, added], 1)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """A picture (H, W, 3) uint8 in this light.

        Raises:
            VideoError: of optical flow, which has none.
        """
        if image.shape[-1] != 3:
            raise VideoError(f"light: expected pictures (H, W, 3), found {image.shape}; leave it out for optical flow")
        matrix = self.matrix().astype(np.float32)
        shown = image.astype(np.float32) @ matrix[:, :3].T + matrix[:, 3]
        return np.clip(shown + 0.5, 0, 255).astype(np.uint8)
