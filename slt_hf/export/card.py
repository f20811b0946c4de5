"""The card of an export: the checkpoint's facts, what the graphs were held against, and the graphs' own scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from slt_hf.export.comparison import Check
from slt_hf.export.folder import ExportFolder
from slt_hf.model_card import KINDS, describe_config, front_matter, read_facts

USE = """```python
from {module} import {call}

{example}
```

`pip install "slt_hf[onnx]"` is enough: neither torch nor transformers is needed."""


def write_export_card(
    source: Path, folder: Path, checks: Sequence[Check], scores: dict[str, Any] | None, measured_on: tuple[str, str]
) -> None:
    """Write `README.md`; a checkpoint without `card.yaml` gives an export without a card, which cannot be pushed.

    Args:
        measured_on: data and split of the scores.
    """
    if not (folder / "card.yaml").is_file():
        return
    facts = read_facts(folder)
    facts["metrics"] = metrics_of(scores, *measured_on)  # the checkpoint's own were measured with PyTorch
    (folder / "card.yaml").write_text(yaml.safe_dump(facts, allow_unicode=True, sort_keys=False), encoding="utf-8")
    (folder / "README.md").write_text(render(source, folder, facts, checks, scores), encoding="utf-8")


def render(
    source: Path, folder: Path, facts: dict[str, Any], checks: Sequence[Check], scores: dict[str, Any] | None
) -> str:
    from slt_hf.checkpoint import read_json, read_processor

    export = ExportFolder.open(folder)
    architecture = export.manifest["architecture"]
    title = f"{facts.get('title', source.resolve().name)}, ONNX {export.manifest['precision']}"
    config = describe_config(read_json(folder, "config.json"))
    reads = read_processor(folder)
    video = reads.get("feature_extractor", reads).get("feature_extractor_type") == "VideoFeatureExtractor"
    limits = facts["limits"] if isinstance(facts["limits"], list) else [facts["limits"]]
    parts = [
        f"# {title}",
        facts.get("summary", ""),
        f"Exported with slt_hf {export.manifest['slt_hf']} from `{architecture}` with text model "
        f"`{config['text_model']}`; graphs: {', '.join(f'`{name}.onnx`' for name in export.graphs)}. Weights are "
        "stored once, operators are standard ONNX ones.",
        "## Use",
        use(architecture, "clip.mp4" if video else "clip.pose"),
        "## Held against PyTorch",
        "Built, and run on ONNX Runtime's CPU provider; no other provider was tried.",
        report_table(checks),
        "## Scores of these graphs",
        scores_table(scores),
        "## Data",
        str(facts["data"]),
        "## Limits",
        "\n".join(f"- {limit}" for limit in limits),
    ]
    head = front_matter(facts, source.resolve().name, architecture) if architecture in KINDS else ""
    return head.replace("library_name: transformers", "library_name: onnx") + "\n\n".join(p for p in parts if p) + "\n"


def write_server_card(source: Path, folder: Path, title: str, notice: str) -> None:
    """The card of what a server reads and we do not run; without `card.yaml` it says no more than that."""
    architecture = ExportFolder.open(folder).manifest["architecture"]
    name, head, told = source.resolve().name, "", ""
    if (folder / "card.yaml").is_file():
        facts = read_facts(folder) | {"metrics": []}  # the checkpoint's own were measured with PyTorch
        head = front_matter(facts, name, architecture)
        limits = facts["limits"] if isinstance(facts["limits"], list) else [facts["limits"]]
        told = f"\n## Data\n\n{facts['data']}\n\n## Limits\n\n" + "".join(f"- {limit}\n" for limit in limits)
    (folder / "README.md").write_text(f"{head}# {name} for {title}\n\n{notice}\n{told}", encoding="utf-8")


def use(architecture: str, clip: str) -> str:
    name = "SignClassifier" if architecture.endswith("Classification") else "SignTranslator"
    example = f'print({name}.from_pretrained("FOLDER or organisation/name")("{clip}"))'
    return USE.format(module="slt_hf", call=name, example=example)


def metrics_of(scores: dict[str, Any] | None, data: str, split: str) -> list[dict[str, Any]]:
    if scores is None:
        return []
    settings = {"dataset": data, "split": f"{split}, n={scores['items']['references']}"}
    return [
        {"name": name, "value": round(float(entry["score"]), 4), "signature": entry.get("signature", "")} | settings
        for name, entry in scores["scores"].items()
    ]


def report_table(checks: Sequence[Check]) -> str:
    """One row for each quantity: the largest difference over all inputs, and what was allowed."""
    groups: dict[str, list[Check]] = {}
    for check in checks:
        groups.setdefault(check.what.rstrip("0123456789").rstrip("_"), []).append(check)
    rows = [
        f"| {what} | {len(own)} | {max(check.worst for check in own):.2g} | {own[0].limit:g} | "
        f"{'yes' if all(check.passed for check in own) else 'NO'} |"
        for what, own in groups.items()
    ]
    return "\n".join(["| compared | times | largest difference | allowed | passed |", "| --- " * 5 + "|", *rows])


def scores_table(scores: dict[str, Any] | None) -> str:
    if scores is None:
        return "None were computed; `slt-hf export --data` computes them."
    from slt_hf.evaluation.tables import card_table

    return card_table(scores)
