"""Canonical names of landmarks, shared by all families: the same place on the body has the same name everywhere.

    body        nose, left_shoulder, ...     MediaPipe's names; neck, mid_hip and toes from OpenPose and COCO
    hands       left_hand_wrist, left_hand_index_tip, ...
    face mesh   face_mesh_0 ... 477          MediaPipe's mesh; 468-477 are the irises
    face 68     face_68_0 ... 67             iBUG-68 (COCO-WholeBody, OpenPose, DWPose); plus left_pupil, right_pupil
    world       world_nose, ...              MediaPipe's body in metres around the hips: never mixed with the image

Left and right are the signer's own, as in all these families.
"""

from __future__ import annotations

from collections.abc import Iterable

SIDES = ("left", "right")

# MediaPipe's 33 body points, in its order (developers.google.com/mediapipe, pose landmarker).
BODY_33 = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb",
    "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel",
    "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
WORLD_33 = tuple(f"world_{name}" for name in BODY_33)

# COCO's 17 body points and the 6 feet points of COCO-WholeBody (github.com/jin-s13/COCO-WholeBody).
BODY_17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
FEET_6 = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")

# OpenPose BODY_25, its older 18-point body (DWPose writes it too) and BODY_135's body.
BODY_25 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye",
    "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
    "right_small_toe", "right_heel",
)  # fmt: skip
BODY_18 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear",
)  # fmt: skip
BODY_135 = BODY_17 + ("upper_neck", "head_top") + FEET_6

# 21 points of a hand; MediaPipe, OpenPose, COCO-WholeBody agree on place and order.
HAND_POINTS = ("wrist",) + tuple(
    f"{finger}_{joint}"
    for finger, joints in (
        ("thumb", ("cmc", "mcp", "ip", "tip")),
        ("index", ("mcp", "pip", "dip", "tip")),
        ("middle", ("mcp", "pip", "dip", "tip")),
        ("ring", ("mcp", "pip", "dip", "tip")),
        ("pinky", ("mcp", "pip", "dip", "tip")),
    )
    for joint in joints
)
LEFT_HAND_21 = tuple(f"left_hand_{point}" for point in HAND_POINTS)
RIGHT_HAND_21 = tuple(f"right_hand_{point}" for point in HAND_POINTS)

PUPILS = ("right_pupil", "left_pupil")  # points 68 and 69 of OpenPose's face


def mesh(indices: Iterable[int]) -> tuple[str, ...]:
    """Names of face mesh points."""
    return tuple(f"face_mesh_{index}" for index in indices)


def face_68(indices: Iterable[int] = range(68)) -> tuple[str, ...]:
    """Names of iBUG-68 points."""
    return tuple(f"face_68_{index}" for index in indices)


# The face mesh's contours, as walks over mesh points (MediaPipe's FACEMESH_CONTOURS).
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_IRIS = (469, 470, 471, 472)  # 468 is its centre
LEFT_IRIS = (474, 475, 476, 477)  # 473 is its centre
BROWS = (
    (46, 53, 52, 65, 55), (70, 63, 105, 66, 107), (276, 283, 282, 295, 285), (300, 293, 334, 296, 336),
)  # fmt: skip
MESH_LOOPS = (FACE_OVAL, OUTER_LIPS, INNER_LIPS, RIGHT_EYE, LEFT_EYE, RIGHT_IRIS, LEFT_IRIS)
MESH_CONTOUR_128 = tuple(sorted({*FACE_OVAL, *OUTER_LIPS, *INNER_LIPS, *RIGHT_EYE, *LEFT_EYE, *sum(BROWS, ())}))

# Orders as their authors' code has them. Isharah (gufranSabri/Pose86K-CSLR-Isharah, utils/datasetv2.py): outer lips,
# sorted.
ISHARAH_LIPS = (0, 17, 37, 39, 40, 61, 84, 91, 146, 181, 185, 267, 269, 270, 291, 314, 321, 375, 405)
# hoyso48's solution of the Google isolated sign recognition competition: POINT_LANDMARKS.
ISLR_LIPS = (
    0, 61, 185, 40, 39, 37, 267, 269, 270, 409, 291, 146, 91, 181, 84, 17, 314, 405, 321, 375, 78, 191, 80, 81, 82, 13,
    312, 311, 310, 415, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308,
)  # fmt: skip
ISLR_NOSE_EYES = (
    1, 2, 98, 327, 33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173, 263, 249, 390, 373,
    374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398,
)  # fmt: skip
# T5_for_SLT (zeleznyt/T5_for_SLT, utils/keypoint_dataset.py) and JSALT 2024: 37 points of the refined face mesh.
T5_SLT_FACE = (
    0, 4, 13, 14, 17, 33, 39, 46, 52, 55, 61, 64, 81, 93, 133, 151, 152, 159, 172, 178, 181, 263, 269, 276, 282, 285,
    291, 294, 311, 323, 362, 386, 397, 402, 405, 468, 473,
)  # fmt: skip

HANDS_42 = LEFT_HAND_21 + RIGHT_HAND_21
UPPER_BODY_11 = BODY_17[:11]
SIGNING_FACE_32 = face_68((*range(0, 17, 2), 17, 19, 21, 22, 24, 26, 30, *range(48, 60), 60, 62, 64, 66))


def finger_ends(side: str) -> tuple[str, ...]:
    joints = ("wrist", "thumb_tip") + tuple(
        f"{finger}_{joint}" for finger in ("index", "middle", "ring", "pinky") for joint in ("mcp", "tip")
    )
    return tuple(f"{side}_hand_{joint}" for joint in joints)
