"""BLEURT and COMET, if somebody has installed them: they bring large models and frameworks of their own.

Absent is an answer, not an error: the report says so and what to install. COMET wants a source sentence; a clip has
none, so the source is left empty, which must then be the same for all systems that are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any


def learned_scores(
    hypotheses: Sequence[str], references: Sequence[str], bleurt: str | None = None, comet: str | None = None
) -> dict[str, dict[str, Any]]:
    """`{"bleurt": {"status": …, "score": …}, "comet": …}`; status is `scored`, `absent` or `no checkpoint`.

    Args:
        bleurt: folder of a BLEURT checkpoint (BLEURT-20).
        comet: COMET checkpoint file, or the name of one (Unbabel/wmt22-comet-da), fetched by the COMET package.
    """
    return {
        "bleurt": _scored("bleurt", bleurt, _bleurt, hypotheses, references, "pip install bleurt"),
        "comet": _scored("comet", comet, _comet, hypotheses, references, "pip install unbabel-comet"),
    }


def _scored(
    module: str,
    checkpoint: str | None,
    score: Callable[[Sequence[str], Sequence[str], str], list[float]],
    hypotheses: Sequence[str],
    references: Sequence[str],
    install: str,
) -> dict[str, Any]:
    if find_spec(module) is None:
        return {"status": "absent", "score": None, "what_to_do": install}
    if checkpoint is None:
        return {"status": "no checkpoint", "score": None, "what_to_do": f"name a checkpoint with --{module}"}
    scores = score(hypotheses, references, checkpoint)
    return {"status": "scored", "score": sum(scores) / len(scores), "signature": f"{module}|checkpoint:{checkpoint}"}


def _bleurt(hypotheses: Sequence[str], references: Sequence[str], checkpoint: str) -> list[float]:
    from bleurt.score import BleurtScorer

    return list(BleurtScorer(checkpoint).score(references=list(references), candidates=list(hypotheses)))


def _comet(hypotheses: Sequence[str], references: Sequence[str], checkpoint: str) -> list[float]:
    from pathlib import Path

    from comet import download_model, load_from_checkpoint

    path = checkpoint if Path(checkpoint).is_file() else download_model(checkpoint)
    rows = [{"src": "", "mt": said, "ref": asked} for said, asked in zip(hypotheses, references, strict=True)]
    return list(load_from_checkpoint(path).predict(rows, batch_size=16, gpus=0).scores)
