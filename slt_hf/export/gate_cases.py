"""What the gate feeds both sides: real clips where they are given, signed ones, and random ones of many lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slt_hf.export.processor import pad

# frames; one frame, less than a chunk, a chunk and a bit, longer than one attention window, longer than two
LENGTHS = ((1,), (5, 64, 17), (150, 3), (301,))
SENTENCES = ("My name is Nora.", "The doctor works today.", "Where is the school?")
MISSING = 0.1  # share of points that a random clip does not show


@dataclass(frozen=True)
class Case:
    """Model inputs as arrays, and what they are."""

    name: str
    inputs: dict[str, Any]


def random_clips(lengths: Sequence[int], landmarks: int, coordinates: int, seed: int) -> dict[str, np.ndarray]:
    """Walks of points about the origin, some of them missing, (B, T, V, C)."""
    random = np.random.default_rng(seed)
    arrays = []
    for length in lengths:
        walk = random.normal(0, 0.03, (length, landmarks, coordinates)).cumsum(0)
        points = (walk + random.normal(0, 0.7, (landmarks, coordinates))).astype(np.float32)
        points[..., -1] = random.uniform(0.3, 1.0, (length, landmarks))
        points[random.random((length, landmarks)) < MISSING] = 0
        arrays.append(points)
    return pad(arrays)


def gate_cases(processor: Any, config: dict[str, Any], clips: Sequence[Any] = (), seed: int = 0) -> list[Case]:
    """All inputs of a gate.

    Args:
        processor: the checkpoint's own.
        config: of its encoder.
        clips: real ones: paths or `PoseClip`s.
    """
    sizes = (config["num_landmarks"], config["num_coordinates"])
    cases = []
    for lengths in LENGTHS:
        inputs: dict[str, Any] = dict(random_clips(lengths, *sizes, seed=seed + sum(lengths)))
        cases.append(Case(f"random, {' + '.join(map(str, lengths))} frames", inputs))
    for sentence in SENTENCES:
        cases.append(Case(f"signed: {sentence}", dict(processor([sign(sentence)], return_tensors="np"))))
    if clips:
        cases.append(Case(f"real, {len(clips)} clips together", dict(processor(list(clips), return_tensors="np"))))
        cases.append(Case("real, the first clip alone", dict(processor([clips[0]], return_tensors="np"))))
    if getattr(processor, "prompt", None):  # of a recogniser or classifier the processor may be an extractor alone
        cases = [Case(case.name, with_prompt(processor, case.inputs)) for case in cases]
    return cases


def sign(sentence: str) -> Any:
    from slt_hf.synthesis.synthesizer import synthesize

    return synthesize(sentence)


def with_prompt(processor: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The processor's words before clips that did not come through it."""
    if "prompt_input_ids" in inputs:
        return inputs
    prompted = dict(processor([sign(SENTENCES[0])], return_tensors="np"))
    batch = len(inputs["pose_values"])
    names = ("prompt_input_ids", "prompt_attention_mask")
    return inputs | {name: np.repeat(np.asarray(prompted[name]), batch, axis=0) for name in names}
