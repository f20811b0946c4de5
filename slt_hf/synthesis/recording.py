"""From movement to what MediaPipe Holistic would write: 543 points in pixels, and what extractors get wrong.

T frames, V landmarks. Camera frame: x to the right of the picture (the signer's left), y down, z away from the camera.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from slt_hf.processing.landmarks import convert, get_layout
from slt_hf.processing.pose_files import PoseClip
from slt_hf.synthesis.body import Body, body_of, face_mesh
from slt_hf.synthesis.motion import FLIP_X, Motion
from slt_hf.synthesis.signer import Camera, Noise, Signer

FULL_LAYOUT = "holistic_543"
NUM_BODY, NUM_FACE, NUM_HAND = 33, 468, 21
FACE_START, HANDS_START = NUM_BODY, NUM_BODY + NUM_FACE
HIP_HEIGHT = 0.5  # metres below the shoulders
PIXEL_STEP, DEPTH_STEP = 1 / 128, 1 / 65536  # rounding: the last bits of sines differ between machines, files do not
BROW_LIFT, JAW_DROP = 0.007, 0.014  # metres
VISIBILITY = np.array([0.99] * 13 + [0.97] * 2 + [0.95] * 8 + [0.9] * 2 + [0.3] * 8)  # of MediaPipe's 33 body points
HIDDEN = 0.05
FACE_JITTER = 0.3  # a face mesh is fitted as a whole: its points tremble less
MISSING_STRETCH_MS = 200.0


@cache
def selection(layout: str) -> tuple[int, ...] | None:
    """Which of the 543 points a layout picks, or None where it computes points, so that everything must be made."""
    rng = np.random.default_rng(0)
    coded = np.stack([np.arange(543.0), rng.uniform(0, 1, 543), rng.uniform(0, 1, 543)], axis=1)[None]
    points, confidence = convert(coded, np.ones((1, 543)), FULL_LAYOUT, layout)
    if not np.isfinite(points).all() or (confidence == 0).any():
        return None
    indices = np.rint(points[0, :, 0]).astype(int)
    return tuple(indices.tolist()) if np.allclose(coded[0, indices], points[0], atol=1e-5) else None


@cache
def _signing_face() -> tuple[int, ...]:
    """The mesh indices behind our default layout: their noise has its own stream, so that it can be made alone."""
    return tuple(sorted({i - FACE_START for i in selection("signing_85") or () if FACE_START <= i < HANDS_START}))


def record(
    motion: Motion,
    signer: Signer,
    seeds: tuple[np.random.SeedSequence, np.random.SeedSequence],
    layout: str = FULL_LAYOUT,
) -> PoseClip:
    """Film a movement and extract its landmarks.

    Args:
        seeds: of the noise on body, hands and the face points of ``signing_85``; and on the other face points.
        layout: ``signing_85``, ``holistic_75``, ``hands_42`` and the like are made directly, which is faster and gives
            the same numbers as converting the full clip.
    """
    chosen = selection(layout)
    wanted = np.arange(543) if chosen is None or layout == FULL_LAYOUT else np.array(chosen)
    mesh = np.unique(wanted[(wanted >= FACE_START) & (wanted < HANDS_START)]) - FACE_START
    made = np.concatenate([np.arange(NUM_BODY), mesh + FACE_START, np.arange(HANDS_START, 543)])  # of the 543 points
    points = _film(_scene(motion, signer, mesh), motion, signer)
    points, confidence = _extract(
        points, mesh, signer, np.random.default_rng(seeds[0]), np.random.default_rng(seeds[1])
    )
    if len(wanted) < 543 or layout != FULL_LAYOUT:
        columns = np.searchsorted(made, wanted)
        points, confidence = points[:, columns], confidence[:, columns]
    if chosen is None:
        points, confidence = convert(points, confidence, FULL_LAYOUT, layout)
    camera = signer.camera
    return PoseClip(
        points.astype(np.float32),
        confidence.astype(np.float32),
        get_layout(layout).name,
        camera.fps,
        camera.width,
        camera.height,
    )


def _rotations(degrees: np.ndarray) -> np.ndarray:
    """Pitch (x), yaw (y), roll (z) in degrees (..., 3) to rotation matrices (..., 3, 3)."""
    (a, b, c), (p, q, r) = (
        np.moveaxis(np.cos(np.radians(degrees)), -1, 0),
        np.moveaxis(np.sin(np.radians(degrees)), -1, 0),
    )
    one, nil = np.ones_like(a), np.zeros_like(a)

    def matrix(*rows: tuple) -> np.ndarray:
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    pitch = matrix((one, nil, nil), (nil, a, -p), (nil, p, a))
    yaw = matrix((b, nil, q), (nil, one, nil), (-q, nil, b))
    roll = matrix((c, -r, nil), (r, c, nil), (nil, nil, one))
    return roll @ yaw @ pitch


@cache
def _face_movement() -> tuple[np.ndarray, np.ndarray]:
    """How far each of the 468 points goes with the brows and with the jaw, 0 to 1 each."""
    x, y, _ = face_mesh().T * 1000
    brow = np.exp(-(((y + 266) / 11) ** 2)) * (np.abs(x) < 60)
    jaw = np.clip(y + 162, 0, 1) * np.clip(1 - (x / 80) ** 2, 0, 1)
    return brow, jaw


def _scene(motion: Motion, signer: Signer, mesh: np.ndarray) -> np.ndarray:
    """Body, the wanted points of the face, left and right hand in metres, camera frame: (T, 33 + F + 42, 3)."""
    body = body_of(signer)
    hands, elbows, shoulders = (
        _left_and_right(part, signer) for part in (motion.hands, motion.elbows, motion.shoulders)
    )
    mirrored = -1.0 if signer.handedness == "left" else 1.0
    turn = _rotations(motion.head_deg * np.array([1.0, mirrored, mirrored])).swapaxes(1, 2)
    head = np.matmul(body.head, turn) + body.neck
    face = np.matmul(_moved_face(body, motion, mesh), turn) + body.neck
    return np.concatenate(
        [head, _trunk_and_arms(hands, elbows, shoulders, body), face, hands[:, 0], hands[:, 1]], axis=1
    )


def _left_and_right(part: np.ndarray, signer: Signer) -> np.ndarray:
    """Dominant and other side (T, 2, ..., 3), own-side frames, to left and right side in the camera frame."""
    dominant, other = (0, 1) if signer.handedness == "left" else (1, 0)
    sides = part[:, [dominant, other]]
    sides[:, 0] *= FLIP_X  # a left arm's own-side frame is a mirror image of the camera's
    return sides


def _film(points: np.ndarray, motion: Motion, signer: Signer) -> np.ndarray:
    """Metres to pixels, and to depth as a share of the picture's width, as Holistic gives it: (T, V, 3)."""
    camera = signer.camera
    view = _rotations(np.array([camera.pitch_deg, camera.yaw_deg, camera.roll_deg]))
    hips = np.array([0.0, HIP_HEIGHT * signer.trunk_height, 0.0])  # what the upper body sways about
    seen = np.matmul(points - hips, (view @ _rotations(motion.sway_deg)).swapaxes(1, 2)) + view @ hips
    pixels = camera.shoulder_share * min(camera.width, camera.height) / signer.shoulder_width  # per metre at the signer
    size = camera.distance_m * pixels / (camera.distance_m + seen[..., 2])
    seen[..., 0] = seen[..., 0] * size + camera.center[0] * camera.width
    seen[..., 1] = seen[..., 1] * size + camera.center[1] * camera.height
    seen[..., 2] *= pixels / camera.width
    return seen


def _moved_face(body: Body, motion: Motion, mesh: np.ndarray) -> np.ndarray:
    brow, jaw = (weights[mesh] for weights in _face_movement())
    face = np.repeat(body.face[None, mesh], len(motion.brows), axis=0)
    face[..., 1] += -BROW_LIFT * motion.brows[:, None] * brow + JAW_DROP * motion.mouth[:, None] * jaw
    return face


def _trunk_and_arms(hands: np.ndarray, elbows: np.ndarray, shoulders: np.ndarray, body: Body) -> np.ndarray:
    """MediaPipe's body points 11 to 32, left before right: (T, 22, 3)."""
    knuckles = hands[:, :, [17, 5, 2]]  # pinky, index, thumb
    legs = np.stack([body.legs, body.legs * FLIP_X], axis=1).reshape(1, 10, 3).repeat(len(hands), axis=0)
    pairs = [shoulders, elbows, hands[:, :, 0], *np.moveaxis(knuckles, 2, 0)]
    return np.concatenate([*pairs, legs], axis=1)


def _extract(
    points: np.ndarray, mesh: np.ndarray, signer: Signer, rng: np.random.Generator, face_rng: np.random.Generator
):
    """What Holistic would give: points (T, V, 3), NaN where missing, and confidence (T, V)."""
    noise, camera = signer.noise, signer.camera
    left, right = _hand_slices(points)
    for part, origin in (
        (slice(NUM_BODY, left.start), points[:, 7:9, 2].mean(axis=1, keepdims=True)),
        (left, points[:, left.start, None, 2]),
        (right, points[:, right.start, None, 2]),
        (slice(0, NUM_BODY), points[:, 23:25, 2].mean(axis=1, keepdims=True)),
    ):
        points[:, part, 2] -= origin
    pixels = noise.jitter * camera.shoulder_share * min(camera.width, camera.height)
    points += _jitter(points.shape[0], mesh, rng, face_rng) * np.array([pixels, pixels, pixels / camera.width])
    x, y = points[..., 0], points[..., 1]
    outside = (x < 0) | (x > camera.width) | (y < 0) | (y > camera.height)
    confidence = np.ones(outside.shape)
    confidence[:, :NUM_BODY] = np.where(outside[:, :NUM_BODY], 0.3, 1.0) * VISIBILITY
    if not noise.hips_visible:
        confidence[:, 23:NUM_BODY] = HIDDEN
    _lose_hands(points, confidence, outside, noise, camera, rng)
    dropped = rng.uniform(size=len(points)) < noise.dropped_frame_rate
    if dropped.any():
        shown = np.maximum.accumulate(np.where(dropped, 0, np.arange(len(points))))
        points, confidence = points[shown], confidence[shown]
    points *= np.array([1 / PIXEL_STEP, 1 / PIXEL_STEP, 1 / DEPTH_STEP])
    np.rint(points, out=points)
    points *= np.array([PIXEL_STEP, PIXEL_STEP, DEPTH_STEP])
    return points, confidence


def _hand_slices(points: np.ndarray) -> tuple[slice, slice]:
    end = points.shape[1]
    return slice(end - 2 * NUM_HAND, end - NUM_HAND), slice(end - NUM_HAND, end)


def _jitter(num_frames: int, mesh: np.ndarray, rng: np.random.Generator, face_rng: np.random.Generator) -> np.ndarray:
    """Unit noise (T, body + mesh + hands, 3), calmer in the face; a point has the same whatever others are made."""
    first = np.array(_signing_face())
    main = rng.standard_normal((num_frames, NUM_BODY + 2 * NUM_HAND + len(first), 3), dtype=np.float32)
    main[:, NUM_BODY + 2 * NUM_HAND :] *= FACE_JITTER
    body, hands, signing = np.split(main, [NUM_BODY, NUM_BODY + 2 * NUM_HAND], axis=1)
    if np.isin(mesh, first).all():
        return np.concatenate([body, signing[:, np.searchsorted(first, mesh)], hands], axis=1)
    face = face_rng.standard_normal((num_frames, NUM_FACE, 3), dtype=np.float32) * np.float32(FACE_JITTER)
    face[:, first] = signing
    return np.concatenate([body, face[:, mesh], hands], axis=1)


def _lose_hands(
    points: np.ndarray,
    confidence: np.ndarray,
    outside: np.ndarray,
    noise: Noise,
    camera: Camera,
    rng: np.random.Generator,
) -> None:
    """Hands outside the picture are not found, others at times, in stretches; some change places. In place."""
    num_frames = len(points)
    left, right = _hand_slices(points)
    swapped = rng.uniform(size=num_frames) < noise.swapped_frames
    for hand in (left, right):
        lost = outside[:, hand].mean(axis=1) > 0.4
        lost |= _stretches(num_frames, noise.missing_hand_rate, MISSING_STRETCH_MS * camera.fps / 1000, rng)
        points[lost, hand], confidence[lost, hand] = np.nan, 0.0
    points[swapped, left], points[swapped, right] = points[swapped, right], points[swapped, left]
    confidence[swapped, left], confidence[swapped, right] = confidence[swapped, right], confidence[swapped, left]


def _stretches(num_frames: int, rate: float, mean_length: float, rng: np.random.Generator) -> np.ndarray:
    """(T,) bool, true for about a share ``rate`` of the frames, in stretches of exponential length."""
    starts = rng.uniform(size=num_frames) < rate / max(mean_length, 1.0)
    lengths = rng.exponential(mean_length, num_frames)
    ends = np.where(starts, np.arange(num_frames) + np.maximum(lengths, 1.0), 0.0)
    return np.arange(num_frames) < np.maximum.accumulate(ends)
