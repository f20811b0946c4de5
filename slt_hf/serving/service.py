"""The service: models by name, clips in, text or labels out. Knows no protocol."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from slt_hf.errors import ClipError, SignDataError
from slt_hf.open_model import open_model
from slt_hf.pipeline import Classification, SignTranslator, Translation, reads_video
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_inputs import to_clip
from slt_hf.serving.batching import Batcher
from slt_hf.serving.errors import OverloadedError, TooLargeError, UnknownModelError
from slt_hf.serving.memory import give_back_regularly
from slt_hf.serving.settings import ServerSettings
from slt_hf.serving.stream_host import LocalStream, OpenStream, StreamProcesses, quicken, warm
from slt_hf.serving.videos import VideoDesk, ending_of


@dataclass
class Served:
    """A loaded model and the queue before it."""

    name: str
    model: Any
    batcher: Batcher

    @property
    def translates(self) -> bool:
        return isinstance(self.model, SignTranslator)

    @property
    def sees_frames(self) -> bool:
        """Frames, rather than poses; such a model reads clips only, no streams."""
        return reads_video(self.model.processor)


class SignService:
    """Models are loaded at the start and never again: no request can load or unload one.

    Args:
        models: name -> folder or Hub repository; None is the bundled checkpoint.
        settings: bounds.
    """

    def __init__(
        self, models: Mapping[str, str | os.PathLike | None], settings: ServerSettings, device: str | None = None
    ):
        self.settings = settings
        self.sources, self.device = dict(models), device
        self.served = {name: self._load(name, source, device) for name, source in models.items()}
        self.default = next(iter(self.served), "")

    def _load(self, name: str, source: str | os.PathLike | None, device: str | None) -> Served:
        model = open_model(source, device=device)
        if self.settings.stream_processes:
            quicken(model)
        else:
            warm(model)
        settings = self.settings
        batcher = Batcher(
            lambda clips: compute(model, clips), settings.batch_size, settings.batch_wait_ms, settings.queue_size
        )
        return Served(name, model, batcher)

    @cached_property
    def stream_processes(self) -> StreamProcesses:
        return StreamProcesses(self.settings.stream_processes, self.sources, self.device)

    async def open_stream(self, name: str | None, layout: str) -> OpenStream:
        """A live stream with a model.

        Raises:
            UnknownModelError, ClipError: if there is no such model or layout.
        """
        served = self.find(name)
        if self.settings.stream_processes:
            return await self.stream_processes.open(served.name, layout)
        return LocalStream(served.model, layout, served.batcher.thread)

    @cached_property
    def videos(self) -> VideoDesk:
        return VideoDesk(self.settings)

    @cached_property
    def parser(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1)  # one body at a time: of JSON, each takes several times its size

    async def parsed(self, parse: Callable[[], Any]) -> Any:
        """What a body holds, taken apart beside the loop: megabytes of JSON would hold up every stream."""
        return await asyncio.get_running_loop().run_in_executor(self.parser, parse)

    async def start(self) -> None:
        self.memory = asyncio.create_task(give_back_regularly())
        for served in self.served.values():
            served.batcher.start()
        if self.settings.stream_processes:
            await self.stream_processes.ready()

    async def stop(self) -> None:
        """Answer what was asked already."""
        self.memory.cancel()
        for served in self.served.values():
            await served.batcher.stop()
        if "stream_processes" in vars(self):
            self.stream_processes.close()
        if "videos" in vars(self):  # one was uploaded
            self.videos.close()
        if "parser" in vars(self):
            self.parser.shutdown()

    def find(self, name: str | None) -> Served:
        """A model by name; the first one served without a name.

        Raises:
            UnknownModelError: if it is not served.
        """
        found = self.served.get(name or self.default)
        if found is None:
            raise UnknownModelError(f"expected a model among {', '.join(self.served)}, found {name}; name one of these")
        return found

    async def read(self, clip: PoseClip | bytes, name: str | None = None) -> Translation | Classification:
        """What one clip says or shows.

        Args:
            clip: poses, or the bytes of a pose file, video or picture; never a path or an address.

        Raises:
            SignDataError: if the clip cannot be read, is too long, too many wait, or it takes too long.
        """
        return await self.in_time(self._read(clip, self.find(name)))

    async def read_all(self, clips: Sequence[PoseClip | bytes], name: str | None = None) -> list[Any]:
        """What each clip of one request says, waiting together; the first refusal is the request's.

        Videos are read one after the other, so that a request holds the frames of one.
        """
        served, turn = self.find(name), asyncio.Lock()

        async def in_turn(clip: PoseClip | bytes) -> Any:
            if isinstance(clip, PoseClip):
                return await self._read(clip, served)
            async with turn:
                return await self._read(clip, served)

        found = await self.in_time(asyncio.gather(*map(in_turn, clips), return_exceptions=True))
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return found

    async def _read(self, clip: PoseClip | bytes, served: Served) -> Any:
        if isinstance(clip, bytes) and (served.sees_frames or ending_of(clip)):
            return await self._read_video(clip, served)
        poses = await self.parsed(partial(self.poses_in, clip)) if isinstance(clip, bytes) else clip
        self.check_length(poses)
        return await served.batcher.submit(poses)

    async def _read_video(self, body: bytes, served: Served) -> Any:
        ending = ending_of(body) or ""
        with self.videos.place():
            if served.sees_frames:
                return await served.batcher.submit(await self.videos.frames(body, ending, served.model.processor))
            poses = await self.videos.poses(body, ending)
            self.check_length(poses)
            return await served.batcher.submit(poses)

    def poses_in(self, body: bytes) -> PoseClip:
        """The clip in the bytes of a `.pose` file.

        Raises:
            SignDataError: if it is something else, or too large.
        """
        if len(body) > self.settings.max_body_bytes:
            raise TooLargeError(
                f"expected poses of at most {self.settings.max_body_bytes} bytes, found {len(body)}; cut the clip"
            )
        return to_clip(body)

    def check_length(self, clip: PoseClip) -> None:
        """Of poses; a video's length is checked when it is opened."""
        longest = self.settings.max_clip_seconds
        if clip.duration_ms > 1000 * longest:
            raise ClipError(
                f"expected a clip of at most {longest:g} s, found {clip.duration_ms / 1000:.1f}; "
                "cut it, or send the parts as a stream"
            )

    async def in_time(self, answer: Awaitable[Any]) -> Any:
        """An answer, if it comes before the request's time is over."""
        seconds = self.settings.request_seconds
        try:
            return await asyncio.wait_for(answer, seconds)
        except TimeoutError:
            raise OverloadedError(f"expected an answer within {seconds:g} s, found none; try again later") from None


def compute(model: Any, clips: Sequence[PoseClip]) -> list[Any]:
    """Results of a batch; a clip that cannot be read spoils nobody else's."""
    try:
        return list(model(list(clips), batch_size=len(clips)))
    except SignDataError:
        return [alone(model, clip) for clip in clips]


def alone(model: Any, clip: PoseClip) -> Any:
    try:
        return model(clip)
    except SignDataError as error:
        return error
