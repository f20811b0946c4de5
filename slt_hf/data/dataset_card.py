"""The README of a prepared dataset: licence, census, fields, and how to read it with or without slt_hf."""

from __future__ import annotations

from pathlib import Path

import yaml

from slt_hf.data.census import Census, write_census, write_text
from slt_hf.data.preparation_plan import Plan

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

PLACE = "path/to/this/folder"  # in the card's examples, until the dataset is somewhere

_FIELDS = """\
| column | type | what |
| --- | --- | --- |
| `id` | string | name of the clip |
| `pose` | binary | float16 (frames, landmarks, coordinates), C order, little endian; NaN where undetected |
| `confidence` | binary | float16 (frames, landmarks); 0 where undetected |
| `num_frames`, `num_landmarks`, `num_coordinates` | int32 | the shape of `pose` |
| `offset`, `scale` | list of float32 | per coordinate: position = pose * scale + offset; y points down |
| `layout` | string | which landmark is which |
| `fps` | float32 | frames per second |
| `width`, `height` | int32 | of the image, pixels |
| `num_people` | int32 | people the source showed; one is in the clip |
| `text`, `gloss` | string | what is said; the sign or signs |
| `language`, `sign_language` | string | ISO 639 |
| `signer`, `split`, `source`, `url`, `class_index` | | as the manifest has them |
| `start_ms`, `end_ms` | float64 | the part of the source that the clip shows |
| `extractor` | string | what found the landmarks, with version; null where the source had them |
| `checksum` | string | SHA-256 of the source file |
| `extras` | string | further columns of the manifest, as JSON |
"""

_HANDS = """\
| `hands` | binary | Motion JPEG, a frame for each of the clip's: crops of the left hand, mirrored, and the right one |
"""

_USE = """\
```python
import numpy as np
from datasets import load_dataset

row = next(iter(load_dataset("{place}", split="{split}", streaming=True)))
shape = row["num_frames"], row["num_landmarks"], row["num_coordinates"]
points = np.frombuffer(row["pose"], "<f2").reshape(shape) * np.float32(row["scale"]) + np.float32(row["offset"])
```

With `slt_hf`: `ShardDataset(folder, "{split}")` reads a downloaded copy in any order, knows all lengths without opening
a clip, and `decode_clip(row)` gives the clip.
"""


def write_card(plan: Plan, census: Census) -> Path:
    """README.md and census.json beside the shards."""
    write_census(plan, census)
    path = plan.folder / "README.md"
    write_text(path, render_card(plan, census))
    return path


def render_card(plan: Plan, census: Census) -> str:
    name = plan.settings.name or plan.folder.name
    first = next(iter(census.splits))
    head = yaml.safe_dump(_metadata(plan, census, name), sort_keys=False, allow_unicode=True)
    licence = plan.settings.licence or "unknown; ask the owners of the recordings before you pass it on"
    if plan.settings.terms:
        licence += f"\n\n{plan.settings.terms}"
    sections = [
        f"---\n{head}---\n\n# {name}",
        "Sign language clips as landmarks, prepared with `slt-hf prepare`.",
        f"## Licence\n\n{licence}",
        f"## Census\n\nEvery row of the manifest is counted.\n\n{census.report()}",
        "## Made with\n\n" + "\n".join(f"- {tool} {version}" for tool, version in census.tools.items()),
        f"## Fields\n\n{_FIELDS if plan.settings.item.hand_crops is None else _FIELDS + _HANDS}",
        f"## Use\n\n{_USE.format(place=PLACE, split=first)}",
    ]
    return "\n\n".join(section.rstrip() for section in sections) + "\n"


def _metadata(plan: Plan, census: Census, name: str) -> dict[str, object]:
    """What the Hub reads."""
    good = sum(split.statuses.get("ok", 0) for split in census.splits.values())
    samples = [item.sample for item in plan.items]
    languages = sorted({language for s in samples for language in (s.language, s.sign_language) if language})
    size = next((label for limit, label in SIZES if good < limit), "n>1M")
    files = [
        {"split": split, "path": _pattern(plan, split)}
        for split, numbers in census.splits.items()
        if numbers.statuses.get("ok")
    ]
    return {
        "license": plan.settings.licence or "unknown",
        **({"license_name": "see-below"} if plan.settings.licence == "other" else {}),
        **({"language": languages} if languages else {}),
        "pretty_name": name,
        "size_categories": [size],
        "tags": ["sign-language", "pose"],
        "configs": [{"config_name": "default", "data_files": files}],
    }


def _pattern(plan: Plan, split: str) -> str:
    name = next(shard.name for shard in plan.shards if (shard.items[0].sample.split or "train") == split)
    return name.rsplit("-", 3)[0] + "-*"
