"""Who signs, and how it is filmed: proportions, habits, camera and noise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

FRAME_RATES = (24.0, 25.0, 30.0, 50.0, 60.0)
IMAGE_SIZES = ((640, 480), (1280, 720), (1920, 1080), (512, 512), (720, 1280), (448, 252), (210, 260))


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and what it records."""

    yaw_deg: float = 0.0  # positive: it sees more of the signer's left side
    pitch_deg: float = 0.0  # positive: it looks down on the signer
    roll_deg: float = 0.0
    distance_m: float = 2.0  # how strong the perspective is; the size in the picture is `shoulder_share`
    shoulder_share: float = 0.28  # shoulder width over the shorter side of the picture
    center: tuple[float, float] = (0.5, 0.52)  # where the neck's base is in the picture, as shares of width and height
    width: int = 1280
    height: int = 720
    fps: float = 25.0


@dataclass(frozen=True)
class Noise:
    """What the extractor gets wrong."""

    jitter: float = 0.0  # standard deviation of a point, in shoulder widths
    missing_hand_rate: float = 0.0  # share of the time a hand is not found, in stretches
    dropped_frame_rate: float = 0.0  # share of frames that repeat the one before
    hips_visible: bool = True
    swapped_frames: float = 0.0  # share of frames in which a hand is taken for the other one


@dataclass(frozen=True)
class Signer:
    """A person; lengths in metres, factors relative to the reference signer."""

    shoulder_width: float = 0.36
    trunk_height: float = 1.0
    arm_length: float = 1.0
    hand_size: float = 1.0
    finger_length: float = 1.0
    head_size: float = 1.0
    neck_length: float = 1.0
    handedness: str = "right"  # or "left"
    tempo: float = 1.0  # 1.2 signs everything in 1/1.2 of the time
    spelling_tempo: float = 1.0  # on top of it
    space: float = 1.0  # how large the signing in front of the body is
    smoothness_ms: float = 28.0  # how much neighbouring movements melt into each other
    elbow_out_deg: float = 0.0
    precision_cm: float = 0.6  # spread of a place from one time to the next
    looseness_deg: float = 3.0  # spread of joint angles from one time to the next
    open_fingers_deg: float = 0.0  # this person's straight fingers stay bent by that much
    spell_offset_cm: tuple[float, float, float] = (0.0, 0.0, 0.0)  # where this person fingerspells
    nonmanual: float = 1.0  # strength of head movements and brows
    rest: str = "lap"  # or "hanging"
    camera: Camera = field(default_factory=Camera)
    noise: Noise = field(default_factory=Noise)

    @classmethod
    def random(cls, rng: np.random.Generator, noisy: bool = False) -> Signer:
        """Somebody else, drawn from ``rng``; with ``noisy``, filmed and extracted badly."""
        normal, uniform = rng.normal, rng.uniform
        signer = cls(
            shoulder_width=float(np.clip(normal(0.36, 0.022), 0.30, 0.43)),
            trunk_height=float(uniform(0.9, 1.12)),
            arm_length=float(np.clip(normal(1.0, 0.05), 0.88, 1.12)),
            hand_size=float(np.clip(normal(1.0, 0.06), 0.85, 1.15)),
            finger_length=float(np.clip(normal(1.0, 0.04), 0.9, 1.1)),
            head_size=float(np.clip(normal(1.0, 0.05), 0.87, 1.13)),
            neck_length=float(uniform(0.8, 1.25)),
            handedness="left" if uniform() < 0.12 else "right",
            tempo=float(np.clip(normal(1.05, 0.16), 0.7, 1.5)),
            spelling_tempo=float(uniform(0.8, 1.3)),
            space=float(np.clip(normal(1.0, 0.12), 0.75, 1.3)),
            smoothness_ms=float(uniform(18, 45)),
            elbow_out_deg=float(normal(0, 10)),
            precision_cm=float(uniform(0.4, 1.4)),
            looseness_deg=float(uniform(2, 6)),
            open_fingers_deg=float(uniform(0, 12)),
            spell_offset_cm=(float(normal(0, 2.5)), float(normal(0, 3.0)), float(normal(0, 2.0))),
            nonmanual=float(uniform(0.6, 1.5)),
            rest="hanging" if uniform() < 0.4 else "lap",
        )
        return replace(signer, camera=_random_camera(rng, noisy), noise=_random_noise(rng, noisy))


def _random_camera(rng: np.random.Generator, noisy: bool) -> Camera:
    width, height = IMAGE_SIZES[rng.integers(len(IMAGE_SIZES))]
    wide = 1.6 if noisy else 1.0
    return Camera(
        yaw_deg=float(np.clip(rng.normal(0, 8 * wide), -30, 30)),
        pitch_deg=float(np.clip(rng.normal(2, 4 * wide), -15, 18)),
        roll_deg=float(rng.normal(0, 1.5 * wide)),
        distance_m=float(rng.uniform(1.0, 4.0)),
        shoulder_share=float(rng.uniform(0.2, 0.36)),
        center=(float(rng.uniform(0.42, 0.58)), float(rng.uniform(0.44, 0.6))),
        width=width,
        height=height,
        fps=float(FRAME_RATES[rng.integers(len(FRAME_RATES))]),
    )


def _random_noise(rng: np.random.Generator, noisy: bool) -> Noise:
    if not noisy:
        return Noise(jitter=float(rng.uniform(0.001, 0.004)), hips_visible=bool(rng.uniform() < 0.7))
    return Noise(
        jitter=float(rng.uniform(0.006, 0.02)),
        missing_hand_rate=float(rng.uniform(0.03, 0.15)),
        dropped_frame_rate=float(rng.uniform(0.0, 0.12)),
        hips_visible=bool(rng.uniform() < 0.3),
        swapped_frames=float(rng.uniform(0.0, 0.03)),
    )
