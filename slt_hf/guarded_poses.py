"""Poses of strangers' videos: what `guarded_video` lets through is read by an extractor with limits of its own.

    translator(extract_untrusted(body))                  # a checkpoint that reads poses
"""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from slt_hf.errors import ClipError, PreparationError, VideoError
from slt_hf.guarded_video import GuardedDecoder, Untrusted, decoder_for
from slt_hf.poses.extraction import open_extractor
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.video_frames import STILLS
from slt_hf.processing.video_reading import name_of


class GuardedExtractor:
    """Poses of strangers' videos: checked by a decoding worker, then read by a pose extractor with limits of its own.

    The extractor (MediaPipe by default) stays up between videos and is one process: calls from several threads take
    turns.

    Args:
        decoder: checks the file before the extractor sees it; this process' own if left out.
        backend: as of `slt_hf.poses.extraction.open_extractor`.
        memory_bytes: address space of the extractor; its models take some gigabytes of it.
        timeout_seconds: longest time for one video.
        options: of the extractor.
    """

    def __init__(
        self,
        decoder: GuardedDecoder | None = None,
        backend: str = "mediapipe_holistic",
        memory_bytes: int = 4 << 30,
        timeout_seconds: float = 120.0,
        **options: Any,
    ):
        self.decoder = decoder or decoder_for()
        limits = {"memory_bytes": memory_bytes, "timeout_seconds": timeout_seconds}
        budget = self.decoder.limits.budget
        self._extractor = open_extractor(backend, budget=budget, **limits, **options)
        self._turn = threading.Lock()

    def extract(
        self, source: Untrusted, name: str | None = None, start_ms: float | None = None, end_ms: float | None = None
    ) -> PoseClip:
        """Landmarks of every frame.

        Raises:
            VideoError, ClipError: as of `GuardedDecoder.read`, and where the extractor's own limits end it.
            PreparationError: if there is no extractor.
        """
        name = name or name_of(source)  # type: ignore[arg-type]
        self.decoder.probe(source, name)
        with self._turn, tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"video{still_suffix(name)}"
            if isinstance(source, str | os.PathLike):
                path = Path(source)
            else:
                path.write_bytes(source)
            try:
                clip = self._extractor.extract(path, start_ms, end_ms)
                return replace(clip, hands=None)  # nobody may open the file again, in a process without limits
            except MemoryError:
                raise VideoError(f"{name}: finding poses in it needs too much memory; send a smaller video") from None
            except (VideoError, ClipError) as error:
                raise type(error)(str(error).replace(str(path), name)) from None
            except PreparationError as error:
                if "the extractor ended" not in str(error):
                    raise
                raise VideoError(f"{name}: {error}") from None

    def close(self) -> None:
        """End the extractor."""
        self._extractor.close()

    def __enter__(self) -> GuardedExtractor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def still_suffix(name: str) -> str:
    """The ending of a picture's name, by which readers tell pictures from videos; else nothing."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix in STILLS else ""


@lru_cache(maxsize=1)
def _extractor() -> GuardedExtractor:
    extractor = GuardedExtractor()
    atexit.register(extractor.close)
    return extractor


def extract_untrusted(source: Untrusted, name: str | None = None, **part: float | None) -> PoseClip:
    """The poses of a stranger's video, by this process' warm extractor; see `GuardedExtractor.extract`."""
    return _extractor().extract(source, name, **part)
