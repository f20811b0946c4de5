"""A signer's body in numbers: bones, places and the points of head, face and trunk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from slt_hf.synthesis.handshapes import handshape_table
from slt_hf.synthesis.kinematics import ArmProportions, hand_points
from slt_hf.synthesis.places import HEAD_PLACES, PLACES, SPACE_CENTER, SPACE_PLACES, contact_points
from slt_hf.synthesis.signer import Signer

REFERENCE_SHOULDERS = 0.36  # metres
UPPER_ARM, FOREARM = 0.28, 0.25  # metres
NECK = np.array([0.0, -0.07, -0.01])  # what the head turns about
FACE_FILE = Path(__file__).with_name("face_mesh.txt")

# MediaPipe's first 11 body points, metres: nose, eyes (inner, middle, outer; left, right), ears, corners of the mouth.
_HALF_HEAD = {
    "eye_inner": (0.018, -0.243, -0.092),
    "eye": (0.033, -0.245, -0.088),
    "eye_outer": (0.048, -0.243, -0.078),
    "ear": (0.074, -0.215, 0.0),
}
HEAD_POINTS = np.array(
    [
        (0.0, -0.203, -0.128),
        *(_HALF_HEAD[name] for name in ("eye_inner", "eye", "eye_outer")),
        *((-x, y, z) for x, y, z in (_HALF_HEAD[name] for name in ("eye_inner", "eye", "eye_outer"))),
        _HALF_HEAD["ear"],
        (-_HALF_HEAD["ear"][0], *_HALF_HEAD["ear"][1:]),
        (0.026, -0.163, -0.098),
        (-0.026, -0.163, -0.098),
    ]
)
# Left half of what is below the trunk: hip, knee, ankle, heel, toes. Metres.
LEG_POINTS = np.array(
    [(0.115, 0.50, 0.0), (0.12, 0.92, -0.02), (0.12, 1.32, 0.02), (0.12, 1.37, 0.06), (0.14, 1.39, -0.10)]
)


@dataclass(frozen=True)
class Body:
    """What a signer's proportions make of places and points. Own-side frame for arms, camera frame for the rest."""

    arm: ArmProportions
    places: np.ndarray  # (places, 3)
    contacts: np.ndarray  # (handshapes, contacts, 3) in hand axes
    neck: np.ndarray  # (3,)
    head: np.ndarray  # (11, 3) relative to the neck
    face: np.ndarray  # (468, 3) relative to the neck
    legs: np.ndarray  # (5, 3) of the left side


@cache
def face_mesh() -> np.ndarray:
    """The 468 face points of the reference signer, metres, camera frame: (468, 3). By scripts/make_face_mesh.py."""
    return np.loadtxt(FACE_FILE) / 1000.0


@cache
def _contact_table() -> np.ndarray:
    _, angles = handshape_table()
    return contact_points(hand_points(angles))


@lru_cache(maxsize=64)
def body_of(signer: Signer) -> Body:
    """The body of a signer."""
    width = signer.shoulder_width / REFERENCE_SHOULDERS
    neck = NECK * np.array([1.0, signer.neck_length, 1.0])
    arm = ArmProportions(
        shoulder=np.array([-signer.shoulder_width / 2, 0.0, 0.0]),
        upper_arm=UPPER_ARM * signer.arm_length,
        forearm=FOREARM * signer.arm_length,
        hand_scale=signer.hand_size,
        finger_length=signer.finger_length,
    )
    return Body(
        arm=arm,
        places=np.array([_place(name, signer, width, neck) for name in PLACES]),
        contacts=_contact_table() * signer.hand_size,
        neck=neck,
        head=(HEAD_POINTS - NECK) * signer.head_size,
        face=(face_mesh() - NECK) * signer.head_size,
        legs=LEG_POINTS * np.array([width, signer.trunk_height, 1.0]),
    )


def _place(name: str, signer: Signer, width: float, neck: np.ndarray) -> np.ndarray:
    point = np.array(PLACES[name])
    if name in HEAD_PLACES:
        return (point - NECK) * signer.head_size + neck
    if name in SPACE_PLACES:
        moved = (point - SPACE_CENTER) * signer.space * signer.arm_length + SPACE_CENTER
        return moved + (np.array(signer.spell_offset_cm) / 100 if name == "spell" else 0.0)
    return point * np.array([width, signer.trunk_height, 1.0])
