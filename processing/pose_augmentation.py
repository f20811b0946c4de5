"""Vary training clips: tempo, hidden frames and parts, mirror, plane, camera. Seeded by a numpy Generator.

    augment_clip(clip, np.random.default_rng(seed), AugmentationSettings(tempo=0.2, rotation=5, noise=0.001))

The settings are those that paid in logged ablations: tempo N(1, .2) (SignCLIP), frame dropout .15 and part dropout .1
(sign-language-processing/segmentation), rotation and shear around .1, noise .001. Mirroring swaps the sides' landmarks.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from .hand_crops import hide_lost
from .hand_geometry import vary_hands
from .landmarks import get_layout
from .pose_clip import MAX_FPS, MIN_FPS, PoseClip
from .pose_normalization import SignerFrame, measure_frame

# T frames, V landmarks, C coordinates

CAMERA_DISTANCE = 6.0  # shoulder widths between camera and signer: about 2.5 m
MAX_TEMPO = 2.0  # neither more than twice as fast nor as slow


@dataclass(frozen=True)
class AugmentationSettings:
    """How clips are varied; all zero leaves them as they are."""

    tempo: float = 0.0
    """Standard deviation of the tempo, drawn from a log-normal around 1"""
    frame_dropout: float = 0.0
    """Share of frames hidden: nothing is detected in them, time stays"""
    part_dropout: float = 0.0
    """Chance that one hand or the face is hidden for the whole clip"""
    mirror: float = 0.0
    """Chance of mirroring, left and right landmarks swapped"""
    rotation: float = 0.0
    """Standard deviation of the in-plane rotation, degrees"""
    shear: float = 0.0
    """Standard deviation of the shear"""
    scale: float = 0.0
    """Standard deviation of the logarithm of the scale of x and y, drawn apart"""
    noise: float = 0.0
    """Standard deviation of jitter on every landmark, in shoulder widths"""
    camera: float = 0.0
    """Standard deviation of the camera's turn around the signer, degrees"""
    bone_length: float = 0.0
    """Standard deviation of the logarithm of each bone's length in the hands"""
    finger_bend: float = 0.0
    """Standard deviation of each finger joint's turn, degrees"""
    hand_turn: float = 0.0
    """Standard deviation of each hand's turn around its wrist, degrees, about each axis"""
    trim: float = 0.0
    """Each end of a clip loses up to this share of its frames"""


def augment_clip(clip: PoseClip, rng: np.random.Generator, settings: AugmentationSettings) -> PoseClip:
    """A varied copy of a clip; the clip itself is not changed. The same generator state gives the same copy.

    A clip that shows nobody comes back as it is.
    """
    frame = measure_frame(clip)
    if frame is None:
        return clip
    if rng.random() < settings.mirror:
        clip = mirror_clip(clip, frame)
        if clip.width:  # the signer now stands at the other side of the picture
            frame = dataclasses.replace(frame, centre=(clip.width - frame.centre[0], frame.centre[1]))
    if settings.trim:
        clip = trim_clip(clip, settings.trim, rng)
    points, confidence = clip.points.astype(np.float32), clip.confidence.astype(np.float32)
    hands = {"bone_length": settings.bone_length, "finger_bend": settings.finger_bend, "hand_turn": settings.hand_turn}
    if any(hands.values()) and points.shape[-1] > 2:
        points = vary_hands(points, clip.layout, rng, hands)
    plane = None
    if settings.rotation or settings.shear or settings.scale:
        plane = plane_matrix(rng, settings.rotation, settings.shear, settings.scale)
    if plane is not None or settings.camera or settings.noise:
        image = _image_points(clip.layout)
        points[:, image] = _vary_places(points[:, image], frame, rng, settings, plane)
    if settings.frame_dropout:
        confidence = hide_frames(confidence, settings.frame_dropout, rng)
    if rng.random() < settings.part_dropout:
        confidence = hide_part(confidence, clip.layout, rng)
    points[~(confidence > 0)] = np.nan
    tempo = np.exp(np.clip(rng.normal(0, settings.tempo), -np.log(MAX_TEMPO), np.log(MAX_TEMPO)))
    # A faster signer is the same frames at a higher rate: the processor resamples once, to the model's rate.
    fps = float(np.clip(clip.fps * tempo, MIN_FPS, MAX_FPS)) if settings.tempo else clip.fps
    shown = clip.hands
    if shown is not None:
        shown = hide_lost(shown if plane is None else shown.turned(plane), clip.confidence, confidence, clip.layout)
    return dataclasses.replace(clip, points=points, confidence=confidence, fps=fps, hands=shown)


def trim_clip(clip: PoseClip, share: float, rng: np.random.Generator) -> PoseClip:
    """A clip without up to `share` of its frames at either end; one that shows somebody stays one that does."""
    first = int(rng.uniform(0, share) * clip.num_frames)
    last = clip.num_frames - int(rng.uniform(0, share) * clip.num_frames)
    kept = slice(first, max(last, first + 1))
    if not (clip.confidence[kept] > 0).any():
        return clip
    hands = None if clip.hands is None else clip.hands.take(kept)
    return dataclasses.replace(clip, points=clip.points[kept], confidence=clip.confidence[kept], hands=hands)


def _image_points(layout: str) -> slice | np.ndarray:
    """Points in image coordinates: all but MediaPipe's body in metres."""
    schema = get_layout(layout)
    world = schema.parts.get("world")
    return np.setdiff1d(np.arange(schema.num_points), world) if world else slice(None)


def _vary_places(
    points: np.ndarray,
    frame: SignerFrame,
    rng: np.random.Generator,
    settings: AugmentationSettings,
    plane: np.ndarray | None,
) -> np.ndarray:
    """Plane, camera and noise on points (T, V, C); in signer units, each coordinate by itself (fastest)."""
    origin = (*frame.centre, 0.0)
    axes = [
        (points[..., axis] - np.float32(origin[axis])) / np.float32(frame.scale) for axis in range(points.shape[-1])
    ]
    if plane is not None:
        axes[:2] = transform_plane(axes[0], axes[1], plane)
    if settings.camera:
        depth = axes[2] if len(axes) > 2 else np.zeros_like(axes[0])
        axes = list(turn_camera(axes[0], axes[1], depth, rng.normal(0, settings.camera)))[: len(axes)]
    if settings.noise:
        for axis in range(2):
            axes[axis] += np.float32(settings.noise) * rng.standard_normal(axes[axis].shape, dtype=np.float32)
    varied = np.empty_like(points)
    for axis, values in enumerate(axes):
        varied[..., axis] = values * np.float32(frame.scale) + np.float32(origin[axis])
    return varied


def mirror_clip(clip: PoseClip, frame: SignerFrame | None = None) -> PoseClip:
    """The signer in a mirror: x reversed, left and right landmarks swapped. Twice is the identity.

    x is reversed within the image where its width is known, else around the signer.
    """
    schema = get_layout(clip.layout)
    partners = np.array(schema.mirror)
    points, confidence = clip.points[:, partners].copy(), clip.confidence[:, partners].copy()
    if clip.width:
        axis = float(clip.width)
    else:
        frame = frame or measure_frame(clip)
        axis = 2 * frame.centre[0] if frame else 0.0
    world = list(schema.parts.get("world", ()))
    image = _image_points(clip.layout)
    points[:, image, 0] = np.float32(axis) - points[:, image, 0]
    points[:, world, 0] *= -1
    hands = None if clip.hands is None else clip.hands.mirrored()
    return dataclasses.replace(clip, points=points, confidence=confidence, hands=hands)


def plane_matrix(rng: np.random.Generator, rotation: float, shear: float, scale: float) -> np.ndarray:
    """A random 2 x 2 matrix: scale x and y, shear x along y, rotate; arguments are standard deviations."""
    angle, slant = np.radians(rng.normal(0, rotation)), rng.normal(0, shear)
    stretch = np.exp(rng.normal(0, scale, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.array([[1, slant], [0, 1]]) @ np.diag(stretch)


def transform_plane(x: np.ndarray, y: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multiply places around the origin by a 2 x 2 matrix."""
    (a, b), (c, d) = matrix.astype(np.float32)
    return a * x + b * y, c * x + d * y


def turn_camera(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, degrees: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See the signer from the side, by a turn around the vertical axis through the origin, with perspective.

    z is depth, growing away from the camera, as MediaPipe writes it; where it is 0 the signer is a plane. MediaPipe's z
    of a hand begins at its wrist, so a turned hand is right in itself and less so in its distance.

    Args:
        x, y, z: places in shoulder widths around the signer's centre.
        degrees: turn; positive turns the signer's image-right side away.
    """
    sine, cosine = np.float32(np.sin(np.radians(degrees))), np.float32(np.cos(np.radians(degrees)))
    depth = x * sine + z * cosine
    distance = np.float32(CAMERA_DISTANCE)
    nearness = distance / np.maximum(distance + depth, distance / 4)  # nobody stands in the camera
    return (x * cosine - z * sine) * nearness, y * nearness, depth


def hide_frames(confidence: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Confidence (T, V) with a share of its frames 0; never all of them."""
    hidden = rng.random(len(confidence)) < share
    hidden[rng.integers(len(confidence))] = False
    left = np.where(hidden[:, None], np.float32(0), confidence)
    return left if left.any() else confidence  # what was kept may show nobody


def hide_part(confidence: np.ndarray, layout: str, rng: np.random.Generator) -> np.ndarray:
    """Confidence (T, V) with one hand or the face 0; a part is hidden only if something else stays visible."""
    parts = [
        indices for part, indices in get_layout(layout).parts.items() if part in ("left_hand", "right_hand", "face")
    ]
    if not parts:
        return confidence
    hidden = confidence.copy()
    hidden[:, list(parts[rng.integers(len(parts))])] = 0
    return hidden if hidden.any() else confidence
