"""Landmark layouts: right order, right partners, and any two convert."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from slt_hf.errors import LandmarkError
from slt_hf.processing.landmark_headers import canonical_name, components_of, recognise
from slt_hf.processing.landmark_relations import IBUG_TO_MESH, MESH_MIRROR
from slt_hf.processing.landmarks import (
    LAYOUTS,
    assign_hands,
    convert,
    get_layout,
    layout_for,
    make_layout,
    select,
    shared_landmarks,
    sources_of,
)
from slt_hf.processing.pose_files import read_pose

PAIRS = list(itertools.product(LAYOUTS, LAYOUTS))


def numbered(layout: str, frames: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A clip whose every landmark stands at a place of its own: x = index, y = frame."""
    count = get_layout(layout).num_points
    points = np.zeros((frames, count, 2), dtype=np.float32)
    points[..., 0], points[..., 1] = np.arange(count), np.arange(frames)[:, None]
    return points, np.ones((frames, count), dtype=np.float32)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_has_the_points_its_name_says(name):
    stated = int(name.split("_")[-1])
    values_per_point = 2 if name == "mediapipe_208" else 1  # named after its 208 values
    assert get_layout(name).num_points * values_per_point == stated


@pytest.mark.parametrize(
    ("layout", "index", "landmark"),
    [
        ("holistic_543", 11, "left_shoulder"),
        ("holistic_543", 33 + 13, "face_mesh_13"),
        ("holistic_543", 501, "left_hand_wrist"),
        ("holistic_543", 522 + 8, "right_hand_index_tip"),
        ("holistic_586", 553, "world_nose"),
        ("holistic_178", 0, "left_shoulder"),
        ("holistic_178", 136, "left_hand_wrist"),
        ("islr_543", 468, "left_hand_wrist"),
        ("islr_543", 489 + 16, "right_wrist"),
        ("islr_118", 40, "left_hand_wrist"),
        ("islr_118", 82, "face_mesh_1"),
        ("coco_wholebody_133", 9, "left_wrist"),
        ("coco_wholebody_133", 53, "face_68_30"),
        ("coco_wholebody_133", 91, "left_hand_wrist"),
        ("coco_wholebody_133", 112, "right_hand_wrist"),
        ("openpose_137", 4, "right_wrist"),
        ("openpose_137", 25 + 68, "right_pupil"),
        ("openpose_137", 95, "left_hand_wrist"),
        ("openpose_135", 25, "left_hand_thumb_cmc"),
        ("openpose_50", 8, "left_hand_wrist"),
        ("dwpose_128", 1, "neck"),
        ("unisign_69", 68, "face_68_30"),
        ("openhands_27", 7, "left_hand_wrist"),
        ("openhands_27", 17, "right_hand_wrist"),
        ("isharah_86", 0, "right_hand_wrist"),
        ("isharah_86", 61, "nose"),
        ("isharah_86", 72, "left_shoulder"),
        ("mediapipe_208", 25, "right_hand_wrist"),
        ("mediapipe_208", 103, "face_mesh_473"),
        ("signing_85", 9, "left_wrist"),
        ("signing_85", 11, "left_hand_wrist"),
        ("signing_85", 32, "right_hand_wrist"),
        ("signing_85", 53, "face_68_0"),
        ("hands_42", 21, "right_hand_wrist"),
    ],
)
def test_known_places(layout, index, landmark):
    assert get_layout(layout).points[index] == landmark


def test_openhands_27_is_the_published_selection_of_holistic_75():
    published = [
        0,
        2,
        5,
        11,
        12,
        13,
        14,
        33,
        37,
        38,
        41,
        42,
        45,
        46,
        49,
        50,
        53,
        54,
        58,
        59,
        62,
        63,
        66,
        67,
        70,
        71,
        74,
    ]
    assert get_layout("openhands_27").points == tuple(get_layout("holistic_75").points[index] for index in published)


def test_islr_118_is_the_published_selection_of_the_competition_rows():
    rows = get_layout("islr_543").points
    expected = [rows[index] for index in (0, 61, 185, *range(468, 489), *range(522, 543), 1, 2, 98, 327)]
    points = get_layout("islr_118").points
    assert [points[index] for index in (0, 1, 2, *range(40, 82), 82, 83, 84, 85)] == expected


@pytest.mark.parametrize("name", LAYOUTS)
def test_parts_divide_the_points(name):
    layout = get_layout(name)
    assert sorted(index for indices in layout.parts.values() for index in indices) == list(range(layout.num_points))


@pytest.mark.parametrize("name", LAYOUTS)
def test_mirroring_twice_is_the_identity_and_swaps_the_hands(name):
    layout = get_layout(name)
    mirror = np.array(layout.mirror)
    assert (mirror[mirror] == np.arange(layout.num_points)).all()
    if {"left_hand", "right_hand"} <= layout.parts.keys():
        assert tuple(mirror[list(layout.parts["left_hand"])]) == layout.parts["right_hand"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_edges_link_distinct_points_once(name):
    layout = get_layout(name)
    assert all(
        start != end and 0 <= min(start, end) and max(start, end) < layout.num_points for start, end in layout.edges
    )
    assert len({frozenset(edge) for edge in layout.edges}) == len(layout.edges)


@pytest.mark.parametrize("name", ["holistic_543", "coco_wholebody_133", "signing_85", "openhands_27", "hands_21"])
def test_edges_make_each_hand_a_tree(name):
    layout = get_layout(name)
    hand = set(layout.parts["right_hand"])
    inside = [edge for edge in layout.edges if set(edge) <= hand]
    reached = {min(hand)}
    for _ in hand:
        reached |= {point for edge in inside if set(edge) & reached for point in edge}
    assert reached == hand and len(inside) == len(hand) - 1


def test_body_of_the_default_layout_is_in_one_piece():
    layout = get_layout("signing_85")
    body = set(layout.parts["body"])
    reached = {0}
    for _ in body:
        reached |= {point for edge in layout.edges if set(edge) <= body and set(edge) & reached for point in edge}
    assert reached == body


def test_unknown_layout_is_refused_with_the_known_names():
    with pytest.raises(LandmarkError, match="coco_wholebody_133"):
        get_layout("coco133")


def test_a_point_named_twice_is_refused():
    with pytest.raises(LandmarkError, match="twice"):
        make_layout("twins", ("nose", "nose"))


def test_layout_is_guessed_only_where_one_fits():
    assert layout_for(133) is get_layout("coco_wholebody_133")
    assert layout_for(543) is None  # MediaPipe's order and the competition's


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_any_two_layouts_convert_by_name(source, target):
    points, confidence = numbered(source)
    new_points, new_confidence = convert(points, confidence, source, target)
    layout = get_layout(target)
    assert new_points.shape == (2, layout.num_points, 2) and new_confidence.shape == (2, layout.num_points)
    places = {name: index for index, name in enumerate(get_layout(source).points)}
    for index, name in enumerate(layout.points):
        sources = sources_of(name, places)
        if sources is None:
            assert np.isnan(new_points[:, index]).all() and (new_confidence[:, index] == 0).all()
        else:
            assert new_points[0, index, 0] == pytest.approx(np.mean([places[source] for source in sources]))
            assert (new_confidence[:, index] == 1).all()


@pytest.mark.parametrize("name", LAYOUTS)
def test_converting_to_the_same_layout_changes_nothing(name):
    points, confidence = numbered(name)
    same, _ = convert(points, confidence, name, name)
    assert (same == points).all() and same is not points


def test_world_landmarks_never_mix_with_the_image():
    for name, points in ((layout.name, layout.points) for layout in LAYOUTS.values()):
        for point in points:
            assert all(
                source.startswith("world_") == point.startswith("world_")
                for source in sources_of(point, get_layout("holistic_586").points) or ()
            ), (name, point)


def test_derived_landmarks_need_all_their_sources():
    points, confidence = numbered("coco_wholebody_133")
    confidence[0, 5] = 0  # left shoulder
    found = select(points, confidence, "coco_wholebody_133", "neck")
    assert found is not None
    assert found[0][1, 0] == 5.5 and list(found[1]) == [0, 1]
    assert select(points, confidence, "coco_wholebody_133", "head_top") is None


def test_wrong_number_of_points_is_refused_with_a_suggestion():
    points, confidence = numbered("coco_wholebody_133")
    with pytest.raises(LandmarkError, match=r"75 points.*133.*perhaps coco_wholebody_133"):
        convert(points, confidence, "holistic_75", "signing_85")


def test_every_family_gives_the_default_layout_its_hands():
    target = get_layout("signing_85")
    for source in LAYOUTS:
        _, confidence = convert(*numbered(source), source, "signing_85")
        hand = confidence[0, list(target.parts["right_hand"])]
        assert hand.sum() >= 10, source
        assert shared_landmarks(source, "signing_85") >= 21 or source == "openhands_27"


def test_mesh_mirror_matches_a_real_face(shared_data):
    clip = read_pose(shared_data / "poses/holistic586/ase-A.pose")
    face = clip.points[0, 33 : 33 + 468, :2]
    axis = face[[10, 152, 168, 1], 0].mean()
    mirrored = face[list(MESH_MIRROR[:468])] * [-1, 1] + [2 * axis, 0]
    width = np.ptp(face[:, 0])
    assert np.linalg.norm(mirrored - face, axis=1).mean() < 0.15 * width  # the head is turned a little
    assert MESH_MIRROR[33] == 263 and MESH_MIRROR[468] == 473


def test_ibug_points_are_where_they_should_be_on_a_real_face(shared_data):
    clip = read_pose(shared_data / "poses/holistic586/ase-A.pose")
    points, _ = convert(clip.points, clip.confidence, clip.layout, "coco_wholebody_133")
    face = points[0, 23:91, :2]
    assert (np.diff(face[0:9, 1]) > 0).all() and (np.diff(face[8:17, 1]) < 0).all()  # the jaw runs down and up again
    assert face[3, 0] < face[8, 0] < face[13, 0]  # from the image's left to its right
    assert face[8, 1] == face[:, 1].max()  # over the chin
    assert face[17:27, 1].max() < face[36:48, 1].min()  # brows above eyes
    assert face[36:48, 1].max() < face[30, 1] < face[48:, 1].min()  # eyes, nose tip, mouth
    assert face[51, 1] < face[62, 1] < face[66, 1] < face[57, 1]  # outer and inner lips
    assert len(set(IBUG_TO_MESH)) == 68


def test_headers_of_pose_format_are_recognised():
    from pose_format.utils.alphapose_133 import get_alphapose_133_components
    from pose_format.utils.cocowholebody133_header import cocowholebody_components
    from pose_format.utils.openpose import OpenPose_Components
    from pose_format.utils.openpose_135 import OpenPose_Components as OpenPose135_Components

    for name, components in (
        ("coco_wholebody_133", cocowholebody_components()),
        ("coco_wholebody_133", get_alphapose_133_components()),
        ("openpose_137", OpenPose_Components),
        ("openpose_135", OpenPose135_Components),
    ):
        layout, places = recognise(tuple((component.name, tuple(component.points)) for component in components))
        assert layout.name == name and places is None


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layouts_own_header_is_recognised(name):
    layout, places = recognise(tuple(components_of(get_layout(name))))
    assert layout.name == name and places is None


def test_a_header_without_some_points_is_read_into_the_smallest_layout_that_has_them():
    layout, places = recognise((("POSE_LANDMARKS", ("NOSE", "LEFT_SHOULDER")), ("LEFT_HAND_LANDMARKS", ("WRIST",))))
    assert layout.name == "openhands_27" and places is not None
    assert [layout.points[place] for place in places] == ["nose", "left_shoulder", "left_hand_wrist"]


@pytest.mark.parametrize(
    "components", [(), (("SMPLX", ("pelvis", "nose")),), (("FACE_LANDMARKS", ("0", "0")),), (("BODY", ("tail",)),)]
)
def test_a_header_of_no_known_family_is_refused(components):
    with pytest.raises(LandmarkError, match="known layout"):
        recognise(components)


def test_hands_of_pose_format_are_named_alike_in_all_families():
    tips = [
        canonical_name("LEFT_HAND_LANDMARKS", "INDEX_FINGER_TIP"),
        canonical_name("hand_left_keypoints_2d", "I_DIP"),
        canonical_name("LEFT_HAND", "hand_8"),
        canonical_name("BODY_135", "LIndex4FingerTip"),
    ]
    assert tips == ["left_hand_index_tip"] * 4


def swapped_hands(points: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.array([*range(33), *range(54, 75), *range(33, 54)])
    return points[:, order], confidence[:, order]


def signer(frames: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A holistic_75 signer whose hands are at their wrists."""
    rng = np.random.default_rng(0)
    points = rng.normal(0, 5, (frames, 75, 3)).astype(np.float32)
    layout = get_layout("holistic_75")
    for side, x in (("left", 300), ("right", 100)):
        points[:, layout.index(f"{side}_wrist")] += [x, 200, 0]
        points[:, list(layout.parts[f"{side}_hand"])] += [x, 200, 0]
    return points, np.ones((frames, 75), dtype=np.float32)


def test_hands_in_the_wrong_slots_are_put_right():
    points, confidence = signer()
    restored, _ = assign_hands(*swapped_hands(points, confidence), "holistic_75")
    assert (restored == points).all()


def test_hands_in_the_right_slots_stay():
    points, confidence = signer()
    kept, kept_confidence = assign_hands(points, confidence, "holistic_75")
    assert kept is points and kept_confidence is confidence


def test_only_the_frames_that_are_wrong_change():
    points, confidence = signer()
    mixed = points.copy()
    mixed[1] = swapped_hands(points, confidence)[0][1]
    assert (assign_hands(mixed, confidence, "holistic_75")[0] == points).all()


def test_a_lone_hand_goes_to_its_wrist():
    points, confidence = signer()
    points[:, 54:], confidence[:, 54:] = np.nan, 0  # the right hand is not seen
    restored, restored_confidence = assign_hands(*swapped_hands(points, confidence), "holistic_75")
    np.testing.assert_array_equal(restored, points)
    assert (restored_confidence == confidence).all()


def test_hands_stay_where_the_body_does_not_say():
    points, confidence = swapped_hands(*signer())
    confidence[:, 15] = 0  # left wrist of the body
    assert assign_hands(points, confidence, "holistic_75")[0] is points
    hands, seen = points[:, 33:], confidence[:, 33:]
    assert assign_hands(hands, seen, "hands_42")[0] is hands


def test_real_hands_are_found_in_their_slots_and_restored_when_swapped(shared_data):
    clip = read_pose(shared_data / "poses/signwriting_animation/whatsthatsign-524.pose")
    points, confidence = convert(clip.points, clip.confidence, clip.layout, "holistic_75")
    kept, _ = assign_hands(points, confidence, "holistic_75")
    restored, _ = assign_hands(*swapped_hands(points, confidence), "holistic_75")
    np.testing.assert_array_equal(kept, points)
    np.testing.assert_array_equal(restored, points)


def test_the_documentation_lists_every_layout_as_it_is(repository):
    rows = [
        line.split("|")[1:5]
        for line in (repository / "docs/poses.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    table = {
        name.strip(" `"): (points.strip(), axes.strip(), text.strip())
        for name, points, axes, text in rows[: len(LAYOUTS)]
    }
    assert table == {
        layout.name: (str(layout.num_points), str(layout.num_axes), layout.description) for layout in LAYOUTS.values()
    }
