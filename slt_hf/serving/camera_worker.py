"""Landmarks of a camera as frames of a stream, on stdout. Runs in the environment of MediaPipe, without slt_hf.

    python camera_worker.py /dev/video0 PATH/mediapipe_worker.py

A camera's frames wait for nobody: while one is looked at, those that come are taken and forgotten.
"""

import importlib.util
import os
import struct
import sys
import threading
import time

import av
import numpy as np

OUT = os.fdopen(os.dup(1), "wb")  # a copy: MediaPipe prints, and its worker turns stdout away
FORMATS = {"linux": "v4l2", "darwin": "avfoundation"}
SEEN = 0.15  # a body point of lower visibility is a guess: legs under the table


def load(path):
    spec = importlib.util.spec_from_file_location("mediapipe_worker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Latest:
    """The newest frame of a device, or every frame of a file in its own time."""

    def __init__(self, device):
        is_file = not (device.startswith("/dev/") or device.isdigit())
        self.container = av.open(device, format=None if is_file else FORMATS.get(sys.platform))
        self.is_file, self.frame, self.ended = is_file, None, False
        self.news = threading.Condition()
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        began = time.monotonic()
        for frame in self.container.decode(video=0):
            if self.is_file:
                time.sleep(max(0.0, began + frame.time - time.monotonic()))
            with self.news:
                self.frame = (1000 * time.monotonic(), frame)
                self.news.notify()
        with self.news:
            self.ended = True
            self.news.notify()

    def __iter__(self):
        while True:
            with self.news:
                self.news.wait_for(lambda: self.frame is not None or self.ended)
                taken, self.frame = self.frame, None
            if taken is None:
                return
            yield taken


def packed(number, time_ms, points, confidence, longer):
    """See slt_hf/serving/frames.py."""
    scaled = np.nan_to_num(points / np.array([longer, longer, 1])).astype("<f2")
    seen = confidence > np.where(np.arange(len(confidence)) < 33, SEEN, 0)
    return struct.pack("<dI", time_ms, number) + scaled.tobytes() + seen.astype(np.uint8).tobytes()


def main():
    device, worker = sys.argv[1:]
    mediapipe_worker = load(worker)
    with mediapipe_worker.Solutions(1) as landmarks:
        for number, (time_ms, frame) in enumerate(Latest(device)):
            image = frame.to_ndarray(format="rgb24")
            height, width = image.shape[:2]
            points, confidence = mediapipe_worker.landmark_array(landmarks(image, time_ms), width, height)
            OUT.write(packed(number, time_ms, points, confidence, max(width, height)))
            OUT.flush()


if __name__ == "__main__":
    main()
