"""`slt-hf info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def info(
    target: Annotated[
        str, typer.Argument(metavar="CLIP|MODEL", help="A pose file, a video, a checkpoint or a Hub repository.")
    ],
    layout: Annotated[str | None, typer.Option(help="Landmark layout of a file that does not say it.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frame rate of a file that does not say it.")] = None,
    sample_id: Annotated[str | None, typer.Option(help="Which sample, of a file that holds many.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """What a clip or a checkpoint is."""
    from slt_hf.cli.output import print_json

    is_clip = Path(target).is_file()
    found = describe_clip(Path(target), layout, fps, sample_id) if is_clip else describe_checkpoint(target)
    if json:
        print_json(**found)
    else:
        for name, value in found.items():
            print(f"{name:18} {value}")


def describe_clip(path: Path, layout: str | None, fps: float | None, sample_id: str | None) -> dict[str, Any]:
    """Layout, length and how much of it was detected, part by part; of a video what its container says."""
    from slt_hf.clips import is_video, load_clip

    if is_video(path):
        from slt_hf.poses.video import probe_video

        return {"video": str(path)} | dict(probe_video(path)._asdict())
    from slt_hf.processing.landmarks import get_layout

    clip = load_clip(path, layout, fps, sample_id=sample_id)
    seen = clip.confidence > 0
    parts = get_layout(clip.layout).parts
    return {
        "clip": str(path),
        "layout": clip.layout,
        "landmarks": clip.points.shape[1],
        "coordinates": clip.points.shape[2],
        "frames": clip.num_frames,
        "fps": round(clip.fps, 3),
        "milliseconds": round(clip.duration_ms, 1),
        "width": clip.width,
        "height": clip.height,
        "people": clip.num_people,
        "detected": {name: round(float(seen[:, list(places)].mean()), 3) for name, places in parts.items()},
    }


def describe_checkpoint(name: str) -> dict[str, Any]:
    """What the checkpoint's own files say; its weights are only counted, not loaded."""
    from slt_hf.checkpoint import find_checkpoint, is_vlm_folder, read_json, read_processor
    from slt_hf.model_card import count_parameters

    folder = find_checkpoint(None if name == "bundled" else name)
    if is_vlm_folder(folder):
        return describe_vlm(folder)
    config, processor = read_json(folder, "config.json"), read_processor(folder)
    reads = processor.get("feature_extractor", processor)
    named = ["image_size", "num_frames", "fps", "fit"] if "image_size" in reads else ["layout", "fps", "normalization"]
    named += ["hand_crop_size"] * ("hand_crop_size" in reads)
    return {
        "checkpoint": str(folder),
        "architecture": (config.get("architectures") or ["unknown"])[0],
        "parameters": count_parameters(folder),
        **{name: reads.get(name) for name in named},
        "provenance": reads.get("provenance"),
        "text_model": config.get("text_config", {}).get("model_type"),
        "labels": len(config["id2label"]) if "id2label" in config else None,
    }


def describe_vlm(folder: Path) -> dict[str, Any]:
    """What a vision-language model is asked and how many frames it is shown; of adapters, whose they are."""
    from slt_hf.checkpoint import read_json
    from slt_hf.model_card import count_parameters
    from slt_hf.vlm.settings import load_settings

    adapters, settings = (folder / "adapter_config.json").is_file(), load_settings(folder)
    told = read_json(folder, "adapter_config.json" if adapters else "config.json")
    return {
        "checkpoint": str(folder),
        "architecture": "adapters" if adapters else (told.get("architectures") or ["unknown"])[0],
        "parameters": count_parameters(folder),
        "adapters_of": told.get("base_model_name_or_path"),
        "num_frames": settings.num_frames,
        "question": settings.question,
    }
