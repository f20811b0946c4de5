"""Where a stopped run goes on: its newest whole checkpoint, in the output folder or on the Hub."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")


def resume_point(args: Any) -> str | None:
    """The checkpoint that `args` ask to go on from, or None to start afresh.

    `resume` takes the newest whole checkpoint in `output_dir`; where there is none, as on a machine rented anew, the
    `last-checkpoint` that `hub_strategy: checkpoint` keeps in `hub_model_id`. With neither, training starts afresh,
    so that one command serves for the first start and every restart.
    """
    if args.resume_from_checkpoint:
        return args.resume_from_checkpoint
    if not args.resume:
        return None
    found = newest_checkpoint(Path(args.output_dir))
    if found is None and args.hub_model_id is not None:
        found = checkpoint_from_hub(args.hub_model_id, Path(args.output_dir), args.hub_token)
    return None if found is None else str(found)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole: a run killed while saving leaves one without its last file."""
    numbered = [(int(match[1]), path) for path in folder.glob("checkpoint-*") if (match := CHECKPOINT.match(path.name))]
    for _, path in sorted(numbered, reverse=True):
        if is_whole(path):
            return path
    return None


def is_whole(checkpoint: Path) -> bool:
    """Whether `trainer_state.json`, which the Trainer writes last, is there and readable."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def checkpoint_from_hub(repo_id: str, folder: Path, token: str | None) -> Path | None:
    """Fetch `last-checkpoint` from the Hub; None where the repository has none yet."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        snapshot = snapshot_download(repo_id, allow_patterns=["last-checkpoint/*"], local_dir=folder, token=token)
    except RepositoryNotFoundError:
        return None
    checkpoint = Path(snapshot) / "last-checkpoint"
    return checkpoint if is_whole(checkpoint) else None
