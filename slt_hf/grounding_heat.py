"""What in a clip a text owes its words to: how much of its probability is lost when a moment of the clip is masked.

# W windows, T frames of the model's input
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slt_hf.errors import CheckpointError
from slt_hf.pipeline import Preparer, SignTranslator


class GroundingHeat(NamedTuple):
    """Of one clip and one text.

    Attributes:
        text: what the clip is read as.
        starts_ms: where each window begins, (W + 1,); the last is the clip's end.
        lost: share of the text's mean token probability that is lost without the window, in [0, 1], (W,).
    """

    text: str
    starts_ms: np.ndarray
    lost: np.ndarray


def grounding_heat(translator: SignTranslator, clip: Any, windows: int = 16, batch_size: int = 16) -> GroundingHeat:
    """Mask one window of the clip after the other (occlusion, arxiv:1311.2901) and read the same text again.

    One forward pass of the whole clip for each window.

    Args:
        translator: of poses, or of frames at a fixed rate; an export, too.
        clip: whatever the translator reads.
        windows: of equal length; fewer where the clip has fewer frames.

    Raises:
        CheckpointError: if the model is shown a number of pictures that says nothing of when they were taken.
        SignDataError: if the clip cannot be read.
    """
    processor, engine = translator.processor, translator.engine
    prepared = next(Preparer(processor)(clip, 1))
    main = processor.model_input_names[0]
    if main == "pixel_values" and (prepared.inputs[main].ndim < 5 or "attention_mask" not in prepared.inputs):
        raise CheckpointError(
            "expected a checkpoint that reads poses, or frames at a fixed rate, found one that is shown some pictures "
            "of each clip; take translator(clip, grounding=True), which masks them all"
        )
    hypothesis = engine.generate(prepared.inputs)[0]
    frames = prepared.inputs[main].shape[1]
    edges = np.linspace(0, frames, min(windows, frames) + 1).round().astype(int)
    lost: list[float] = []
    for first in range(0, len(edges) - 1, batch_size):
        pairs = list(zip(edges[:-1], edges[1:], strict=True))[first : first + batch_size]
        inputs = {name: np.repeat(np.asarray(value), len(pairs), 0) for name, value in prepared.inputs.items()}
        for row, (start, end) in enumerate(pairs):
            inputs[main][row, start:end] = 0
            if "crop_mask" in inputs:
                inputs["crop_mask"][row, start:end] = 0
        scores = engine.log_probabilities(inputs, [hypothesis.tokens] * len(pairs))
        lost += [hypothesis.grounding(score) for score in scores]
    text = processor.batch_decode([hypothesis.tokens], skip_special_tokens=True)[0].strip()
    return GroundingHeat(text, edges * 1000 / processor.feature_extractor.fps, np.array(lost))
