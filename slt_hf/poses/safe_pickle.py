"""Read pickles without unpickling: only numpy arrays, numbers, text and plain containers get through.

`pickle.load` runs whatever a file says. Here nothing a file names is ever imported: each allowed name stands for a
function of this module that checks its arguments, arrays are built from their raw bytes, every other name is refused.
Torch tensors are read into numpy arrays the same way, without torch.

The interpreter's Python unpickler is used rather than the C one: its memo is a dictionary, so that a file cannot make
it allocate memory by naming a high memo index, and its reads are bounded by the bytes that are there.
"""

from __future__ import annotations

import gzip
import io
import math
import pickle
import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.errors import PoseFileError

MAX_BYTES = 1 << 32  # of unpacked content: 4 GiB
NUMBERS = "bBhHiIlLqQefdgFD?SU"  # dtype characters: booleans, integers, floats, complex, bytes and text
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # of torch.save's first format (torch/serialization.py)
_TORCH_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


def load_pickle(source: str | Path | bytes, *, max_bytes: int = MAX_BYTES) -> Any:
    """The content of a pickle, gzipped or not, if it holds nothing but data.

    Raises:
        PoseFileError: a name outside the allow-list (which is not called), damage, or more than `max_bytes` of content.
    """
    name = "<bytes>" if isinstance(source, bytes) else str(source)
    content = source if isinstance(source, bytes) else _read(Path(source))
    if content[:2] == b"\x1f\x8b":
        content = _unzip(content, name, max_bytes)
    return _load(content, name)


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise PoseFileError(
            f"{path}: expected a pickle, found {'a folder' if path.is_dir() else 'nothing'}; check the path"
        )
    return path.read_bytes()


def _unzip(content: bytes, name: str, max_bytes: int) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as file:
            unpacked = file.read(max_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise PoseFileError(
            f"{name}: expected a whole gzip file, found damage ({error}); copy the file again"
        ) from None
    if len(unpacked) > max_bytes:
        raise PoseFileError(f"{name}: expected at most {max_bytes} bytes of content, found more; split the file")
    return unpacked


def _load(content: bytes, name: str) -> Any:
    try:
        return _finish(_Reader(io.BytesIO(content), name).load(), {})
    except PoseFileError:
        raise
    except _Refused as refusal:
        raise PoseFileError(
            f"{name}: expected only arrays, numbers and text, found {refusal}, which is not run; ask for the "
            f"data as .npz or .pose"
        ) from None
    except RecursionError:
        raise PoseFileError(
            f"{name}: expected containers nested a few levels deep, found too many; ask for the data as .npz"
        ) from None
    except (
        Exception
    ) as error:  # a damaged pickle can raise anything: EOFError, IndexError, KeyError, UnicodeDecodeError, ...
        raise PoseFileError(
            f"{name}: expected a whole pickle, found damage ({type(error).__name__}: {error}); copy the file again"
        ) from None


class _Refused(Exception):
    """Something outside the allow-list."""


class _Allowed:
    """A function that a pickle may call by name. Nothing can be set on it: a pickle's state would outlive the load."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise _Refused(f"a change of {name} on a function")

    def __setstate__(self, state: Any) -> None:
        raise _Refused("state for a function")


class _DType:
    """A numpy dtype in the making: its characters, then the byte order that its state brings."""

    def __init__(self, code: str) -> None:
        self.dtype = _checked(code)

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise _Refused("a dtype with fields or an unknown byte order")
        self.dtype = self.dtype.newbyteorder(order) if order in "<>" else self.dtype


def _checked(code: Any) -> np.dtype:
    if isinstance(code, bytes):
        code = code.decode("ascii")
    dtype = np.dtype(code) if isinstance(code, str) else None
    if dtype is None or not (dtype.char in NUMBERS or dtype == np.dtype("O")) or dtype.subdtype is not None:
        raise _Refused(f"an array of {str(code)[:40]!r}")
    return dtype


class _Array:
    """A numpy array in the making; `value` is there once its state has come."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        self.value = _array(content, dtype.dtype, shape, "F" if fortran else "C")


def _array(content: Any, dtype: np.dtype, shape: Any, order: str) -> np.ndarray:
    """An array over a copy of `content`: raw bytes, or a list for an array of objects."""
    shape = tuple(shape)
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise _Refused(f"an array of shape {shape!r}")
    if dtype == np.dtype("O"):
        if not isinstance(content, list) or len(content) != math.prod(shape):
            raise _Refused(f"an array of objects that does not fill its shape {shape}")
        array = np.empty(len(content), dtype=object)
        for place, entry in enumerate(content):  # one by one: assigning the list would spread nested sequences
            array[place] = entry
        return array.reshape(shape, order=order)  # type: ignore[call-overload]
    if isinstance(content, str):
        content = content.encode("latin1")  # Python 2 wrote raw bytes as text
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise _Refused(f"{len(content)} bytes for an array of shape {shape} and type {dtype}")
    return np.frombuffer(content, dtype).reshape(shape, order=order).copy()  # type: ignore[call-overload]


def _scalar(dtype: _DType, content: Any = b"") -> Any:
    return _array(content, dtype.dtype, (), "C")[()]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"text in the encoding {str(encoding)[:20]}")
    return text.encode("latin1")


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> np.ndarray:
    """torch._utils._rebuild_tensor_v2, on a numpy storage: a checked view, copied."""
    storage = storage.value if isinstance(storage, _Storage) else storage
    last = (
        offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
        if 0 not in size
        else offset - 1
    )
    if min((offset, *size, *stride), default=0) < 0 or last >= len(storage) or math.prod(size) > max(1, len(storage)):
        raise _Refused(f"a tensor of shape {tuple(size)} over a storage of {len(storage)} numbers")
    steps = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], tuple(size), steps).copy()


class _Storage:
    """A torch storage whose numbers come after the pickle that names it."""

    def __init__(self, dtype: str, count: int) -> None:
        self.dtype, self.count = np.dtype(dtype), count
        self.value = np.empty(0, self.dtype)


def _storage(content: bytes) -> np.ndarray:
    """torch.storage._load_from_bytes: magic number, protocol, system, the storage's name, its keys, its numbers."""
    file = io.BytesIO(content)
    storages: dict[str, _Storage] = {}
    header = [_Reader(file, "a torch tensor", storages).load() for _ in range(5)]
    magic, protocol, _, storage, keys = header
    if magic != _TORCH_MAGIC or protocol != 1001 or not isinstance(storage, _Storage) or not isinstance(keys, list):
        raise _Refused("a torch tensor in another format than torch.save's first")
    for key in keys:
        wanted = storages[key]
        count = struct.unpack("<q", file.read(8))[0]
        numbers = file.read(count * wanted.dtype.itemsize) if 0 <= count == wanted.count else b""
        wanted.value = np.frombuffer(numbers, wanted.dtype)
        if len(wanted.value) != wanted.count:
            raise _Refused(f"a torch tensor of {wanted.count} numbers that are not there")
    return storage.value


def _bytes(content: bytes | str = b"", encoding: str = "latin1") -> bytes:
    """bytes or bytearray of content; a bare length, which would allocate, is refused."""
    if not isinstance(content, bytes | str):
        raise _Refused(f"{type(content).__name__} as bytes")
    return _encode(content, encoding) if isinstance(content, str) else content


def _new_array(*_: Any) -> _Array:
    return _Array()  # numpy asks for an empty array of a class and sends shape and content as its state


_BUILTINS: dict[str, Callable[..., Any]] = {
    "set": set,
    "frozenset": frozenset,
    "complex": complex,
    "bytes": _bytes,
    "bytearray": lambda *content: bytearray(_bytes(*content)),
}
_NUMPY: dict[str, Callable[..., Any]] = {
    "multiarray._reconstruct": _new_array,
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": lambda content, dtype, shape, order: _array(content, dtype.dtype, shape, order),
}
_ALLOWED: Mapping[str, _Allowed] = {
    "numpy.dtype": _Allowed(lambda code, *_: _DType(code)),
    "numpy.ndarray": _Allowed(_new_array),
    "collections.OrderedDict": _Allowed(OrderedDict),
    "torch._utils._rebuild_tensor_v2": _Allowed(_tensor),
    "torch.storage._load_from_bytes": _Allowed(_storage),
    "_codecs.encode": _Allowed(_encode),
    **{
        f"{module}.{name}": _Allowed(call) for module in ("builtins", "__builtin__") for name, call in _BUILTINS.items()
    },
    **{f"numpy.{core}.{name}": _Allowed(call) for core in ("core", "_core") for name, call in _NUMPY.items()},
}


class _Reader(pickle._Unpickler):  # type: ignore[name-defined, misc]  # the Python implementation; see above
    """Builds what a pickle describes, out of `_ALLOWED` names only."""

    def __init__(self, file: io.BytesIO, name: str, storages: dict[str, _Storage] | None = None) -> None:
        super().__init__(file, encoding="latin1")
        self.name, self.storages = name, storages

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if self.storages is not None and module == "torch" and name in _TORCH_STORAGES:
            return name
        if full not in _ALLOWED:
            raise _Refused(f"the name {full[:80]}")
        return _ALLOWED[full]

    def get_extension(self, code: int) -> None:
        raise _Refused(f"the extension {code}")

    def persistent_load(self, place: Any) -> Any:
        if self.storages is None or not isinstance(place, tuple) or len(place) != 6 or place[0] != "storage":
            raise _Refused("a reference to something outside the file")
        _, kind, key, _, count, view = place
        if kind not in _TORCH_STORAGES or view is not None or not isinstance(count, int) or count < 0:
            raise _Refused(f"a torch storage of kind {str(kind)[:40]}")
        return self.storages.setdefault(key, _Storage(_TORCH_STORAGES[kind], count))


def _finish(value: Any, done: dict[int, Any]) -> Any:
    """Replace arrays in the making by arrays, in whatever containers they are."""
    if isinstance(value, str | bytes | int | float | complex | bool | None):
        return value
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, _Array):
        if value.value is None:
            raise _Refused("an array without content")
        finished: Any = value.value
        done[id(value)] = finished
        if finished.dtype == np.dtype("O"):
            for place in np.ndindex(finished.shape):
                finished[place] = _finish(finished[place], done)
    elif isinstance(value, list):
        done[id(value)] = finished = value
        finished[:] = [_finish(entry, done) for entry in value]
    elif isinstance(value, dict):
        done[id(value)] = finished = value
        for key, entry in value.items():
            finished[key] = _finish(entry, done)
    elif isinstance(value, tuple):
        finished = tuple(_finish(entry, done) for entry in value)
        done[id(value)] = finished
    elif isinstance(value, set | frozenset | bytearray | np.generic | np.ndarray):
        finished = value
    elif isinstance(value, _DType):
        finished = value.dtype
    else:
        raise _Refused(f"an object of {type(value).__name__.strip('_')}")
    return finished
