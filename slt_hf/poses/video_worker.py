"""Runs as a process of its own with little memory: decodes one unknown video after the other, and holds nothing else.

`slt_hf.guarded_video` starts it, and kills it when it takes too long. On stdin a request is a line of JSON and, for
videos in memory, the file's bytes; on stdout come frames, each a line {"shape"} and its pixels, then
{"done": true, "order": [...]}, or {"error": ...}. Nothing that comes from here is ever unpickled.

    {"size": 120000, "path": null, "seconds": 120, "budget": {...}, "read": {"num_frames": 8, ...}}
"""

import json
import os
import resource
import sys
import threading
import time
import types
from pathlib import Path

PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM")


def load_reading():
    """`processing/video_reading.py` as a module of a bare package: importing slt_hf would cost time and memory."""
    package = types.ModuleType("slt_hf_video")
    package.__path__ = [str(Path(__file__).parents[1] / "processing")]
    sys.modules[package.__name__] = package
    from slt_hf_video import video_frames, video_reading

    return video_frames, video_reading


def answer(out, **values):
    out.write(json.dumps(values).encode() + b"\n")
    out.flush()


def send_image(out, image):
    """A line with its shape, then its pixels; rows of odd widths lie apart in memory, so they are joined first."""
    pixels = image.tobytes()
    out.write(json.dumps({"shape": image.shape}).encode() + b"\n" + pixels)
    out.flush()


def serve(source, request, out, frames, reading):
    """One request: the frames that are wanted go out as they are decoded; here only their numbers are kept."""
    budget = frames.VideoBudget(**request["budget"])
    if isinstance(source, bytes) and (source.startswith(PICTURES) or source[8:12] == b"WEBP"):
        with reading.as_video_error(source):
            image = frames.read_picture(reading.rewound(source), budget)
        send_image(out, image)
        return answer(out, done=True, order=[0], info=[image.shape[1], image.shape[0], None, None, 1])
    with reading.as_video_error(source):
        times = frames.packet_times(reading.rewound(source), budget)
        longest = request["seconds"]
        if times and times[-1] > 1000 * longest:
            raise ValueError(f"{times[-1] / 1000:.1f} s, longer than {longest:g} s")
    if request["read"] is None:
        info = reading.probe_video(source)
        return answer(out, done=True, order=[], info=info, num_frames=len(times), last_ms=times[-1] if times else 0.0)
    sent = []

    def send(image):
        send_image(out, image)
        sent.append(None)
        return frames.np.full((1, 1, 1), len(sent) - 1)

    video = reading.read_video(source, budget=budget, fit=send, **request["read"])
    answer(out, done=True, order=video.frames.ravel().tolist(), times_ms=video.times_ms.tolist(), info=video.info)


def leave_with_parent(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main():
    memory_bytes = int(sys.argv[1])
    threading.Thread(target=leave_with_parent, args=(os.getppid(),), daemon=True).start()
    out, inside = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
    os.dup2(2, 1)  # whatever native code prints must not stand among the answers
    frames, reading = load_reading()
    for limit, value in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (value, value))
    answer(out, ready=True)
    while line := inside.readline():
        request = json.loads(line)
        try:
            source = request["path"] or inside.read(request["size"])
            serve(source, request, out, frames, reading)
        except MemoryError:
            answer(out, error="it needs more memory than it may have", kind="VideoError")
        except Exception as error:
            answer(out, error=str(error) or type(error).__name__, kind=type(error).__name__)


if __name__ == "__main__":
    main()
