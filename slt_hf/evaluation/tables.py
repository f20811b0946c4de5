"""A report as text: the table that the terminal shows, and the one that goes into a model card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TITLES = {
    "bleu_4": "BLEU-4",
    "bleu_3": "BLEU-3",
    "bleu_2": "BLEU-2",
    "bleu_1": "BLEU-1",
    "chrf": "chrF",
    "rouge_l": "ROUGE-L",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "wer": "WER",
    "cer": "CER",
    "exact_match": "Exact match %",
    "top_1": "Top-1",
    "top_5": "Top-5",
    "top_1_per_class": "Top-1 per class",
    "top_5_per_class": "Top-5 per class",
    "dcg": "DCG",
    "mrr": "MRR",
}
SHARES_ANSWERED = (1.0, 0.9, 0.75, 0.5, 0.25)  # rows of the table of confidence
HUNDREDS = ("bleu", "chrf", "exact")  # these run to 100 and get two places; the rest run to 1 and get four


def title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " "))


def number(name: str, value: float | None) -> str:
    """As papers print it: 48.93 for BLEU, 0.6188 for an error rate, a dash for what was not measured."""
    if value is None:
        return "–"
    return f"{value:.2f}" if name.startswith(HUNDREDS) else f"{value:.4f}"


def score_rows(report: dict[str, Any]) -> list[list[str]]:
    """Metric, score, interval, and the baseline's difference where there is one."""
    paired = report.get("paired", {}).get("metrics", {})
    rows = []
    for name, entry in report["scores"].items():
        row = [title(name), number(name, entry["score"]), _interval(name, entry)]
        if paired:
            row += _difference(name, paired.get(name))
        rows.append(row)
    for name, entry in report.get("learned", {}).items():
        shown = number(name, entry["score"]) if entry["status"] == "scored" else entry["status"]
        rows.append([name.upper(), shown, ""] + ([""] * 2 if paired else []))
    return rows


def reference_points(report: dict[str, Any]) -> list[list[str]]:
    """What the score should be read against, one row each: floors, subsets, reduced BLEU."""
    if report["task"] == "signs":
        floors = report["floors"]
        return [
            ["chance", number("top_1", floors["chance"])],
            ["always the commonest sign", number("top_1", floors["most_frequent_class"])],
        ] + [
            [title(name), number(name, value)]
            for name, value in report["retrieval"].items()
            if name != "longest_ranking"
        ]
    columns = [name for name in ("bleu_4", "bleu_1", "chrf", "wer") if name in report["scores"]]
    whole = {name: report["scores"][name]["score"] for name in columns}
    rows = [["all items", *(number(name, whole[name]) for name in columns)]]
    for label, scores in _variants(report):
        rows.append([label, *(number(name, scores.get(name)) for name in columns)])
    return rows


def reference_point_columns(report: dict[str, Any]) -> list[str]:
    if report["task"] == "signs":
        return ["Read against", "Value"]
    return ["Read against", *(title(name) for name in ("bleu_4", "bleu_1", "chrf", "wer") if name in report["scores"])]


def _variants(report: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    floors, distinct = report["floors"], report["distinct_references"]
    variants = [
        ("outputs shuffled over the test set", floors["shuffled"]),
        (f"swapped at equal length ({floors['length_matched']['share_exchanged']:.0%})", floors["length_matched"]),
        (f"distinct references ({distinct['items']})", distinct["scores"]),
        ("without frequent function words", report["reduced"]["scores"]),
    ]
    if report["overlap"] and report["overlap"]["scores_on_unseen"]:
        variants.append(("references not in training", report["overlap"]["scores_on_unseen"]))
    return variants


def census_rows(report: dict[str, Any]) -> list[list[str]]:
    """Counts of what went wrong, with their share of the test set."""
    items, census = report["items"], report["census"]
    total = items["references"]
    counts: list[tuple[str, int | None]] = [("missing, counted as empty", items["missing"]), ("empty", census["empty"])]
    if report["task"] == "text":
        counts += [
            ("heavy repetition", census["repetitive"]),
            ("cut at the token limit", census["cut"]),
            ("exact matches", census["exact"]),
            ("distinct outputs", census["distinct"]),
        ]
    if report.get("overlap"):
        counts += [
            ("word for word a training sentence", report["overlap"]["hypotheses"]),
            ("a training sentence, and wrong", report["overlap"]["memorised"]),
        ]
    if report.get("integrity"):
        counts.append(("references that the tokenizer damages", report["integrity"]["changed_text"]))
    rows = [[label, "unknown" if n is None else str(n), "" if n is None else f"{n / total:.1%}"] for label, n in counts]
    return rows + ([["outputs for no item, left out", str(items["unexpected"]), ""]] if items["unexpected"] else [])


def robustness_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Column titles and one row per condition, the undisturbed clips first."""
    conditions = report["robustness"]["conditions"]
    names = [
        name
        for name in ("bleu_4", "chrf", "wer", "cer", "top_1", "top_5")
        if name in conditions["undisturbed"]["scores"]
    ]
    rows = [
        [condition.replace("_", " "), *(number(name, entry["scores"][name]) for name in names), str(entry["missing"])]
        for condition, entry in conditions.items()
    ]
    return ["Condition", *(title(name) for name in names), "Missing"], rows


def confidence_rows(confidence: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """What a threshold would do: share answered, the confidence that asks for, and the mean error of what is left."""
    curve = confidence["risk_coverage"]
    rows = []
    for wanted in SHARES_ANSWERED:
        place = min(range(len(curve["coverage"])), key=lambda i: abs(curve["coverage"][i] - wanted))
        shown = (curve["least_confidence"][place], curve["risk"][place])
        rows.append([f"{curve['coverage'][place]:.0%}", *(f"{value:.3f}" for value in shown)])
    return ["Answered", "Least confidence", "Mean error"], rows


def grounding_rows(grounding: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """How much of their probability texts lose when nobody is in the clip: percentiles, and what it tells of errors."""
    rows = [[f"{share} % of texts at most", f"{value:.3f}"] for share, value in grounding["percentiles"].items()]
    area, ideal = grounding["risk_area"], grounding["ideal_risk_area"]
    return ["Grounding", "Value"], [*rows, ["mean error, most grounded first (ideal)", f"{area:.3f} ({ideal:.3f})"]]


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, numbers to the right."""
    widths = [max(len(row[place]) for row in [columns, *rows]) for place in range(len(columns))]
    lines = []
    for row in [columns, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---", *(["---:"] * (len(columns) - 1))], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def score_columns(report: dict[str, Any]) -> list[str]:
    columns = ["Metric", "Score", "95 % interval"]
    return [*columns, f"Difference to {report['baseline']}", "p"] if "paired" in report else columns


def terminal_report(report: dict[str, Any]) -> str:
    """What `slt-hf evaluate` prints."""
    items = report["items"]
    parts = [
        f"{report['name']}: {items['references']} items, {items['missing']} missing",
        text_table(score_columns(report), score_rows(report)),
        text_table(reference_point_columns(report), reference_points(report)),
        text_table(["Census", "Items", "Share"], census_rows(report)),
    ]
    for column, values in report.get("groups", {}).items():
        parts.append(text_table(*group_table(column, values)))
    if report["confidence"]:
        parts.append(text_table(*confidence_rows(report["confidence"])))
    if report.get("grounding"):
        parts.append(text_table(*grounding_rows(report["grounding"])))
    if "robustness" in report:
        parts.append(text_table(*robustness_rows(report)))
    parts += [f"note: {note}" for note in report["notes"]]
    main = report["scores"].get("bleu_4")
    return "\n\n".join([*parts, f"signature: {main['signature']}"] if main else parts)


def group_table(column: str, values: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Scores per value of a column of the references."""
    names = max((list(entry["scores"]) for entry in values.values()), key=len)  # of other scripts there is no ROUGE
    rows = [
        [value, str(entry["items"]), *(number(name, entry["scores"].get(name)) for name in names)]
        for value, entry in values.items()
    ]
    return [column, "Items", *(title(name) for name in names)], rows


def card_table(report: dict[str, Any]) -> str:
    """Markdown for a model card: scores with intervals and signatures, what to read them against, and the census."""
    rows = score_rows(report)
    signatures = [f"`{entry['signature']}`" for entry in report["scores"].values()]
    rows = [[*row, signatures[place] if place < len(signatures) else ""] for place, row in enumerate(rows)]
    parts = [
        f"{report['items']['references']} items, {report['items']['missing']} of them missing and counted as empty.",
        markdown_table([*score_columns(report), "Signature"], rows),
        markdown_table(reference_point_columns(report), reference_points(report)),
        markdown_table(["Census", "Items", "Share"], census_rows(report)),
    ]
    if "robustness" in report:
        parts.append(markdown_table(*robustness_rows(report)))
    return "\n\n".join(parts) + "\n"


def _interval(name: str, entry: dict[str, Any]) -> str:
    return f"{number(name, entry['low'])} to {number(name, entry['high'])}"


def _difference(name: str, test: dict[str, Any] | None) -> list[str]:
    """Signed difference, starred when significant, and the two-sided p-value."""
    if test is None:
        return ["", ""]
    sign = "+" if test["difference"] >= 0 else "-"
    star = "" if test["better"] == "undecided" else " *"
    return [f"{sign}{number(name, abs(test['difference']))}{star}", f"{test['p_randomization']:.3f}"]
