"""What became of every item: as a table, as a file beside the shards, and in the dataset card."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slt_hf.data.ledger import STATUSES, Ledger
from slt_hf.data.preparation_plan import Plan

EXAMPLES = 3  # of each status, with their reason


@dataclass(frozen=True)
class SplitCensus:
    """One split's numbers."""

    items: int
    statuses: dict[str, int]
    frames: int  # of the items that are ok
    hours: float


@dataclass(frozen=True)
class Census:
    """All splits' numbers; holds nothing that depends on when or where the run was."""

    splits: dict[str, SplitCensus]
    pending: int = 0
    """Items that no run has settled yet"""
    examples: dict[str, list[dict[str, str | None]]] = field(default_factory=dict)
    """Of each status but ok, the first few items with their reason"""
    tools: dict[str, str] = field(default_factory=dict)

    @property
    def statuses(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        for split in self.splits.values():
            total.update(split.statuses)
        return {status: total[status] for status in STATUSES if total[status]}

    def table(self) -> str:
        """Splits by status, as Markdown."""
        names = list(self.statuses)
        lines = [_line(["split", "items", *names, "frames", "hours"]), _line(["---"] * (len(names) + 4))]
        for split, numbers in self.splits.items():
            counts = [numbers.statuses.get(name, 0) for name in names]
            lines.append(_line([split, numbers.items, *counts, numbers.frames, f"{numbers.hours:.2f}"]))
        return "\n".join(lines)

    def report(self) -> str:
        """The table, what each status means, and the first few items of each."""
        parts = [self.table()]
        if self.pending:
            parts.append(f"{self.pending} items are not settled yet; run prepare again to continue.")
        for status, examples in self.examples.items():
            lines = [f"{status}: {STATUSES[status]}", *(f"- {entry['id']}: {entry['reason']}" for entry in examples)]
            more = self.statuses[status] - len(examples)
            parts.append("\n".join(lines + ([f"- and {more} more"] if more else [])))
        return "\n\n".join(parts)


def _line(cells: list[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def take_census(plan: Plan, ledger: Ledger) -> Census:
    """Count what the ledger says about the plan's items, in the plan's order."""
    entries = ledger.entries()
    splits: dict[str, dict[str, Any]] = {}
    examples: dict[str, list[dict[str, str | None]]] = {}
    tools: dict[str, set[str]] = {}
    pending = 0
    for item in plan.items:
        empty = {"items": 0, "statuses": Counter(), "frames": 0, "ms": 0.0}
        numbers = splits.setdefault(item.sample.split or "train", empty)
        numbers["items"] += 1
        entry = entries.get(item.sample.id)
        if entry is None or entry.key != item.key:
            pending += 1
            continue
        numbers["statuses"][entry.status] += 1
        if entry.status == "ok":
            numbers["frames"] += entry.num_frames or 0
            numbers["ms"] += entry.duration_ms or 0
            for name, version in entry.tools.items():
                tools.setdefault(name, set()).add(version)
        elif len(few := examples.setdefault(entry.status, [])) < EXAMPLES:
            few.append({"id": entry.id, "reason": entry.reason})
    return Census(
        {name: _split(splits[name]) for name in sorted(splits, key=_place)},
        pending,
        {status: examples[status] for status in STATUSES if status in examples},
        {name: ", ".join(sorted(versions)) for name, versions in sorted(tools.items())},
    )


def _place(split: str) -> tuple[int, str]:
    usual = ("train", "validation", "test")
    return (usual.index(split) if split in usual else len(usual), split)


def _split(numbers: dict[str, Any]) -> SplitCensus:
    statuses = {status: numbers["statuses"][status] for status in STATUSES if numbers["statuses"][status]}
    return SplitCensus(numbers["items"], statuses, numbers["frames"], round(numbers["ms"] / 3_600_000, 4))


def write_census(plan: Plan, census: Census) -> Path:
    """census.json beside the shards; renamed into place."""
    path = plan.folder / "census.json"
    write_text(path, json.dumps(asdict(census), indent=2, ensure_ascii=False) + "\n")
    return path


def write_text(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
