"""A checkpoint for serving: a translator, or a classifier, as its architecture says."""

from __future__ import annotations

import os
from typing import Any

from slt_hf.checkpoint import find_checkpoint, read_json
from slt_hf.pipeline import CLASSIFIERS, SignClassifier, SignTranslator


def load_served(source: str | os.PathLike | None, device: str | None) -> Any:
    """SignTranslator or SignClassifier.

    Raises:
        CheckpointError, HubError: as `from_pretrained`.
    """
    folder = find_checkpoint(source)
    named = (read_json(folder, "config.json").get("architectures") or [""])[0]
    return (SignClassifier if named in CLASSIFIERS else SignTranslator).from_pretrained(folder, device=device)
