"""From a sentence's score and a signer to the movement of every joint: (frames, ...) arrays.

Targets become wrist positions and rotations, these are joined by minimum-jerk paths, and inverse kinematics finds the
elbows. K keyframes, T frames; 2 hands, the dominant first, each in its own-side frame (see ``kinematics``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slt_hf.synthesis.body import Body, body_of
from slt_hf.synthesis.choreography import Sentence
from slt_hf.synthesis.handshapes import handshape_table
from slt_hf.synthesis.kinematics import (
    choose_swivel,
    hand_points,
    limit_reach,
    matrix_from_quaternion,
    minimum_jerk,
    place_elbow,
    quaternion_from_rotation_vector,
    quaternion_multiply,
    relax_wrist,
)
from slt_hf.synthesis.phonology import Score
from slt_hf.synthesis.places import FIRST_BASE_PLACE
from slt_hf.synthesis.signer import Signer

FLIP_X = np.array([-1.0, 1.0, 1.0])
TRANSITION_MS, TRANSITION_MS_PER_ROOT_DM = 70.0, 150.0  # a movement of 10 cm takes their sum
TURN_MS_PER_HALF_TURN, SHAPE_CHANGE_MS = 110.0, 45.0
DETOUR = 0.16  # transitions bulge forward by this share of their length: hands do not cut through the body
HANDS_LEAD = 1.25  # fingers have finished when the arm is at 1 / 1.25 of a transition
OPENABLE_DEG = 12.0  # joints straighter than this count as straight for `open_fingers_deg`


@dataclass(frozen=True)
class Motion:
    """Everything that moves, T frames. Metres and degrees."""

    hands: np.ndarray  # (T, 2, 21, 3) own-side frame
    elbows: np.ndarray  # (T, 2, 3)
    shoulders: np.ndarray  # (T, 2, 3)
    head_deg: np.ndarray  # (T, 3) pitch (bow), yaw (shake), roll (tilt)
    brows: np.ndarray  # (T,) 1 = raised, -1 = drawn down
    mouth: np.ndarray  # (T,) 0 = closed
    sway_deg: np.ndarray  # (T, 3) of the whole upper body, as for the head
    ends_ms: (
        np.ndarray
    )  # (K,) when each keyframe of the sentence is reached: training may look at when each sign is made


@dataclass(frozen=True)
class _Keyframes:
    """Targets in joint terms."""

    wrists: np.ndarray  # (K, 2, 3)
    rotations: np.ndarray  # (K, 2, 4), neighbours on the same half of the sphere
    angles: np.ndarray  # (K, 2, 21)
    swivels: np.ndarray  # (K, 2)


def perform(sentence: Sentence, signer: Signer, rng: np.random.Generator) -> Motion:
    """Let a signer sign a sentence at the camera's frame rate."""
    body = body_of(signer)
    keyframes = _keyframes(sentence, signer, body, rng)
    ends = np.cumsum(_durations(sentence, signer, keyframes, rng))
    times = np.arange(0.0, ends[-1] + 500 / signer.camera.fps, 1000 / signer.camera.fps)
    last = np.clip(
        np.searchsorted(ends, times, side="left"), 1, len(ends) - 1
    )  # the keyframe each frame is heading for
    progress = np.clip((times - ends[last - 1]) / np.maximum(ends[last] - ends[last - 1], 1e-6), 0.0, 1.0)
    wrists, rotations, angles, swivels = _between(sentence, keyframes, last, progress)
    smooth = _smoother(len(times), signer.smoothness_ms * signer.camera.fps / 1000)
    wrists, angles, swivels = smooth(wrists), smooth(angles), smooth(swivels)
    rotations = smooth(rotations)
    rotations = rotations / np.linalg.norm(rotations, axis=-1, keepdims=True)
    head, brows = _nonmanual(sentence, signer, ends, times)
    drift = _idle_sway(times, rng)
    hands, elbows, shoulders = _arms(wrists, rotations, angles, swivels, body)
    return Motion(
        hands=hands,
        elbows=elbows,
        shoulders=shoulders,
        head_deg=head + drift[:, :3] * 1.5,
        brows=brows,
        mouth=np.clip(drift[:, 6] * 0.4, 0.0, 1.0),
        sway_deg=drift[:, 3:6] * 0.8,
        ends_ms=ends,
    )


def _keyframes(sentence: Sentence, signer: Signer, body: Body, rng: np.random.Generator) -> _Keyframes:
    score = sentence.score
    count = len(score.places)
    _, table = handshape_table()
    spread = rng.standard_normal((count, 2, 27))
    spread[1:] = np.where(_same_target(score)[..., None], spread[:-1], spread[1:])  # a hold holds still
    rotations = quaternion_multiply(
        score.rotations, quaternion_from_rotation_vector(spread[..., :3] * signer.looseness_deg * 1.2)
    )
    angles = table[score.shapes] + spread[..., 6:] * signer.looseness_deg
    straight = (table[score.shapes] < OPENABLE_DEG) & _FLEXIONS
    angles = angles + np.where(straight, signer.open_fingers_deg, 0.0)
    jitter = score.offsets + spread[..., 3:6] * signer.precision_cm / 100
    wrists, swivels = _reach(score, rotations, jitter, body, signer)
    rotations = relax_wrist(rotations, wrists, swivels, body.arm)
    wrists, swivels = _reach(score, rotations, jitter, body, signer)
    signs = np.sign(np.sum(rotations[1:] * rotations[:-1], axis=-1) + 1e-12)
    rotations[1:] *= np.cumprod(signs, axis=0)[..., None]
    return _Keyframes(wrists, rotations, angles, swivels)


def _reach(
    score: Score, rotations: np.ndarray, offsets: np.ndarray, body: Body, signer: Signer
) -> tuple[np.ndarray, np.ndarray]:
    """Wrists (K, 2, 3) that bring each contact point to its place, and the elbows' swivels (K, 2)."""
    matrices = matrix_from_quaternion(rotations)
    hand = np.einsum("khij,khj->khi", matrices, body.contacts[score.shapes, score.contacts])
    places = body.places[np.minimum(score.places, len(body.places) - 1)]
    wrists = limit_reach(places + offsets - hand, body.arm)
    # where the dominant hand goes to the other hand, the place is a point of it, seen from the other side
    base = np.clip(score.places[:, 0] - FIRST_BASE_PLACE, 0, None)
    point = wrists[:, 1] + np.einsum("kij,kj->ki", matrices[:, 1], body.contacts[score.shapes[:, 1], base])
    on_base = limit_reach(point * FLIP_X + offsets[:, 0] - hand[:, 0], body.arm)
    wrists[:, 0] = np.where((score.places[:, 0] >= FIRST_BASE_PLACE)[:, None], on_base, wrists[:, 0])
    return wrists, choose_swivel(wrists, matrices[..., 1], body.arm, signer.elbow_out_deg)


_FLEXIONS = np.array([i < 16 and i % 4 != 1 for i in range(21)])


def _same_target(score: Score) -> np.ndarray:
    """(K - 1, 2): the hand's target is the one of the keyframe before."""
    same = (np.diff(score.places, axis=0) == 0) & (np.diff(score.shapes, axis=0) == 0)
    still = (np.diff(score.offsets, axis=0) == 0).all(axis=-1) & (np.diff(score.rotations, axis=0) == 0).all(axis=-1)
    return same & still


def _durations(sentence: Sentence, signer: Signer, keyframes: _Keyframes, rng: np.random.Generator) -> np.ndarray:
    """(K,) milliseconds of the stroke that leads to each keyframe."""
    score = sentence.score
    way = np.linalg.norm(np.diff(keyframes.wrists, axis=0), axis=-1).max(axis=1)
    turn = 1 - np.abs(np.sum(keyframes.rotations[1:] * keyframes.rotations[:-1], axis=-1)).min(axis=1)
    reshape = (np.diff(score.shapes, axis=0) != 0).any(axis=1)
    automatic = (
        TRANSITION_MS
        + TRANSITION_MS_PER_ROOT_DM * np.sqrt(way / 0.1)
        + TURN_MS_PER_HALF_TURN * turn
        + SHAPE_CHANGE_MS * reshape
    )
    durations = score.durations_ms.copy()
    unset = np.isnan(durations)
    durations[unset] = automatic[unset[1:]]
    tempo = signer.tempo * np.where(sentence.spelled, signer.spelling_tempo, 1.0)
    return durations / tempo * np.exp(0.08 * rng.standard_normal(len(durations)))


def _between(
    sentence: Sentence, keyframes: _Keyframes, last: np.ndarray, progress: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Wrists, rotations, joint angles and elbow swivels of every frame."""
    score = sentence.score
    eased = minimum_jerk(progress)[:, None]
    automatic = np.isnan(score.durations_ms)[last][:, None]
    early = np.where(automatic, minimum_jerk(progress * HANDS_LEAD)[:, None], eased)

    def blend(values: np.ndarray, share: np.ndarray) -> np.ndarray:
        share = share.reshape(len(share), *[1] * (values.ndim - 1))
        return values[last - 1] + (values[last] - values[last - 1]) * share

    wrists, rotations = blend(keyframes.wrists, eased), blend(keyframes.rotations, eased)
    rotations = rotations / np.linalg.norm(rotations, axis=-1, keepdims=True)
    angles, swivels = blend(keyframes.angles, early), blend(keyframes.swivels, eased)
    length = np.linalg.norm(keyframes.wrists[last] - keyframes.wrists[last - 1], axis=-1)
    bulge = np.sin(np.pi * eased)
    wrists[..., 2] -= automatic * bulge * DETOUR * length
    _add_strokes(score, last, progress, bulge, wrists, angles)
    spin = score.motions[last][..., 12:15] * (np.sin(_phase(score, last, progress)) * _fade(progress))[:, None, None]
    return wrists, quaternion_multiply(rotations, quaternion_from_rotation_vector(spin)), angles, swivels


def _add_strokes(
    score, last: np.ndarray, progress: np.ndarray, bulge: np.ndarray, wrists: np.ndarray, angles: np.ndarray
) -> None:
    """Arcs, circles, shaking and wiggling on top of the straight way, in place."""
    motion = score.motions[last]  # (T, 2, 16)
    phase, fade = _phase(score, last, progress), _fade(progress)
    sine, cosine = np.sin(phase)[:, None, None], np.cos(phase)[:, None, None]
    wrists += motion[..., 0:3] * bulge[..., None] + motion[..., 9:12] * sine
    wrists += motion[..., 3:6] * (cosine - 1) + motion[..., 6:9] * sine
    flutter = np.sin(phase[:, None] - np.arange(4) * 1.3) * fade[:, None]  # the fingers follow one another
    angles[..., 0:16:4] += motion[..., 15:16] * flutter[:, None, :]


def _phase(score, last: np.ndarray, progress: np.ndarray) -> np.ndarray:
    """Radians of the cyclic movements; half way between constant speed and a soft start."""
    return 2 * np.pi * score.cycles[last] * (progress + minimum_jerk(progress)) / 2


def _fade(progress: np.ndarray) -> np.ndarray:
    return np.minimum(1.0, 6 * np.minimum(progress, 1 - progress))


def _smoother(num_frames: int, sigma_frames: float):
    """Gaussian smoothing along time with the ends held: what makes neighbouring signs melt into each other."""
    radius = max(1, int(np.ceil(2.5 * sigma_frames)))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma_frames, 1e-3)) ** 2)
    weights = weights / weights.sum()

    def smooth(values: np.ndarray) -> np.ndarray:
        padded = np.concatenate([values[:1].repeat(radius, axis=0), values, values[-1:].repeat(radius, axis=0)])
        return sum(weight * padded[i : i + num_frames] for i, weight in enumerate(weights))

    return smooth


def _arms(wrists: np.ndarray, rotations: np.ndarray, angles: np.ndarray, swivels: np.ndarray, body: Body):
    """Hands, elbows and shoulders of every frame."""
    shoulders = np.broadcast_to(body.arm.shoulder, wrists.shape).copy()
    shoulders[..., 1] -= 0.025 * np.clip(-wrists[..., 1] / 0.3, 0, 1)  # a raised arm lifts its shoulder,
    shoulders[..., 2] -= 0.03 * np.clip((-wrists[..., 2] - 0.25) / 0.25, 0, 1)  # a far reach pulls it forward
    wrists = limit_reach(wrists, body.arm)
    elbows = place_elbow(shoulders, wrists, swivels, body.arm)
    local = hand_points(angles, body.arm.hand_scale, body.arm.finger_length)
    hands = np.matmul(local, matrix_from_quaternion(rotations).swapaxes(-1, -2)) + wrists[..., None, :]
    return hands, elbows, shoulders


def _nonmanual(
    sentence: Sentence, signer: Signer, ends: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Head rotation in degrees (T, 3) and brows (T,)."""
    head, brows = np.zeros((len(times), 3)), np.zeros(len(times))
    for kind, first, last in sentence.head:
        start, end = ends[first], ends[last]
        window = _window(times, start, end, 120.0)
        swing = np.sin(2 * np.pi * (times - start) / 420.0) * window
        if kind in ("bow", "tilt"):
            head[:, 0 if kind == "bow" else 2] += 12.0 * window
        else:
            head[:, 0 if kind == "nod" else 1] += (9.0 if kind == "nod" else 14.0) * swing
    for kind, first, last in sentence.brows:
        brows += _window(times, ends[first], ends[last], 180.0) * (1.0 if kind == "up" else -1.0)
    return head * signer.nonmanual, brows * signer.nonmanual


def _window(times: np.ndarray, start: float, end: float, edge_ms: float) -> np.ndarray:
    """0 before, 1 within, 0 after, with soft edges."""
    return minimum_jerk((times - start) / edge_ms + 0.5) * minimum_jerk((end - times) / edge_ms + 0.5)


def _idle_sway(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Seven slow random waves (T, 7): nobody stands quite still."""
    periods_ms = rng.uniform(900, 4000, (3, 7))
    phases, sizes = rng.uniform(0, 2 * np.pi, (3, 7)), rng.normal(0, 0.6, (3, 7))
    return np.sum(sizes * np.sin(2 * np.pi * times[:, None, None] / periods_ms + phases), axis=1)
