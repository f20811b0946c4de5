"""Requests of many callers computed together, in a queue that has an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from slt_hf.serving.errors import OverloadedError

Compute = Callable[[Sequence[Any]], Sequence[Any]]  # as many results as clips; an exception in a place is its result


class Batcher:
    """Computes what waits, at most `size` items in one call, in one thread of its own.

    The model is not thread-safe and the machine has few cores: one call at a time is also the fastest. While it lasts,
    others gather, and make the next batch; an idle model waits for more only if `wait_ms` says so.
    """

    def __init__(self, compute: Compute, size: int, wait_ms: float, queue_size: int):
        self.compute, self.size, self.wait_s = compute, size, wait_ms / 1000
        self.observe: Callable[[int], None] | None = None  # told the size of every batch
        self.queue: asyncio.Queue[tuple[Any, asyncio.Future[Any]]] = asyncio.Queue(queue_size)
        self.thread = ThreadPoolExecutor(1)
        self.worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Finish what waits; nothing new should come any more."""
        await self.queue.join()
        if self.worker is not None:
            self.worker.cancel()
        self.thread.shutdown()

    async def submit(self, item: Any) -> Any:
        """The result of one item.

        Raises:
            OverloadedError: if the queue is full.
        """
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            self.queue.put_nowait((item, result))
        except asyncio.QueueFull:
            raise OverloadedError(
                f"expected room among {self.queue.maxsize} waiting clips, found none; try again in a moment"
            ) from None
        return await result

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self.queue.get()]
            deadline = loop.time() + self.wait_s
            while len(batch) < self.size:
                if not self.queue.empty():
                    batch.append(self.queue.get_nowait())
                    continue
                try:
                    batch.append(await asyncio.wait_for(self.queue.get(), deadline - loop.time()))
                except TimeoutError:
                    break
            await self._run(batch)

    async def _run(self, batch: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        asked = [(item, future) for item, future in batch if not future.done()]  # a deadline may have passed meanwhile
        items = [item for item, _ in asked]
        if items and self.observe is not None:
            self.observe(len(items))
        try:
            results = (
                await asyncio.get_running_loop().run_in_executor(self.thread, self.compute, items) if items else []
            )
        except Exception as error:  # noqa: BLE001  whatever it was, every caller is told, and the next batch is served
            results = [error] * len(asked)
        for (_, future), result in zip(asked, results, strict=True):
            if not future.done():  # its caller may have gone
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        for _ in batch:
            self.queue.task_done()
