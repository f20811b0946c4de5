"""Batches of at most N frames, drawn from lengths alone: no clip is opened to build them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from slt_hf.errors import ClipError

POOL_BATCHES = 100  # clips are sorted by length within pools of about this many batches: little padding, much mixing


class FrameBudgetBatchSampler:
    """Batches whose padded size, longest clip times number of clips, stays within a budget of frames.

    Every epoch is a function of seed and epoch number alone. Each clip comes exactly once an epoch over all ranks, and
    every rank gets the same number of batches: where they do not divide, large batches are split, nothing is repeated
    (except when there are fewer clips than ranks). The ranks' n-th batches hold clips of similar length, so no rank
    waits long. Pass it as `batch_sampler` to `torch.utils.data.DataLoader`.

    Args:
        lengths: frames of each clip as the model will see them, (N,).
        max_frames: most padded frames in a batch.
        seed: of the shuffle.
        rank, world_size: this process among how many.
        shuffle: False keeps batches in order of length.
        max_samples: most clips in a batch; None for no limit.

    Raises:
        ClipError: if a clip alone is longer than the budget, or has no frames.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        max_frames: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        max_samples: int | None = None,
    ):
        if not 0 <= rank < world_size:
            raise ValueError(f"expected a rank from 0 to {world_size - 1}, found {rank}")
        self.lengths = np.asarray(lengths, np.int64)
        self.max_frames, self.max_samples = max_frames, max_samples
        self.seed, self.shuffle = seed, shuffle
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self.start_batch = 0  # batches of this epoch already used, on this rank
        self._plan: tuple[int, list[list[list[int]]]] | None = None  # epoch and its rounds
        self._check()

    def _check(self) -> None:
        if not len(self.lengths):
            raise ClipError("expected at least one clip to build batches from, found none")
        if self.lengths.min() < 1:
            raise ClipError(f"clip {int(self.lengths.argmin())} has no frames; remove it from the dataset")
        if self.lengths.max() > self.max_frames:
            long = int((self.lengths > self.max_frames).sum())
            raise ClipError(
                f"{long} clips are longer than the budget of {self.max_frames} frames a batch (longest: clip "
                f"{int(self.lengths.argmax())} with {int(self.lengths.max())}); raise max_frames, or let the processor "
                "truncate and pass the truncated lengths"
            )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to shuffle for; a new epoch starts at its first batch."""
        if epoch != self.epoch:
            self.epoch, self.start_batch = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """Where the run is; `load_state_dict` continues with the very next batch.

        Counts batches handed out. A DataLoader with workers takes them ahead of use: there, count the batches the
        model has seen and load `{"epoch": epoch, "batch": seen, "seed": seed}`.
        """
        return {"epoch": self.epoch, "batch": self.start_batch, "seed": self.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.start_batch, self.seed = state["epoch"], state["batch"], state["seed"]
        self._plan = None

    def __len__(self) -> int:
        """Batches of this epoch on each rank."""
        return len(self._rounds())

    def __iter__(self) -> Iterator[list[int]]:
        """Row numbers of one batch after another, from `start_batch` on; after the last, the next epoch is due."""
        rounds = self._rounds()
        for number in range(self.start_batch, len(rounds)):
            self.start_batch = number + 1
            yield rounds[number][self.rank]
        self.start_batch = 0

    def padding(self) -> float:
        """Share of padded frames in the epoch, over all ranks."""
        batches = [batch for group in self._rounds() for batch in group]
        padded = sum(int(self.lengths[batch].max()) * len(batch) for batch in batches)
        real = sum(int(self.lengths[batch].sum()) for batch in batches)
        return 1 - real / padded

    def _rounds(self) -> list[list[list[int]]]:
        """The epoch: rounds of `world_size` batches."""
        if self._plan is None or self._plan[0] != self.epoch:
            self._plan = (self.epoch, self._draw(np.random.default_rng([self.seed, self.epoch])))
        return self._plan[1]

    def _draw(self, rng: np.random.Generator) -> list[list[list[int]]]:
        batches = [batch for pool in self._pools(rng) for batch in self._fill(pool)]
        batches = split_until_divisible(batches, self.world_size)
        # Neighbours by length share a round, so that all ranks have about as much to do.
        batches.sort(key=lambda batch: (int(self.lengths[batch[-1]]), batch[0]))
        rounds = [batches[i : i + self.world_size] for i in range(0, len(batches), self.world_size)]
        if not self.shuffle:
            return rounds
        return [[rounds[i][j] for j in rng.permutation(self.world_size)] for i in rng.permutation(len(rounds))]

    def _pools(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Row numbers sorted by length within random pools; without shuffling one pool of all."""
        if not self.shuffle:
            return [np.argsort(self.lengths, kind="stable")]
        order = rng.permutation(len(self.lengths))
        batches = max(1.0, float(self.lengths.sum()) / self.max_frames)
        count = max(1, round(batches / (POOL_BATCHES * self.world_size)))
        return [pool[np.argsort(self.lengths[pool], kind="stable")] for pool in np.array_split(order, count)]

    def _fill(self, pool: np.ndarray) -> list[list[int]]:
        """Cut a pool that is sorted by length into batches; the last clip of each is its longest."""
        batches: list[list[int]] = []
        batch: list[int] = []
        for index in pool.tolist():
            full = (len(batch) + 1) * self.lengths[index] > self.max_frames
            if batch and (full or len(batch) == self.max_samples):
                batches.append(batch)
                batch = []
            batch.append(index)
        return [*batches, batch]


def split_until_divisible(batches: list[list[int]], by: int) -> list[list[int]]:
    """Split the largest batches in two until their number divides by `by`; repeat single clips only if none is left."""
    batches = list(batches)
    while len(batches) % by:
        largest = max(range(len(batches)), key=lambda i: len(batches[i]))
        batch = batches[largest]
        if len(batch) == 1:
            batches.append(batches[len(batches) % by % len(batches)])
            continue
        middle = len(batch) // 2
        batches[largest : largest + 1] = [batch[:middle], batch[middle:]]
    return batches
