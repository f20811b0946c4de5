"""A report as one HTML page that can be mailed: styles and pictures inside, no script, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from slt_hf.evaluation import tables
from slt_hf.evaluation.plots import plots

STYLE = """
:root { color-scheme: light; --ink: #1c2733; --soft: #5b6875; --line: #dfe4ea; --paper: #ffffff; --tint: #f5f7fa; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: var(--ink);
       background: var(--paper); max-width: 62rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p.lead, figcaption, .small { color: var(--soft); } .small { font-size: .82rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--soft); } th:first-child, td:first-child, td.text, th.text { text-align: left; }
.scroll { overflow-x: auto; } td.text { overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1.2rem; }
figure { margin: 0; padding: .8rem; background: var(--tint); border-radius: .5rem; }
figure svg { width: 100%; height: auto; }
.note { background: #fff6e5; border-left: 4px solid #d9822b; padding: .5rem .9rem; }
@media print { figure { break-inside: avoid; } }
"""


CONFIDENCE_NOTE = (
    '<p class="small">Error: share of wrong answers for signs, 1 - chrF / 100 of the sentence for text. A threshold is '
    "chosen on dev, and holds for clips like those.</p>"
)


def write_html(report: dict[str, Any], path: str | Path) -> None:
    Path(path).write_text(html_page(report), encoding="utf-8")


def html_page(report: dict[str, Any]) -> str:
    """The whole page."""
    sections = [
        *(f'<p class="note">{escape(note)}</p>' for note in report["notes"]),
        section("Scores", table(tables.score_columns(report), tables.score_rows(report)) + _signatures(report)),
        section(
            "What to read them against", table(tables.reference_point_columns(report), tables.reference_points(report))
        ),
        section("Pictures", _figures(report)),
        section("Census", table(["", "Items", "Share"], tables.census_rows(report)) + _most_frequent(report)),
        *(
            section(f"By {column}", table(*tables.group_table(column, v)))
            for column, v in report.get("groups", {}).items()
        ),
    ]
    if report["confidence"]:
        sections.append(section("Confidence", table(*tables.confidence_rows(report["confidence"])) + CONFIDENCE_NOTE))
    if report.get("grounding"):
        sections.append(section("Grounding", table(*tables.grounding_rows(report["grounding"]))))
    if "robustness" in report:
        sections.append(section("Robustness", table(*tables.robustness_rows(report))))
    if report.get("integrity"):
        sections.append(section("Raw references against the tokenizer", _integrity(report["integrity"])))
    sections += _examples(report) if report["task"] == "text" else _confusions(report)
    sections.append(section("How this was computed", _provenance(report)))
    name = escape(report["name"])
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title>'
    return (
        f"<!doctype html>\n<html lang='en'><head>{head}<style>{STYLE}</style></head>\n<body>\n"
        f"<h1>{name}</h1>\n{_lead(report)}\n" + "\n".join(sections) + "\n</body></html>\n"
    )


def section(heading: str, content: str) -> str:
    return f"<h2>{escape(heading)}</h2>\n{content}" if content else ""


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = ()) -> str:
    """`text`: places of columns that hold sentences, aligned left."""

    def cells(tag: str, row: Sequence[str]) -> str:
        # `auto`: Arabic or Urdu runs from the right
        marks = [' class="text" dir="auto"' if place in text else "" for place in range(len(row))]
        return "".join(f"<{tag}{mark}>{escape(cell)}</{tag}>" for cell, mark in zip(row, marks, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{cells("th", columns)}</tr>{body}</table></div>'


def _lead(report: dict[str, Any]) -> str:
    items = report["items"]
    compared = (
        f" Compared with {escape(report['baseline'])}; * marks p &lt; 0.05, two-sided." if report["baseline"] else ""
    )
    missing = f"{items['missing']} missing, counted as empty" if items["missing"] else "none missing"
    return f'<p class="lead">{items["references"]} items, {missing}.{compared}</p>'


def _signatures(report: dict[str, Any]) -> str:
    lines = {
        entry["signature"]
        for name, entry in report["scores"].items()
        if not name.startswith(("bleu_1", "bleu_2", "bleu_3"))
    }
    rates = "WER and CER are error rates: lower is better.<br>" if "wer" in report["scores"] else ""
    return f'<p class="small">{rates}{"<br>".join(escape(line) for line in sorted(lines))}</p>'


def _figures(report: dict[str, Any]) -> str:
    drawn = plots(report).items()
    figures = "".join(f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for caption, svg in drawn)
    return f'<div class="figures">{figures}</div>'


def _most_frequent(report: dict[str, Any]) -> str:
    if report["task"] != "text":
        return ""
    listed = ", ".join(
        f"“{escape(text)}” {times}×" if text else f"(empty) {times}×"
        for text, times in report["census"]["most_frequent"]
        if times > 1
    )
    removed = escape(" ".join(report["reduced"]["removed_words"]))
    most = f"Most frequent outputs: {listed}.<br>" if listed else ""
    return f'<p class="small">{most}Function words left out of reduced BLEU: {removed}</p>'


def _integrity(integrity: dict[str, Any]) -> str:
    rows = [
        ["references that change beyond white space", str(integrity["changed_text"])],
        ["references with an unknown token", str(integrity["with_unknown"])],
        ["BLEU-4 against raw references", f"{integrity['bleu_4_raw']:.2f}"],
        ["BLEU-4 it would have been against decoded ones", f"{integrity['bleu_4_decoded']:.2f}"],
        ["characters lost", " ".join(f"{character!r}×{times}" for character, times in integrity["lost"])],
    ]
    damaged = table(["Raw", "Decoded"], integrity["examples"], text=(0, 1)) if integrity["examples"] else ""
    return table(["Check", "Found"], rows) + damaged


def _examples(report: dict[str, Any]) -> list[str]:
    sections = []
    for name, examples in report["examples"].items():
        rows = [[e["id"], e["reference"], e["hypothesis"] or "(empty)", f"{e['chrf']:.1f}"] for e in examples]
        sections.append(section(f"Examples: {name}", table(["Id", "Reference", "Output", "chrF"], rows, text=(1, 2))))
    return sections


def _confusions(report: dict[str, Any]) -> list[str]:
    confused = [[str(reference), str(predicted), str(times)] for reference, predicted, times in report["confusions"]]
    wrong = [item for item in report["per_class"].items() if item[1]["top_1"] < 1]
    worst = sorted(wrong, key=lambda item: (item[1]["top_1"], item[0]))[:20]
    classes = [[label, str(entry["items"]), f"{entry['top_1']:.2f}"] for label, entry in worst]
    return [
        section("Commonest mistakes", table(["Sign", "Taken for", "Times"], confused, text=(1,)) if confused else ""),
        section("Signs recognised worst", table(["Sign", "Clips", "Top-1"], classes) if classes else ""),
    ]


def _provenance(report: dict[str, Any]) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in report["settings"].items())
    packages = ", ".join(f"{name} {version}" for name, version in report["packages"].items())
    digest = f"predictions sha256 {report['items']['sha256']}"
    return f'<p class="small">{escape(settings)}<br>{escape(packages)}<br>{digest}</p>'
