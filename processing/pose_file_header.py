"""Headers of .pose files (versions 0.0, 0.1 and 0.2): read piece by piece, every size checked against the file's.
numpy-free.

The format is pose-format's (github.com/sign-language-processing/pose, docs/specs).
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .landmark_headers import Component
from .pose_errors import PoseFileError

PoseSource = str | os.PathLike | bytes | BinaryIO
VERSIONS = (0.0, 0.1, 0.2)

_SIGNATURES = {
    b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"PK\x03\x04": "a zip archive or .npz",
    b"\x93NUMPY": "a .npy array", b"\x1f\x8b": "a gzip file", b"\x89HDF": "an HDF5 file", b"PAR1": "a parquet file",
    b"\x80\x02": "a pickle (never unpickled here)", b"\x80\x03": "a pickle (never unpickled here)",
    b"\x80\x04": "a pickle (never unpickled here)", b"\x80\x05": "a pickle (never unpickled here)",
    b"RIFF": "a RIFF media file",
}  # fmt: skip


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


class FileBytes:
    """A file read piece by piece; asking for more than it holds is an error that names the place."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file, self.name = file, name
        start = file.tell()
        self.size = file.seek(0, os.SEEK_END)
        file.seek(start)

    def read(self, count: int, what: str) -> bytes:
        place = self.file.tell()
        content = self.file.read(count) if count <= self.size - place else b""
        if len(content) < count:
            raise PoseFileError(
                f"{self.name}: expected {count} bytes of {what} at byte {place}, found {max(0, self.size - place)} "
                "before the end; the file is cut short: copy or extract it again"
            )
        return content

    def unpack(self, form: str, what: str) -> tuple:
        return struct.unpack(form, self.read(struct.calcsize(form), what))

    def text(self, what: str) -> str:
        place = self.file.tell()
        try:
            return self.read(self.unpack("<H", what)[0], what).decode("utf-8")
        except UnicodeDecodeError:
            raise PoseFileError(
                f"{self.name}: {what} at byte {place} is not UTF-8 text; the file is damaged: extract it again"
            ) from None

    def read_at(self, offset: int, count: int, what: str) -> bytes:
        self.file.seek(offset)
        return self.read(count, what)


def open_source(source: PoseSource) -> tuple[BinaryIO, str, bool]:
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
            raise PoseFileError(
                f"{path}: expected a readable .pose file, found: {error.strerror}; check its permissions"
            ) from None
    name = str(getattr(source, "name", "<file>"))
    return (source, name, False) if source.seekable() else (io.BytesIO(source.read()), name, True)


def _version(data: FileBytes) -> float:
    if data.size == 0:
        raise PoseFileError(f"{data.name}: expected a .pose file, found an empty file; copy or extract it again")
    start = data.file.read(8)
    data.file.seek(-len(start), os.SEEK_CUR)
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            raise PoseFileError(
                f"{data.name}: expected a .pose file, found {kind}; pass a .pose file, or read this one as what it is"
            )
    value = data.unpack("<f", "version")[0]
    version = next((known for known in VERSIONS if value == known or (known and abs(value - known) < 5e-4)), None)
    if version is None:
        text = (
            start.decode("ascii", "replace") if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start) else None
        )
        found = f"text beginning {text!r}" if text else f"version {value:.4g} at byte 0"
        raise PoseFileError(
            f"{data.name}: expected a .pose file of version 0.0, 0.1 or 0.2, found {found}; extract the poses again"
        )
    return version


def _component(data: FileBytes, number: int) -> tuple[Component, str]:
    name, form = data.text(f"name of component {number}"), data.text(f"format of component {number}")
    num_points, num_limbs, num_colours = data.unpack("<HHH", f"sizes of component {number}")
    points = tuple(data.text(f"point name of component {number}") for _ in range(num_points))
    data.read(4 * num_limbs + 6 * num_colours, f"limbs and colours of component {number}")
    if not 3 <= len(form) <= 4 or not form.endswith("C"):
        raise PoseFileError(
            f"{data.name}: component {name[:40]!r} has point format {form[:20]!r}, expected XYC or XYZC; extract the "
            "poses again"
        )
    return (name, points), form


_Components = tuple[tuple[Component, ...], tuple[str, ...]]
_SEEN: dict[bytes, _Components] = {}  # the bytes of components read before: a corpus repeats the same few headers
_MOST_SEEN = 8


def _components(data: FileBytes) -> _Components:
    """Components and their point formats; each distinct list is parsed once."""
    start = data.file.tell()
    for content, parsed in tuple(_SEEN.items()):
        if data.size - start >= len(content) and data.file.read(len(content)) == content:
            return parsed
        data.file.seek(start)
    (num_components,) = data.unpack("<H", "number of components")
    read = [_component(data, number) for number in range(num_components)]
    components, formats = tuple(component for component, _ in read), tuple(form for _, form in read)
    if not any(points for _, points in components):
        raise PoseFileError(
            f"{data.name}: expected components with points in the header, found none; extract the poses again"
        )
    if len(_SEEN) < _MOST_SEEN:
        _SEEN[data.read_at(start, data.file.tell() - start, "components")] = components, formats
    return components, formats


def parse_header(data: FileBytes) -> PoseHeader:
    """The header that `data` stands at; `data` is left where the frames begin.

    Raises:
        PoseFileError: if it is no .pose file or ends inside the header.
    """
    version = _version(data)
    width, height, depth = data.unpack("<HHH", "image size")
    components, formats = _components(data)
    num_people: int | None = None
    if version == 0.0:
        fps, num_frames = data.unpack("<HH", "frame rate and number of frames")
    elif version == 0.1:
        fps, num_frames, num_people = data.unpack("<HHH", "frame rate, number of frames and people")
    else:
        fps, num_frames, num_people = data.unpack("<fIH", "frame rate, number of frames and people")
    return PoseHeader(
        version, width, height, depth, components, formats, float(fps), num_frames, num_people, data.file.tell()
    )


def read_pose_header(source: PoseSource) -> PoseHeader:
    """What a .pose file says about itself. Cheap: no frames are read; nothing is checked that only the frames can tell.

    Raises:
        PoseFileError: if it is no .pose file or ends inside the header.
    """
    file, name, ours = open_source(source)
    try:
        return parse_header(FileBytes(file, name))
    finally:
        if ours:
            file.close()
