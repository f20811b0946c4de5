"""Clips of any length through a graph that sees a window: what `VideoEncoderModel.forward` does, in arrays.

# B clips, T frames, W windows, S steps, C channels, H and W pixels, D width
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from slt_hf.errors import ExportError

WINDOWS_AT_ONCE = 8  # of one clip: a minute of frames has a hundred, and their patches would not fit into memory


class WindowedEncoder:
    """Frames to what the decoder reads, where `bridge` is given; else to steps and their mask.

    Args:
        window: graph of `window_values` (W, S, step, C, H, W) to `window_states` (W, S, D).
        bridge: graph of `sign_states` (B, S, D) and `sign_mask` (B, S) to the decoder's inputs.
        frames: of a window.
        stride: frames from one window to the next.
        step: frames of a step.
    """

    def __init__(self, window: Any, bridge: Any, frames: int, stride: int, step: int):
        self.window, self.bridge = window, bridge
        self.frames, self.stride, self.step = frames, stride, step

    def __call__(
        self, pixel_values: np.ndarray, attention_mask: np.ndarray | None = None, **prompt: Any
    ) -> dict[str, np.ndarray]:
        """Clips (B, T, C, H, W), and their masks (B, T), 1 for real frames, where lengths differ."""
        pixel_values = np.asarray(pixel_values, np.float32)
        lengths = [pixel_values.shape[1]] * len(pixel_values)
        if attention_mask is not None:
            lengths = np.maximum(np.asarray(attention_mask).sum(-1), 1).tolist()
        rows = [self.clip(pixels[:length]) for pixels, length in zip(pixel_values, lengths, strict=True)]
        states = np.zeros((len(rows), max(map(len, rows)), rows[0].shape[-1]), np.float32)
        mask = np.zeros(states.shape[:2], np.int64)
        for place, row in enumerate(rows):
            states[place, : len(row)], mask[place, : len(row)] = row, 1
        if self.bridge is None:
            return {"last_hidden_state": states, "output_mask": mask}
        return dict(self.bridge(sign_states=states, sign_mask=mask, **prompt))

    def clip(self, pixels: np.ndarray) -> np.ndarray:
        """One clip (T, C, H, W) -> its steps (S, D)."""
        pixels = np.concatenate([pixels, np.repeat(pixels[-1:], -len(pixels) % self.step, 0)])
        starts = self.starts(len(pixels))
        windows = [pixels[first : first + self.frames].reshape(-1, self.step, *pixels.shape[1:]) for first in starts]
        states = np.concatenate(
            [
                self.window(window_values=np.stack(windows[place : place + WINDOWS_AT_ONCE]))["window_states"]
                for place in range(0, len(windows), WINDOWS_AT_ONCE)
            ]
        )
        return joined(states, [first // self.step for first in starts], len(pixels) // self.step)

    def starts(self, num_frames: int) -> list[int]:
        """First frames of the windows; the last one ends with the clip."""
        last = num_frames - self.frames
        return [0] if last <= 0 else [*range(0, last, self.stride), last]


def joined(windows: np.ndarray, starts: list[int], steps: int) -> np.ndarray:
    """Windows (W, S, D) that begin at `starts` as one sequence; where several see a step, their mean."""
    if len(windows) == 1:
        return windows[0]
    total = np.zeros((steps, windows.shape[-1]), np.float32)
    count = np.zeros((steps, 1), np.float32)
    for window, first in zip(windows, starts, strict=True):
        total[first : first + len(window)] += window
        count[first : first + len(window)] += 1
    return total / count


def encoder_of(graph: Callable[[str], Any], manifest: Mapping[str, Any]) -> Any:
    """The encoder of a translator's export: one graph, or windows and what joins them to the decoder.

    Args:
        graph: opens one by its name.
        manifest: `export.json`.

    Raises:
        ExportError: if it does not say how clips are cut.
    """
    sizes = manifest.get("windows")
    if sizes is None:
        return graph("encoder")
    whole = isinstance(sizes, dict) and set(sizes) == {"frames", "stride", "step"}
    if not whole or not all(isinstance(size, int) and size > 0 for size in sizes.values()):
        raise ExportError(
            f"export.json: expected windows with frames, stride and step, found {sizes}; export the checkpoint again"
        )
    return WindowedEncoder(graph("window"), graph("bridge"), **sizes)
