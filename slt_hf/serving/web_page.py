"""The page: static files, what it has to know of the landmarks, and somebody synthetic who signs for it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from slt_hf.processing.landmarks import get_layout
from slt_hf.serving import landmark_finder
from slt_hf.serving.frames import write_frame
from slt_hf.serving.openapi import refusals
from slt_hf.serving.settings import ServerSettings

PAGE = Path(__file__).parent / "page"
LAYOUT = "holistic_543"
EXAMPLES = 1000
NOT_DRAWN = ("_knee", "_ankle", "_heel", "_foot_index")  # legs sign nothing, and would make the hands small
HEAD = {"nose", "mouth_left", "mouth_right"} | {
    f"{side}_{name}" for side in ("left", "right") for name in ("eye_inner", "eye", "eye_outer", "ear")
}  # the face mesh shows it
PARTS = (("left_hand", "left"), ("right_hand", "right"), ("face", "face"))


def headers(settings: ServerSettings) -> dict[str, str]:
    """Nothing is loaded from, or sent to, another place: the browser itself holds the page to it."""
    framed_by = " ".join(("'self'", *settings.allowed_origins))
    policy = (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data: blob:; media-src 'self' blob:; "
        f"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {framed_by}"
    )
    return {
        "content-security-policy": policy,
        "permissions-policy": "camera=(self), microphone=(), geolocation=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-cache",  # asks whether the file has changed, rather than showing a page of two versions
    }


class FrameBytes(Response):
    media_type = "application/octet-stream"


class PageFiles(StaticFiles):
    """Static files with the page's headers."""

    def __init__(self, directory: Path, told: dict[str, str]):
        super().__init__(directory=directory, check_dir=False)
        self.told = told

    async def check_config(self) -> None:
        """Not asked for: a landmark finder that is fetched while the server runs is found."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(self.told)
        return response


def add_page(app: FastAPI, settings: ServerSettings) -> None:
    told = headers(settings)

    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers=told)

    @app.get("/page/about.json", include_in_schema=False)
    def about() -> JSONResponse:
        return JSONResponse(about_the_page(settings), headers=told)

    @app.get("/example", response_class=FrameBytes, responses=refusals())
    def example(seed: int = 0) -> Response:
        """A synthetic signer's landmarks, as frames of a stream one behind another; what is signed is in a header."""
        sentence, frames = synthetic_frames(seed % EXAMPLES)
        return FrameBytes(frames, headers={"x-sentence": quote(sentence)})

    app.mount("/page/holistic", PageFiles(landmark_finder.folder(), told))
    app.mount("/page", PageFiles(PAGE, told))


def about_the_page(settings: ServerSettings) -> dict[str, Any]:
    return {
        "corrections": settings.corrections is not None,
        "landmarks": landmark_finder.installed(),
        "howToGet": landmark_finder.HOW_TO_GET,
        "numPoints": get_layout(LAYOUT).num_points,
        "strokes": strokes(LAYOUT),
    }


def strokes(name: str) -> list[tuple[int, int, str]]:
    """(from, to, kind) of the lines of a skeleton; hands last, so that they lie on top."""
    layout = get_layout(name)
    kinds = {point: kind for part, kind in PARTS for point in layout.parts[part]}
    hidden = {point for point, each in enumerate(layout.points) if each.endswith(NOT_DRAWN) or each in HEAD}
    lines = [(a, b, kinds.get(b, "body")) for a, b in layout.edges if not hidden & {a, b}]
    return sorted(lines, key=lambda line: ["face", "body", "left", "right"].index(line[2]))


@lru_cache(16)
def synthetic_frames(seed: int) -> tuple[str, bytes]:
    """A sentence and its signing."""
    from slt_hf.demonstration import sign_unseen

    sentence, clip, _ = sign_unseen(seed=seed)
    points = clip.points / float(np.nanmax(np.abs(clip.points)))  # float16 is finest near 1
    frames = (
        write_frame(1000 * number / clip.fps, number, *frame)
        for number, frame in enumerate(zip(points, clip.confidence, strict=True))
    )
    return sentence, b"".join(frames)
