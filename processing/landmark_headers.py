"""Recognise the layout of a .pose header, and name a layout's points the way .pose files do.

A header lists components (POSE_LANDMARKS, hand_left_keypoints_2d, ...) with point names. Each (component, point) has a
canonical landmark name; the sequence of names is a layout, or a subset of one (a component or some points were
removed), which is then read into the smallest layout that holds it, with the absent points masked. Needs numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from .landmark_names import BODY_17, BODY_25, BODY_33, BODY_135, FEET_6, HAND_POINTS, PUPILS
from .landmarks import LAYOUTS, LandmarkLayout, part_of
from .pose_errors import LandmarkError

Component = tuple[str, tuple[str, ...]]
"""Name of a header's component and names of its points."""

# OpenPose's names as pose-format writes them; its hands call the wrist BASE and count finger joints from the palm.
_OPENPOSE_BODY = (
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip", "RHip", "RKnee",
    "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar", "LBigToe", "LSmallToe", "LHeel", "RBigToe",
    "RSmallToe", "RHeel",
)  # fmt: skip
_OPENPOSE_HAND = ("BASE", "T_STT", "T_BCMC", "T_MCP", "T_IP") + tuple(
    f"{finger}_{joint}" for finger in "IMRP" for joint in ("CMC", "MCP", "PIP", "DIP")
)
_OPENPOSE_FACE = tuple(
    f"{group}_{index}"
    for group, indices in (
        ("FB", range(17)), ("FEB", range(17, 27)), ("FN", range(27, 36)), ("FE", range(36, 48)), ("FLO", range(48, 60)),
        ("FLI", range(60, 68)), ("FP", range(68, 70)),
    )
    for index in indices
)  # fmt: skip
_BODY_135 = (
    "Nose", "LEye", "REye", "LEar", "REar", "LShoulder", "RShoulder", "LElbow", "RElbow", "LWrist", "RWrist", "LHip",
    "RHip", "LKnee", "RKnee", "LAnkle", "RAnkle", "UpperNeck", "HeadTop", "LBigToe", "LSmallToe", "LHeel", "RBigToe",
    "RSmallToe", "RHeel",
)  # fmt: skip
_BODY_135_HAND = tuple(
    f"{finger}{number}{joint}"
    for finger, joints in (
        ("Thumb", ("CMC", "Knuckles", "IP", "FingerTip")), ("Index", ("Knuckles", "PIP", "DIP", "FingerTip")),
        ("Middle", ("Knuckles", "PIP", "DIP", "FingerTip")), ("Ring", ("Knuckles", "PIP", "DIP", "FingerTip")),
        ("Pinky", ("Knuckles", "PIP", "DIP", "FingerTip")),
    )
    for number, joint in enumerate(joints, start=1)
)  # fmt: skip
_BODY_135_FACE = (
    *(f"FaceContour{i}" for i in range(17)), *(f"REyeBrow{i}" for i in range(5)),
    *(f"LEyeBrow{i}" for i in (4, 3, 2, 1, 0)), *(f"NoseUpper{i}" for i in range(4)),
    *(f"NoseLower{i}" for i in range(5)), *(f"REye{i}" for i in range(6)), *(f"LEye{i}" for i in range(6)),
    *(f"OMouth{i}" for i in range(12)), *(f"IMouth{i}" for i in range(8)), "RPupil", "LPupil",
)  # fmt: skip
_FACE_70 = tuple(f"face_68_{i}" for i in range(68)) + PUPILS


def _hand(side: str) -> tuple[str, ...]:
    return tuple(f"{side}_hand_{point}" for point in HAND_POINTS)


def _mediapipe_hand(side: str) -> dict[str, str]:
    names = {point.upper(): f"{side}_hand_{point}" for point in HAND_POINTS}
    fingers = ("index", "middle", "ring")  # MediaPipe writes INDEX_FINGER_TIP but PINKY_TIP
    return names | {
        point.upper().replace("_", "_FINGER_", 1): f"{side}_hand_{point}"
        for point in HAND_POINTS
        if point.startswith(fingers)
    }


def _coco(prefix: str) -> dict[str, str]:
    """COCO-WholeBody and AlphaPose number faces and hands; the component says which."""
    faces = {f"face{dash}{i}": f"face_68_{i}" for i in range(68) for dash in "-_"}
    bodies = {name: name for name in BODY_17 + FEET_6 + BODY_25}
    hands = {f"hand_{i}": name for i, name in enumerate(_hand(prefix))} if prefix else {}
    return hands or faces | bodies


_MESH = {str(i): f"face_mesh_{i}" for i in range(478)}
_NUMBERED = {"BODY": _coco(""), "FACE": _coco(""), "LEFT_HAND": _coco("left"), "RIGHT_HAND": _coco("right")}
_POINT_NAMES: dict[str, dict[str, str]] = {
    "POSE_LANDMARKS": {name.upper(): name for name in BODY_33},
    "POSE_WORLD_LANDMARKS": {name.upper(): f"world_{name}" for name in BODY_33},
    "FACE_LANDMARKS": _MESH,
    "LEFT_HAND_LANDMARKS": _mediapipe_hand("left"),
    "RIGHT_HAND_LANDMARKS": _mediapipe_hand("right"),
    "pose_keypoints_2d": dict(zip(_OPENPOSE_BODY, BODY_25, strict=True)),
    "face_keypoints_2d": dict(zip(_OPENPOSE_FACE, _FACE_70, strict=True)),
    "hand_left_keypoints_2d": dict(zip(_OPENPOSE_HAND, _hand("left"), strict=True)),
    "hand_right_keypoints_2d": dict(zip(_OPENPOSE_HAND, _hand("right"), strict=True)),
    "BODY_135": dict(zip(_BODY_135, BODY_135, strict=True))
    | {f"L{point}": name for point, name in zip(_BODY_135_HAND, _hand("left")[1:], strict=True)}
    | {f"R{point}": name for point, name in zip(_BODY_135_HAND, _hand("right")[1:], strict=True)}
    | dict(zip(_BODY_135_FACE, _FACE_70, strict=True)),
    **{f"{name}{suffix}": table for name, table in _NUMBERED.items() for suffix in ("", "_133", "_136")},
}
_CANONICAL = frozenset(name for layout in LAYOUTS.values() for name in layout.points)


def canonical_name(component: str, point: str) -> str | None:
    """The landmark's canonical name; None for a point of no known family."""
    known = _POINT_NAMES.get(component, {}).get(point)
    return known or (point if point in _CANONICAL else None)


@lru_cache(maxsize=64)
def recognise(components: tuple[Component, ...]) -> tuple[LandmarkLayout, tuple[int, ...] | None]:
    """The layout of a header.

    Returns:
        The layout, and for each point of the header its place in the layout; None where the two are the same sequence.

    Raises:
        LandmarkError: for points of no known family; lists the header's components.
    """
    names = tuple(canonical_name(component, point) for component, points in components for point in points)
    for layout in LAYOUTS.values():
        if layout.points == names:
            return layout, None
    known = {name for name in names if name is not None}
    if len(known) == len(names) and known:
        holding = [layout for layout in LAYOUTS.values() if known <= set(layout.points)]
        if holding:
            smallest = min(holding, key=lambda layout: layout.num_points)
            places = {name: index for index, name in enumerate(smallest.points)}
            return smallest, tuple(places[name] for name in names if name is not None)
    raise LandmarkError(_unknown_message(components, names))


def _unknown_message(components: Sequence[Component], names: Sequence[str | None]) -> str:
    shown = [(name[:40].encode("unicode_escape").decode(), len(points)) for name, points in components[:8]]
    listing = ", ".join(f"{name}:{count}" for name, count in shown) or "no components"
    unknown = [
        point
        for point, name in zip((p for _, points in components for p in points), names, strict=True)
        if name is None
    ]
    what = (
        f"{len(unknown)} of {len(names)} points have unknown names (first: {unknown[0][:40]!r})"
        if unknown
        else "no layout holds them all"
    )
    return (
        f"expected the components of a known layout ({', '.join(sorted(LAYOUTS))}); found {listing}, {what}. "
        "Extract the poses with a known extractor, or convert the points to a known layout first"
    )


def _mediapipe_point(name: str) -> str:
    finger = name.split("_")[0]
    return name.upper().replace("_", "_FINGER_", 1) if finger in ("index", "middle", "ring") else name.upper()


_PART_COMPONENTS = {
    "body": "BODY",
    "face": "FACE",
    "left_hand": "LEFT_HAND",
    "right_hand": "RIGHT_HAND",
    "world": "WORLD",
}
_MEDIAPIPE_COMPONENTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "body": ("POSE_LANDMARKS", str.upper),
    "face": ("FACE_LANDMARKS", lambda name: name.removeprefix("face_mesh_")),
    "left_hand": ("LEFT_HAND_LANDMARKS", lambda name: _mediapipe_point(name.removeprefix("left_hand_"))),
    "right_hand": ("RIGHT_HAND_LANDMARKS", lambda name: _mediapipe_point(name.removeprefix("right_hand_"))),
    "world": ("POSE_WORLD_LANDMARKS", lambda name: name.removeprefix("world_").upper()),
}
_OPENPOSE_COMPONENTS = ("pose_keypoints_2d", "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d")


def components_of(layout: LandmarkLayout) -> list[Component]:
    """Header components for a layout, named as pose-format names them where it knows the family."""
    runs: list[tuple[str, list[str]]] = []
    for point in layout.points:
        part = part_of(point)
        if not runs or runs[-1][0] != part:
            runs.append((part, []))
        runs[-1][1].append(point)
    if layout.name.startswith(("holistic", "islr", "hands")):
        return [
            (_MEDIAPIPE_COMPONENTS[part][0], tuple(map(_MEDIAPIPE_COMPONENTS[part][1], points)))
            for part, points in runs
        ]
    if layout.name == "openpose_137":
        names = (_OPENPOSE_BODY, _OPENPOSE_FACE, _OPENPOSE_HAND, _OPENPOSE_HAND)
        return list(zip(_OPENPOSE_COMPONENTS, names, strict=True))
    if layout.name == "coco_wholebody_133":
        numbered = {"face": "face-", "left_hand": "hand_", "right_hand": "hand_"}
        return [
            (
                _PART_COMPONENTS[part],
                tuple(f"{numbered[part]}{i}" for i in range(len(points))) if part in numbered else tuple(points),
            )
            for part, points in runs
        ]
    return [(_PART_COMPONENTS[part], tuple(points)) for part, points in runs]
