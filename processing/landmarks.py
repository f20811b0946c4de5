"""Landmark layouts by name: which points a pose has, in which order, their parts, mirror partners and edges.

Any two layouts convert through the canonical names of `landmark_names.py`; what has no counterpart is masked.

    get_layout("coco_wholebody_133").points[9]              # "left_wrist"
    convert(points, confidence, "openpose_137", "signing_85")

Needs numpy only.
"""

from __future__ import annotations

from collections.abc import Container
from functools import lru_cache

import numpy as np

from .landmark_layout import LandmarkLayout, make_layout, part_of
from .landmark_names import (
    BODY_17,
    BODY_18,
    BODY_25,
    BODY_33,
    BODY_135,
    FEET_6,
    HANDS_42,
    ISHARAH_LIPS,
    ISLR_LIPS,
    ISLR_NOSE_EYES,
    LEFT_HAND_21,
    MESH_CONTOUR_128,
    PUPILS,
    RIGHT_HAND_21,
    SIGNING_FACE_32,
    T5_SLT_FACE,
    UPPER_BODY_11,
    WORLD_33,
    face_68,
    finger_ends,
    mesh,
)
from .landmark_relations import COUNTERPARTS
from .pose_errors import LandmarkError

# T frames, V landmarks, C coordinates

__all__ = [
    "LAYOUTS",
    "LandmarkLayout",
    "assign_hands",
    "convert",
    "get_layout",
    "layout_for",
    "make_layout",
    "part_of",
    "select",
    "shared_landmarks",
    "sources_of",
]

LAYOUTS: dict[str, LandmarkLayout] = {
    layout.name: layout
    for layout in (
        make_layout(
            "holistic_543",
            BODY_33 + mesh(range(468)) + HANDS_42,
            3,
            "MediaPipe Holistic: body 33, face mesh 468, hands 21 + 21",
        ),
        make_layout("holistic_553", BODY_33 + mesh(range(478)) + HANDS_42, 3, "MediaPipe Holistic with irises"),
        make_layout(
            "holistic_576",
            BODY_33 + mesh(range(468)) + HANDS_42 + WORLD_33,
            3,
            "pose-format's Holistic: 543 and the body in metres",
        ),
        make_layout(
            "holistic_586", BODY_33 + mesh(range(478)) + HANDS_42 + WORLD_33, 3, "pose-format's Holistic with irises"
        ),
        make_layout(
            "holistic_178",
            BODY_33[11:17] + BODY_33[23:25] + mesh(MESH_CONTOUR_128) + HANDS_42,
            3,
            "pose-format's reduce_holistic (MultimodalHugs)",
        ),
        make_layout(
            "holistic_203",
            BODY_33 + mesh(MESH_CONTOUR_128) + HANDS_42,
            3,
            "SignCLIP: body 33, face contours 128, hands",
        ),
        make_layout("holistic_75", BODY_33 + HANDS_42, 3, "MediaPipe body and hands, no face"),
        make_layout(
            "islr_543",
            mesh(range(468)) + LEFT_HAND_21 + BODY_33 + RIGHT_HAND_21,
            3,
            "Google isolated sign recognition competition: 543 in its row order",
        ),
        make_layout("coco_wholebody_133", BODY_17 + FEET_6 + face_68() + HANDS_42, 2, "COCO-WholeBody (RTMPose, RTMW)"),
        make_layout(
            "openpose_135",
            BODY_135 + LEFT_HAND_21[1:] + RIGHT_HAND_21[1:] + face_68() + PUPILS,
            2,
            "OpenPose BODY_135: hands share the body's wrists",
        ),
        make_layout(
            "openpose_137", BODY_25 + face_68() + PUPILS + HANDS_42, 2, "OpenPose body 25, face 70, hands 21 + 21"
        ),
        make_layout(
            "openpose_50",
            BODY_25[:8] + HANDS_42,
            3,
            "OpenPose upper body and hands, lifted to 3D (Progressive Transformers)",
        ),
        make_layout("dwpose_128", BODY_18 + face_68() + HANDS_42, 2, "DWPose: body 18, face 68, hands 21 + 21"),
        make_layout(
            "signing_85",
            UPPER_BODY_11 + HANDS_42 + SIGNING_FACE_32,
            2,
            "our default: upper body, hands, jaw, brows, nose tip, lips",
        ),
        make_layout(
            "unisign_69",
            (BODY_17[0], *BODY_17[3:11], *HANDS_42, *face_68(range(0, 17, 2)), *face_68(range(60, 68)), "face_68_30"),
            2,
            "Uni-Sign and Geo-Sign: 69 of COCO-WholeBody",
        ),
        make_layout(
            "openhands_27",
            ("nose", "left_eye", "right_eye", *BODY_33[11:15], *finger_ends("left"), *finger_ends("right")),
            3,
            "OpenHands, ASL Citizen ST-GCN: 27 of Holistic",
        ),
        make_layout(
            "isharah_86",
            RIGHT_HAND_21 + LEFT_HAND_21 + mesh(ISHARAH_LIPS) + BODY_33[:25],
            2,
            "Isharah, MSLR 2025 challenge: right hand first",
        ),
        make_layout(
            "islr_118",
            mesh(ISLR_LIPS) + HANDS_42 + mesh(ISLR_NOSE_EYES),
            3,
            "lips, hands, nose, eyes of 543 (hoyso48, SignFlow)",
        ),
        make_layout(
            "mediapipe_208",
            BODY_33[:25] + RIGHT_HAND_21 + LEFT_HAND_21 + mesh(T5_SLT_FACE),
            2,
            "T5_for_SLT, JSALT 2024: 104 points, 208 values",
        ),
        make_layout("hands_42", HANDS_42, 3, "two hands, left then right"),
        make_layout("hands_21", RIGHT_HAND_21, 3, "one hand; taken as the right (dominant) one"),
    )
}


def get_layout(name: str | LandmarkLayout) -> LandmarkLayout:
    """The layout of that name.

    Raises:
        LandmarkError: for an unknown name; lists the known ones.
    """
    if isinstance(name, LandmarkLayout):
        return name
    if name not in LAYOUTS:
        raise LandmarkError(f"unknown landmark layout {name!r}; expected one of: {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[name]


def layout_for(num_points: int) -> LandmarkLayout | None:
    """The only layout with that many points, else None."""
    found = [layout for layout in LAYOUTS.values() if layout.num_points == num_points]
    return found[0] if len(found) == 1 else None


Recipe = tuple[int, tuple[int, ...]]


def sources_of(name: str, points: Container[str]) -> tuple[str, ...] | None:
    """The landmarks among `points` whose mean stands at landmark `name`, or None."""
    if name in points:
        return (name,)
    return next(
        (sources for sources in COUNTERPARTS.get(name, ()) if all(source in points for source in sources)), None
    )


@lru_cache(maxsize=256)
def _recipe(source: str, target: str) -> tuple[np.ndarray, np.ndarray, tuple[Recipe, ...]]:
    """How `target` is gathered from `source`: index (V,), places without counterpart, means of several points."""
    points, wanted = get_layout(source).points, get_layout(target).points
    places = {name: index for index, name in enumerate(points)}
    gather, absent, means = np.zeros(len(wanted), dtype=np.intp), [], []
    for index, name in enumerate(wanted):
        sources = sources_of(name, places)
        if sources is None:
            absent.append(index)
        elif len(sources) == 1:
            gather[index] = places[sources[0]]
        else:
            means.append((index, tuple(places[source] for source in sources)))
    return gather, np.array(absent, dtype=np.intp), tuple(means)


@lru_cache(maxsize=256)
def _columns(source: str, target: str, stored_axes: int, kept: int) -> np.ndarray:
    """Where each number of `target` lies in a flat frame (V * C) of `source`."""
    return (_recipe(source, target)[0][:, None] * stored_axes + np.arange(kept)).ravel()


def convert(
    points: np.ndarray, confidence: np.ndarray, source: str, target: str, num_axes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Pick the landmarks of one layout out of another.

    Args:
        points: (T, V, C) in layout `source`; NaN where undetected.
        confidence: (T, V).
        source, target: layout names.
        num_axes: keep only the first coordinates; None keeps all.

    Returns:
        New arrays: points (T, V', C') and confidence (T, V') in layout `target`. Landmarks without counterpart are NaN
        with confidence 0.

    Raises:
        LandmarkError: if the arrays do not have the source layout's number of points.
    """
    expected = get_layout(source).num_points
    if points.shape[1] != expected or confidence.shape[1] != expected:
        raise LandmarkError(
            f"layout {source} has {expected} points, but the clip has {points.shape[1]} (confidence "
            f"{confidence.shape[1]}); "
            f"name the clip's own layout{_suggestion(points.shape[1])}"
        )
    gather, absent, means = _recipe(source, target)
    num_frames, _, stored_axes = points.shape
    kept = min(stored_axes, num_axes or stored_axes)
    if source == target and kept == stored_axes:
        return points.copy(), confidence.copy()
    # One flat gather over (V * C) columns is several times faster than indexing the middle axis.
    new_points = points.reshape(num_frames, -1)[:, _columns(source, target, stored_axes, kept)]
    new_points = new_points.reshape(num_frames, len(gather), kept)
    new_confidence = confidence[:, gather]
    for index, sources in means:
        new_points[:, index] = points[:, sources, :kept].mean(axis=1)
        new_confidence[:, index] = confidence[:, sources].min(axis=1)
    new_points[:, absent] = np.nan
    new_confidence[:, absent] = 0
    return new_points, new_confidence


def _suggestion(num_points: int) -> str:
    layout = layout_for(num_points)
    return f" (perhaps {layout.name})" if layout else ""


def shared_landmarks(source: str, target: str) -> int:
    """How many of `target`'s landmarks `source` can give."""
    return get_layout(target).num_points - len(_recipe(source, target)[1])


def select(points: np.ndarray, confidence: np.ndarray, layout: str, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """One landmark over time, (T, C) and (T,), derived if need be; None where the layout cannot give it."""
    names = get_layout(layout).points
    sources = sources_of(name, names)
    if sources is None:
        return None
    places = [names.index(source) for source in sources]
    if len(places) == 1:
        return points[:, places[0]], confidence[:, places[0]]
    return points[:, places].mean(axis=1), confidence[:, places].min(axis=1)


@lru_cache(maxsize=256)
def _hand_slots(layout: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Indices of the body's wrists and the hands' own, of the left and of the right hand; None without."""
    schema = get_layout(layout)
    left, right = (np.array(schema.parts.get(f"{side}_hand", ()), dtype=np.intp) for side in ("left", "right"))
    names = ("left_wrist", "right_wrist", "left_hand_wrist", "right_hand_wrist")
    if any(name not in schema.points for name in names) or len(left) != len(right):
        return None
    return np.array([schema.points.index(name) for name in names]), left, right


def crossed_hands(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Frames (T,) whose hands lie clearly nearer to the other body wrist.

    Args:
        points: (T, 4, C): left and right body wrist, left and right hand's own.
        confidence: (T, 4).
    """
    x, y = points[..., 0].T, points[..., 1].T  # (4, T)
    seen = confidence.T > 0
    # (2, 2, T) from wrist to hand; a hand that is not there has nothing to say
    distance = np.where(seen[2:], np.hypot(x[2:] - x[:2, None], y[2:] - y[:2, None]), 0)
    kept, swapped = distance[0, 0] + distance[1, 1], distance[0, 1] + distance[1, 0]
    return seen[0] & seen[1] & (seen[2] | seen[3]) & (swapped < 0.8 * kept)


def assign_hands(points: np.ndarray, confidence: np.ndarray, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Put each hand into the slot of the body wrist it is nearest to, frame by frame.

    Detectors' labels "left" and "right" are unreliable; the body's wrists are not. A hand moves only where that makes
    the distance between wrists clearly shorter (by a fifth), so hands that touch stay where they were. Frames without
    both body wrists, and layouts without body wrists or hands, are left alone.

    Args:
        points: (T, V, C); NaN where undetected.
        confidence: (T, V).
        layout: layout name.

    Returns:
        Points and confidence; the arguments themselves where nothing changes.
    """
    slots = _hand_slots(layout)
    if slots is None:
        return points, confidence
    places, left, right = slots
    swap = crossed_hands(points[:, places], confidence[:, places])
    if not swap.any():
        return points, confidence
    points, confidence = points.copy(), confidence.copy()
    frames = np.flatnonzero(swap)[:, None]
    for array in (points, confidence):
        array[frames, left], array[frames, right] = array[frames, right], array[frames, left]
    return points, confidence
