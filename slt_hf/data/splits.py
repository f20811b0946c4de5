"""A split for corpora that have none: by gloss, or by source recording where there are sentences instead of glosses."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from slt_hf.data.sample import Sample

VALIDATION = TEST = 0.1  # shares of the samples


def assign_split(samples: Iterable[Sample], seed: int = 0) -> None:
    """Give every sample train, validation or test, where none of them has a split.

    The same samples and seed give the same split, in whatever order they come. With glosses, each gloss is divided
    8:1:1, one recording never twice; without, whole recordings (`source`) are, so that no video is in two splits.
    """
    samples = list(samples)
    if any(sample.split is not None for sample in samples):
        return
    if any(sample.gloss is not None for sample in samples):
        by_gloss: dict[str | None, list[Sample]] = defaultdict(list)
        for sample in samples:
            by_gloss[sample.gloss].append(sample)
        for group in by_gloss.values():
            _divide(group, seed)
    else:
        _divide(samples, seed)


def _divide(samples: list[Sample], seed: int) -> None:
    units: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        units[sample.source or sample.id].append(sample)
    order = sorted(units, key=lambda unit: hashlib.sha256(f"{seed}:{unit}".encode()).digest())
    tests, validations = _share(len(order), TEST), _share(len(order), VALIDATION)
    for place, unit in enumerate(order):
        split = "test" if place < tests else "validation" if place < tests + validations else "train"
        for sample in units[unit]:
            sample.split = split


def _share(count: int, share: float) -> int:
    """How many of `count`: at least one from three on, and none of one or two, so that training sees every gloss."""
    return max(1, round(count * share)) if count >= 3 else 0
