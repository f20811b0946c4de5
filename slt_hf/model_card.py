"""The card of a checkpoint: what its files say about it, and what only its makers know (`card.yaml`).

    write_card(folder, "org/name")      # DIR/README.md from the configs and DIR/card.yaml

`card.yaml` holds `data`, `limits`, `license`, and as far as they apply `title`, `summary`, `sign_language`, `language`,
`training` (anything to tell of it, and its `recipe`) and `metrics`, a list of {name, value, dataset, split, signature}.
A card that would leave out data, limits or licence is refused rather than written.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from string import Template
from typing import Any

import yaml

from slt_hf.checkpoint import is_vlm_folder, read_json, read_processor
from slt_hf.errors import HubError

TEMPLATES = Path(__file__).parent / "model_cards"
REQUIRED = {"data": "what it was trained on", "limits": "what it cannot do", "license": "such as apache-2.0"}
# architecture -> (template, pipeline tag of the Hub)
KINDS = {
    "SignToTextForConditionalGeneration": ("translation", "translation"),
    "PoseEncoderForCTC": ("recognition", "video-classification"),
    "PoseEncoderForSignClassification": ("classification", "video-classification"),
    "VideoMAEForVideoClassification": ("classification", "video-classification"),
    "I3DForVideoClassification": ("classification", "video-classification"),
    "SignTextDualEncoderModel": ("contrastive", "feature-extraction"),
    "vision_language": ("vision_language", "image-text-to-text"),  # of transformers, any that answers about pictures
}


def write_card(folder: Path, repo_id: str) -> Path:
    """Write `README.md` from the configs and `card.yaml` of a checkpoint's folder.

    Raises:
        HubError: if `card.yaml` does not say what a card has to say.
    """
    path = folder / "README.md"
    path.write_text(render_card(folder, repo_id, read_facts(folder)), encoding="utf-8")
    return path


def read_facts(folder: Path) -> dict[str, Any]:
    """`card.yaml` as a dictionary.

    Raises:
        HubError: if it is absent, damaged, or lacks what every card says.
    """
    path = folder / "card.yaml"
    wanted = ", ".join(f"{name} ({meaning})" for name, meaning in REQUIRED.items())
    if not path.is_file():
        raise HubError(
            f"{folder}: expected README.md, or card.yaml to write it from, found neither; card.yaml says {wanted}"
        )
    try:
        facts = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise HubError(f"{path}: expected YAML, found damage ({error}); correct it") from error
    missing = [name for name in REQUIRED if not (isinstance(facts, dict) and facts.get(name))]
    if missing:
        raise HubError(f"{path}: expected {wanted}, found no {', '.join(missing)}; add what is missing")
    return facts


def render_card(folder: Path, repo_id: str, facts: dict[str, Any]) -> str:
    """The card's text, with the front matter that the Hub reads."""
    if is_vlm_folder(folder):
        from slt_hf.vlm.card import render_vlm_card

        return render_vlm_card(folder, repo_id, facts)
    config, processor = read_json(folder, "config.json"), read_processor(folder)
    architecture = (config.get("architectures") or ["unknown"])[0]
    if architecture not in KINDS:
        raise HubError(f"{folder}: expected one of {', '.join(KINDS)}, found {architecture}; write README.md by hand")
    template = Template((TEMPLATES / f"{KINDS[architecture][0]}.md").read_text(encoding="utf-8"))
    reads = processor.get("feature_extractor", processor)
    frames = reads.get("feature_extractor_type") == "VideoFeatureExtractor"
    clips = describe_videos(reads) if frames else describe_poses(reads, config)
    values = describe_config(config) | clips | describe_facts(facts, repo_id)
    values |= {"architecture": architecture, "parameters": f"{count_parameters(folder) / 1e6:.1f} million"}
    return front_matter(facts, repo_id, architecture) + template.substitute(values)


def describe_config(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "text_model": config.get("text_config", {}).get("model_type", "none"),
        "num_labels": len(config.get("id2label", {})),
        "num_landmarks": config.get("encoder_config", config).get("num_landmarks", "unknown"),
    }


def describe_poses(poses: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    told = {name: poses.get(name, "not stated") for name in ("layout", "num_coordinates", "fps", "normalization")}
    points = describe_config(config)["num_landmarks"]
    told["input"] = (
        f"landmark layout `{told['layout']}`, {points} points, {told['num_coordinates']} values a point, {told['fps']} "
        f"frames a second, normalised by `{told['normalization']}`"
    )
    given = {"given": "poses", "clip": "clip.pose", "source": "poses were made by"}
    return told | given | {"extractor": provenance_of(poses)}


def describe_videos(frames: dict[str, Any]) -> dict[str, Any]:
    """The same of a checkpoint that sees frames."""
    size, count = frames["image_size"], frames["num_frames"]
    pace = f"{frames['fps']} frames a second" if count is None else f"{count} frames, spread evenly over the clip"
    given = {"given": "videos", "clip": "clip.mp4", "source": "videos came from"}
    return given | {"input": f"{pace}, {size} x {size} pixels (`{frames['fit']}`)", "extractor": provenance_of(frames)}


def provenance_of(extractor: dict[str, Any]) -> str:
    return " ".join(str(value) for value in (extractor.get("provenance") or {}).values()) or "not stated"


def describe_facts(facts: dict[str, Any], repo_id: str) -> dict[str, Any]:
    limits = facts["limits"]
    return {
        "repo_id": repo_id,
        "title": facts.get("title", repo_id.split("/")[-1]),
        "summary": facts.get("summary", ""),
        "sign_language": facts.get("sign_language", "not stated"),
        "language": facts.get("language", "not stated"),
        "license": facts["license"],
        "data": facts["data"],
        "limits": "\n".join(f"- {limit}" for limit in limits) if isinstance(limits, list) else limits,
        "metrics": metrics_table(facts.get("metrics") or []),
        "training": training_section(facts.get("training") or {}),
    }


def training_section(training: dict[str, Any]) -> str:
    """How it was trained: facts as a table, the recipe as it was run; empty where nobody wrote it down."""
    if not training:
        return ""
    told = {name: cell(value) for name, value in training.items() if name != "recipe" and value is not None}
    lines = ["## Training", "", "| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in told.items())]
    if recipe := training.get("recipe"):
        lines += ["", "```yaml", yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False).strip(), "```"]
    return "\n".join([*lines, "", ""])


def cell(value: Any) -> str:
    """A value as it can stand in a table: in one line, its bars no borders."""
    return " ".join(str(value).split()).replace("|", "\\|")


def metrics_table(metrics: list[dict[str, Any]]) -> str:
    """One row a number; a number's signature says how it was computed, so that it can be compared."""
    if not metrics:
        return "None were measured."
    columns = ("name", "value", "dataset", "split", "signature")
    rows = [[cell(metric.get(column, "")) for column in columns] for metric in metrics]
    head = ["metric", "value", "data", "split", "signature"]
    lines = [head, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def front_matter(facts: dict[str, Any], repo_id: str, architecture: str) -> str:
    """YAML that the Hub turns into tags, filters and its table of results."""
    from huggingface_hub import EvalResult, ModelCardData

    tag = KINDS[architecture][1]
    results = [
        EvalResult(
            task_type=tag,
            dataset_type=str(metric.get("dataset", "unknown")),
            dataset_name=str(metric.get("dataset", "unknown")),
            dataset_split=metric.get("split"),
            metric_type=str(metric["name"]),
            metric_value=metric["value"],
        )
        for metric in facts.get("metrics") or []
    ]
    data = ModelCardData(
        license=facts["license"],
        language=facts.get("language"),
        library_name="transformers",
        pipeline_tag=tag,
        tags=["sign-language", "slt_hf"],
        model_name=facts.get("title", repo_id.split("/")[-1]) if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n"


def count_parameters(folder: Path) -> int:
    """Numbers in all safetensors files, read from their headers alone."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
        total += sum(math.prod(tensor["shape"]) for tensor in tensors)
    return total
