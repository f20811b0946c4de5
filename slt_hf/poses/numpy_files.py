"""Read .npy and .npz in bounded memory; arrays of Python objects go through the allow-list reader."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from slt_hf.errors import PoseFileError
from slt_hf.poses.safe_pickle import MAX_BYTES, load_pickle


def read_npy(path: str | Path) -> np.ndarray:
    """The array of a .npy file.

    Raises:
        PoseFileError: absent, damaged or cut file; objects that are not plain data.
    """
    path = Path(path)
    content = _content(path)
    return _array(io.BytesIO(content), len(content), str(path))


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name. The last one read is kept, since files of many clips are read clip by clip.

    Raises:
        PoseFileError: as for `read_npy`; an archive that unpacks to more than 4 GiB.
    """
    return _read_npz(Path(path), version_of(path))


def version_of(path: str | Path) -> tuple[int, int] | None:
    """Size and time of a file, for caches: None where there is no file."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=1)
def _read_npz(path: Path, version: tuple[int, int] | None) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(_content(path))) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            if sum(entry.file_size for entry in entries) > MAX_BYTES:
                raise PoseFileError(f"{path}: expected at most {MAX_BYTES} bytes of arrays, found more; split the file")
            arrays = {entry.filename[:-4]: archive.read(entry) for entry in entries}
    # zipfile's own: NotImplementedError for compression that Python does not know, RuntimeError for a password
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise PoseFileError(f"{path}: expected a .npz archive, found damage ({error}); copy the file again") from None
    return {name: _array(io.BytesIO(raw), len(raw), f"{path}, array {name}") for name, raw in arrays.items()}


def _content(path: Path) -> bytes:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise PoseFileError(f"{path}: expected a file, found {found}; check the path")
    return path.read_bytes()


def _array(file: BinaryIO, size: int, name: str) -> np.ndarray:
    shape, fortran, dtype = _header(file, name)
    rest = size - file.tell()
    if dtype.hasobject:
        array = load_pickle(file.read())
        if not isinstance(array, np.ndarray) or array.shape != shape:
            raise PoseFileError(f"{name}: expected an array of shape {shape}, found other content; copy the file again")
        return array
    needed = math.prod(shape) * dtype.itemsize
    if needed > rest:
        raise PoseFileError(
            f"{name}: expected {needed} bytes for shape {shape}, found {rest}; the file is cut, copy it again"
        )
    array = np.frombuffer(file.read(needed), dtype)  # read-only, so that a kept one stays as it is
    return array.reshape(shape, order="F" if fortran else "C")


def _header(file: BinaryIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        return np.lib.format.read_array_header_2_0(file)
    except Exception as error:  # numpy evaluates the header as a literal: a damaged one can raise anything
        raise PoseFileError(f"{name}: expected a .npy array, found damage ({error}); copy the file again") from None


def as_plain(array: np.ndarray) -> object:
    """What an array without dimensions holds: np.save wraps numbers and dictionaries into one."""
    return array.item() if array.shape == () else array
