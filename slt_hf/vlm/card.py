"""The model card of a vision-language checkpoint."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Any

from slt_hf.checkpoint import read_json
from slt_hf.model_card import TEMPLATES, count_parameters, describe_facts, front_matter
from slt_hf.vlm.checkpoint import ADAPTERS
from slt_hf.vlm.settings import load_settings


def render_vlm_card(folder: Path, repo_id: str, facts: dict[str, Any]) -> str:
    """The card's text, with the front matter that the Hub reads."""
    settings = load_settings(folder)
    values = describe_facts(facts, repo_id) | {"question": settings.question, "num_frames": settings.num_frames}
    values["parameters"] = f"{count_parameters(folder) / 1e6:.1f} million"
    values["task"] = "Answers a question about frames of a person signing."
    values["model"] = describe_model(folder)
    template = Template((TEMPLATES / "vision_language.md").read_text(encoding="utf-8"))
    return front_matter(facts, repo_id, "vision_language") + template.substitute(values)


def describe_model(folder: Path) -> str:
    """Adapters and what they belong to, or the architecture; of a local folder its name, never its path."""
    if (folder / ADAPTERS).is_file():
        told = read_json(folder, ADAPTERS)
        base = str(told["base_model_name_or_path"])
        base = Path(base).name if Path(base).is_absolute() else base
        return f"LoRA adapters (rank {told['r']}, alpha {told['lora_alpha']}) for `{base}`"
    return f"`{read_json(folder, 'config.json')['architectures'][0]}`"
