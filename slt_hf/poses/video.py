"""Video reading lives in `processing`, since it travels with checkpoints that see video; its names, from here too."""

from slt_hf.processing.video_frames import Frame, VideoBudget, VideoInfo
from slt_hf.processing.video_reading import (
    Video,
    check_range,
    iterate_frames,
    probe_video,
    read_video,
    sample_evenly,
)

__all__ = [
    "Frame",
    "Video",
    "VideoBudget",
    "VideoInfo",
    "check_range",
    "iterate_frames",
    "probe_video",
    "read_video",
    "sample_evenly",
]
