"""A split for corpora that have none: by gloss, or by source recording where there are sentences instead of glosses."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from slt_hf.data.sample import Sample

VALIDATION = TEST = 0.1  # shares of the samples
MADE = "no row has a split: {units} are divided into train, validation and test, 8:1:1, always the same way"


def assign_split(samples: Iterable[Sample], seed: int = 0) -> str | None:
    """Give every sample train, validation or test, where none of them has a split.

    The same samples and seed give the same split, in whatever order they come. Of isolated signs, each gloss is divided
    8:1:1, one recording never twice; of sentences whole recordings (`source`) are, so that no video is in two splits.

    Returns:
        What to tell the user: that the split is ours and not official; None where the samples had one.
    """
    samples = list(samples)
    if any(sample.split is not None for sample in samples):
        return None
    if by_gloss := _shows_signs(samples):
        groups: dict[str | None, list[Sample]] = defaultdict(list)
        for sample in samples:
            groups[sample.gloss].append(sample)
        for group in groups.values():
            _divide(group, seed)
    else:
        _divide(samples, seed)
    return MADE.format(units="the clips of each gloss" if by_gloss else "whole recordings")


def _shows_signs(samples: list[Sample]) -> bool:
    """Isolated signs rather than sentences with their glosses, which hardly ever repeat and would all be training."""
    glosses = {sample.gloss for sample in samples} - {None}
    return bool(glosses) and (3 * len(glosses) <= len(samples) or all(sample.text is None for sample in samples))


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
