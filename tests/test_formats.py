"""Readers: every real pose file loads with its counts and feeds a model; damaged ones end in our errors."""

from __future__ import annotations

import json
import pickle
import random
import warnings
from pathlib import Path

import numpy as np
import pytest

from slt_hf.errors import ClipError, LandmarkError, PoseFileError, SignDataError
from slt_hf.poses.formats import read_clip, read_features
from slt_hf.processing.feature_extraction_pose import PoseFeatureExtractor
from slt_hf.processing.landmarks import convert, get_layout
from slt_hf.processing.pose_clip import PoseWarning
from slt_hf.synthesis.synthesizer import synthesize

pytestmark = pytest.mark.filterwarnings("ignore::slt_hf.processing.pose_clip.PoseWarning")

REAL = [
    # path, frames, layout, fps it is read with (None: the file's own or the default)
    ("continuous/how2sign_openpose/json/_2FBDaOPYig_2-3-rgb_front", 157, "openpose_137", 24),
    ("continuous/how2sign_openpose/json/_2FBDaOPYig_3-5-rgb_front", 146, "openpose_137", 24),
    ("continuous/how2sign_openpose/json/_2FBDaOPYig_4-3-rgb_front", 62, "openpose_137", 24),
    ("continuous/phoenix14t_skels/dev.skels#0", 42, "openpose_50", None),
    ("continuous/phoenix14t_skels/dev.skels#4", 93, "openpose_50", None),
    ("continuous/phoenix14t_skels/train.skels#train/11August_2010_Wednesday_tagesschau-4", 126, "openpose_50", None),
    ("poses/dwpose_frames/json", 40, "dwpose_128", 30),
    ("poses/dwpose_frames/npz", 40, "dwpose_128", 30),
    ("poses/dwpose_frames/npz/00000001.npz", 1, "dwpose_128", 30),
    ("isolated/asl_words/per_frame_npy/MP_Data/hello/1", 30, "holistic_543", 30),
    ("isolated/asl_words/per_frame_npy/MP_Data/thanks/1", 30, "holistic_543", 30),
    ("isolated/asl_words/neat11_a.npz#208", 30, "holistic_75", 30),
    ("isolated/asl_words/akashcodes23.npz#0", 30, "holistic_75", 30),
    ("isolated/asl_words/neat11_c_train_dev.npz#522", 30, "hands_42", 30),
    ("isolated/msl150/keypoints_train.npz#60", 30, "holistic_75", 30),
    ("isolated/letters_parquet/train_landmark_files/100/1015.parquet", 1, "holistic_543", 30),
    ("malformed/openpose/gap", 3, "openpose_137", 24),
    ("malformed/openpose/two_people.json", 1, "openpose_137", 24),
    ("malformed/openpose/no_face.json", 1, "openpose_137", 24),
    ("malformed/pickle/ok_keypoints.pkl", 8, "holistic_75", 25),
    ("malformed/pickle/ragged_keypoints.pkl", 8, "holistic_75", 25),
    ("poses/multimodalhugs/pose/sample_01.pose", None, None, None),
]


@pytest.mark.parametrize("path, frames, layout, fps", REAL)
def test_every_kind_of_real_pose_file_becomes_model_input(shared_data, path, frames, layout, fps):
    clip = read_clip(shared_data / path, fps=fps)
    if layout is not None:
        assert (clip.num_frames, clip.layout) == (frames, layout)
    assert clip.points.shape[:2] == (clip.num_frames, get_layout(clip.layout).num_points)
    values = PoseFeatureExtractor()(clip)["pose_values"]
    assert np.isfinite(values).all() and (values[..., 2] > 0).any()


def test_every_pose_file_of_the_shared_data_is_read(shared_data):
    import csv

    with (shared_data / "pose_headers.csv").open() as file:
        expected = {row["path"]: row for row in csv.DictReader(file)}
    assert len(expected) > 300
    for path, row in expected.items():
        if path.startswith("malformed"):
            continue
        clip = read_clip(shared_data / path)
        assert clip.num_frames == int(row["frames"]) and clip.fps == pytest.approx(float(row["fps"]), abs=0.01), path


def test_every_landmark_table_is_read(shared_data):
    files = sorted((shared_data / "isolated" / "letters_parquet").rglob("*.parquet"))
    assert len(files) == 48
    assert all(read_clip(file, fps=30).points.shape == (1, 543, 3) for file in files)


def test_openpose_json_equals_the_pose_file_made_from_it(shared_data):
    folder = shared_data / "continuous" / "how2sign_openpose"
    name = "_2FBDaOPYig_4-3-rgb_front"
    frames, packed = read_clip(folder / "json" / name, fps=24), read_clip(folder / "poses" / f"{name}.pose")
    np.testing.assert_allclose(frames.points, packed.points, atol=1e-3)
    np.testing.assert_allclose(frames.confidence, packed.confidence, atol=1e-6)


def test_dwpose_json_equals_its_npz(shared_data):
    folder = shared_data / "poses" / "dwpose_frames"
    one, other = read_clip(folder / "json", fps=30), read_clip(folder / "npz", fps=30)
    np.testing.assert_allclose(one.points, other.points, atol=1e-6)


def test_dwpose_body_scores_are_indices_not_scores(shared_data):
    """Point 0 (the nose) has "score" 0 and is seen; the hips have -1 and are not."""
    layout = get_layout("dwpose_128")
    confidence = read_clip(shared_data / "poses" / "dwpose_frames" / "json", fps=30).confidence
    assert (confidence[:, layout.points.index("nose")] == 1).all()
    assert (confidence[:, layout.points.index("right_knee")] == 0).all()


@pytest.mark.parametrize(
    "path",
    [
        "isolated/asl_words/neat11_a.npz#0",
        "isolated/msl150/keypoints_train.npz#0",
        "isolated/asl_words/per_frame_npy/MP_Data/hello/1",
    ],
)
def test_hands_of_flat_vectors_are_at_their_own_wrists(shared_data, path):
    """The order of the parts in a vector is not written anywhere: only the right one puts each hand at its wrist."""
    clip = read_clip(shared_data / path, fps=30)
    points = get_layout(clip.layout).points
    for side in ("left", "right"):
        hand, wrist = (clip.points[:, points.index(f"{side}{name}"), :2] for name in ("_hand_wrist", "_wrist"))
        distance = np.linalg.norm(hand - wrist, axis=-1)
        assert np.isnan(distance).all() or np.nanmedian(distance) < 0.1


def test_a_missing_openpose_frame_is_a_gap_of_undetected_points(shared_data):
    clip = read_clip(shared_data / "malformed" / "openpose" / "gap", fps=24)
    assert (clip.confidence > 0).any(axis=1).tolist() == [True, False, True]


def test_a_frame_without_people_is_undetected(shared_data):
    clip = read_clip(shared_data / "malformed" / "openpose" / "no_people.json", fps=24)
    assert clip.num_people == 0 and np.isnan(clip.points).all()
    with pytest.raises(ClipError, match="expected a person"):
        PoseFeatureExtractor()(clip)


def test_a_missing_face_is_masked(shared_data):
    clip = read_clip(shared_data / "malformed" / "openpose" / "no_face.json", fps=24)
    face = list(get_layout(clip.layout).parts["face"])
    assert (clip.confidence[:, face] == 0).all() and (clip.confidence > 0).any()


def test_of_two_people_the_surer_one_is_followed_with_a_warning(tmp_path):
    """The detector swaps their places in the list in every other frame."""

    def person(x: float, score: float) -> dict:
        return {"pose_keypoints_2d": [value for _ in range(25) for value in (x, 50.0, score)]}

    for frame in range(6):
        people = [person(100 + frame, 0.9), person(400 + frame, 0.5)]
        content = {"people": people[:: -1 if frame % 2 else 1]}
        (tmp_path / f"clip_{frame:012d}_keypoints.json").write_text(json.dumps(content))
    with pytest.warns(PoseWarning, match="shows 2 people"):
        clip = read_clip(tmp_path, fps=25)
    assert clip.points[:, 0, 0].tolist() == [100, 101, 102, 103, 104, 105] and clip.num_people == 2


@pytest.mark.parametrize(
    "path, error, message",
    [
        ("openpose/cut.json", PoseFileError, r"cut\.json: expected JSON, found damage"),
        (
            "openpose/short_hand.json",
            PoseFileError,
            r"short_hand\.json: expected 21 points in hand_right_keypoints_2d, found 10",
        ),
        ("npy/cut.npy", PoseFileError, r"cut\.npy: expected 94208 bytes .* found 47040"),
        ("npy/wrong_rank.npy", PoseFileError, r"found shape \(4096,\)"),
        ("npy/zero_length.npy", ClipError, "expected at least one frame, found none"),
        ("npy/object_array.npy", PoseFileError, r"object_array\.npy: expected numbers in every frame"),
        ("npy/nan_rows.npy", LandmarkError, r"(?s)may be features .*read_features"),
        ("pickle/missing_key.pkl", PoseFileError, "expected the key 'keypoints', found 'pose'"),
        ("pickle/cut.pkl", PoseFileError, r"cut\.pkl: expected a whole pickle, found damage"),
        ("pickle/calls_a_function.pkl", PoseFileError, "os.getcwd, which is not run"),
        ("pose/not_a_pose.pose", PoseFileError, "found text beginning"),
        ("annotations/isign_bom_crlf.csv", PoseFileError, "expected an ending among"),
        ("absent.json", PoseFileError, "found nothing"),
        ("video", PoseFileError, "expected a folder with one .json, .npy or .npz a frame, found none"),
    ],
)
def test_malformed_files_end_in_our_errors(shared_data, path, error, message):
    with pytest.raises(error, match=message):
        read_clip(shared_data / "malformed" / path)


def test_ragged_frames_are_padded_with_undetected_points(shared_data):
    clip = read_clip(shared_data / "malformed" / "pickle" / "ragged_keypoints.pkl")
    seen = (clip.confidence > 0).sum(axis=1)
    assert clip.points.shape == (8, 75, 2) and seen.min() == 0 and seen.max() == 75


def test_minus_one_means_undetected_when_that_is_chosen(shared_data):
    path = shared_data / "malformed" / "pickle" / "minus_one_invalid.pkl"
    assert (read_clip(path).confidence > 0).all()
    assert (read_clip(path, missing_value=-1).confidence > 0).mean() == pytest.approx(0.5)


def test_features_are_read_as_features(shared_data):
    clip = read_features(shared_data / "poses" / "multimodalhugs" / "features" / "sample_01.npy")
    assert clip.values.shape == (23, 1024) and clip.mask.all()
    damaged = read_features(shared_data / "malformed" / "npy" / "nan_rows.npy")
    assert np.isfinite(damaged.values).all() and damaged.mask.sum() == 7
    for name in ("cut", "wrong_rank", "zero_length", "object_array"):
        with pytest.raises(SignDataError):
            read_features(shared_data / "malformed" / "npy" / f"{name}.npy")


# layouts of files that people have and the shared data has not


def test_uni_sign_pickles(tmp_path):
    """{keypoints: [(people, 133, 2)], scores: [(people, 133)]}; a second person appears in frame 1."""
    frames = [np.full((1 + (frame == 1), 133, 2), 0.5) for frame in range(4)]
    scores = [np.full((len(frame), 133), 0.9) for frame in frames]
    frames[1][1], scores[1][1] = 0.1, 0.2
    (tmp_path / "clip.pkl").write_bytes(pickle.dumps({"keypoints": frames, "scores": scores}))
    clip = read_clip(tmp_path / "clip.pkl", fps=25, width=200, height=100)
    assert (clip.layout, clip.num_people) == ("coco_wholebody_133", 2)
    assert clip.points[1, 0].tolist() == [100, 50] and clip.confidence.min() == pytest.approx(0.9)


def test_the_data_pkl_of_the_pose_umt5_system(tmp_path):
    layout = get_layout("isharah_86")
    data = {
        f"{number:04d}": {"keypoints": np.random.default_rng(number).uniform(10, 500, (5 + number, 86, 2))}
        for number in range(3)
    }
    (tmp_path / "data.pkl").write_bytes(pickle.dumps(data))
    by_argument = read_clip(tmp_path / "data.pkl", sample_id="0002", fps=25)
    by_name = read_clip(f"{tmp_path}/data.pkl#0002", fps=25)
    assert by_argument.points.shape == (7, layout.num_points, 2) and by_argument.layout == "isharah_86"
    np.testing.assert_array_equal(by_argument.points, by_name.points)
    with pytest.raises(
        PoseFileError, match=r"the id of one of 3 clips \(0000, 0001, 0002, ...\), found None; .*--sample-id"
    ):
        read_clip(tmp_path / "data.pkl")


def test_a_sample_of_data_pkl_is_translated_by_its_id(tmp_path):
    """As a user of the pose-UMT5 system types it; without an id, and with a wrong one, the ids are listed."""
    from command_line import cli

    signed = synthesize("Does your sister like coffee?", seed=7)
    points, confidence = convert(signed.points, signed.confidence, signed.layout, "isharah_86")
    keypoints = np.where(confidence[..., None] > 0, points[..., :2], 0)
    (tmp_path / "data.pkl").write_bytes(
        pickle.dumps({"0001": {"keypoints": keypoints[:9]}, "0002": {"keypoints": keypoints}})
    )
    told = cli("translate", tmp_path / "data.pkl", "--sample-id", "0002", "--json")
    assert told.exit_code == 0 and "coffee" in json.loads(told.stdout)["translation"]
    for wrong in ([], ["--sample-id", "7"]):
        refused = cli("translate", tmp_path / "data.pkl", *wrong)
        assert refused.exit_code == 2 and "the id of one of 2 clips (0001, 0002, ...)" in refused.stderr


def test_coco_wholebody_json_of_mmpose(tmp_path):
    person = {"keypoints": [[10.0 + i, 20.0] for i in range(133)], "keypoint_scores": [0.8] * 133}
    frames = [{"frame_id": number, "instances": [person] if number != 1 else []} for number in range(3)]
    (tmp_path / "clip.json").write_text(json.dumps({"meta_info": {}, "instance_info": frames}))
    clip = read_clip(tmp_path / "clip.json", fps=25)
    assert clip.layout == "coco_wholebody_133" and (clip.confidence[:, 0] > 0).tolist() == [True, False, True]


@pytest.mark.parametrize(
    "shape, layout",
    [((4, 133, 3), "coco_wholebody_133"), ((4, 2, 133, 2), "coco_wholebody_133"), ((4, 75, 4), "holistic_75")],
)
def test_plain_arrays_by_their_number_of_points(tmp_path, shape, layout):
    np.save(tmp_path / "clip.npy", np.random.default_rng(0).uniform(0.1, 0.9, shape))
    clip = read_clip(tmp_path / "clip.npy", fps=25)
    assert clip.layout == layout and clip.num_frames == 4


def test_arrays_of_unknown_size_ask_for_the_layout(tmp_path):
    np.save(tmp_path / "clip.npy", np.ones((4, 31, 2)))
    with pytest.raises(LandmarkError, match="found 31 points; name the layout"):
        read_clip(tmp_path / "clip.npy")
    np.save(tmp_path / "flat.npy", np.ones((4, 266)))
    assert read_clip(tmp_path / "flat.npy", layout="coco_wholebody_133").points.shape == (4, 133, 2)


def test_a_landmark_table_with_gaps(tmp_path):
    pandas = pytest.importorskip("pandas")
    row = {"type": "pose", "landmark_index": 0, "x": 0.5, "y": 0.25, "z": 0.0}
    rows = [row | {"frame": 20}, row | {"frame": 22, "x": float("nan"), "y": float("nan")}, row | {"frame": 23}]
    pandas.DataFrame(rows).to_parquet(tmp_path / "clip.parquet")
    clip = read_clip(tmp_path / "clip.parquet", fps=30, width=640, height=480)
    assert (clip.confidence[:, 0] > 0).tolist() == [True, False, False, True]
    assert clip.points[0, 0].tolist() == [320, 120, 0]


def test_a_range_reads_its_frames_only(shared_data):
    path = shared_data / "continuous" / "how2sign_openpose" / "json" / "_2FBDaOPYig_4-3-rgb_front"
    whole, part = read_clip(path, fps=24), read_clip(path, fps=24, start_ms=500, end_ms=1500)
    np.testing.assert_array_equal(part.points, whole.points[12:36])
    with pytest.raises(ClipError, match="after the end of the clip"):
        read_clip(path, fps=24, start_ms=10_000)


def test_an_assumed_frame_rate_is_said(shared_data):
    with pytest.warns(PoseWarning, match="25 fps are assumed; pass fps="):
        read_clip(shared_data / "malformed" / "pickle" / "ok_keypoints.pkl")
    with pytest.raises(ClipError, match="expected a frame rate"):
        read_clip(shared_data / "malformed" / "pickle" / "ok_keypoints.pkl", fps=0)


def test_the_rate_of_a_manifest_does_not_replace_that_of_a_pose_file(shared_data):
    """WLASL's annotations count at 25 frames per second, whatever the video had."""
    path = shared_data / "poses" / "multimodalhugs" / "pose" / "sample_01.pose"
    own = read_clip(path).fps
    assert read_clip(path, default_fps=own + 7).fps == own and read_clip(path, fps=own + 7).fps == own + 7
    assert read_clip(shared_data / "malformed" / "pickle" / "ok_keypoints.pkl", default_fps=30).fps == 30
    assert read_clip(shared_data / "malformed" / "pose" / "zero_fps.pose", default_fps=24).fps == 24


@pytest.mark.parametrize(
    "path",
    [
        "malformed/openpose/two_people.json",
        "malformed/pickle/ok_keypoints.pkl",
        "poses/dwpose_frames/npz/00000001.npz",
        "isolated/asl_words/per_frame_npy/MP_Data/hello/1/0.npy",
        "isolated/letters_parquet/train_landmark_files/100/1015.parquet",
        "continuous/phoenix14t_skels/dev.skels",
    ],
)
def test_damage_anywhere_ends_in_our_errors(shared_data, tmp_path, path):
    good = (shared_data / path).read_bytes()
    rng = random.Random(0)
    target = tmp_path / Path(path).name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(80):
            bad = bytearray(good[: rng.randint(0, len(good))] if rng.random() < 0.3 else good)
            for _ in range(rng.randint(1, 8)):
                if bad:
                    bad[rng.randrange(min(len(bad), 4000))] = rng.randrange(256)
            target.write_bytes(bad)
            try:
                clip = read_clip(target)
                assert (np.isfinite(clip.points).all(axis=-1) == (clip.confidence > 0)).all()
            except SignDataError:
                pass
