"""Read and write .pose files (versions 0.0, 0.1 and 0.2) with numpy alone, in bounded time and memory.

    clip = read_pose("hello.pose", start_ms=1200, end_ms=3400)
    clip.points.shape       # (T, V, C)

Every size in a header is checked against the size of the file before anything is allocated, and only the frames of the
wanted range are read.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np

from .landmark_headers import components_of, recognise
from .landmarks import get_layout
from .pose_clip import PoseClip, PoseWarning, check_fps, choose_person, clean, frame_range
from .pose_errors import ClipError, PoseFileError
from .pose_file_header import FileBytes, PoseHeader, PoseSource, open_source, parse_header, read_pose_header

# T frames, P people, V landmarks, C coordinates

__all__ = ["PoseClip", "PoseHeader", "PoseWarning", "pose_bytes", "read_pose", "read_pose_header", "write_pose"]

# How large a clip may grow in memory, by the size of its file: a header with few points is read into a larger layout.
MIN_CLIP_BYTES = 64 * 2**20
CLIP_BYTES_PER_FILE_BYTE = 16


def _check_memory(num_frames: int, num_people: int, header: PoseHeader, data: FileBytes) -> None:
    """Refuse a clip that would take far more memory than its file takes on disk."""
    layout, _ = recognise(header.components)
    points = num_people * header.num_points + layout.num_points
    needed = 4 * num_frames * points * (header.num_axes + 1)
    allowed = max(MIN_CLIP_BYTES, CLIP_BYTES_PER_FILE_BYTE * data.size)
    if needed > allowed:
        raise PoseFileError(
            f"{data.name}: expected a clip of at most {allowed // 2**20} MiB in memory, found {num_frames} frames of "
            f"{num_people} people with {header.num_points} points ({needed // 2**20} MiB); the header is damaged, or "
            "pass start_ms and end_ms to read a part"
        )


def _stated_frames(header: PoseHeader, data: FileBytes) -> int:
    """Number of frames in the body; for versions 0.1 and 0.2 checked against the bytes that are there."""
    if header.num_frames == 0:
        raise ClipError(f"{data.name}: expected at least one frame, found none; extract the poses again")
    if header.num_people == 0:
        raise ClipError(f"{data.name}: expected at least one person, found none; check the video and extract again")
    if header.num_people is None:  # version 0.0 counts people frame by frame
        return header.num_frames
    frame_bytes = 4 * header.num_people * header.num_points * (header.num_axes + 1)
    present = data.size - header.body_offset
    # Version 0.1 counts frames in 16 bits, and longer clips wrap around: the bytes tell how often.
    wraps = (present // frame_bytes - header.num_frames) // 65536 if header.version == 0.1 else 0
    num_frames = header.num_frames + 65536 * max(0, wraps)
    if num_frames * frame_bytes > present:
        raise PoseFileError(
            f"{data.name}: expected {num_frames} frames ({num_frames * frame_bytes} bytes) from byte "
            f"{header.body_offset}, found {present} bytes ({present // frame_bytes} frames); "
            "the file is cut short or its header is damaged: copy or extract it again"
        )
    return num_frames


def _floats(data: FileBytes, offset: int, count: int) -> np.ndarray:
    return np.frombuffer(data.read_at(offset, 4 * count, "frames"), dtype="<f4")


def _read_blocks(
    header: PoseHeader, data: FileBytes, num_frames: int, first: int, last: int
) -> tuple[np.ndarray, np.ndarray]:
    """Frames [first, last) of versions 0.1 and 0.2: all coordinates (T, P, V, C), then all confidences (T, P, V)."""
    people, points, axes = header.num_people or 0, header.num_points, header.num_axes
    per_frame, count = people * points, last - first
    coordinates = _floats(data, header.body_offset + 4 * first * per_frame * axes, count * per_frame * axes)
    confidence_offset = header.body_offset + 4 * num_frames * per_frame * axes
    confidence = _floats(data, confidence_offset + 4 * first * per_frame, count * per_frame)
    return coordinates.reshape(count, people, points, axes), confidence.reshape(count, people, points)


def _read_people(header: PoseHeader, data: FileBytes, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames [first, last) of version 0.0, where each frame lists its people, and each person its components.

    Returns:
        Coordinates (T, P, V, C) and confidences (T, P, V), P being the most people of any frame; zeros fill the others.
    """
    sizes = [len(names) * len(form) for (_, names), form in zip(header.components, header.formats, strict=True)]
    person_type = np.dtype([("number", "<u2"), ("values", "<f4", (sum(sizes),))])
    frames = []
    for frame in range(last):
        (people,) = data.unpack("<H", f"number of people in frame {frame}")
        raw = data.read(people * person_type.itemsize, f"people of frame {frame}")
        if frame >= first:
            frames.append(np.frombuffer(raw, person_type)["values"])
    num_people = max(1, max(map(len, frames)))
    _check_memory(len(frames), num_people, header, data)
    values = np.zeros((len(frames), num_people, sum(sizes)), dtype=np.float32)
    for row, people_in_frame in zip(values, frames, strict=True):
        row[: len(people_in_frame)] = people_in_frame
    coordinates = np.zeros((*values.shape[:2], header.num_points, header.num_axes), dtype=np.float32)
    confidence = np.zeros(coordinates.shape[:3], dtype=np.float32)
    start = place = 0
    for size, form in zip(sizes, header.formats, strict=True):
        block = values[..., start : start + size].reshape(*values.shape[:2], -1, len(form))
        points = slice(place, place + size // len(form))
        coordinates[:, :, points, : len(form) - 1], confidence[:, :, points] = block[..., :-1], block[..., -1]
        start, place = start + size, points.stop
    return coordinates, confidence


def read_pose(
    source: PoseSource,
    start_ms: float | None = None,
    end_ms: float | None = None,
    fps: float | None = None,
) -> PoseClip:
    """One person's landmarks from a .pose file.

    Args:
        source: path, content, or a binary file that can seek.
        start_ms, end_ms: only the frames that show any moment of [start_ms, end_ms); None is the clip's own start or
            end.
        fps: frame rate to use instead of the one in the file.

    Returns:
        The clip, in the layout that the file's components name; points that the layout has and the file lacks are
        masked. Of several people the one seen most surely is read, with a warning. Bytes after the last frame are
        ignored.

    Raises:
        PoseFileError: no .pose file, or cut short, or of an unknown version.
        LandmarkError: points of no known layout.
        ClipError: zero frames, no person, an absurd frame rate, a range outside the clip.
    """
    file, name, ours = open_source(source)
    try:
        data = FileBytes(file, name)
        header = parse_header(data)
        layout, places = recognise(header.components)
        rate = check_fps(header.fps if fps is None else fps, name)
        num_frames = _stated_frames(header, data)
        first, last = frame_range(num_frames, rate, start_ms, end_ms, name)
        _check_memory(last - first, header.num_people or 1, header, data)
        if header.version == 0.0:
            people = _read_people(header, data, first, last)
        else:
            people = _read_blocks(header, data, num_frames, first, last)
    finally:
        if ours:
            file.close()
    points, confidence = clean(*choose_person(*people, name=name))
    if places is not None:
        points, confidence = spread(points, confidence, places, layout.num_points)
    size = (header.width or None, header.height or None)
    return PoseClip(points, confidence, layout.name, rate, *size, num_people=people[0].shape[1], source=name)


def spread(
    points: np.ndarray, confidence: np.ndarray, places: tuple[int, ...], num_points: int
) -> tuple[np.ndarray, np.ndarray]:
    """Put a header's points at their places in the layout; the others are masked."""
    all_points = np.full((len(points), num_points, points.shape[-1]), np.nan, dtype=np.float32)
    all_confidence = np.zeros((len(points), num_points), dtype=np.float32)
    all_points[:, places], all_confidence[:, places] = points, confidence
    return all_points, all_confidence


def pose_bytes(clip: PoseClip) -> bytes:
    """The content of a .pose file of version 0.2 with this clip; the same clip always gives the same bytes.

    Raises:
        LandmarkError: if the clip's layout is unknown.
        ClipError: if its coordinates or image size cannot be written.
    """
    layout = get_layout(clip.layout)
    width, height = round(clip.width or 0), round(clip.height or 0)
    if not (0 <= width <= 65535 and 0 <= height <= 65535) or clip.points.shape[-1] not in (2, 3):
        raise ClipError(
            f"{clip.name}: a .pose file holds x, y[, z] and an image of up to 65535 pixels a side, found "
            f"{clip.points.shape[-1]} coordinates and {width} x {height}; drop coordinates, or leave out the size"
        )
    form = "XYC" if clip.points.shape[-1] == 2 else "XYZC"
    components = components_of(layout)
    out = io.BytesIO()
    out.write(struct.pack("<fHHHH", 0.2, width, height, 0, len(components)))
    start = 0
    for name, points in components:
        inside = range(start, start + len(points))
        limbs = [(a - start, b - start) for a, b in layout.edges if a in inside and b in inside]
        for text in (name, form):
            out.write(_packed(text))
        out.write(struct.pack("<HHH", len(points), len(limbs), 1))
        out.write(b"".join(map(_packed, points)))
        out.write(b"".join(struct.pack("<HH", *limb) for limb in limbs))
        out.write(struct.pack("<HHH", *_COLOURS.get(name.split("_")[0].lower(), (255, 0, 0))))
        start += len(points)
    out.write(struct.pack("<fIH", clip.fps, clip.num_frames, 1))
    seen = (clip.confidence > 0) & np.isfinite(clip.points).all(axis=-1)
    out.write(np.where(seen[..., None], clip.points, 0).astype("<f4").tobytes())
    out.write(np.where(seen, clip.confidence, 0).astype("<f4").tobytes())
    return out.getvalue()


_COLOURS = {
    "left": (0, 128, 255),
    "right": (255, 128, 0),
    "face": (128, 128, 128),
    "body": (0, 192, 0),
    "pose": (0, 192, 0),
}


def _packed(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return struct.pack("<H", len(encoded)) + encoded


def write_pose(clip: PoseClip, path: str | os.PathLike) -> None:
    """Write a clip as a .pose file of version 0.2, which pose-format's tools read. Undetected points become zeros.

    Raises:
        LandmarkError: if the clip's layout is unknown.
    """
    Path(path).write_bytes(pose_bytes(clip))
