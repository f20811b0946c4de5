"""Read and write .pose files (versions 0.0, 0.1 and 0.2) with numpy alone, in bounded time and memory.

    clip = read_pose("hello.pose", start_ms=1200, end_ms=3400)
    clip.points.shape       # (T, V, C)

The format is pose-format's (github.com/sign-language-processing/pose, docs/specs). Every size in a header is checked
against the size of the file before anything is allocated, and only the frames of the wanted range are read.
"""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .landmark_headers import Component, components_of, recognise
from .landmarks import get_layout
from .pose_errors import ClipError, PoseFileError

# T frames, P people, V landmarks, C coordinates

VERSIONS = (0.0, 0.1, 0.2)
MAX_FPS = 1000.0  # no camera of ours is faster; a header beyond this is damaged
MAX_COORDINATE = 1e5  # larger than any image side a header can state (65535): beyond it a value is damage
MIN_CLIP_BYTES, CLIP_BYTES_PER_FILE_BYTE = 64 * 2**20, 16  # how large a clip may grow in memory, by the size of its file

_SIGNATURES = {
    b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"PK\x03\x04": "a zip archive or .npz", b"\x93NUMPY": "a .npy array",
    b"\x1f\x8b": "a gzip file", b"\x89HDF": "an HDF5 file", b"PAR1": "a parquet file", b"\x80\x02": "a pickle (never unpickled here)",
    b"\x80\x03": "a pickle (never unpickled here)", b"\x80\x04": "a pickle (never unpickled here)",
    b"\x80\x05": "a pickle (never unpickled here)", b"RIFF": "a RIFF media file",
}  # fmt: skip


class PoseWarning(UserWarning):
    """Something about a clip that its user should know, and that does not stop the work."""


@dataclass
class PoseClip:
    """One person's landmarks over time.

    Attributes:
        points: (T, V, C) float32, C = x, y[, z] in pixels or any unit, y pointing down; NaN where undetected.
        confidence: (T, V) float32 in [0, 1]; 0 where undetected.
        layout: name of the landmark layout.
        fps: frames per second.
        width, height: image size in the unit of the points, where known.
        num_people: people the source showed; one of them is in the clip.
        source: where the clip comes from, for messages.
    """

    points: np.ndarray
    confidence: np.ndarray
    layout: str
    fps: float
    width: int | None = None
    height: int | None = None
    num_people: int = 1
    source: str | None = None

    @property
    def num_frames(self) -> int:
        return len(self.points)

    @property
    def duration_ms(self) -> float:
        return 1000.0 * self.num_frames / self.fps


@dataclass(frozen=True)
class PoseHeader:
    """What a .pose file says about itself, read without its frames.

    Attributes:
        version: 0.0, 0.1 or 0.2.
        width, height, depth: image size; 0 where the file does not say.
        components: (name, point names) of each component.
        formats: point format of each component, such as "XYZC".
        fps, num_frames, num_people: as stated; version 0.0 states people frame by frame, so num_people is None there.
        body_offset: byte at which the frames begin.
    """

    version: float
    width: int
    height: int
    depth: int
    components: tuple[Component, ...]
    formats: tuple[str, ...]
    fps: float
    num_frames: int
    num_people: int | None
    body_offset: int

    @property
    def num_points(self) -> int:
        return sum(len(points) for _, points in self.components)

    @property
    def num_axes(self) -> int:
        return max(len(form) for form in self.formats) - 1


class _Bytes:
    """A file read piece by piece; asking for more than it holds is an error that names the place."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file, self.name = file, name
        start = file.tell()
        self.size = file.seek(0, os.SEEK_END)
        file.seek(start)

    def read(self, count: int, what: str) -> bytes:
        place = self.file.tell()
        if count > self.size - place:
            raise PoseFileError(
                f"{self.name}: expected {count} bytes of {what} at byte {place}, found {max(0, self.size - place)} before the end; "
                "the file is cut short: copy or extract it again"
            )
        return self.file.read(count)

    def unpack(self, form: str, what: str) -> tuple:
        return struct.unpack(form, self.read(struct.calcsize(form), what))

    def text(self, what: str) -> str:
        place = self.file.tell()
        try:
            return self.read(self.unpack("<H", what)[0], what).decode("utf-8")
        except UnicodeDecodeError:
            raise PoseFileError(f"{self.name}: {what} at byte {place} is not UTF-8 text; the file is damaged: extract it again") from None

    def floats(self, offset: int, count: int) -> np.ndarray:
        self.file.seek(offset)
        return np.frombuffer(self.read(4 * count, "frames"), dtype="<f4")


def _open(source: str | os.PathLike | bytes | BinaryIO) -> tuple[BinaryIO, str, bool]:
    """An open binary file, its name for messages, and whether it is ours to close."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source), "<bytes>", True
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            found = "a folder" if path.is_dir() else "nothing"
            raise PoseFileError(f"{path}: expected a .pose file, found {found}; check the path")
        try:
            return path.open("rb"), str(path), True
        except OSError as error:
            raise PoseFileError(f"{path}: expected a readable .pose file, found: {error.strerror}; check its permissions") from None
    return source, str(getattr(source, "name", "<file>")), False


def _version(data: _Bytes) -> float:
    if data.size == 0:
        raise PoseFileError(f"{data.name}: expected a .pose file, found an empty file; copy or extract it again")
    start = data.file.read(4)
    data.file.seek(-len(start), os.SEEK_CUR)
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            raise PoseFileError(f"{data.name}: expected a .pose file, found {kind}; pass a .pose file, or read this one as what it is")
    value = data.unpack("<f", "version")[0]
    version = next((known for known in VERSIONS if value == known or (known and abs(value - known) < 5e-4)), None)
    if version is None:
        text = start.decode("ascii", "replace") if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start) else None
        found = f"text beginning {text!r}" if text else f"version {value:.4g} at byte 0"
        raise PoseFileError(f"{data.name}: expected a .pose file of version 0.0, 0.1 or 0.2, found {found}; extract the poses again")
    return version


def _component(data: _Bytes, number: int) -> tuple[Component, str]:
    name, form = data.text(f"name of component {number}"), data.text(f"format of component {number}")
    num_points, num_limbs, num_colours = data.unpack("<HHH", f"sizes of component {number}")
    points = tuple(data.text(f"point name of component {number}") for _ in range(num_points))
    data.read(4 * num_limbs + 6 * num_colours, f"limbs and colours of component {number}")
    if not 3 <= len(form) <= 4 or not form.endswith("C"):
        raise PoseFileError(
            f"{data.name}: component {name[:40]!r} has point format {form[:20]!r}, expected XYC or XYZC; extract the poses again"
        )
    return (name, points), form


def _header(data: _Bytes) -> PoseHeader:
    version = _version(data)
    width, height, depth, num_components = data.unpack("<HHHH", "image size and number of components")
    read = [_component(data, number) for number in range(num_components)]
    components, formats = tuple(component for component, _ in read), tuple(form for _, form in read)
    if not any(points for _, points in components):
        raise PoseFileError(f"{data.name}: expected components with points in the header, found none; extract the poses again")
    num_people: int | None = None
    if version == 0.0:
        fps, num_frames = data.unpack("<HH", "frame rate and number of frames")
    elif version == 0.1:
        fps, num_frames, num_people = data.unpack("<HHH", "frame rate, number of frames and people")
    else:
        fps, num_frames, num_people = data.unpack("<fIH", "frame rate, number of frames and people")
    return PoseHeader(version, width, height, depth, components, formats, float(fps), num_frames, num_people, data.file.tell())


def read_pose_header(source: str | os.PathLike | bytes | BinaryIO) -> PoseHeader:
    """What a .pose file says about itself. Cheap: no frames are read; nothing is checked that only the frames can tell.

    Raises:
        PoseFileError: if it is no .pose file or ends inside the header.
    """
    file, name, ours = _open(source)
    try:
        return _header(_Bytes(file, name))
    finally:
        if ours:
            file.close()


def frame_range(num_frames: int, fps: float, start_ms: float | None, end_ms: float | None, name: str = "clip") -> tuple[int, int]:
    """Frames [first, last) that show any moment of [start_ms, end_ms); the end is cut to the clip's.

    Raises:
        ClipError: if the range is empty, negative, not finite or begins after the clip ends.
    """
    start, end = (0.0 if start_ms is None else float(start_ms)), (math.inf if end_ms is None else float(end_ms))
    if not 0 <= start < end:
        raise ClipError(f"{name}: expected 0 <= start_ms < end_ms, found start_ms {start_ms} and end_ms {end_ms}; correct the range")
    slack = 1e-6  # 1000 ms at 29.97 fps is frame 29.97, but 40 ms at 25 fps is frame 1, not 1.0000000001
    first = math.floor(start / 1000 * fps + slack)
    last = num_frames if math.isinf(end) else min(num_frames, math.ceil(end / 1000 * fps - slack))
    if first >= last:
        raise ClipError(
            f"{name}: start_ms {start:g} is after the end of the clip ({num_frames} frames at {fps:g} fps, {1000 * num_frames / fps:.0f} ms); "
            "correct the range"
        )
    return first, last


def check_fps(fps: float, name: str) -> float:
    """The frame rate, if it is one.

    Raises:
        ClipError: for zero, negative, absurd or non-finite rates.
    """
    if not (math.isfinite(fps) and 0 < fps <= MAX_FPS):
        raise ClipError(f"{name}: expected a frame rate above 0 and up to {MAX_FPS:g} fps, found {fps:g}; pass fps= with the true rate")
    return float(fps)


def _check_memory(num_frames: int, layout: str, axes: int, people: int, header: PoseHeader, data: _Bytes) -> None:
    kept = get_layout(layout).num_points * (axes + 1)
    needed = 4 * num_frames * (kept + people * header.num_points * (axes + 1))
    allowed = max(MIN_CLIP_BYTES, CLIP_BYTES_PER_FILE_BYTE * data.size)
    if needed > allowed:
        raise PoseFileError(
            f"{data.name}: expected a clip of at most {allowed // 2**20} MiB in memory, found {num_frames} frames of {header.num_points} points "
            f"({needed // 2**20} MiB); the header is damaged, or pass start_ms and end_ms to read a part"
        )


def _stated_frames(header: PoseHeader, data: _Bytes) -> int:
    """Number of frames in the body of version 0.1 or 0.2, checked against the bytes that are there."""
    people = header.num_people or 0
    if header.num_frames == 0:
        raise ClipError(f"{data.name}: expected at least one frame, found a header that states 0; extract the poses again")
    if people == 0:
        raise ClipError(f"{data.name}: expected at least one person, found a header that states 0; extract the poses again")
    frame_bytes = 4 * people * header.num_points * (header.num_axes + 1)
    present = data.size - header.body_offset
    # Version 0.1 counts frames in 16 bits, and longer clips wrap around: the bytes tell how often.
    wraps = (present // frame_bytes - header.num_frames) // 65536 if header.version == 0.1 else 0
    num_frames = header.num_frames + 65536 * max(0, wraps)
    if num_frames * frame_bytes > present:
        raise PoseFileError(
            f"{data.name}: expected {num_frames} frames ({num_frames * frame_bytes} bytes) from byte {header.body_offset}, found {present} bytes "
            f"({present // frame_bytes} frames); the file is cut short or its header is damaged: copy or extract it again"
        )
    return num_frames


def _read_blocks(header: PoseHeader, data: _Bytes, num_frames: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames [first, last) of versions 0.1 and 0.2: all coordinates (T, P, V, C), then all confidences (T, P, V)."""
    people, points, axes = header.num_people or 0, header.num_points, header.num_axes
    per_frame, count = people * points, last - first
    coordinates = data.floats(header.body_offset + 4 * first * per_frame * axes, count * per_frame * axes)
    confidence_offset = header.body_offset + 4 * num_frames * per_frame * axes
    confidence = data.floats(confidence_offset + 4 * first * per_frame, count * per_frame)
    return coordinates.reshape(count, people, points, axes), confidence.reshape(count, people, points)


def _read_frames(header: PoseHeader, data: _Bytes, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames [first, last) of version 0.0, where each frame lists its people, and each person its components."""
    axes, points = header.num_axes, header.num_points
    person_floats = sum(len(names) * len(form) for (_, names), form in zip(header.components, header.formats, strict=True))
    frames: list[list[np.ndarray]] = []
    for frame in range(last):
        people = data.unpack("<H", f"number of people in frame {frame}")[0]
        raw = data.read(people * (2 + 4 * person_floats), f"people of frame {frame}")
        if frame >= first:
            person_bytes = 2 + 4 * person_floats  # a person begins with a 16-bit number
            frames.append([np.frombuffer(raw, "<f4", person_floats, 2 + person * person_bytes) for person in range(people)])
    num_people = max(1, max(len(people_in_frame) for people_in_frame in frames))
    coordinates = np.zeros((len(frames), num_people, points, axes), dtype=np.float32)
    confidence = np.zeros((len(frames), num_people, points), dtype=np.float32)
    for frame, people_in_frame in enumerate(frames):
        for person, values in enumerate(people_in_frame):
            start = place = 0
            for (_, names), form in zip(header.components, header.formats, strict=True):
                block = values[start : start + len(names) * len(form)].reshape(len(names), len(form))
                coordinates[frame, person, place : place + len(names), : len(form) - 1] = block[:, :-1]
                confidence[frame, person, place : place + len(names)] = block[:, -1]
                start, place = start + block.size, place + len(names)
    return coordinates, confidence


def clean(points: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mark as undetected whatever cannot be a landmark: NaN, infinite or absurd coordinates, confidence NaN, zero or negative.

    Args:
        points: (..., C).
        confidence: (...).

    Returns:
        New float32 arrays: points with NaN where undetected, confidence in [0, 1].
    """
    with np.errstate(invalid="ignore"):
        confidence = np.minimum(np.asarray(confidence, dtype=np.float32), 1)
        good = (np.abs(points) < MAX_COORDINATE).all(axis=-1) & (confidence > 0)
        return np.where(good[..., None], points, np.float32(np.nan)).astype(np.float32, copy=False), np.where(good, confidence, np.float32(0))


def choose_person(points: np.ndarray, confidence: np.ndarray, name: str = "clip") -> tuple[np.ndarray, np.ndarray]:
    """The person most surely seen over the whole clip: the largest sum of confidences; the first of equals.

    Args:
        points: (T, P, V, C).
        confidence: (T, P, V).

    Returns:
        Points (T, V, C) and confidence (T, V) of that person. Warns where there was a choice.
    """
    if points.shape[1] == 1:
        return points[:, 0], confidence[:, 0]
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.clip(np.nan_to_num(confidence, nan=0, posinf=1, neginf=0), 0, 1).sum(axis=(0, 2))
    person = int(total.argmax())
    warnings.warn(
        f"{name} shows {points.shape[1]} people; person {person + 1} is read, the one seen most surely. "
        "Give each signer a clip of their own to choose otherwise",
        PoseWarning,
        stacklevel=3,
    )
    return points[:, person], confidence[:, person]


def read_pose(
    source: str | os.PathLike | bytes | BinaryIO,
    start_ms: float | None = None,
    end_ms: float | None = None,
    fps: float | None = None,
) -> PoseClip:
    """One person's landmarks from a .pose file.

    Args:
        source: path, content, or a binary file that can seek.
        start_ms, end_ms: only the frames that show any moment of [start_ms, end_ms); None is the clip's own start or end.
        fps: frame rate to use instead of the one in the file.

    Returns:
        The clip, in the layout that the file's components name; points that the layout has and the file lacks are masked.
        Of several people the one seen most surely is read, with a warning. Bytes after the last frame are ignored.

    Raises:
        PoseFileError: no .pose file, or cut short, or of an unknown version.
        LandmarkError: points of no known layout.
        ClipError: zero frames, no person, an absurd frame rate, a range outside the clip.
    """
    file, name, ours = _open(source)
    try:
        data = _Bytes(file, name)
        header = _header(data)
        layout, places = recognise(header.components)
        rate = check_fps(header.fps if fps is None else fps, name)
        num_frames = _stated_frames(header, data) if header.version else header.num_frames
        first, last = frame_range(num_frames, rate, start_ms, end_ms, name) if num_frames else (0, 0)
        if first == last:
            raise ClipError(f"{name}: expected at least one frame, found a header that states 0; extract the poses again")
        _check_memory(last - first, layout.name, header.num_axes, header.num_people or 1, header, data)
        people = _read_blocks(header, data, num_frames, first, last) if header.version else _read_frames(header, data, first, last)
    finally:
        if ours:
            file.close()
    points, confidence = clean(*choose_person(*people, name=name))
    if places is not None:
        points, confidence = _spread(points, confidence, places, layout.num_points)
    size = (header.width or None, header.height or None)
    return PoseClip(points, confidence, layout.name, rate, *size, num_people=people[0].shape[1], source=name)


def _spread(points: np.ndarray, confidence: np.ndarray, places: tuple[int, ...], num_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Put a header's points at their places in the layout; the others are masked."""
    all_points = np.full((len(points), num_points, points.shape[-1]), np.nan, dtype=np.float32)
    all_confidence = np.zeros((len(points), num_points), dtype=np.float32)
    all_points[:, places], all_confidence[:, places] = points, confidence
    return all_points, all_confidence


def pose_bytes(clip: PoseClip) -> bytes:
    """The content of a .pose file of version 0.2 with this clip; the same clip always gives the same bytes."""
    layout = get_layout(clip.layout)
    axes = clip.points.shape[-1]
    form = {2: "XYC", 3: "XYZC"}[axes]
    components = components_of(layout)
    out = io.BytesIO()
    out.write(struct.pack("<fHHHH", 0.2, round(clip.width or 0), round(clip.height or 0), 0, len(components)))
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


_COLOURS = {"left": (0, 128, 255), "right": (255, 128, 0), "face": (128, 128, 128), "body": (0, 192, 0), "pose": (0, 192, 0)}


def _packed(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return struct.pack("<H", len(encoded)) + encoded


def write_pose(clip: PoseClip, path: str | os.PathLike) -> None:
    """Write a clip as a .pose file of version 0.2, which pose-format's tools read. Undetected points become zeros.

    Raises:
        LandmarkError: if the clip's layout is unknown.
    """
    Path(path).write_bytes(pose_bytes(clip))
