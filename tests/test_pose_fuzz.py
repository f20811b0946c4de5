"""Mutated .pose files: only our errors come out, in bounded memory, and what is read is finite."""

from __future__ import annotations

import os
import struct
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slt_hf.errors import SignDataError
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_files import PoseClip, pose_bytes, read_pose
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip

REAL = (
    "poses/pose_format/openpose.pose",  # version 0.0
    "poses/pose_format/mediapipe_hand_normalized.pose",  # 0.1
    "poses/lexicon_sgg/sgg/kinder.pose",  # 0.1
    "poses/multimodalhugs/pose/sample_01.pose",  # 0.2
)
MEMORY = 80 * 2**20


def drawn_clip(layout: str) -> bytes:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 500, (6, get_layout(layout).num_points, 3)).astype(np.float32)
    return pose_bytes(PoseClip(points, np.ones(points.shape[:2], np.float32), layout, 25.0, 500, 500))


@pytest.fixture(scope="module")
def seeds(repository) -> list[bytes]:
    """Two files of our own and, where the real data is, four real ones."""
    shared = Path(os.environ.get("SLT_HF_SHARED_DATA", repository.parent / "shared" / "data"))
    real = [shared / path for path in REAL]
    return [drawn_clip("hands_42"), drawn_clip("signing_85")] + [path.read_bytes() for path in real if path.is_file()]


@st.composite
def mutation(draw):
    """A place (share of the file, most often in its header), what to do there, and with which bytes."""
    place = draw(st.one_of(st.floats(0, 0.02), st.floats(0, 1)))
    kind = draw(st.sampled_from(["flip", "write", "cut", "insert", "delete", "float"]))
    content = draw(st.binary(min_size=1, max_size=12))
    special = draw(st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e36, -1e20, 0.0, 3.4e38, 1e-40]))
    return place, kind, content, struct.pack("<f", special)


def mutated(seed: bytes, mutations) -> bytes:
    content = bytearray(seed)
    for share, kind, new, special in mutations:
        place = min(int(share * len(content)), max(len(content) - 1, 0))
        if kind == "flip" and content:
            content[place] ^= new[0] or 1
        elif kind == "write":
            content[place : place + len(new)] = new
        elif kind == "cut":
            del content[place:]
        elif kind == "insert":
            content[place:place] = new
        elif kind == "delete":
            del content[place : place + 64 * len(new)]
        else:
            content[place : place + 4] = special
    return bytes(content)


@settings(max_examples=250, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.integers(0, 5),
    mutations=st.lists(mutation(), min_size=1, max_size=6),
    normalization=st.sampled_from(["shoulders", "hands", "box", "max", "none"]),
)
def test_mutated_files_give_our_errors_or_finite_input(seeds, number, mutations, normalization):
    content = mutated(seeds[number % len(seeds)], mutations)
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", RuntimeWarning)  # overflow and invalid values are caught before they spread
            clip = read_pose(content)
            assert np.isfinite(clip.points[clip.confidence > 0]).all()
            values = prepare_clip(clip, PoseSettings(normalization=normalization))
            assert np.isfinite(values).all() and not values[values[..., -1] == 0].any()
    except SignDataError as error:
        assert len(str(error)) < 2000 and "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY


@settings(max_examples=60, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.integers(0, 2**32 - 1), people=st.integers(0, 65535), fps=st.floats(width=32), number=st.integers(0, 1)
)
def test_any_counts_in_a_header_are_checked_against_the_file(seeds, frames, people, fps, number):
    seed = seeds[number]
    body = 6 * get_layout(("hands_42", "signing_85")[number]).num_points * 4 * 4
    counts = struct.pack("<fIH", fps, frames, people)
    content = seed[: -body - len(counts)] + counts + seed[-body:]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            clip = read_pose(content)
        assert frames * people <= 6 and clip.num_frames == frames
    except SignDataError:
        assert not (frames == 6 and people == 1 and 1 <= fps <= 1000)
