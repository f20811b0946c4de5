"""Training examples made on the fly: worker processes fill a store from a mix of sources, training draws from it.

    with ExampleStore({"sentence": (sentence, 0.8), "word": (word, 0.2)}, numbers, PoseSettings(), 4000) as store:
        for batch in store.batches(rng, frames=2000): ...

A source is a function of a random generator that returns a clip, its text, its targets (signs and letters) and when
each of them is made, where that is known (`slt_hf.demonstration.Draft`). Real recordings join the mix as a source of
their own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip

# T frames, V landmarks, C coordinates

Source = Callable[[np.random.Generator], Any]  # -> clip, text, targets, spans_ms
RENEWED = 0.3  # examples made anew for each one that is used: varied as it is read, a clip is good for a few times
POOL = 8  # batches' worth of examples that are sorted by length together, so that a batch has little padding


@dataclass(frozen=True)
class Example:
    """A clip as the model reads it.

    Attributes:
        poses: (T, V, C) float16.
        text: what it says; None where only the targets are known.
        targets: classes of the CTC head, in their order.
        frame_targets: (T,) the class made in each frame, 0 between them; -1 throughout where that is not known.
    """

    poses: np.ndarray
    text: str | None
    targets: list[int]
    frame_targets: np.ndarray


class ExampleStore:
    """A store of examples that grows to `capacity` and then renews itself, oldest first, as long as it is open.

    Args:
        sources: name -> (source, weight).
        numbers: target -> class, 0 being for none.
        settings: how clips are prepared.
        capacity: examples held at once.
        workers: processes that make examples.
        seed: of everything that is drawn in them.
    """

    def __init__(
        self,
        sources: Mapping[str, tuple[Source, float]],
        numbers: Mapping[str, int],
        settings: PoseSettings,
        capacity: int,
        workers: int = 1,
        seed: int = 0,
    ):
        self.capacity = capacity
        self.examples: list[Example] = []
        self.made = 0
        self.drawn = 0
        context = multiprocessing.get_context("spawn")  # forking a process that holds torch's threads can hang
        self._closed = threading.Event()
        self._queue = context.Queue(maxsize=8)
        work = [
            (dict(sources), dict(numbers), settings, np.random.SeedSequence((seed, worker)))
            for worker in range(workers)
        ]
        self._workers = [context.Process(target=_fill, args=(self._queue, *each), daemon=True) for each in work]

    def __enter__(self) -> ExampleStore:
        for worker in self._workers:
            worker.start()
        threading.Thread(target=self._take_in, daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for worker in self._workers:
            worker.terminate()
            worker.join()
        self._closed.set()
        self._queue.cancel_join_thread()  # a worker may have been stopped in the middle of a clip

    def wait_for(self, count: int) -> None:
        """Return when so many examples are there."""
        while len(self.examples) < count:
            self._check_workers()
            time.sleep(0.1)

    def _check_workers(self) -> None:
        """A source that failed has shown its traceback already; waiting for it would be for ever."""
        dead = [worker.exitcode for worker in self._workers if worker.exitcode]
        if dead:
            raise RuntimeError(f"a worker that makes examples ended with exit code {dead[0]}; see its traceback above")

    def _take_in(self) -> None:
        """A thread: move what the workers make into the store, which fills at once and then renews as it is used."""
        while not self._closed.is_set():
            if self.made > self.capacity + RENEWED * self.drawn:
                time.sleep(0.1)
                continue
            with contextlib.suppress(queue.Empty):
                example = self._queue.get(timeout=0.5)
                self.examples[self.made % self.capacity : self.made % self.capacity + 1] = [example]
                self.made += 1

    def batches(self, rng: np.random.Generator, frames: int) -> Iterator[list[Example]]:
        """Batches without end, of similar lengths, each of at most `frames` frames with its padding."""
        while True:
            self._check_workers()
            order = rng.permutation(len(self.examples))
            mean = np.mean([len(example.poses) for example in self.examples[-200:]])
            drawn = [self.examples[index] for index in order[: int(POOL * frames / mean) + 1]]
            self.drawn += len(drawn)
            packed = pack(sorted(drawn, key=lambda example: len(example.poses)), frames)
            yield from (packed[index] for index in rng.permutation(len(packed)))


def pack(examples: list[Example], frames: int) -> list[list[Example]]:
    """Cut a list sorted by length into batches of at most `frames` frames, padding counted."""
    batches: list[list[Example]] = [[]]
    for example in examples:
        if batches[-1] and (len(batches[-1]) + 1) * len(example.poses) > frames:
            batches.append([])
        batches[-1].append(example)
    return batches


def _fill(
    made: multiprocessing.Queue, sources: dict, numbers: dict, settings: PoseSettings, seed: np.random.SeedSequence
) -> None:
    """A worker: make examples until it is stopped."""
    rng = np.random.default_rng(seed)
    names, weights = list(sources), np.array([weight for _, weight in sources.values()])
    while True:
        source, _ = sources[names[rng.choice(len(names), p=weights / weights.sum())]]
        clip, text, targets, spans_ms = source(rng)
        poses = prepare_clip(clip, settings).astype(np.float16)
        classes = [numbers[target] for target in targets]
        made.put(Example(poses, text, classes, frame_classes(len(poses), classes, spans_ms, settings.fps)))


def frame_classes(num_frames: int, classes: list[int], spans_ms: np.ndarray | None, fps: float) -> np.ndarray:
    """The class made in each frame, (T,): a target for every frame, which is learned much faster than their order."""
    if spans_ms is None:
        return np.full(num_frames, -1, np.int64)
    found = np.zeros(num_frames, np.int64)
    for number, (start, end) in zip(classes, np.rint(spans_ms * fps / 1000).astype(int), strict=True):
        found[start : end + 1] = number
    return found
