"""The report's pictures, as SVG that goes straight into the page: no files beside it, no network."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slt_hf.evaluation.tables import HUNDREDS, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREY = "#2f6db3", "#d9822b", "#9aa4b1"  # told apart by the colour-blind, and in print
SIZE = (4.6, 2.9)  # inches; two beside each other on a page


def plots(report: dict[str, Any]) -> dict[str, str]:
    """Caption -> SVG, for whatever this report has data for."""
    drawings: dict[str, Callable[[Axes], None]] = {}
    if report["task"] == "text":
        drawings["The score beside its floors"] = lambda axes: draw_floors(axes, report)
        drawings["Sentence chrF"] = lambda axes: draw_sentence_scores(axes, report["plots"]["sentence_chrf"])
        drawings["Words per output against words per reference"] = lambda axes: draw_lengths(
            axes, report["plots"]["words"]
        )
    else:
        drawings["Accuracy of each sign, sorted"] = lambda axes: draw_classes(axes, report["per_class"])
    if report["confidence"]:
        drawings["Risk when only confident answers are given"] = lambda axes: draw_risk(axes, report["confidence"])
        drawings["Confidence against accuracy"] = lambda axes: draw_reliability(axes, report["confidence"])
    if "robustness" in report:
        drawings["Robustness"] = lambda axes: draw_robustness(axes, report["robustness"])
    return {caption: to_svg(draw) for caption, draw in drawings.items()}


def to_svg(draw: Callable[[Axes], None]) -> str:
    """One picture, the same bytes every time: no date, ids from a fixed salt, no window system."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: Any = {"svg.hashsalt": "slt_hf", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}
    with rc_context(settings):
        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = written.getvalue()
    return svg[svg.index("<svg") :]  # without the XML prologue, which HTML does not want


def draw_floors(axes: Axes, report: dict[str, Any]) -> None:
    """BLEU-4 and chrF of the system, with intervals, beside the two floors."""
    metrics = ("bleu_4", "chrf")
    for place, metric in enumerate(metrics):
        entry = report["scores"][metric]
        error = [[entry["score"] - entry["low"]], [entry["high"] - entry["score"]]]
        axes.bar(
            place - 0.27, entry["score"], 0.25, color=BLUE, yerr=error, capsize=3, label="system" if not place else None
        )
        for offset, floor, color in ((0, "shuffled", GREY), (0.27, "length_matched", ORANGE)):
            label = floor.replace("_", " ") if not place else None
            axes.bar(place + offset, report["floors"][floor].get(metric, 0), 0.25, color=color, label=label)
    axes.set_xticks(range(len(metrics)), [title(metric) for metric in metrics])
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])  # room for the legend
    axes.legend(frameon=False, ncols=3)


def draw_sentence_scores(axes: Axes, scores: list[float]) -> None:
    axes.hist(scores, bins=20, range=(0, 100), color=BLUE)
    axes.set(xlabel="chrF", ylabel="sentences", xlim=(0, 100))


def draw_lengths(axes: Axes, lengths: list[list[int]]) -> None:
    """Each sentence a dot; on the line the output is as long as its reference."""
    longest = max(max(pair) for pair in lengths) + 1
    axes.plot([0, longest], [0, longest], color=GREY, linewidth=1)
    axes.scatter(
        [asked for _, asked in lengths], [said for said, _ in lengths], s=8, alpha=0.35, color=BLUE, linewidths=0
    )
    axes.set(xlabel="words in reference", ylabel="words in output", xlim=(0, longest), ylim=(0, longest))


def draw_classes(axes: Axes, classes: dict[str, dict[str, float]]) -> None:
    """Top-1 of every class from worst to best: the tail is what per-class accuracy sees."""
    accuracies = sorted(entry["top_1"] for entry in classes.values())
    axes.bar(range(len(accuracies)), accuracies, width=1.0, color=BLUE)
    axes.set(xlabel=f"{len(accuracies)} signs", ylabel="top-1", ylim=(0, 1.02))


def draw_risk(axes: Axes, confidence: dict[str, Any]) -> None:
    curve = confidence["risk_coverage"]
    axes.plot(
        curve["coverage"],
        curve["risk"],
        color=BLUE,
        label=f"area {curve['area']:.3f} (ideal {curve['ideal_area']:.3f})",
    )
    axes.axhline(curve["risk"][-1], color=GREY, linewidth=1, label="everything answered")
    axes.set(xlabel="share answered", ylabel="mean error", xlim=(0, 1), ylim=(0, None))
    axes.legend(frameon=False)


def draw_reliability(axes: Axes, confidence: dict[str, Any]) -> None:
    bins = confidence["reliability"]
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    axes.plot(bins["confidence"], bins["accuracy"], color=BLUE, label=f"ECE {bins['expected_error']:.3f}")
    areas = [15 + 150 * count / sum(bins["count"]) for count in bins["count"]]  # a large dot stands for many items
    axes.scatter(bins["confidence"], bins["accuracy"], s=areas, color=BLUE, clip_on=False)
    axes.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False)


def draw_robustness(axes: Axes, robustness: dict[str, Any]) -> None:
    """The main metric under each disturbance; the line is the undisturbed score."""
    conditions, metric = robustness["conditions"], robustness["metric"]
    names = list(conditions)[::-1]
    values = [conditions[name]["scores"][metric] for name in names]
    axes.barh(range(len(names)), values, color=[GREY if name == "undisturbed" else BLUE for name in names])
    axes.axvline(conditions["undisturbed"]["scores"][metric], color=GREY, linewidth=1)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set(xlabel=title(metric), xlim=(0, 100 if metric.startswith(HUNDREDS) else None))
