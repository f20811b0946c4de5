"""A checkpoint of whatever kind: a classifier where it names isolated signs, a translator where it writes text."""

from __future__ import annotations

import os

from slt_hf.checkpoint import find_checkpoint
from slt_hf.pipeline import SignClassifier, SignTranslator, names_signs


def open_model(
    source: str | os.PathLike | None = None,
    revision: str | None = None,
    device: str | None = None,
    quantization: str | None = None,
) -> SignTranslator | SignClassifier:
    """Arguments as of `SignTranslator.from_pretrained`; a quantised one writes text.

    Raises:
        CheckpointError, HubError, RecipeError: as `from_pretrained`.
    """
    folder = find_checkpoint(source, revision)
    if quantization is None and names_signs(folder):
        return SignClassifier.from_pretrained(folder, device=device)
    return SignTranslator.from_pretrained(folder, device=device, quantization=quantization)
