"""One clip, one checkpoint of any kind -> its answer and what in the clip the answer rests on.

# T frames, V landmarks, H and W pixels
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slt_hf.explanation.activation import class_activation
from slt_hf.explanation.answers import Answer, answer_of, unit
from slt_hf.explanation.landmarks import landmark_saliency, shares_of_parts
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.video_clip import to_video_clip

LANDMARKS, ACTIVATION, ROLLOUT = "landmark saliency", "Grad-CAM", "attention rollout"


@dataclass(frozen=True)
class Explanation:
    """What an answer rests on.

    Attributes:
        text: the answer. confidence: in [0, 1].
        method: how it was found.
        heat: from 0 to 1: over landmarks (T, V) or pixels (T, H, W).
        clip: the landmarks as the model saw them; None for models that see frames.
        frames: what the model saw, (T, H, W, 3) uint8; None for models that see poses.
        fps: of `frames`, where the model sees a fixed number a second.
        shares: of the heat in each part of the body, for poses.
    """

    text: str
    confidence: float
    method: str
    heat: np.ndarray
    clip: PoseClip | None = None
    frames: np.ndarray | None = None
    fps: float | None = None
    shares: dict[str, float] = field(default_factory=dict)


def explain(
    clip: Any, checkpoint: str | os.PathLike | None = None, *, device: str | None = None, **how: Any
) -> Explanation:
    """What the answer to a clip rests on: of poses the landmarks, of frames the places.

    Args:
        clip: as for `SignTranslator`.
        checkpoint: folder or Hub repository; the bundled one if left out.
        how: layout, fps, start_ms, end_ms.

    Raises:
        CheckpointError, ClipError: as of `SignTranslator`; also for exported graphs and vision-language models.
    """
    answer = answer_of(clip, checkpoint, device, **how)
    if "pose_values" in answer.inputs:
        return over_landmarks(answer)
    return over_frames(answer, to_video_clip(clip, how.get("fps"), how.get("start_ms"), how.get("end_ms")))


def over_landmarks(answer: Answer) -> Explanation:
    saliency = landmark_saliency(answer.inputs, answer.score)
    clip = seen_clip(answer)
    shares = shares_of_parts(saliency, get_layout(clip.layout).parts)
    return Explanation(
        answer.text, answer.confidence, LANDMARKS, unit(saliency), clip, fps=clip.fps, shares=shares
    )


def seen_clip(answer: Answer) -> PoseClip:
    """The model's input as poses again, to be drawn."""
    values = answer.inputs["pose_values"][0].float().cpu().numpy()
    extractor = extractor_of(answer.processor)
    points = np.where(values[..., -1:] > 0, values[..., :-1], np.float32(np.nan))
    return PoseClip(points, values[..., -1], extractor.layout, extractor.fps)


def over_frames(answer: Answer, clip: Any) -> Explanation:
    extractor = extractor_of(answer.processor)
    if answer.model.config.model_type == "slt_i3d":
        method, heat = ACTIVATION, class_activation(answer.model, answer.inputs, answer.score)
    else:
        from slt_hf.explanation.rollout import attention_rollout

        method, heat = ROLLOUT, attention_rollout(answer.model, answer.inputs)
    fps = extractor.fps if extractor.num_frames is None else None
    frames = shown(extractor.frames(clip))
    return Explanation(answer.text, answer.confidence, method, unit(heat), frames=frames, fps=fps)


def shown(frames: np.ndarray) -> np.ndarray:
    """Frames as pictures; of optical flow (T, H, W, 2) its size, the brighter the faster."""
    if frames.shape[-1] == 3:
        return frames
    speed = np.linalg.norm(frames, axis=-1, keepdims=True)
    return np.repeat(255 * unit(speed), 3, -1).astype(np.uint8)


def extractor_of(processor: Any) -> Any:
    """Classifiers have a feature extractor alone, the others one inside their processor."""
    return processor if "tokenizer" not in vars(processor) else processor.feature_extractor
