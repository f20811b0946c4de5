"""What the gate feeds both sides: real clips where they are given, signed ones, and random ones of many lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from slt_hf.export.processor import pad

# frames; one frame, less than a chunk, a chunk and a bit, longer than one attention window, longer than two
LENGTHS = ((1,), (5, 64, 17), (150, 3), (301,))
VIDEO_LENGTHS = ((1,), (5, 33, 16), (50,))  # frames; of VideoMAE's windows of 16: less than one, one, some
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
    if processor.model_input_names[0] == "pixel_values":
        return video_cases(processor, clips, seed)
    sizes = (config["num_landmarks"], config["num_coordinates"])
    cases = []
    for lengths in LENGTHS:
        inputs: dict[str, Any] = dict(random_clips(lengths, *sizes, seed=seed + sum(lengths)))
        cases.append(Case(f"random, {' + '.join(map(str, lengths))} frames", inputs))
    for sentence in SENTENCES:
        cases.append(Case(f"signed: {sentence}", dict(processor([sign(sentence)], return_tensors="np"))))
    cases += real_cases(processor, clips)
    if getattr(processor, "prompt", None):  # of a recogniser or classifier the processor may be an extractor alone
        cases = [Case(case.name, with_prompt(processor, case.inputs)) for case in cases]
    return cases


def real_cases(processor: Any, clips: Sequence[Any]) -> list[Case]:
    if not clips:
        return []
    together = Case(f"real, {len(clips)} clips together", dict(processor(list(clips), return_tensors="np")))
    return [together, Case("real, the first clip alone", dict(processor([clips[0]], return_tensors="np")))]


def video_cases(processor: Any, clips: Sequence[Any], seed: int) -> list[Case]:
    """Noise as the model sees it, of many lengths where the processor allows them, and pictures through it."""
    extractor = getattr(processor, "feature_extractor", processor)  # a classifier's processor is an extractor alone
    own = extractor.num_frames
    cases = []
    for lengths in VIDEO_LENGTHS if own is None else ((own,), (own,) * 3):
        values = random_videos(lengths, 2 if extractor.flow else 3, extractor.image_size, seed + sum(lengths))
        cases.append(Case(f"random, {' + '.join(map(str, lengths))} frames", dict(extractor.batch(values))))
    cases.append(Case("pictures", dict(processor(sample_clips(processor), return_tensors="np"))))
    cases += real_cases(processor, clips)
    if getattr(processor, "prompt", None):
        cases = [Case(case.name, with_prompt(processor, case.inputs)) for case in cases]
    return cases


def random_videos(lengths: Sequence[int], channels: int, size: int, seed: int) -> list[np.ndarray]:
    """(T, C, H, W) each"""
    random = np.random.default_rng(seed)
    return [random.normal(size=(length, channels, size, size)).astype(np.float32) for length in lengths]


def sample_clips(processor: Any) -> list[Any]:
    """Clips that any processor of the kind reads: signed ones, pictures of an odd size, or flow."""
    extractor = getattr(processor, "feature_extractor", processor)
    if processor.model_input_names[0] != "pixel_values":
        return [sign(sentence) for sentence in SENTENCES]
    random = np.random.default_rng(0)
    shapes = [(frames, 45, 60) for frames in (3, 20)]
    if extractor.flow:
        return [random.normal(0, 4, (*shape, 2)).astype(np.float32) for shape in shapes]
    return [random.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]


@cache
def sign(sentence: str) -> Any:
    from slt_hf.synthesis.synthesizer import synthesize

    return synthesize(sentence)


def with_prompt(processor: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The processor's words before clips that did not come through it."""
    if "prompt_input_ids" in inputs:
        return inputs
    prompted = dict(processor(sample_clips(processor)[:1], return_tensors="np"))
    batch = len(inputs[processor.model_input_names[0]])
    names = ("prompt_input_ids", "prompt_attention_mask")
    return inputs | {name: np.repeat(np.asarray(prompted[name]), batch, axis=0) for name in names}
