"""Extractors that look at single pictures, in this process: transformers' pose estimation models and rtmlib."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.errors import LandmarkError, PreparationError
from slt_hf.poses.extractor import Closing, Progress, make_clip
from slt_hf.poses.video import VideoBudget, iterate_frames, probe_video
from slt_hf.processing.pose_files import PoseClip

# T frames, V landmarks, C coordinates

BATCH_FRAMES = 16  # frames a model sees at once


class PoseEstimation(Closing):
    """Any `AutoModelForPoseEstimation` of transformers (ViTPose, Sapiens) with the 133 points of COCO-WholeBody.

    Such a model looks at one box: the manifest's `bbox`, else the whole picture. Give boxes where the signer is small.

    Args:
        model: repository or folder.
        device: where it runs; None chooses.
        budget: what one video may cost.
    """

    layout = "coco_wholebody_133"

    def __init__(self, model: str | Path, device: str | None = None, budget: VideoBudget | None = None):
        import torch
        from transformers import AutoImageProcessor, AutoModelForPoseEstimation

        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.budget = budget
        try:
            self._processor = AutoImageProcessor.from_pretrained(model)
            self._model = AutoModelForPoseEstimation.from_pretrained(model).to(self.device).eval()
        except (OSError, ValueError, ImportError) as error:  # ValueError: Sapiens without torchvision, other models
            raise PreparationError(
                f"expected a pose estimation model of transformers in {model}, found: {' '.join(str(error).split())}"
            ) from None
        self.tools = {"transformers": metadata.version("transformers"), "model": str(model)}
        if revision := getattr(self._model.config, "_commit_hash", None):
            self.tools["revision"] = revision

    def extract(
        self,
        video: str | Path,
        start_ms: float | None = None,
        end_ms: float | None = None,
        bbox: list[float] | None = None,
        progress: Progress | None = None,
    ) -> PoseClip:
        return extract_in_batches(self, self._landmarks, video, start_ms, end_ms, bbox, progress)

    def _landmarks(self, images: list[np.ndarray], bbox: list[float] | None) -> tuple[np.ndarray, np.ndarray]:
        import torch

        height, width = images[0].shape[:2]
        x_min, y_min, x_max, y_max = bbox or [0, 0, width, height]
        boxes = [[[x_min, y_min, x_max - x_min, y_max - y_min]] for _ in images]  # x, y, width, height
        inputs = self._processor(images=images, boxes=boxes, return_tensors="pt").to(self.device)
        if getattr(getattr(self._model.config, "backbone_config", None), "num_experts", 1) > 1:
            inputs["dataset_index"] = torch.full((len(images),), 5, device=self.device)  # ViTPose++: COCO-WholeBody
        with torch.inference_mode():
            outputs = self._model(**inputs)
        people = [found[0] for found in self._processor.post_process_pose_estimation(outputs, boxes=boxes)]
        points = np.stack([person["keypoints"].cpu().numpy() for person in people])
        confidence = np.stack([person["scores"].cpu().numpy() for person in people])
        if points.shape[1] != 133:
            raise LandmarkError(
                f"expected a model of the 133 points of COCO-WholeBody, found {points.shape[1]} points; choose another"
            )
        return points, confidence


class Rtmlib(Closing):
    """RTMW or RTMPose whole-body models through rtmlib, which fetches its ONNX weights on first use."""

    layout = "coco_wholebody_133"

    def __init__(self, mode: str = "balanced", device: str = "cpu", budget: VideoBudget | None = None):
        try:
            from rtmlib import Wholebody
        except ImportError:
            raise PreparationError(
                "expected rtmlib for this extractor, found it not installed; pip install rtmlib onnxruntime"
            ) from None
        self.budget = budget
        self._model = Wholebody(to_openpose=False, mode=mode, backend="onnxruntime", device=device)
        self.tools = {"rtmlib": metadata.version("rtmlib"), "mode": mode}

    def extract(
        self,
        video: str | Path,
        start_ms: float | None = None,
        end_ms: float | None = None,
        bbox: list[float] | None = None,
        progress: Progress | None = None,
    ) -> PoseClip:
        return extract_in_batches(self, self._landmarks, video, start_ms, end_ms, bbox, progress)

    def _landmarks(self, images: list[np.ndarray], bbox: list[float] | None) -> tuple[np.ndarray, np.ndarray]:
        people = [self._model(np.ascontiguousarray(image[..., ::-1])) for image in images]  # rtmlib expects BGR
        chosen = [_nearest(keypoints, scores) for keypoints, scores in people]
        return np.stack([points for points, _ in chosen]), np.stack([scores for _, scores in chosen])


def extract_in_batches(
    extractor: Any,
    landmarks: Callable[[list[np.ndarray], list[float] | None], tuple[np.ndarray, np.ndarray]],
    video: str | Path,
    start_ms: float | None,
    end_ms: float | None,
    bbox: list[float] | None,
    progress: Progress | None,
) -> PoseClip:
    """Run a model of single pictures over a video, a few frames at a time."""
    points: list[np.ndarray] = []
    confidence: list[np.ndarray] = []
    times: list[float] = []
    images: list[np.ndarray] = []
    size = (0, 0)

    def flush() -> None:
        xy, scores = landmarks(images, bbox)
        points.append(xy)
        confidence.append(scores)
        images.clear()
        if progress:
            progress(len(times))

    for frame in iterate_frames(video, start_ms, end_ms, budget=extractor.budget):
        size = frame.image.shape[1], frame.image.shape[0]
        images.append(frame.image)
        times.append(frame.time_ms)
        if len(images) == BATCH_FRAMES:
            flush()
    if images:
        flush()
    all_points, all_confidence = np.concatenate(points), np.concatenate(confidence)
    fps = probe_video(video).fps
    return make_clip(all_points, all_confidence, np.array(times), extractor.layout, fps, *size, str(video))


def _nearest(keypoints: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of (people, V, 2) and (people, V) the person nearest the camera: the widest box of confident points."""

    def area(points: np.ndarray, score: np.ndarray) -> float:
        seen = points[score > 0.3]
        return float(np.ptp(seen, axis=0).prod()) if len(seen) else 0.0

    if not len(keypoints):
        return np.full((133, 2), np.nan), np.zeros(133)
    nearest = int(np.argmax([area(*person) for person in zip(keypoints, scores, strict=True)]))
    return keypoints[nearest], scores[nearest]
