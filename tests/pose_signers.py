"""A signer whose places are known, and how to hide some of them; tests of poses share it."""

from __future__ import annotations

import dataclasses

import numpy as np

from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_files import PoseClip


def signer(frames: int = 20, fps: float = 25.0, layout: str = "coco_wholebody_133", axes: int = 2) -> PoseClip:
    """A signer with shoulders 200 pixels apart around (320, 240) and hands at the wrists; the right one moves."""
    schema = get_layout(layout)
    rng = np.random.default_rng(0)
    seconds = np.arange(frames) / fps
    points = np.broadcast_to(
        rng.uniform(-150, 150, (schema.num_points, axes)), (frames, schema.num_points, axes)
    ).copy()
    points[..., :2] += [320, 300]
    for name, place in (("left_shoulder", (420, 240)), ("right_shoulder", (220, 240))):
        if schema.index(name) is not None:
            points[:, schema.index(name), :2] = place
    for side, place in (("left", (450, 400)), ("right", (200, 400))):
        arm = [index for index, name in enumerate(schema.points) if name.startswith((f"{side}_hand_", f"{side}_wrist"))]
        points[:, arm, :2] = place + 0.2 * (points[:, arm, :2] - [320, 300])
    hand = [index for index, name in enumerate(schema.points) if name.startswith(("right_hand_", "right_wrist"))]
    points[:, hand, 0] += 60 * np.sin(2 * np.pi * seconds)[:, None]
    points[:, hand, 1] += 40 * np.cos(2 * np.pi * 0.7 * seconds)[:, None]
    return PoseClip(points.astype(np.float32), np.ones(points.shape[:2], np.float32), layout, fps, 640, 480)


def hidden(clip: PoseClip, *names: str, frames: slice = slice(None)) -> PoseClip:
    """The clip with some landmarks or parts undetected in some frames."""
    schema = get_layout(clip.layout)
    points, confidence = clip.points.copy(), clip.confidence.copy()
    for name in names:
        indices = list(schema.parts.get(name, ())) or [schema.points.index(name)]
        points[frames, indices], confidence[frames, indices] = np.nan, 0
    return dataclasses.replace(clip, points=points, confidence=confidence)
