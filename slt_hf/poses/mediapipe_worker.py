"""Runs inside the extraction environment: videos in, landmark arrays out. Imports av, numpy and mediapipe only.

MediaPipe 0.10.21, the last release that carries its models, needs numpy < 2, so slt_hf calls this file as a subprocess
(`slt_hf.poses.extraction`). It reads one JSON request a line from stdin:

    {"video": path, "start_ms": null, "end_ms": null, "output": path.npz, "budget": {...}}

and answers on stdout with any number of {"frames": so far}, then {"done": true, ...} or {"error": ..., "kind": ...}.
The .npz holds points (T, V, 3) float32, NaN where undetected, confidence (T, V) float32 and times_ms (T,) float64.
"""

import argparse
import importlib.util
import json
import os
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

REPORT_EVERY = 25  # frames
PARTS = (("pose_landmarks", 33), ("face_landmarks", 468), ("left_hand_landmarks", 21), ("right_hand_landmarks", 21))
LAYOUT = "holistic_543"


def load_frames_module():
    """`processing/video_frames.py` by its path, without importing slt_hf, which is not installed here."""
    path = Path(__file__).parents[1] / "processing" / "video_frames.py"
    spec = importlib.util.spec_from_file_location("slt_hf_video_frames", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Solutions:
    """MediaPipe's legacy Holistic solution (0.10.21 and before); tracking starts anew with every video."""

    def __init__(self, complexity):
        import mediapipe

        self.holistic = mediapipe.solutions.holistic.Holistic
        self.complexity = complexity
        self.tools = {"mediapipe": mediapipe.__version__, "solution": f"holistic, complexity {complexity}"}

    def __enter__(self):
        self.graph = self.holistic(model_complexity=self.complexity)
        return self

    def __exit__(self, *_):
        self.graph.close()

    def __call__(self, image, time_ms):
        """Landmark lists by part name, or None."""
        found = self.graph.process(image)
        return [getattr(found, name).landmark if getattr(found, name) else None for name, _ in PARTS]


class Tasks:
    """MediaPipe Tasks' HolisticLandmarker (1.x, whose wheel carries no model: give the .task file)."""

    def __init__(self, model):
        import mediapipe

        self.mediapipe, self.model = mediapipe, model
        self.tools = {"mediapipe": mediapipe.__version__, "task": Path(model).name}

    def __enter__(self):
        vision = self.mediapipe.tasks.vision
        options = vision.HolisticLandmarkerOptions(
            base_options=self.mediapipe.tasks.BaseOptions(model_asset_path=self.model),
            running_mode=vision.RunningMode.VIDEO,
        )
        self.landmarker = vision.HolisticLandmarker.create_from_options(options)
        return self

    def __exit__(self, *_):
        self.landmarker.close()

    def __call__(self, image, time_ms):
        picture = self.mediapipe.Image(image_format=self.mediapipe.ImageFormat.SRGB, data=image)
        found = self.landmarker.detect_for_video(picture, int(time_ms))
        return [(getattr(found, name) or None) and getattr(found, name)[:size] for name, size in PARTS]


def landmark_array(parts, width, height):
    """Points (543, 3) and confidence (543,): x and y in pixels, z as MediaPipe gives it (pose-format does the same)."""
    points = np.full((543, 3), np.nan, np.float32)
    confidence = np.zeros(543, np.float32)
    first = 0
    for number, ((_, size), landmarks) in enumerate(zip(PARTS, parts, strict=True)):
        if landmarks is not None:
            values = [(p.x, p.y, p.z) for p in landmarks]
            points[first : first + size] = np.array(values, np.float32) * (width, height, 1)
            # Only the body has a confidence of its own; 0 would mean undetected, which it is not.
            seen = np.maximum([p.visibility for p in landmarks], 1e-3) if number == 0 else 1
            confidence[first : first + size] = seen
        first += size
    return points, confidence


def ahead(frames):
    """The same frames; the next is decoded while MediaPipe is busy with the last."""
    with ThreadPoolExecutor(1) as decoder:
        coming = decoder.submit(next, frames, None)
        while (frame := coming.result()) is not None:
            coming = decoder.submit(next, frames, None)
            yield frame


def extract(request, make_landmarks, frames_module):
    """One video: landmarks of every frame in the part asked for, written to request["output"]."""
    budget = frames_module.VideoBudget(**request.get("budget") or {})
    video, start, end = request["video"], request.get("start_ms"), request.get("end_ms")
    info = frames_module.read_info(video)
    points, confidence, times, size = [], [], [], (info.width, info.height)
    with make_landmarks as landmarks:
        for frame in ahead(frames_module.decode(video, start, end, budget)):
            size = frame.image.shape[1], frame.image.shape[0]
            xyz, seen = landmark_array(landmarks(frame.image, frame.time_ms), *size)
            points.append(xyz)
            confidence.append(seen)
            times.append(frame.time_ms)
            if len(times) % REPORT_EVERY == 0:
                answer(frames=len(times))
    if not times:
        return answer(error="no frame in that part of the video; the video is shorter", kind="range")
    with open(request["output"], "wb") as file:
        np.savez(file, points=np.stack(points), confidence=np.stack(confidence), times_ms=np.array(times))
    return answer(
        done=True, frames=len(times), fps=info.fps, width=size[0], height=size[1], duration_ms=info.duration_ms
    )


def answer(**values):
    OUT.write(json.dumps(values) + "\n")
    OUT.flush()


def leave_with_parent(parent):
    """A killed parent cannot stop us, so look whether it is still there."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--complexity", type=int, default=1)
    parser.add_argument("--model", help="a holistic_landmarker.task file: use MediaPipe Tasks")
    parser.add_argument("--memory-bytes", type=int, default=0)
    options = parser.parse_args()
    threading.Thread(target=leave_with_parent, args=(os.getppid(),), daemon=True).start()
    frames_module = load_frames_module()
    landmarks = Tasks(options.model) if options.model else Solutions(options.complexity)
    if options.memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (options.memory_bytes, options.memory_bytes))
    with landmarks:  # a model that cannot be loaded ends us here, rather than once per video
        pass
    answer(ready=True, tools=landmarks.tools)
    for line in sys.stdin:
        try:
            extract(json.loads(line), landmarks, frames_module)
        except MemoryError:
            answer(error="needed more memory than it may have", kind="memory")
        except Exception as error:  # malformed files raise almost anything inside the decoder
            answer(error=" ".join(str(error).split()) or type(error).__name__, kind="video")


# MediaPipe's native code writes to stdout too: answers keep the real one, everything else goes to stderr.
OUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

if __name__ == "__main__":
    main()
