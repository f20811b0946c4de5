"""Time: fill short gaps, change the frame rate, sample a clip at any moment. Vectorised over frames, numpy only."""

from __future__ import annotations

import numpy as np

# T frames, V landmarks, C coordinates

FILLED_CONFIDENCE = 0.5  # a filled-in point counts half: it was not observed


def fill_gaps(points: np.ndarray, confidence: np.ndarray, max_gap_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Fill gaps of up to `max_gap_frames` undetected frames on the straight line between their neighbours.

    Args:
        points: (T, V, C).
        confidence: (T, V); 0 where undetected.

    Returns:
        Points and confidence; filled points have half the lower confidence of their neighbours.
    """
    num_frames = len(points)
    seen = confidence > 0
    if max_gap_frames < 1 or seen.all():
        return points, confidence
    time = np.arange(num_frames)[:, None]
    before = np.maximum.accumulate(np.where(seen, time, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, time, num_frames)[::-1], axis=0)[::-1]
    frames, places = np.nonzero(~seen & (before >= 0) & (after < num_frames) & (after - before - 1 <= max_gap_frames))
    start, end = before[frames, places], after[frames, places]
    weight = ((frames - start) / (end - start)).astype(np.float32)[:, None]
    points, confidence = points.copy(), confidence.copy()
    first, last = points[start, places], points[end, places]
    points[frames, places] = first + weight * (last - first)
    confidence[frames, places] = FILLED_CONFIDENCE * np.minimum(confidence[start, places], confidence[end, places])
    return points, confidence


def resample(
    points: np.ndarray, confidence: np.ndarray, source_fps: float, target_fps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Change the frame rate: straight lines between neighbouring frames; where only the nearer one shows a point, that
    one.

    Frame k stands at k / fps seconds, as in a video. The result covers the same time, at least one frame.

    Args:
        points: (T, V, C).
        confidence: (T, V); 0 where undetected.

    Returns:
        Points (T', V, C) and confidence (T', V).
    """
    if source_fps == target_fps:
        return points, confidence
    return sample_frames(points, confidence, frame_times(len(points), source_fps, target_fps))


def frame_times(num_frames: int, source_fps: float, target_fps: float) -> np.ndarray:
    """Where the frames of a resampled clip lie, in frames of the clip, (T',)."""
    if source_fps == target_fps:
        return np.arange(num_frames, dtype=float)
    count = max(1, round(num_frames * target_fps / source_fps))
    return np.arange(count) * (source_fps / target_fps)


def nearest_frames(num_frames: int, source_fps: float, target_fps: float) -> np.ndarray:
    """Which frame of a clip each frame of the resampled one is nearest to, (T',): what cannot be mixed, such as
    pictures, is taken from there."""
    times = np.clip(frame_times(num_frames, source_fps, target_fps), 0, num_frames - 1)
    left = np.floor(times + 1e-9).astype(np.intp)
    return np.where(times - left < 0.5, left, np.minimum(left + 1, num_frames - 1))


def sample_frames(points: np.ndarray, confidence: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The clip at fractional frame numbers `times` (T',), clamped to the clip."""
    times = np.clip(times, 0, len(points) - 1)
    left = np.floor(times + 1e-9).astype(np.intp)  # 3.0000000001 and 2.9999999999 are frame 3
    right = np.minimum(left + 1, len(points) - 1)
    weight = np.clip(times - left, 0, 1).astype(np.float32)[:, None]
    nearest = np.where(weight[:, 0] < 0.5, left, right)
    flat = points.reshape(len(points), -1)
    start, mixed = flat[left], flat[right]
    mixed -= start
    mixed *= weight
    mixed += start
    left_seen, right_seen = confidence[left], confidence[right]
    new_confidence = left_seen + weight * (right_seen - left_seen)
    one = (left_seen > 0) != (right_seen > 0)
    new_points = mixed.reshape(len(times), *points.shape[1:])
    if one.any():
        frames, places = np.nonzero(one)
        new_points[frames, places] = points[nearest[frames], places]
        new_confidence[frames, places] = confidence[nearest[frames], places]
    return new_points, new_confidence
