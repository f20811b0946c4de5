"""Canonical names of landmarks, shared by all families: the same place on the body has the same name everywhere.

    body        nose, left_shoulder, ...            as MediaPipe names its 33 body points; `neck`, `mid_hip`, toes from OpenPose and COCO
    hands       left_hand_wrist, left_hand_index_tip, ...
    face mesh   face_mesh_0 ... face_mesh_477       MediaPipe's mesh; 468-477 are the irises
    face 68     face_68_0 ... face_68_67            iBUG-68, used by COCO-WholeBody, OpenPose, DWPose; plus left_pupil, right_pupil
    world       world_nose, ...                     MediaPipe's body in metres around the hips: never mixed with image coordinates

Left and right are the signer's own, as in all these families.
"""

from __future__ import annotations

from collections.abc import Iterable

SIDES = ("left", "right")

# MediaPipe's 33 body points, in its order (developers.google.com/mediapipe, pose landmarker).
BODY_33 = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel",
    "left_foot_index", "right_foot_index",
)  # fmt: skip
WORLD_33 = tuple(f"world_{name}" for name in BODY_33)

# COCO's 17 body points and the 6 feet points of COCO-WholeBody (github.com/jin-s13/COCO-WholeBody).
BODY_17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
FEET_6 = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")

# OpenPose BODY_25, its older 18-point body (DWPose writes it too) and BODY_135's body.
BODY_25 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist", "mid_hip",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear",
    "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip
BODY_18 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear",
    "left_ear",
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
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136,
    172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
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

# Mesh points on the face's plane of symmetry. The mesh is numbered so that its left half repeats the order of its right
# half (canonical face model), which gives the mirror of all other points.
MESH_MIDLINE = (
    0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 94, 151, 152, 164, 168, 175, 195, 197, 199, 200,
)  # fmt: skip

# Mesh point for each of the 68 iBUG points: the contour points in common use for this, kept mirror symmetric.
IBUG_TO_MESH = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 98, 97, 2, 326, 327,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,  # lips
)  # fmt: skip


def _mesh_mirror() -> tuple[int, ...]:
    right = [index for index in range(248) if index not in MESH_MIDLINE]
    mirror = list(range(478))
    for ours, theirs in zip(right, range(248, 468), strict=True):
        mirror[ours], mirror[theirs] = theirs, ours
    # Irises: centre with centre; the ring runs to the image's right, up, left, down in both, so its sides swap.
    for ours, theirs in ((468, 473), (469, 476), (470, 475), (471, 474), (472, 477)):
        mirror[ours], mirror[theirs] = theirs, ours
    return tuple(mirror)


def _ibug_mirror() -> tuple[int, ...]:
    sums = ((range(0, 17), 16), (range(17, 27), 43), (range(31, 36), 66), (range(48, 55), 102), (range(55, 60), 114),
            (range(60, 65), 124), (range(65, 68), 132))  # fmt: skip
    mirror = list(range(68))
    for indices, total in sums:
        for index in indices:
            mirror[index] = total - index
    for ours, theirs in ((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)):
        mirror[ours], mirror[theirs] = theirs, ours
    return tuple(mirror)


MESH_MIRROR = _mesh_mirror()
IBUG_MIRROR = _ibug_mirror()


def mirrored_name(name: str) -> str:
    """Name of the landmark on the other side of the body; its own for points on the midline."""
    if name.startswith("face_mesh_"):
        return f"face_mesh_{MESH_MIRROR[int(name[10:])]}"
    if name.startswith("face_68_"):
        return f"face_68_{IBUG_MIRROR[int(name[8:])]}"
    return "_".join({"left": "right", "right": "left"}.get(word, word) for word in name.split("_"))


def _counterparts() -> dict[str, tuple[tuple[str, ...], ...]]:
    table: dict[str, list[tuple[str, ...]]] = {}

    def add(name: str, *sources: str) -> None:
        table.setdefault(name, []).append(sources)

    for index, mesh_index in enumerate(IBUG_TO_MESH):
        add(f"face_68_{index}", f"face_mesh_{mesh_index}")
        add(f"face_mesh_{mesh_index}", f"face_68_{index}")
    add("nose", "face_mesh_4")
    add("nose", "face_68_30")
    add("neck", "left_shoulder", "right_shoulder")
    add("mid_hip", "left_hip", "right_hip")
    eyes = {"left": ((362, 263), (42, 45), 473, 291, 54), "right": ((133, 33), (39, 36), 468, 61, 48)}
    for side, (mesh_corners, ibug_corners, iris, mesh_mouth, ibug_mouth) in eyes.items():
        add(f"{side}_eye", *mesh(mesh_corners))
        add(f"{side}_eye", *face_68(ibug_corners))
        for place, mesh_index, ibug_index in zip(("inner", "outer"), mesh_corners, ibug_corners, strict=True):
            add(f"{side}_eye_{place}", f"face_mesh_{mesh_index}")
            add(f"{side}_eye_{place}", f"face_68_{ibug_index}")
        add(f"{side}_pupil", f"face_mesh_{iris}")
        add(f"face_mesh_{iris}", f"{side}_pupil")
        add(f"mouth_{side}", f"face_mesh_{mesh_mouth}")
        add(f"mouth_{side}", f"face_68_{ibug_mouth}")
        add(f"{side}_wrist", f"{side}_hand_wrist")
        add(f"{side}_hand_wrist", f"{side}_wrist")
        add(f"{side}_index", f"{side}_hand_index_mcp")  # MediaPipe: "index knuckle #1"
        add(f"{side}_pinky", f"{side}_hand_pinky_mcp")
        add(f"{side}_foot_index", f"{side}_big_toe")
        add(f"{side}_big_toe", f"{side}_foot_index")
    return {name: tuple(sources) for name, sources in table.items()}


COUNTERPARTS = _counterparts()
"""For a landmark that a layout lacks: landmarks whose mean stands at the same place, best first."""


def _chains() -> tuple[tuple[str, ...], ...]:
    chains: list[tuple[str, ...]] = [("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("mouth_left", "mouth_right")]
    for side in SIDES:
        chains += [
            ("nose", "neck", f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist", f"{side}_hand_wrist"),
            ("nose", f"{side}_eye_inner", f"{side}_eye", f"{side}_eye_outer", f"{side}_ear"),
            (f"{side}_shoulder", f"{side}_hip", f"{side}_knee", f"{side}_ankle", f"{side}_heel"),
            ("neck", "mid_hip", f"{side}_hip"),
            (f"{side}_ankle", f"{side}_big_toe", f"{side}_small_toe"),
            (f"{side}_heel", f"{side}_foot_index"),
            (f"{side}_wrist", f"{side}_thumb"),
            (f"{side}_wrist", f"{side}_index", f"{side}_pinky"),
        ]
    chains += [tuple(f"world_{name}" for name in chain) for chain in chains]
    for side in SIDES:
        for finger in ("thumb", "index", "middle", "ring", "pinky"):
            joints = tuple(point for point in HAND_POINTS if point.startswith(finger))
            chains.append(tuple(f"{side}_hand_{point}" for point in ("wrist", *joints)))
    chains += [mesh(loop + loop[:1]) for loop in MESH_LOOPS] + [mesh(brow) for brow in BROWS]
    chains += [face_68(range(17)), face_68(range(17, 22)), face_68(range(22, 27)), face_68(range(27, 31)), face_68(range(31, 36))]
    for loop in (range(36, 42), range(42, 48), range(48, 60), range(60, 68)):
        chains.append(face_68((*loop, loop[0])))
    return tuple(chains)


CHAINS = _chains()
"""Walks along the skeleton. A layout that lacks a point of a walk links its neighbours."""
