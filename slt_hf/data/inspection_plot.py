"""The figure of `slt-hf inspect`: lengths, frame rates, missing hands and glosses, by split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.data.inspection import HANDS, Inspection

COLORS = ("#1482b4", "#e16e14", "#2a9d5c", "#96289b", "#7a7a7a")
TOP_GLOSSES = 20
MAX_BARS = 40


def draw_inspection(inspection: Inspection, path: str | Path) -> Path:
    """Write four panels as PNG (or whatever matplotlib makes of the ending)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), dpi=110, layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    colors = {split: COLORS[number % len(COLORS)] for number, split in enumerate(inspection.splits)}
    _lengths(panels[0], inspection, colors)
    _rates(panels[1], inspection, colors)
    _missing_hands(panels[2], inspection, colors)
    _glosses(panels[3], inspection, colors)
    opened = f"{len(inspection.facts)} of {len(inspection.samples)} clips opened"
    figure.suptitle(f"{inspection.name} ({inspection.kind}, {opened}, {len(inspection.problems)} problems)")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _lengths(axes: Any, inspection: Inspection, colors: dict[str, str]) -> None:
    axes.set(title="clip length", xlabel="frames", ylabel="clips")
    frames = {split: [fact.num_frames for fact in inspection.of(split)[1]] for split in colors}
    if not any(frames.values()):
        frames = {split: [s.num_frames for s in inspection.of(split)[0] if s.num_frames] for split in colors}
    _histogram(axes, frames, colors)


def _rates(axes: Any, inspection: Inspection, colors: dict[str, str]) -> None:
    axes.set(title="frame rate", xlabel="frames per second", ylabel="clips")
    found = {split: Counter(f"{fact.fps:.4g}" for fact in inspection.of(split)[1]) for split in colors}
    if not any(found.values()):
        found = {split: Counter(f"{s.fps:.4g}" for s in inspection.of(split)[0] if s.fps) for split in colors}
    _bars(axes, sorted({rate for counts in found.values() for rate in counts}, key=float), found, colors)


def _missing_hands(axes: Any, inspection: Inspection, colors: dict[str, str]) -> None:
    axes.set(title="frames without a hand", ylabel="mean share of frames, %")
    shares: dict[str, dict[str, float]] = {}
    for split in colors:
        facts = inspection.of(split)[1]
        values = {hand: [share for fact in facts if (share := fact.missing[hand]) is not None] for hand in HANDS}
        shares[split] = {hand.replace("_", " "): 100 * float(np.mean(there)) for hand, there in values.items() if there}
    names = [
        hand.replace("_", " ") for hand in HANDS if any(hand.replace("_", " ") in found for found in shares.values())
    ]
    _bars(axes, names, shares, colors)
    for bars in axes.containers:
        axes.bar_label(bars, fmt="%.0f")  # a bar of nothing is not to be taken for no measurement
    axes.set_ylim(0, 110)


def _glosses(axes: Any, inspection: Inspection, colors: dict[str, str]) -> None:
    found = {split: Counter(s.gloss for s in inspection.of(split)[0] if s.gloss) for split in colors}
    total = sum(found.values(), Counter())
    if not total:
        axes.set(title="text length", xlabel="words", ylabel="clips")
        texts = {split: [len(s.text.split()) for s in inspection.of(split)[0] if s.text] for split in colors}
        return _histogram(axes, texts, colors)
    names = [gloss for gloss, _ in total.most_common(TOP_GLOSSES)]
    axes.set(title=f"clips per gloss (the {len(names)} most frequent of {len(total)})", ylabel="clips")
    _bars(axes, names, found, colors)
    axes.tick_params(axis="x", rotation=60)


def _histogram(axes: Any, values: dict[str, list[int]], colors: dict[str, str]) -> None:
    there = {split: found for split, found in values.items() if found}
    if not there:
        return _empty(axes)
    everything = np.concatenate([np.array(found) for found in there.values()])
    width = -(-(int(np.ptp(everything)) + 1) // MAX_BARS)  # whole numbers: every bar holds equally many of them
    edges = np.arange(everything.min() - 0.5, everything.max() + width, width)
    axes.hist(
        list(there.values()), bins=edges, stacked=True, label=list(there), color=[colors[split] for split in there]
    )
    few = 2 - min(2, (edges[-1] - edges[0]) / 2)  # a lone bar stays slim
    axes.set_xlim(max(-0.5, edges[0] - few - 0.5), edges[-1] + few + 0.5)
    _whole_numbers(axes.xaxis)
    _whole_numbers(axes.yaxis)
    axes.legend()


def _whole_numbers(axis: Any) -> None:
    """No half words and half clips, not even where there is one value only."""
    axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def _bars(axes: Any, names: list[str], values: dict[str, Any], colors: dict[str, str]) -> None:
    if not names:
        return _empty(axes)
    width = 0.8 / len(colors)
    axes.set_xlim(-max(0.6, 2 - len(names) / 2), len(names) - 1 + max(0.6, 2 - len(names) / 2))  # few bars stay slim
    for number, (split, color) in enumerate(colors.items()):
        places = np.arange(len(names)) + (number - (len(colors) - 1) / 2) * width
        axes.bar(places, [values[split].get(name, 0) for name in names], width, label=split, color=color)
    _whole_numbers(axes.yaxis)
    axes.set_xticks(range(len(names)), [name[:16] for name in names])
    axes.legend()


def _empty(axes: Any) -> None:
    axes.text(0.5, 0.5, "nothing known", ha="center", va="center", transform=axes.transAxes, color="#7a7a7a")
    axes.set_axis_off()
