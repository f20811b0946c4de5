"""Landmarks from video: the extractors by name.

    with open_extractor("mediapipe_holistic") as extractor:
        clip = extractor.extract("hello.mp4", start_ms=1200, end_ms=3400)   # PoseClip, holistic_543

An extractor keeps its model loaded between videos and treats each video as its first: the same video gives the same
landmarks, whatever came before.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from slt_hf.errors import PreparationError
from slt_hf.poses.extractor import Extractor, Progress
from slt_hf.processing.pose_files import PoseClip

__all__ = ["EXTRACTORS", "Extractor", "extract_pose", "open_extractor"]

# Imported on first use: each needs something heavy of its own.
EXTRACTORS = {
    "mediapipe_holistic": "slt_hf.poses.mediapipe_extractor:MediaPipe",
    "mediapipe_tasks": "slt_hf.poses.mediapipe_extractor:MediaPipeTasks",
    "transformers": "slt_hf.poses.image_extractors:PoseEstimation",
    "rtmlib": "slt_hf.poses.image_extractors:Rtmlib",
}


def open_extractor(name: str = "mediapipe_holistic", **options: Any) -> Extractor:
    """The extractor of that name, or the one at `module:attribute` for one of your own.

    Raises:
        PreparationError: if there is none of that name.
    """
    place = EXTRACTORS.get(name, name)
    if ":" not in place:
        known = ", ".join(EXTRACTORS)
        raise PreparationError(f"expected an extractor among {known} or module:attribute, found {name!r}; choose one")
    module, attribute = place.split(":", 1)
    try:
        create = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PreparationError(f"expected an extractor at {place}, found: {error}; check the name") from None
    return create(**options)


def extract_pose(
    video: str | Path,
    start_ms: float | None = None,
    end_ms: float | None = None,
    backend: str = "mediapipe_holistic",
    progress: Progress | None = None,
    **options: Any,
) -> PoseClip:
    """Landmarks of one video; `open_extractor` is faster for several, since it loads its model once."""
    with open_extractor(backend, **options) as extractor:
        return extractor.extract(video, start_ms, end_ms, progress=progress)
