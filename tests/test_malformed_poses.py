"""Damaged and unusual .pose files: one of our errors, or finite input with the damage masked."""

from __future__ import annotations

import csv
import pickle
import warnings

import numpy as np
import pytest

from slt_hf.errors import ClipError, PoseFileError, SignDataError
from slt_hf.processing.feature_extraction_pose import PoseFeatureExtractor
from slt_hf.processing.pose_files import PoseWarning, read_pose

# What becomes of each file; None means that it can be used.
OUTCOMES: dict[str, type[SignDataError] | None] = {
    "empty": PoseFileError,
    "one_byte": PoseFileError,
    "header_cut": PoseFileError,
    "header_only": PoseFileError,
    "body_cut_half": PoseFileError,
    "body_cut_last_bytes": PoseFileError,
    "unknown_version": PoseFileError,
    "png_magic": PoseFileError,
    "not_a_pose": PoseFileError,
    "all_undetected": ClipError,
    "zero_frames": ClipError,
    "zero_fps": ClipError,
    "bit_flips": None,
    "trailing_junk": None,
    "nan_confidence": None,
    "nan_inf_coordinates": None,
    "confidence_out_of_range": None,
    "one_frame": None,
    "two_people": None,
    "missing_hand_component": None,
}


@pytest.fixture(scope="module")
def malformed(shared_data):
    return shared_data / "malformed" / "pose"


def model_input(path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoseWarning)
        return PoseFeatureExtractor()(path)["pose_values"][0]


def test_every_malformed_pose_has_an_outcome(shared_data):
    with (shared_data / "malformed" / "manifest.csv").open() as file:
        names = {row["path"][len("pose/") : -len(".pose")] for row in csv.DictReader(file) if row["kind"] == "pose"}
    assert names == OUTCOMES.keys()


@pytest.mark.parametrize("name", [name for name, outcome in OUTCOMES.items() if outcome])
def test_unusable_files_raise_an_error_that_names_the_file(malformed, name):
    with pytest.raises(OUTCOMES[name], match=f"{name}.pose.*(expected|found)") as raised:
        model_input(malformed / f"{name}.pose")
    assert isinstance(raised.value, ValueError)
    assert ";" in str(raised.value) and "\n" not in str(raised.value)  # what was wrong; what to do


@pytest.mark.parametrize("name", [name for name, outcome in OUTCOMES.items() if not outcome])
def test_usable_files_give_finite_input_of_a_human_size(malformed, name):
    values = model_input(malformed / f"{name}.pose")
    assert np.isfinite(values).all() and values[..., -1].any()
    assert np.abs(values[..., :2]).max() < 16 and 0 <= values[..., -1].min() and values[..., -1].max() <= 1


def test_damaged_points_are_masked(malformed):
    clean = read_pose(malformed / "trailing_junk.pose")
    damaged = read_pose(malformed / "nan_inf_coordinates.pose")
    lost = (clean.confidence > 0) & (damaged.confidence == 0)
    assert lost[2:5].any() and lost[7].any() and not lost[[0, 1, 5, 6]].any() and not lost[8:].any()
    assert np.isnan(damaged.points[lost]).all()
    np.testing.assert_array_equal(damaged.points[~lost], clean.points[~lost])
    assert not read_pose(malformed / "nan_confidence.pose").confidence[::3].any()


def test_flipped_bits_never_reach_the_model_as_huge_values(malformed):
    clean, damaged = (model_input(malformed / f"{name}.pose") for name in ("trailing_junk", "bit_flips"))
    same = np.isclose(clean, damaged, atol=1e-3).all(axis=-1)
    assert same.mean() > 0.95  # one value in 251 was damaged
    assert np.abs(damaged).max() < 16


def test_one_person_is_chosen_and_it_is_said(malformed):
    with pytest.warns(PoseWarning, match="2 people"):
        clip = read_pose(malformed / "two_people.pose")
    assert clip.num_people == 2 and clip.points.ndim == 3


def test_a_missing_hand_is_masked(malformed):
    clip = read_pose(malformed / "missing_hand_component.pose")
    assert clip.layout == "openpose_137" and not clip.confidence[:, 116:].any() and clip.confidence[:, :116].any()


def test_one_frame_is_enough(malformed):
    assert model_input(malformed / "one_frame.pose").shape == (1, 85, 3)


def test_a_pickle_named_pose_is_refused_and_not_opened(tmp_path):
    class Tripwire:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    for protocol in range(6):
        path = tmp_path / f"protocol_{protocol}.pose"
        path.write_bytes(pickle.dumps(Tripwire(), protocol=protocol))
        with pytest.raises(PoseFileError):
            read_pose(path)
    assert not (tmp_path / "sprung").exists()


def test_all_other_malformed_files_are_refused_as_poses(shared_data):
    for path in sorted((shared_data / "malformed").rglob("*")):
        if path.is_file() and path.suffix != ".pose":
            with pytest.raises(PoseFileError):
                read_pose(path)
