"""What a camera, a signer or an extractor may do to a clip that leaves its meaning alone: scores should stay.

Each condition changes a PoseClip, and with it where pictures of its hands are taken, before the processor sees it; the
columns of `--robustness` are the scores under each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from slt_hf.processing.hand_crops import hide_lost
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_files import PoseClip
from slt_hf.processing.pose_resampling import nearest_frames
from slt_hf.processing.pose_transforms import resample, signer_frame

TEMPO = 1.5
FRAME_RATES = (10, 15, 30)  # Hz: a struggling live camera, a video call, a phone
JITTER = 0.02  # shoulder widths, about a finger's width: MediaPipe's own trembling is half of that

Disturbance = Callable[[PoseClip, np.random.Generator], PoseClip]


def hide_hand(clip: PoseClip, generator: np.random.Generator) -> PoseClip:
    """Lose the hand that is seen in more frames (the left on a tie), as behind the body or out of the picture."""
    parts = get_layout(clip.layout).parts
    hands = {name: parts[name] for name in ("left_hand", "right_hand") if name in parts}
    if not hands:
        return clip
    seen = {name: (clip.confidence[:, list(points)] > 0).any(axis=1).sum() for name, points in hands.items()}
    return hide(clip, hands[max(seen, key=lambda name: int(seen[name]))])


def hide_face(clip: PoseClip, generator: np.random.Generator) -> PoseClip:
    """Lose the face's landmarks; eyes, nose and ears of the body model stay."""
    return hide(clip, get_layout(clip.layout).parts.get("face", ()))


def hide(clip: PoseClip, landmarks: tuple[int, ...]) -> PoseClip:
    """Landmarks as an extractor leaves them that did not find them: NaN, confidence 0."""
    points, confidence = clip.points.copy(), clip.confidence.copy()
    points[:, list(landmarks)] = np.nan
    confidence[:, list(landmarks)] = 0
    hands = clip.hands and hide_lost(clip.hands, clip.confidence, confidence, clip.layout)
    return replace(clip, points=points, confidence=confidence, hands=hands)


def faster(clip: PoseClip, generator: np.random.Generator) -> PoseClip:
    """The same movement in two thirds of the time, at the same frame rate."""
    points, confidence = resample(clip.points, clip.confidence, TEMPO * clip.fps, clip.fps)
    hands = clip.hands and clip.hands.take(nearest_frames(clip.num_frames, TEMPO * clip.fps, clip.fps))
    return replace(clip, points=points, confidence=confidence, hands=hands)


def mirrored(clip: PoseClip, generator: np.random.Generator) -> PoseClip:
    """A left-handed signer: the picture flipped, left and right landmarks exchanged."""
    layout = get_layout(clip.layout)
    width = clip.width if clip.width is not None else 2 * signer_frame(clip).centre[0]
    order = list(layout.mirror)
    points, confidence = clip.points[:, order].copy(), clip.confidence[:, order].copy()
    points[..., 0] = width - points[..., 0]
    world = list(layout.parts.get("world", ()))  # metres around the hips, so flipped about 0
    points[:, world, 0] -= width
    return replace(clip, points=points, confidence=confidence, hands=clip.hands and clip.hands.mirrored())


def at_frame_rate(fps: float) -> Disturbance:
    """The same clip from a camera with another frame rate."""

    def change(clip: PoseClip, generator: np.random.Generator) -> PoseClip:
        points, confidence = resample(clip.points, clip.confidence, clip.fps, fps)
        hands = clip.hands and clip.hands.take(nearest_frames(clip.num_frames, clip.fps, fps))
        return replace(clip, points=points, confidence=confidence, fps=float(fps), hands=hands)

    return change


def jitter(clip: PoseClip, generator: np.random.Generator) -> PoseClip:
    """Independent noise on every landmark of every frame; the worst kind, since it looks like movement."""
    noise = generator.normal(0, JITTER * signer_frame(clip).scale, clip.points.shape).astype(np.float32)
    noise[:, list(get_layout(clip.layout).parts.get("world", ()))] = 0
    return replace(clip, points=clip.points + noise)


CONDITIONS: dict[str, Disturbance] = {
    "hand_hidden": hide_hand,
    "no_face": hide_face,
    "tempo_1.5": faster,
    "mirrored": mirrored,
    **{f"{fps}_fps": at_frame_rate(fps) for fps in FRAME_RATES},
    "jitter": jitter,
}
