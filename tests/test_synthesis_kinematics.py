"""Arms and hands of the synthetic signer move as arms and hands do."""

from __future__ import annotations

import numpy as np
import pytest

from slt_hf.synthesis.handshapes import handshapes
from slt_hf.synthesis.kinematics import (
    KNUCKLES,
    PHALANGES,
    THUMB_BONES,
    ArmProportions,
    choose_swivel,
    hand_points,
    limit_reach,
    matrix_from_quaternion,
    minimum_jerk,
    place_elbow,
    quaternion_from_axes,
    quaternion_from_matrix,
    quaternion_from_rotation_vector,
    quaternion_multiply,
)

ARM = ArmProportions(shoulder=np.array([-0.18, 0.0, 0.0]))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def bones(hand: np.ndarray) -> np.ndarray:
    """Lengths of three thumb bones and of three phalanges of each finger."""
    thumb = np.linalg.norm(np.diff(hand[..., 1:5, :], axis=-2), axis=-1)
    fingers = np.linalg.norm(np.diff(hand[..., 5:, :].reshape(*hand.shape[:-2], 4, 4, 3), axis=-2), axis=-1)
    return np.concatenate([thumb, fingers.reshape(*hand.shape[:-2], 12)], axis=-1)


def test_bones_keep_their_length_whatever_the_joints_do(rng: np.random.Generator) -> None:
    hand = hand_points(rng.uniform(-30, 110, (50, 21)), scale=1.1)
    expected = np.concatenate([THUMB_BONES, PHALANGES.ravel()]) * 1.1
    assert np.allclose(bones(hand), expected)


@pytest.mark.parametrize(
    ("shape", "fingertip"),
    [
        ("f", 8),
        ("9", 8),
        ("d", 12),
        ("8", 12),
        ("7", 16),
        ("6", 20),
        ("o", 8),
        ("flat_o", 8),
        ("baby_o", 8),
        ("flat_o", 12),
    ],
)
def test_thumb_touches_the_finger_it_should(shape: str, fingertip: int) -> None:
    hand = hand_points(handshapes()[shape])
    assert np.linalg.norm(hand[4] - hand[fingertip]) < 0.016


def test_extended_fingers_are_long_and_folded_ones_short() -> None:
    reach = {
        name: np.linalg.norm(hand_points(handshapes()[name])[[8, 12, 16, 20]] - KNUCKLES, axis=-1)
        for name in ("5", "s", "v", "i")
    }
    full = PHALANGES.sum(axis=1)
    assert (reach["5"] > 0.97 * full).all()
    assert (reach["s"] < 0.6 * full).all()
    assert (reach["v"] / full > 0.97).tolist() == [True, True, False, False]
    assert (reach["i"] / full > 0.97).tolist() == [False, False, False, True]


def test_crossed_fingers_cross_and_v_spreads() -> None:
    hands = {name: hand_points(handshapes()[name]) for name in ("r", "u", "v")}
    gap = {name: hand[8, 0] - hand[12, 0] for name, hand in hands.items()}
    assert gap["r"] < 0 < gap["u"] < 0.5 * gap["v"]


def test_thumb_of_letters_lies_where_their_names_say() -> None:
    tips = {name: hand_points(handshapes()[name])[4] for name in "abcslnmt"}
    assert tips["a"][0] > KNUCKLES[0, 0] + 0.01  # beside the index finger
    assert tips["s"][2] > tips["a"][2]  # in front of the fist
    assert tips["b"][0] < KNUCKLES[1, 0]  # across the palm
    assert tips["t"][0] > tips["n"][0] > tips["m"][0]  # behind one, two, three fingers
    assert tips["l"][0] > 0.09  # stretched away


def test_elbow_is_at_the_end_of_both_bones(rng: np.random.Generator) -> None:
    wrist = limit_reach(rng.uniform(-0.4, 0.4, (200, 3)), ARM)
    far = np.linalg.norm(wrist - ARM.shoulder, axis=-1) > 0.06
    shoulder = np.broadcast_to(ARM.shoulder, wrist.shape)
    elbow = place_elbow(shoulder, wrist, rng.uniform(-90, 30, 200), ARM)
    assert np.allclose(np.linalg.norm(elbow - shoulder, axis=-1), ARM.upper_arm)
    assert np.allclose(np.linalg.norm(wrist - elbow, axis=-1)[far], ARM.forearm)


def test_elbow_hangs_below_the_hand_in_front_of_the_chest() -> None:
    wrist = np.array([[-0.1, 0.1, -0.3]])
    swivel = choose_swivel(wrist, np.array([[0.0, -0.7, -0.7]]), ARM)
    elbow = place_elbow(ARM.shoulder[None], wrist, swivel, ARM)[0]
    assert elbow[1] > 0.15 and elbow[0] < -0.15  # low, and not inside the trunk


def test_hand_axes_are_right_handed() -> None:
    rotation = matrix_from_quaternion(quaternion_from_axes(np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, -1.0])))
    assert np.allclose(rotation @ [1, 0, 0], [1, 0, 0])  # right palm forward, fingers up: the thumb points inwards
    assert np.allclose(rotation @ [0, 1, 0], [0, -1, 0])
    assert np.allclose(rotation @ [0, 0, 1], [0, 0, -1])


def test_quaternions_and_matrices_agree(rng: np.random.Generator) -> None:
    q = quaternion_from_rotation_vector(rng.uniform(-180, 180, (100, 3)))
    matrices = matrix_from_quaternion(q)
    assert np.allclose(np.linalg.det(matrices), 1)
    assert np.allclose(matrix_from_quaternion(quaternion_from_matrix(matrices)), matrices)
    product = matrix_from_quaternion(quaternion_multiply(q[:50], q[50:]))
    assert np.allclose(product, matrices[:50] @ matrices[50:])


def test_minimum_jerk_starts_and_ends_at_rest() -> None:
    progress = minimum_jerk(np.linspace(-0.5, 1.5, 2001))
    speed = np.diff(progress)
    assert progress[0] == 0 and progress[-1] == 1 and (speed >= 0).all()
    assert speed[:502].max() < 1e-6 and speed[-502:].max() < 1e-6
    assert speed.argmax() == pytest.approx(1000, abs=2)
