"""MediaPipe Holistic, in an environment of its own: 0.10.21 carries its models and needs numpy < 2."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.errors import ClipError, PreparationError, VideoError
from slt_hf.poses.extractor import Closing, Progress, make_clip
from slt_hf.poses.video import VideoBudget, check_range
from slt_hf.processing.pose_files import PoseClip
from slt_hf.user_cache import user_cache

HOLISTIC_TASK = (
    "https://storage.googleapis.com/mediapipe-models/holistic_landmarker/holistic_landmarker/float16/latest/"
    "holistic_landmarker.task"
)


class MediaPipe(Closing):
    """MediaPipe Holistic in its own environment, as a subprocess that stays up between videos.

    Args:
        python: interpreter of the environment with MediaPipe; found as `find_extraction_python` says.
        complexity: of the body model; 1 is the one whose weights the 0.10.21 wheel carries.
        model: a `holistic_landmarker.task` file: MediaPipe Tasks is used instead of the legacy solution.
        memory_bytes: most address space of the subprocess; 0 for no limit.
        timeout_seconds: longest time for one video; None for no limit.
        budget: what decoding one video may cost.
    """

    layout = "holistic_543"

    def __init__(
        self,
        python: str | Path | None = None,
        complexity: int = 1,
        model: str | Path | None = None,
        memory_bytes: int = 0,
        timeout_seconds: float | None = None,
        budget: VideoBudget | None = None,
    ):
        self.budget, self.timeout_seconds = budget or VideoBudget(), timeout_seconds
        worker = Path(__file__).with_name("mediapipe_worker.py")
        self._command = [str(python or find_extraction_python()), "-I", str(worker), "--complexity", str(complexity)]
        self._command += ["--memory-bytes", str(memory_bytes)]
        self._command += ["--model", str(model)] if model else []
        self._process: subprocess.Popen[str] | None = None
        self._log = tempfile.TemporaryFile("w+")  # MediaPipe's own chatter; its end explains a crash
        self._tools: dict[str, str] = {}

    @property
    def tools(self) -> dict[str, str]:
        self._started()
        return self._tools

    def extract(
        self,
        video: str | Path,
        start_ms: float | None = None,
        end_ms: float | None = None,
        bbox: list[float] | None = None,
        progress: Progress | None = None,
    ) -> PoseClip:
        """Landmarks of every frame in the part asked for; MediaPipe finds the person itself, `bbox` is not needed.

        Raises:
            VideoError, ClipError: as `slt_hf.poses.video.iterate_frames`.
            MemoryError: if the limit was reached.
            PreparationError: if the extractor died.
        """
        check_range(start_ms, end_ms, str(video))
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "landmarks.npz"
            request = {"video": str(Path(video).absolute()), "start_ms": start_ms, "end_ms": end_ms}
            reply = self._ask({**request, "output": str(output), "budget": asdict(self.budget)}, progress)
            if "error" in reply:
                raise _error_of(reply, str(video))
            with np.load(output) as arrays:
                points, confidence, times = arrays["points"], arrays["confidence"], arrays["times_ms"]
        return make_clip(
            points, confidence, times, self.layout, reply["fps"], reply["width"], reply["height"], str(video)
        )

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, request: dict[str, Any], progress: Progress | None) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None
        timer = threading.Timer(self.timeout_seconds, process.kill) if self.timeout_seconds else None
        if timer:
            timer.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            while not {"done", "error"} & (reply := self._reply()).keys():
                if progress:
                    progress(reply["frames"])
        except BrokenPipeError:
            raise self._died() from None
        finally:
            if timer:
                timer.cancel()
        if progress and "done" in reply:
            progress(reply["frames"])
        return reply

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log}
            try:
                self._process = subprocess.Popen(self._command, text=True, **pipes)  # type: ignore[call-overload]
            except OSError as error:
                raise PreparationError(
                    f"expected a Python with MediaPipe at {self._command[0]}, found: {error}; run `make extract-env`"
                ) from None
            self._tools = self._reply()["tools"]
        return self._process

    def _reply(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._died()
        return json.loads(line)

    def _died(self) -> PreparationError:
        """The error for a subprocess that is gone; the next video gets a new one."""
        assert self._process is not None
        code = self._process.wait()
        self._process = None
        if code == -signal.SIGKILL and self.timeout_seconds:
            return PreparationError(f"the extractor ended after {self.timeout_seconds:g} s; allow more time, or cut it")
        self._log.seek(0)
        last = self._log.read().strip().splitlines()[-1:] or ["it said nothing"]
        return PreparationError(
            f"the extractor ended with code {code}: {last[0]}; see whether the video plays elsewhere"
        )


class MediaPipeTasks(MediaPipe):
    """MediaPipe Tasks 1.x with a model file, given or fetched once.

    Args:
        model: the .task file, or None to fetch it into the cache.
        checksum: SHA-256 that the model must have; required for a fetched one.
    """

    def __init__(self, model: str | Path | None = None, checksum: str | None = None, **options: Any):
        super().__init__(model=task_model(model, checksum), **options)


def find_extraction_python() -> Path:
    """The interpreter with MediaPipe: $SLT_HF_EXTRACT_PYTHON, or that of .venv-extract beside the running environment;
    not of the current folder, which may be anybody's.

    Raises:
        PreparationError: if there is none.
    """
    named = os.environ.get("SLT_HF_EXTRACT_PYTHON")
    place = Path(named) if named else Path(sys.prefix).parent / ".venv-extract" / "bin" / "python"
    if place.exists():
        return place.absolute()
    raise PreparationError(
        f"expected a Python with MediaPipe at {place}, found none; run `make extract-env`, "
        "or name one with --extract-python or SLT_HF_EXTRACT_PYTHON"
    )


def task_model(model: str | Path | None, checksum: str | None) -> Path:
    """The .task file: as given, or fetched once into the cache, which needs its checksum.

    Raises:
        PreparationError: if it is absent, or not the file that was promised.
    """
    path = _fetched(None if model is None else str(model), checksum) if _is_remote(model) else Path(str(model))
    if not path.is_file():
        raise PreparationError(f"expected a .task file at {path}, found none; check the path")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if checksum and found != checksum:
        raise PreparationError(
            f"{path}: expected SHA-256 {checksum}, found {found}; remove the file and fetch it again"
        )
    return path.absolute()


def _is_remote(model: str | Path | None) -> bool:
    return model is None or str(model).startswith(("http://", "https://"))


def _fetched(address: str | None, checksum: str | None) -> Path:
    """The file of an address in the cache; asked for once."""
    from slt_hf.data.fetch import fetch

    if checksum is None:
        raise PreparationError(
            "expected the checksum of the model to fetch, found none; pass checksum=<SHA-256>, or model=<.task file>"
        )
    fetched = fetch(address or HOLISTIC_TASK, user_cache())
    if fetched.file is None:
        raise PreparationError(f"expected to fetch the model, found: {fetched.reason}")
    return fetched.file


def _error_of(reply: dict[str, Any], video: str) -> Exception:
    if reply["kind"] == "memory":
        return MemoryError(f"{video}: {reply['error']}")
    if reply["kind"] == "range":
        return ClipError(f"{video}: {reply['error']}; correct the times")
    if "No such file" in reply["error"]:
        return VideoError(f"{video}: expected a video file, found nothing there; check the path")
    return VideoError(f"{video}: expected a readable video, found: {reply['error']}; re-encode it or skip it")
