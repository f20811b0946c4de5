"""Make slt_hf/synthesis/face_mesh.txt: a face for the synthetic signer, with MediaPipe's 468 indices.

The features (eyes, brows, lips, nose, oval) are curves of our own at the mesh indices that MediaPipe names for them;
all other points are spread evenly between them along the mesh's triangles (uniform Laplacian). Depth is a parametric
surface: half an ellipsoid with a nose. Run in the extraction environment, which has MediaPipe for the index lists:

    make extract-env && .venv-extract/bin/python scripts/make_face_mesh.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

NUM_POINTS = 468
OUTPUT = Path(__file__).resolve().parent.parent / "slt_hf" / "synthesis" / "face_mesh.txt"

# Right half (x < 0, the signer's right), outermost first; the left half is its mirror image. Millimetres, y down.
RIGHT_EYE_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
RIGHT_EYE_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
LEFT_EYE_UPPER = (263, 466, 388, 387, 386, 385, 384, 398, 362)
LEFT_EYE_LOWER = (263, 249, 390, 373, 374, 380, 381, 382, 362)
RIGHT_BROW_UPPER, RIGHT_BROW_LOWER = (70, 63, 105, 66, 107), (46, 53, 52, 65, 55)
LEFT_BROW_UPPER, LEFT_BROW_LOWER = (300, 293, 334, 296, 336), (276, 283, 282, 295, 285)
LIPS_OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIPS_OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
LIPS_INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIPS_INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
OVAL_LEFT = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152)
OVAL_RIGHT = (10, 109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
NOSE_LINE = {168: -245, 6: -238, 197: -229, 195: -219, 5: -211, 4: -204, 1: -199, 19: -194, 94: -190, 2: -187}
NOSTRILS = {98: (-9, -188), 97: (-4, -187), 64: (-15, -192), 48: (-16, -198), 115: (-14, -203)}
NOSTRILS_LEFT = {327: (9, -188), 326: (4, -187), 294: (15, -192), 278: (16, -198), 344: (14, -203)}
MIDLINE = {151: -290, 9: -270, 8: -257, 164: -180, 18: -147, 200: -136, 199: -128, 175: -123}
MOUTH_Y, EYE_Y, BROW_Y = -162.0, -244.0, -263.0


def _arch(
    points: tuple[int, ...], left: float, right: float, base: float, height: float
) -> dict[int, tuple[float, float]]:
    """Points on a parabola from (left, base) to (right, base), ``height`` above it in the middle."""
    share = np.linspace(0, 1, len(points))
    return {p: (left + (right - left) * s, base - 4 * height * s * (1 - s)) for p, s in zip(points, share, strict=True)}


def _oval(points: tuple[int, ...], side: float) -> dict[int, tuple[float, float]]:
    angle = np.linspace(0, np.pi, len(points))
    x = 71 * np.sin(angle) ** 0.85 * np.where(angle > np.pi / 2, 1 - 0.20 * np.cos(angle) ** 2, 1)
    y = np.where(angle < np.pi / 2, -228 - 84 * np.cos(angle), -228 - 110 * np.cos(angle))
    return {p: (side * float(a), float(b)) for p, a, b in zip(points, x, y, strict=True)}


def features() -> dict[int, tuple[float, float]]:
    """Index to (x, y) of every point that lies on a named feature."""
    fixed: dict[int, tuple[float, float]] = {}
    fixed |= _oval(OVAL_LEFT, 1) | _oval(OVAL_RIGHT, -1)
    for side, upper, lower in ((-1, RIGHT_EYE_UPPER, RIGHT_EYE_LOWER), (1, LEFT_EYE_UPPER, LEFT_EYE_LOWER)):
        fixed |= _arch(upper, side * 47, side * 18, EYE_Y, 5.5) | _arch(lower, side * 47, side * 18, EYE_Y, -4.5)
    for side, above, below in ((-1, RIGHT_BROW_UPPER, RIGHT_BROW_LOWER), (1, LEFT_BROW_UPPER, LEFT_BROW_LOWER)):
        fixed |= _arch(above, side * 54, side * 12, BROW_Y - 3, 6) | _arch(below, side * 52, side * 13, BROW_Y + 2, 5)
    fixed |= _arch(LIPS_OUTER_UPPER, -26, 26, MOUTH_Y, 8) | _arch(LIPS_OUTER_LOWER, -26, 26, MOUTH_Y, -10)
    fixed |= _arch(LIPS_INNER_UPPER, -22, 22, MOUTH_Y, 1.2) | _arch(LIPS_INNER_LOWER, -22, 22, MOUTH_Y, -1.2)
    fixed |= NOSTRILS | NOSTRILS_LEFT | {p: (0.0, float(y)) for p, y in {**NOSE_LINE, **MIDLINE}.items()}
    return fixed


def depth(xy: np.ndarray) -> np.ndarray:
    """z of the face's surface in millimetres, negative towards the camera: (V, 2) to (V,)."""
    x, y = xy[:, 0], xy[:, 1]
    skull = -102 + 88 * np.minimum((x / 71) ** 2, 1.2) + 22 * ((y + 205) / 95) ** 2
    ridge = np.interp(y, [-250, -203, -197, -184], [0.0, 1.0, 0.95, 0.0])
    eyes = 6 * np.exp(-(((np.abs(x) - 32) / 14) ** 2) - ((y + 244) / 8) ** 2)
    lips = -6 * np.exp(-((x / 20) ** 2) - ((y + 162) / 9) ** 2)
    chin = -5 * np.exp(-((x / 18) ** 2) - ((y + 128) / 9) ** 2)
    return skull - 27 * np.exp(-((x / 11) ** 2)) * ridge + eyes + lips + chin


def make_mesh(triangle_edges: list[tuple[int, int]]) -> np.ndarray:
    """All points in millimetres, (468, 3): features fixed, the rest each in the middle of its neighbours."""
    fixed = features()
    neighbours = np.zeros((NUM_POINTS, NUM_POINTS))
    for a, b in triangle_edges:
        neighbours[a, b] = neighbours[b, a] = 1
    laplacian = np.diag(neighbours.sum(axis=1)) - neighbours
    known, free = sorted(fixed), sorted(set(range(NUM_POINTS)) - set(fixed))
    xy = np.zeros((NUM_POINTS, 2))
    xy[known] = [fixed[p] for p in known]
    xy[free] = np.linalg.solve(laplacian[np.ix_(free, free)], -laplacian[np.ix_(free, known)] @ xy[known])
    return np.concatenate([xy, depth(xy)[:, None]], axis=1)


def main() -> None:
    """Write the table: one line of x y z a point, in the order of MediaPipe's indices."""
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

    mesh = make_mesh(sorted(FACEMESH_TESSELATION))
    note = "Face mesh indices 0-467: x y z in mm; x to the signer's left, y down, z away; by scripts/make_face_mesh.py"
    np.savetxt(OUTPUT, mesh, fmt="%.1f", header=note)
    print(f"{OUTPUT}: {len(mesh)} points")


if __name__ == "__main__":
    main()
