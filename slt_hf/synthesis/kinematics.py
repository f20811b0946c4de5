"""Forward kinematics of two arms and two hands, vectorised over frames.

Every arm is computed as a right arm in its *own-side* frame, in metres, with the origin between the shoulders:
x points inwards (towards the other side of the body), y down, z backwards (into the signer). For a right arm this is
the camera's frame (x to the right of the image, y down, z away from the camera); a left arm is its mirror image in x.

A hand has its own axes: r towards the thumb (radial), f along the fingers, p out of the palm, with r = f x p.
Its joints are 21 angles in degrees: for index, middle, ring and pinky (mcp flexion, abduction towards the thumb,
pip flexion, dip flexion), then the thumb (spread in the palm's plane away from the fingers, palmar lift out of it,
roll of the flexion plane from "across the palm" to "towards the palm's normal", mcp flexion, ip flexion).

... = any leading axes, usually (hands, frames).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_HAND_ANGLES = 21
NUM_HAND_POINTS = 21  # MediaPipe order: wrist, thumb cmc mcp ip tip, then mcp pip dip tip of index, middle, ring, pinky

# Metres, an adult's hand of 0.185 m; axes (r, f, p).
KNUCKLES = np.array([[0.026, 0.092, 0.0], [0.004, 0.095, -0.003], [-0.016, 0.089, -0.001], [-0.034, 0.079, 0.005]])
PHALANGES = np.array([[0.043, 0.025, 0.021], [0.047, 0.029, 0.022], [0.044, 0.027, 0.022], [0.034, 0.019, 0.019]])
THUMB_BASE = np.array([0.022, 0.022, 0.010])
THUMB_BONES = np.array([0.044, 0.033, 0.028])

SWIVELS_DEG = np.arange(-90.0, 31.0, 10.0)  # candidate elbow positions on the circle around shoulder-wrist
PREFERRED_SWIVEL_DEG = -5.0  # elbow down and a little out
WRIST_BEND_FREE_DEG = 55.0  # a wrist bends this far without effort
WRIST_BEND_MAX_DEG = 80.0
REACH = 0.99  # share of the arm's length that is ever used: elbows do not lock


@dataclass(frozen=True)
class ArmProportions:
    """Lengths in metres; ``shoulder`` in the own-side frame."""

    shoulder: np.ndarray
    upper_arm: float = 0.28
    forearm: float = 0.25
    hand_scale: float = 1.0
    finger_length: float = 1.0


def hand_points(angles: np.ndarray, scale: float = 1.0, finger_length: float = 1.0) -> np.ndarray:
    """Joint angles in degrees (..., 21) to landmarks in hand axes, metres, wrist at the origin: (..., 21, 3)."""
    angles = np.radians(angles)
    points = np.zeros((*angles.shape[:-1], NUM_HAND_POINTS, 3))
    points[..., 1:5, :] = _thumb(angles[..., 16:])
    fingers = angles[..., :16].reshape(*angles.shape[:-1], 4, 4)
    points[..., 5:, :] = _fingers(fingers, finger_length).reshape(*angles.shape[:-1], 16, 3)
    return points * scale


def _fingers(angles: np.ndarray, length: float) -> np.ndarray:
    """(..., 4 fingers, [mcp, abduction, pip, dip]) radians to (..., 4, 4 joints, 3)."""
    flexion = np.cumsum(angles[..., [0, 2, 3]], axis=-1)  # (..., 4, 3): a finger bends in one plane, angles add up
    abduction = angles[..., 1, None] * np.cos(angles[..., :1] * 0.5)  # a bent knuckle spreads less
    bones = PHALANGES * length
    along = bones * np.cos(flexion)
    steps = np.stack([along * np.sin(abduction), along * np.cos(abduction), bones * np.sin(flexion)], axis=-1)
    joints = np.concatenate([np.zeros_like(steps[..., :1, :]), np.cumsum(steps, axis=-2)], axis=-2)
    return joints + KNUCKLES[:, None]


def _thumb(angles: np.ndarray) -> np.ndarray:
    """(..., [spread, palmar, roll, mcp, ip]) radians to (..., 4 joints, 3)."""
    spread, palmar, roll, mcp, ip = np.moveaxis(angles, -1, 0)
    bone = np.stack([np.cos(palmar) * np.sin(spread), np.cos(palmar) * np.cos(spread), np.sin(palmar)], axis=-1)
    across = np.stack([-np.cos(spread), np.sin(spread), np.zeros_like(spread)], axis=-1)  # in the palm's plane
    outward = np.stack([-np.sin(palmar) * np.sin(spread), -np.sin(palmar) * np.cos(spread), np.cos(palmar)], axis=-1)
    curl = across * np.cos(roll)[..., None] + outward * np.sin(roll)[..., None]
    flexion = np.stack([np.zeros_like(mcp), mcp, mcp + ip], axis=-1)[..., None]  # (..., 3, 1)
    steps = THUMB_BONES[:, None] * (np.cos(flexion) * bone[..., None, :] + np.sin(flexion) * curl[..., None, :])
    joints = np.concatenate([np.zeros_like(steps[..., :1, :]), np.cumsum(steps, axis=-2)], axis=-2)
    return joints + THUMB_BASE


def quaternion_from_axes(fingers: np.ndarray, palm: np.ndarray) -> np.ndarray:
    """Rotation of a hand whose fingers and palm point that way, as quaternions (w, x, y, z): (..., 4).

    The fingers' direction is kept; the palm's is made perpendicular to it.
    """
    f = fingers / np.linalg.norm(fingers, axis=-1, keepdims=True)
    p = palm - f * np.sum(f * palm, axis=-1, keepdims=True)
    p = p / np.linalg.norm(p, axis=-1, keepdims=True)
    return quaternion_from_matrix(np.stack([np.cross(f, p), f, p], axis=-1))


def quaternion_from_matrix(m: np.ndarray) -> np.ndarray:
    """(..., 3, 3) to (..., 4): the largest of the four components is solved for first, so nothing divides by zero."""
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    squares = np.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], axis=-1)
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    w, x, y, z = np.moveaxis(squares, -1, 0)
    rows = np.stack([np.stack(row, -1) for row in ([w, a, b, c], [a, x, d, e], [b, d, y, f], [c, e, f, z])], axis=-2)
    best = np.argmax(squares, axis=-1)[..., None, None]
    row = np.take_along_axis(rows, best, axis=-2)[..., 0, :]
    return row / np.linalg.norm(row, axis=-1, keepdims=True)


def matrix_from_quaternion(q: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) to rotation matrices (..., 3, 3); columns are the images of r, f, p."""
    w, x, y, z = np.moveaxis(q, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a after b: (..., 4)."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def quaternion_from_rotation_vector(vector_deg: np.ndarray) -> np.ndarray:
    """Rotation about a vector by its length in degrees: (..., 3) to (..., 4)."""
    half = np.radians(vector_deg) / 2
    length = np.linalg.norm(half, axis=-1, keepdims=True)
    return np.concatenate([np.cos(length), half * np.sinc(length / np.pi)], axis=-1)


def limit_reach(wrist: np.ndarray, arm: ArmProportions) -> np.ndarray:
    """Pull wrists (..., 3) that are out of reach back to the sphere the arm can touch."""
    away = wrist - arm.shoulder
    distance = np.linalg.norm(away, axis=-1, keepdims=True)
    longest = REACH * (arm.upper_arm + arm.forearm)
    return arm.shoulder + away * np.minimum(1.0, longest / np.maximum(distance, 1e-9))


def place_elbow(shoulder: np.ndarray, wrist: np.ndarray, swivel_deg: np.ndarray, arm: ArmProportions) -> np.ndarray:
    """Two-bone inverse kinematics: elbows (..., 3) on the circle that the bones' lengths leave open.

    Args:
        shoulder: (..., 3) metres. wrist: (..., 3) metres.
        swivel_deg: (...), 0 = elbow hanging down, negative = lifted outwards, positive = pressed inwards.
    """
    away = wrist - shoulder
    distance = np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 0.05)
    n = away / distance
    a, b = arm.upper_arm, arm.forearm
    along = (a * a - b * b + distance**2) / (2 * distance)
    radius = np.sqrt(np.maximum(a * a - along**2, 0.0))
    down = np.array([-0.45, 1.0, -0.25])  # not along the arm in any posture that signing uses
    down = down - n * np.sum(n * down, axis=-1, keepdims=True)
    down = down / np.maximum(np.linalg.norm(down, axis=-1, keepdims=True), 1e-9)
    angle = np.radians(swivel_deg)[..., None]
    return shoulder + n * along + radius * (np.cos(angle) * down + np.sin(angle) * np.cross(n, down))


def choose_swivel(
    wrist: np.ndarray, fingers: np.ndarray, arm: ArmProportions, elbow_out_deg: float = 0.0
) -> np.ndarray:
    """Elbow swivel in degrees (...) that lets the fingers point that way (..., 3) with the least bend of the wrist."""
    candidates = SWIVELS_DEG.reshape(-1, *[1] * (wrist.ndim - 1))
    swivels = np.broadcast_to(candidates, (len(SWIVELS_DEG), *wrist.shape[:-1]))
    elbows = place_elbow(np.broadcast_to(arm.shoulder, wrist.shape), wrist, swivels, arm)
    forearm = (wrist - elbows) / arm.forearm
    bend = np.degrees(np.arccos(np.clip(np.sum(forearm * fingers, axis=-1), -1, 1)))
    strain = np.maximum(bend - WRIST_BEND_FREE_DEG, 0) / 25
    effort = (swivels - PREFERRED_SWIVEL_DEG + elbow_out_deg) / 38
    inside = np.maximum(elbows[..., 0] - arm.shoulder[0] - 0.05, 0) / 0.04  # an elbow does not enter the trunk
    cost = strain**2 + effort**2 + inside**2
    # a soft choice: neighbouring poses get neighbouring swivels
    weight = np.exp(-4 * (cost - cost.min(axis=0)))
    return np.sum(weight * swivels, axis=0) / np.sum(weight, axis=0)


def relax_wrist(rotations: np.ndarray, wrist: np.ndarray, swivel_deg: np.ndarray, arm: ArmProportions) -> np.ndarray:
    """Rotations (..., 4) turned towards the forearm where the wrist would bend further than wrists do."""
    elbow = place_elbow(np.broadcast_to(arm.shoulder, wrist.shape), wrist, swivel_deg, arm)
    forearm = (wrist - elbow) / arm.forearm
    fingers = matrix_from_quaternion(rotations)[..., 1]
    bend = np.degrees(np.arccos(np.clip(np.sum(forearm * fingers, axis=-1), -1, 1)))[..., None]
    axis = np.cross(fingers, forearm)
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-9)
    back = quaternion_from_rotation_vector(axis * np.maximum(bend - WRIST_BEND_MAX_DEG, 0))
    return quaternion_multiply(back, rotations)


def minimum_jerk(u: np.ndarray) -> np.ndarray:
    """Time 0..1 to progress 0..1 of a point-to-point movement (Flash and Hogan 1985)."""
    u = np.clip(u, 0.0, 1.0)
    return u**3 * (10 - 15 * u + 6 * u * u)
