"""What a checkpoint answers to one clip, and that answer's score as something to take gradients of.

# T frames, V landmarks, C coordinates, L tokens, S steps
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slt_hf.checkpoint import find_checkpoint, is_export
from slt_hf.engines import TorchCTC, decoder_inputs, to_device
from slt_hf.errors import CheckpointError
from slt_hf.pipeline import Preparer, SignClassifier, SignTranslator, names_signs
from slt_hf.vlm.checkpoint import is_vlm

Score = Callable[[dict[str, Any]], torch.Tensor]


@dataclass(frozen=True)
class Answer:
    """One clip's answer.

    Attributes:
        text: translation, glosses or sign.
        confidence: of the answer, in [0, 1].
        model: what gave it.
        processor: what the clip went through.
        inputs: the model's, of a batch of this one clip.
        score: inputs -> logarithm of the answer's probability, with a gradient.
    """

    text: str
    confidence: float
    model: Any
    processor: Any
    inputs: dict[str, Any]
    score: Score


def answer_of(clip: Any, checkpoint: str | os.PathLike | None, device: str | None = None, **how: Any) -> Answer:
    """The answer of a checkpoint of any kind.

    Args:
        clip: as for `SignTranslator`. how: layout, fps, start_ms, end_ms.

    Raises:
        CheckpointError: for exported graphs, which give no gradients, and vision-language models.
        SignDataError: if clip or checkpoint cannot be read.
    """
    folder = find_checkpoint(checkpoint)
    if is_export(folder) or is_vlm(folder):
        found = "an exported graph" if is_export(folder) else "a vision-language model"
        raise CheckpointError(
            f"{folder}: expected weights of a pose, VideoMAE or I3D model to explain, found {found}; give the "
            "checkpoint that it was exported from, or another one"
        )
    return sign_answer(clip, folder, device, **how) if names_signs(folder) else text_answer(clip, folder, device, **how)


def sign_answer(clip: Any, folder: Path, device: str | None, **how: Any) -> Answer:
    classifier = SignClassifier.from_pretrained(folder, device=device)
    model, inputs = classifier.engine.model, inputs_of(classifier.processor, clip, **how)  # type: ignore[attr-defined]
    probabilities = classifier.engine.classify(inputs)[0]
    best = int(probabilities.argmax())

    def score(values: dict[str, Any]) -> torch.Tensor:
        return model(**values).logits[0].float().log_softmax(-1)[best]

    own = to_device(inputs, model)
    return Answer(classifier.labels[best], float(probabilities[best]), model, classifier.processor, own, score)


def text_answer(clip: Any, folder: Path, device: str | None, **how: Any) -> Answer:
    translator = SignTranslator.from_pretrained(folder, device=device)
    engine: Any = translator.engine
    inputs = inputs_of(translator.processor, clip, **how)
    found = engine.generate(inputs)[0]
    text = translator.processor.batch_decode([found.tokens], skip_special_tokens=True)[0].strip()
    inputs = {name: value for name, value in inputs.items() if name != "forced_bos_token_id"}
    score = gloss_score(engine) if isinstance(engine, TorchCTC) else sentence_score(engine.model, found.tokens)
    confidence = translator.calibration(found.confidence)
    return Answer(text, confidence, engine.model, translator.processor, to_device(inputs, engine.model), score)


def inputs_of(processor: Any, clip: Any, **how: Any) -> dict[str, Any]:
    return next(Preparer(processor)([clip], 1, **how)).inputs


def sentence_score(model: Any, tokens: list[int]) -> Score:
    """log P(tokens | clip) of a model that writes text."""
    settings = model.generation_config
    fed = torch.from_numpy(decoder_inputs([tokens], settings.decoder_start_token_id, settings.pad_token_id))
    wanted = torch.tensor(tokens)

    def score(values: dict[str, Any]) -> torch.Tensor:
        logits = model(**values, decoder_input_ids=fed.to(model.device)).logits[0].float()
        return logits.log_softmax(-1).gather(-1, wanted.to(model.device)[:, None]).sum()

    return score


def gloss_score(engine: TorchCTC) -> Score:
    """log P of the likeliest label at every step where it is none of the blank: of the glosses as they were read."""

    def score(values: dict[str, Any]) -> torch.Tensor:
        best = engine.model(**values).logits[0].float().log_softmax(-1).max(-1)
        return best.values[best.indices != engine.blank].sum()

    return score


def unit(values: np.ndarray) -> np.ndarray:
    """Values of 0 and more scaled to [0, 1], 1 where they reach the highest hundredth of those that are not 0."""
    positive = values[values > 0]
    return np.clip(values / np.percentile(positive, 99), 0, 1) if positive.size else np.zeros_like(values)
