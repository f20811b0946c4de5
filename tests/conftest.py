"""Shared by all tests: offline, one thread a process, and the place of the real data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: `make test` runs two processes on two cores
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(os.environ.get("SLT_HF_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
REAL_POSES = (
    "poses/signwriting_animation/whatsthatsign-524.pose",
    "poses/lexicon_sgg/sgg/kinder.pose",
    "poses/multimodalhugs/pose/sample_01.pose",
    "poses/pose_format/viewer_holistic_example.pose",
    "continuous/how2sign_openpose/poses/_2FBDaOPYig_4-3-rgb_front.pose",
)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data not found at {SHARED_DATA}; set SLT_HF_SHARED_DATA")
    return SHARED_DATA


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture
def hub_server() -> Iterator[HubServer]:
    """A Hugging Face Hub of our own on loopback; `hub_server.python(code, without=["slt_hf"])` runs code against it."""
    with HubServer() as server:
        yield server


@pytest.fixture(scope="session")
def tiny_checkpoint_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A translation checkpoint with random weights, made once; use `tiny_checkpoint`."""
    from tiny_checkpoints import save_translation

    return save_translation(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_checkpoint(tiny_checkpoint_source: Path, tmp_path: Path) -> Path:
    """A translation checkpoint with random weights: signing_85 poses to forty made-up words; the test's own copy."""
    return Path(shutil.copytree(tiny_checkpoint_source, tmp_path / "checkpoint"))


@pytest.fixture(scope="module", params=REAL_POSES)
def real_clip(request: pytest.FixtureRequest, shared_data: Path) -> Any:
    """A signer of each extractor and layout at hand."""
    from slt_hf.processing.pose_files import read_pose

    return read_pose(shared_data / request.param)
