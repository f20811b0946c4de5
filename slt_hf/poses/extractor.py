"""What every extractor is: a model that stays loaded, and one call from video to clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from slt_hf.errors import VideoError
from slt_hf.processing.hand_crops import with_hands
from slt_hf.processing.pose_files import PoseClip

# T frames, V landmarks, C coordinates

Progress = Callable[[int], None]  # called with the number of frames done so far
LONGEST_SHOWN_MS, MOST_SHOWN = 60_000.0, 100  # one picture in a clip, ms, and frames: beyond, times are damaged


class Extractor(Protocol):
    """What every extractor offers."""

    layout: str
    tools: dict[str, str]  # name: version of all that shapes the result

    def extract(
        self,
        video: str | Path,
        start_ms: float | None = None,
        end_ms: float | None = None,
        bbox: list[float] | None = None,
        progress: Progress | None = None,
    ) -> PoseClip: ...

    def close(self) -> None: ...

    def __enter__(self) -> Extractor: ...

    def __exit__(self, *_: object) -> None: ...


class Closing:
    """`with` for extractors; those that hold nothing need no close of their own."""

    def close(self) -> None: ...

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_clip(
    points: np.ndarray,
    confidence: np.ndarray,
    times_ms: np.ndarray,
    layout: str,
    fps: float | None,
    width: int,
    height: int,
    source: str,
) -> PoseClip:
    points, confidence = points.astype(np.float32), np.clip(confidence, 0, 1).astype(np.float32)
    points = np.where((confidence > 0)[..., None], points, np.nan)
    frames, rate = constant_rate(times_ms, fps, source)
    clip = PoseClip(points[frames], confidence[frames], layout, rate, width, height, 1, source)
    return with_hands(clip, source, times_ms=times_ms[frames])


def constant_rate(times_ms: np.ndarray, fps: float | None, name: str = "video") -> tuple[np.ndarray, float]:
    """Which frame shows each step of an even clock, and the clock's rate.

    Phones record at a varying rate and damaged files lose frames; a clip has one rate. Where frames already come
    evenly, each is taken once.

    Args:
        times_ms: of the frames, ascending, (T,).
        fps: the rate that the header states; None or an absurd one is replaced by the frames' own.
        name: what messages call the video.

    Returns:
        Frame numbers, (T',), and frames per second.

    Raises:
        VideoError: if the frames are so far apart that a clip of them would fill the memory with one picture.
    """
    steps = np.diff(times_ms)
    own = 1000 / float(np.median(steps)) if len(steps) and np.median(steps) > 0 else None
    rate = fps if fps and 1 <= fps <= 240 else own or 25.0
    ideal = times_ms[0] + np.arange(len(times_ms)) * 1000 / rate
    if np.abs(times_ms - ideal).max() <= 500 / rate:
        return np.arange(len(times_ms)), rate
    seconds = (times_ms[-1] - times_ms[0]) / 1000
    if steps.max() > LONGEST_SHOWN_MS or seconds * rate > MOST_SHOWN * len(times_ms):
        raise VideoError(
            f"{name}: expected frames that come evenly, found {len(times_ms)} in {seconds:.0f} s; re-encode the video, "
            "whose times are damaged"
        )
    clock = np.arange(times_ms[0], times_ms[-1] + 1e-6, 1000 / rate)
    after = np.searchsorted(times_ms, clock).clip(1, len(times_ms) - 1)
    nearer = clock - times_ms[after - 1] <= times_ms[after] - clock
    return np.where(nearer, after - 1, after), rate
