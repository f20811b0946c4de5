"""What a dataset holds: counts, lengths, frame rates, how often hands are missing, glosses by split; as a table."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.data.collection import Collection, known, open_collection
from slt_hf.data.sample import Sample
from slt_hf.errors import SignDataError
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_clip import PoseClip, PoseWarning

NO_SPLIT = "no split"
SHOWN = 10  # problems and notes listed
HANDS = ("left_hand", "right_hand")


@dataclass
class ClipFacts:
    """What opening a clip tells. Missing hands are shares of frames, None where the layout has no such hand."""

    split: str
    num_frames: int
    fps: float
    layout: str
    missing: dict[str, float | None]


@dataclass
class Inspection:
    """Everything that the table and the figure show."""

    name: str
    kind: str
    samples: list[Sample]
    facts: list[ClipFacts] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def splits(self) -> list[str]:
        found = known([split_of(sample) for sample in self.samples])
        return sorted(found, key=lambda split: (split != "train", split != "validation", split != "test", split))

    def of(self, split: str) -> tuple[list[Sample], list[ClipFacts]]:
        """Samples and opened clips of one split."""
        samples = [sample for sample in self.samples if split_of(sample) == split]
        return samples, [facts for facts in self.facts if facts.split == split]


def split_of(sample: Sample) -> str:
    return sample.split or NO_SPLIT


def inspect_dataset(
    path: str | Path, max_clips: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Inspection:
    """Look at a manifest, a folder of shards or a folder of pose files.

    Args:
        max_clips: open at most so many clips, spread evenly; None opens all, 0 none.
        progress: told how many clips of how many are done.

    Raises:
        SignDataError: if there is nothing to inspect. Clips that cannot be read are listed among the problems.
    """
    collection = open_collection(path)
    inspection = Inspection(collection.name, collection.kind, collection.samples)
    inspection.problems, inspection.notes = list(collection.problems), list(collection.notes)
    chosen = _spread(len(collection.samples), max_clips)
    for done, index in enumerate(chosen, start=1):
        _open(collection, int(index), inspection)
        if progress is not None:
            progress(done, len(chosen))
    return inspection


def _spread(count: int, wanted: int | None) -> np.ndarray:
    wanted = count if wanted is None else min(wanted, count)
    return np.unique(np.linspace(0, count - 1, wanted).round().astype(int)) if wanted else np.array([], dtype=int)


def _open(collection: Collection, index: int, inspection: Inspection) -> None:
    sample = collection.samples[index]
    if sample.pose is None and collection.kind == "manifest":
        return  # a video: what its row says is all that is known without extracting
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PoseWarning)
            inspection.facts.append(clip_facts(collection.load(index), split_of(sample)))
    except SignDataError as error:
        inspection.problems.append(f"{sample.id}: {error}")
    else:
        inspection.notes += [text for warning in caught if (text := str(warning.message)) not in inspection.notes]


def clip_facts(clip: PoseClip, split: str = NO_SPLIT) -> ClipFacts:
    """Length and the share of frames without each hand."""
    parts = get_layout(clip.layout).parts
    missing: dict[str, float | None] = {hand: None for hand in HANDS}
    for hand in HANDS:
        if hand in parts:
            missing[hand] = float(1 - (clip.confidence[:, list(parts[hand])] > 0).any(axis=1).mean())
    return ClipFacts(split, clip.num_frames, clip.fps, clip.layout, missing)


# The table


def summary_rows(inspection: Inspection) -> list[dict[str, Any]]:
    """One row a split, and one for all."""
    rows = [_summary(split, *inspection.of(split)) for split in inspection.splits]
    return rows if len(rows) == 1 else [*rows, _summary("all", inspection.samples, inspection.facts)]


def _summary(name: str, samples: list[Sample], facts: list[ClipFacts]) -> dict[str, Any]:
    frames = np.array([fact.num_frames for fact in facts] or [s.num_frames for s in samples if s.num_frames])
    seconds = sum(fact.num_frames / fact.fps for fact in facts)
    rates = Counter(round(fact.fps, 2) for fact in facts) or Counter(s.fps for s in samples if s.fps is not None)
    return {
        "split": name,
        "rows": len(samples),
        "opened": len(facts),
        "glosses": len(known([sample.gloss for sample in samples])) or None,
        "texts": len(known([sample.text for sample in samples])) or None,
        "signers": len(known([sample.signer for sample in samples])) or None,
        "frames_min": int(frames.min()) if len(frames) else None,
        "frames_median": float(np.median(frames)) if len(frames) else None,
        "frames_max": int(frames.max()) if len(frames) else None,
        "minutes": round(seconds / 60, 2) if facts else None,
        "fps": ", ".join(f"{rate:g}" for rate, _ in rates.most_common(3)) + (", ..." if len(rates) > 3 else "") or None,
        **{f"missing_{hand}": _mean([fact.missing[hand] for fact in facts]) for hand in HANDS},
        "layouts": ", ".join(sorted(known([fact.layout for fact in facts]))) or None,
    }


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return round(float(np.mean(there)), 4) if there else None


def render_table(inspection: Inspection) -> str:
    """The summary as text: a line a measure, a column a split, then what is wrong and what to know."""
    rows = summary_rows(inspection)
    lines = [f"{inspection.name}: {inspection.kind}"]
    measures = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    width = max(map(len, measures))
    widths = [max(len(_shown(name, row[name])) for name in measures) for row in rows]
    for name in measures:
        cells = (f"{_shown(name, row[name]):>{size}}" for row, size in zip(rows, widths, strict=True))
        lines.append(f"{name:{width}}  " + "  ".join(cells))
    for title, messages in (("problems", inspection.problems), ("notes", inspection.notes)):
        if messages:
            more = [f"  and {len(messages) - SHOWN} more"] if len(messages) > SHOWN else []
            lines += ["", f"{title}: {len(messages)}", *(f"  {message}" for message in messages[:SHOWN]), *more]
    return "\n".join(lines)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name.startswith("missing_"):
        return f"{100 * value:.1f} %"
    return f"{value:g}" if isinstance(value, float) else str(value)
