"""Where streams are computed: in this process beside the clips, or in processes of their own, for many of them.

Python computes on one core at a time. With `stream_processes`, each process has the models loaded and keeps the state
of its streams; this one only passes frames to them and answers back.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, Protocol

from slt_hf.engines import TorchGenerator
from slt_hf.errors import ClipError, SignDataError
from slt_hf.open_model import open_model
from slt_hf.pipeline import SignClassifier, SignTranslator, reads_video
from slt_hf.serving.errors import OverloadedError
from slt_hf.serving.frames import read_frame
from slt_hf.serving.memory import Occasionally
from slt_hf.streaming import StreamingClassifier, StreamingTranslator

Message = bytes | None  # a frame as it travels; None ends the utterance
Source = str | os.PathLike | None
START_SECONDS = 300  # a process loads torch and the models
ANSWER_SECONDS = 60  # for the frames of a moment: a process that takes longer hangs, and all its streams with it


class FrameStream:
    """A stream of one person, fed with frames as they travel."""

    def __init__(self, model: SignTranslator | SignClassifier, layout: str):
        kind = StreamingTranslator if isinstance(model, SignTranslator) else StreamingClassifier
        self.stream: Any = kind(model, layout)  # type: ignore[arg-type]
        self.frame = -1

    def push(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """News, each with the number of the last frame that was read."""
        told: list[dict[str, Any]] = []
        for message in messages:
            if message is None:
                events = self.stream.finish()
            else:
                time_ms, self.frame, points, seen = read_frame(message, self.stream.num_points)
                events = self.stream.push(points, time_ms, seen)
            told += [{**vars(event), "frame": self.frame} for event in events]
        return told


def warm(model: SignTranslator | SignClassifier) -> None:
    """Graphs are traced when the first stream opens: not while somebody waits."""
    if not reads_video(model.processor):
        quicken(model)
        FrameStream(model, "holistic_543")


def quicken(model: SignTranslator | SignClassifier) -> None:
    """For a model that translates clips all day."""
    if isinstance(model.engine, TorchGenerator) and not reads_video(model.processor):
        model.engine.quicken()


class OpenStream(Protocol):
    """A stream wherever it is computed."""

    async def push(self, messages: Sequence[Message]) -> list[dict[str, Any]]: ...

    async def close(self) -> None: ...


class LocalStream:
    """Computed in this process, in the one thread that computes the model's clips."""

    def __init__(self, model: Any, layout: str, thread: ThreadPoolExecutor):
        self.stream, self.thread = FrameStream(model, layout), thread

    async def push(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        return await asyncio.get_running_loop().run_in_executor(self.thread, self.stream.push, messages)

    async def close(self) -> None:
        """Nothing is kept."""


class StreamProcess:
    """A process that computes streams, and the one thread that speaks with it."""

    def __init__(self, sources: Mapping[str, Source], device: str | None):
        self.sources, self.device = dict(sources), device
        self.thread = ThreadPoolExecutor(1)
        self.streams = 0
        self.numbers = count()
        self._start()

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        self.pipe, far = spawn.Pipe()
        self.process = spawn.Process(target=compute_streams, args=(far, self.sources, self.device), daemon=True)
        self.process.start()
        far.close()
        self.ready = False

    def ask(self, *question: Any) -> Any:
        """In the thread.

        Raises:
            ClipError: what the stream said.
            OverloadedError: if the process ended, or hangs; another is started.
        """
        try:
            if not self.ready:
                if not self.pipe.poll(START_SECONDS):
                    raise EOFError
                self.ready = self.pipe.recv() == "ready"
            self.pipe.send(question)
            if not self.pipe.poll(ANSWER_SECONDS):
                raise EOFError
            answer, refusal = self.pipe.recv()
        except (EOFError, OSError):
            self.process.kill()
            self.process.join()
            self._start()
            raise OverloadedError("the process of this stream ended; open another stream") from None
        if refusal is not None:
            raise ClipError(refusal)
        return answer

    async def call(self, *question: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.thread, self.ask, *question)

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.thread.shutdown(wait=False, cancel_futures=True)


class DistantStream:
    """Computed in another process."""

    def __init__(self, process: StreamProcess, number: int):
        self.process, self.number = process, number

    async def push(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        return await self.process.call("push", self.number, messages)

    async def close(self) -> None:
        self.process.streams -= 1
        await self.process.call("close", self.number)


class StreamProcesses:
    """As many processes as asked for; a stream stays in the one that had the fewest when it opened."""

    def __init__(self, number: int, sources: Mapping[str, Source], device: str | None):
        self.processes = [StreamProcess(sources, device) for _ in range(number)]

    async def open(self, model: str, layout: str) -> DistantStream:
        process = min(self.processes, key=lambda each: each.streams)
        process.streams += 1
        number = next(process.numbers)
        try:
            await process.call("open", number, model, layout)
        except BaseException:
            process.streams -= 1
            raise
        return DistantStream(process, number)

    async def ready(self) -> None:
        """Until all have loaded their models."""
        await asyncio.gather(*(process.call("close", -1) for process in self.processes))

    def close(self) -> None:
        for process in self.processes:
            process.close()


def compute_streams(pipe: Any, sources: Mapping[str, Source], device: str | None) -> None:
    """What such a process does, until the other end is gone."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server ends us when it is done
    torch.set_num_threads(1)  # processes share the cores
    models = {name: open_model(source, device=device) for name, source in sources.items()}
    for model in models.values():
        warm(model)
    streams: dict[int, FrameStream] = {}
    memory = Occasionally()
    pipe.send("ready")
    while True:
        try:
            what, number, *rest = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send((answer_to(what, number, rest, models, streams), None))
        except SignDataError as error:
            pipe.send((None, " ".join(str(error).split())))
        memory.give_back(now=what == "close")


def answer_to(
    what: str, number: int, rest: list[Any], models: Mapping[str, Any], streams: dict[int, FrameStream]
) -> Any:
    if what == "open":
        name, layout = rest
        streams[number] = FrameStream(models[name], layout)
        return None
    if what == "close":
        streams.pop(number, None)
        return None
    if number not in streams:  # its process ended meanwhile, and this is the next
        raise ClipError("expected an open stream, found none; open another")
    return streams[number].push(rest[0])
