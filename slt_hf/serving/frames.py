"""A frame of a live stream as it travels.

Little-endian: float64 milliseconds, uint32 number, then for each landmark of the layout three float16 (x, y, z), and
after all of them one byte each, 0 where the landmark was not detected.
"""

from __future__ import annotations

import struct

import numpy as np

from slt_hf.errors import ClipError

HEADER = struct.Struct("<dI")
BYTES_PER_POINT = 7


def write_frame(time_ms: float, number: int, points: np.ndarray, confidence: np.ndarray) -> bytes:
    """Points (V, 2 or 3) of any scale that float16 holds, confidence (V,)."""
    placed = np.zeros((len(points), 3), "<f2")
    placed[:, : points.shape[1]] = np.nan_to_num(points)
    return HEADER.pack(time_ms, number) + placed.tobytes() + (confidence > 0).astype(np.uint8).tobytes()


def time_of(message: bytes, num_points: int) -> float:
    """When a frame was taken, ms.

    Raises:
        ClipError: if the message is no frame of so many points.
    """
    expected = HEADER.size + num_points * BYTES_PER_POINT
    if len(message) != expected:
        raise ClipError(f"expected {expected} bytes for {num_points} points, found {len(message)}; name the layout")
    return HEADER.unpack_from(message)[0]


def read_frame(message: bytes, num_points: int) -> tuple[float, int, np.ndarray, np.ndarray]:
    """Time (ms), number, points (V, 3), confidence (V,).

    Raises:
        ClipError: if the message has another length.
    """
    time_of(message, num_points)
    time_ms, number = HEADER.unpack_from(message)
    points = np.frombuffer(message, "<f2", num_points * 3, HEADER.size).reshape(num_points, 3).astype(np.float32)
    seen = np.frombuffer(message, np.uint8, num_points, HEADER.size + num_points * 6) > 0
    return time_ms, number, points, seen.astype(np.float32)
