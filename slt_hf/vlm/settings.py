"""What a vision-language checkpoint is asked, about how many frames: `slt_vlm.json` beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from slt_hf.checkpoint import read_json
from slt_hf.errors import CheckpointError, RecipeError

PROMPTS = Path(__file__).with_name("prompts.yaml")
FILE = "slt_vlm.json"


@dataclass(frozen=True)
class VlmSettings:
    """The half of a checkpoint that is no weight."""

    question: str
    """Asked below the frames"""
    num_frames: int = 8
    """Spread evenly over the clip"""
    frame_label: str = "Frame{number}: "
    """Before each frame; this is how InternVL writes a video"""

    def save(self, folder: str | Path) -> None:
        Path(folder, FILE).write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_settings(folder: Path) -> VlmSettings:
    """A checkpoint's settings; a model that was not trained here is asked for a translation, in eight frames.

    Raises:
        CheckpointError: if the file is damaged.
    """
    if not (folder / FILE).is_file():
        return VlmSettings(read_prompt("translate"))
    told = read_json(folder, FILE)
    known = {field.name for field in fields(VlmSettings)}
    if not isinstance(told.get("question"), str) or told.keys() - known:
        raise CheckpointError(
            f"{folder / FILE}: expected {', '.join(sorted(known))}, found {', '.join(told)}; save the checkpoint again"
        )
    return VlmSettings(**told)


def read_prompt(name: str, file: str | Path | None = None) -> str:
    """A prompt by its name in a YAML file; the package's own file unless another is given.

    Raises:
        RecipeError: if the file cannot be read, or has no such prompt.
    """
    path = Path(file or PROMPTS)
    try:
        prompts = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: expected prompts as YAML, found: {' '.join(str(error).split())}") from error
    if not isinstance(prompts, dict) or not isinstance(prompts.get(name), str):
        found = ", ".join(map(str, prompts)) if isinstance(prompts, dict) else type(prompts).__name__
        raise RecipeError(f"{path}: expected a prompt named {name}, found {found}; add it, or name another")
    return prompts[name].strip()
