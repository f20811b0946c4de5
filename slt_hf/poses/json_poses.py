"""Poses in JSON: OpenPose and DWPose (a file a frame), COCO-WholeBody results of MMPose and rtmlib."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.errors import PoseFileError
from slt_hf.poses.raw_poses import RawPoses, follow_person, frame_places
from slt_hf.processing.landmark_names import BODY_18, BODY_25, LEFT_HAND_21, PUPILS, RIGHT_HAND_21, face_68
from slt_hf.processing.landmarks import get_layout

# T frames, P people, V landmarks, C coordinates

OPENPOSE_PARTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "pose_keypoints_2d": (BODY_25, BODY_18),
    "face_keypoints_2d": (face_68() + PUPILS, face_68()),
    "hand_left_keypoints_2d": (LEFT_HAND_21,),
    "hand_right_keypoints_2d": (RIGHT_HAND_21,),
}
MAX_PEOPLE = 100  # in one frame
DWPOSE_PARTS = {"body": 18, "face": 68, "left_hand": 21, "right_hand": 21}


def read_json_folder(folder: Path, files: Sequence[Path]) -> RawPoses:
    """One clip from a file a frame; frames without a file, or without a person, are undetected."""
    places = frame_places(files) if len(files) > 1 else dict(enumerate(files))
    contents = {place: read_json(file) for place, file in places.items()}
    first = next(iter(contents.values()))
    reader, layout, fraction = _kind(first, files[0])
    empty = np.empty((0, get_layout(layout).num_points, 3), dtype=np.float32)
    frames = [reader(contents[place], places[place]) if place in places else empty for place in range(max(places) + 1)]
    return _followed(frames, layout, str(folder), fraction)


def read_json_file(path: Path) -> RawPoses:
    """A clip from one file: a single OpenPose or DWPose frame, or all frames of a COCO-WholeBody result."""
    content = read_json(path)
    frames = content.get("instance_info") if isinstance(content, dict) else content
    if not isinstance(frames, list):
        return read_json_folder(path, [path])
    people = [_wholebody_people(frame, path, number) for number, frame in enumerate(frames)]
    return _followed(people, "coco_wholebody_133", str(path), fraction=False)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise PoseFileError(f"{path}: expected JSON, found damage ({error}); extract or copy the file again") from None


def _kind(content: Any, path: Path) -> tuple[Any, str, bool]:
    if isinstance(content, dict) and isinstance(content.get("people"), list):
        return _openpose_people, "openpose_137", False
    if isinstance(content, dict) and "num_persons" in content:
        return dwpose_people, "dwpose_128", True
    keys = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else type(content).__name__
    raise PoseFileError(
        f"{path}: expected OpenPose's people, DWPose's num_persons or a list of COCO-WholeBody frames, found {keys}; "
        f"convert the file to .pose"
    )


def _followed(frames: Sequence[np.ndarray], layout: str, name: str, fraction: bool) -> RawPoses:
    if not any(len(people) for people in frames):
        num_points = get_layout(layout).num_points
        nobody = np.full((len(frames), num_points, 2), np.nan, dtype=np.float32)
        return RawPoses(
            nobody, np.zeros((len(frames), num_points), np.float32), layout, num_people=0, fraction=fraction
        )
    person, num_people = follow_person(frames, name)
    return RawPoses(person[..., :2], person[..., 2], layout, num_people=num_people, fraction=fraction)


def _openpose_people(content: Mapping[str, Any], path: Path) -> np.ndarray:
    """(P, 137, 3): x, y, confidence; a part that the file lacks is undetected."""
    people = content.get("people")
    if not isinstance(people, list):
        raise PoseFileError(
            f"{path}: expected a list of people, found {type(people).__name__}; extract the frame again"
        )
    found = [_openpose_person(person, path) for person in people]
    return np.array(found, dtype=np.float32).reshape(len(people), get_layout("openpose_137").num_points, 3)


def _openpose_person(person: Any, path: Path) -> np.ndarray:
    if not isinstance(person, Mapping):
        raise PoseFileError(f"{path}: expected a person with keypoints, found {person!r:.40}; extract the frame again")
    layout = get_layout("openpose_137")
    places = {name: index for index, name in enumerate(layout.points)}
    values = np.zeros((layout.num_points, 3), dtype=np.float32)
    for key, choices in OPENPOSE_PARTS.items():
        flat = numbers(person.get(key) or [], path, key).reshape(-1)
        names = next((names for names in choices if len(names) * 3 == len(flat)), None)
        if names is None and len(flat):
            expected = " or ".join(str(len(names)) for names in choices)
            raise PoseFileError(
                f"{path}: expected {expected} points in {key}, found {len(flat) / 3:g}; extract the frame again"
            )
        if names is not None and len(flat):
            values[[places[name] for name in names]] = flat.reshape(-1, 3)
    return values


def dwpose_people(content: Mapping[str, Any], path: Path) -> np.ndarray:
    """(P, 128, 3): x and y as fractions of the image, confidence.

    DWPose's body scores are no scores: the number of the point, or -1 where it was not seen.
    """
    people = []
    for number in range(_count(content["num_persons"], path)):
        person = content.get(f"person_{number}")
        if not isinstance(person, Mapping):
            raise PoseFileError(
                f"{path}: expected person_{number} of {content['num_persons']}, found none; extract the frame again"
            )
        people.append(np.concatenate([_dwpose_part(person, part, size, path) for part, size in DWPOSE_PARTS.items()]))
    return np.array(people, dtype=np.float32).reshape(len(people), sum(DWPOSE_PARTS.values()), 3)


def _count(value: Any, path: Path) -> int:
    if not isinstance(value, int | np.integer) or not 0 <= value <= MAX_PEOPLE:
        raise PoseFileError(f"{path}: expected 0 to {MAX_PEOPLE} people, found {value!r:.40}; extract the frame again")
    return int(value)


def _dwpose_part(person: Mapping[str, Any], part: str, size: int, path: Path) -> np.ndarray:
    points = numbers(person.get(f"{part}_keypoints", []), path, f"{part}_keypoints")
    scores = numbers(person.get(f"{part}_scores", []), path, f"{part}_scores")
    if points.shape != (size, 2) or scores.shape != (size,):
        raise PoseFileError(
            f"{path}: expected {size} points and scores in {part}_keypoints, found {points.shape} and {scores.shape}; "
            f"extract the frame again"
        )
    if part == "body" and np.array_equal(scores, np.round(scores)):
        scores = (scores >= 0).astype(np.float32)
    return np.concatenate([points, scores[:, None]], axis=1)


def _wholebody_people(frame: Any, path: Path, number: int) -> np.ndarray:
    """(P, 133, 3) of one frame: MMPose's {"instances": [...]}, a person, or a list of people."""
    people = frame.get("instances", [frame]) if isinstance(frame, Mapping) else frame
    if not isinstance(people, list) or not all(
        isinstance(person, Mapping) and "keypoints" in person for person in people
    ):
        raise PoseFileError(
            f"{path}: expected people with keypoints in frame {number}, found none; extract the clip again"
        )
    found = [_wholebody_person(person, path) for person in people]
    return np.array(found, dtype=np.float32).reshape(len(people), 133, 3)


def _wholebody_person(person: Mapping[str, Any], path: Path) -> np.ndarray:
    points = numbers(person["keypoints"], path, "keypoints")
    points = points.reshape(-1, 3) if points.ndim == 1 and points.size == 133 * 3 else points
    scores = person.get("keypoint_scores", person.get("scores"))
    if points.shape == (133, 2):
        seen = np.ones(133) if scores is None else numbers(scores, path, "keypoint_scores").reshape(-1)
        points = np.concatenate([points, seen[:, None]], axis=1) if seen.shape == (133,) else points
    if points.shape != (133, 3):
        raise PoseFileError(
            f"{path}: expected 133 COCO-WholeBody points with scores, found shape {points.shape}; pass them as an array"
        )
    return points


def numbers(values: Any, path: Path, key: str) -> np.ndarray:
    """The values as a float32 array."""
    try:
        return np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise PoseFileError(
            f"{path}: expected numbers in {key}, found something else; extract the frame again"
        ) from None
