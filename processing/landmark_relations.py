"""How landmarks relate: mirror partners, counterparts in other families, links of the skeleton. By canonical name."""

from __future__ import annotations

from .landmark_names import BROWS, HAND_POINTS, MESH_LOOPS, SIDES, face_68, mesh

# Mesh points on the face's plane of symmetry. The mesh is numbered so that its left half repeats the order of its right
# half (canonical face model), which gives the mirror of all other points.
MESH_MIDLINE = (
    0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 94, 151, 152, 164, 168, 175, 195, 197, 199, 200,
)  # fmt: skip

# Mesh point for each of the 68 iBUG points: the contour points in common use for this, kept mirror symmetric.
IBUG_TO_MESH = (
    127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356,  # jaw, from eye height
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 98, 97, 2, 326, 327,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,  # lips
)  # fmt: skip


def _mesh_mirror() -> tuple[int, ...]:
    right = [index for index in range(248) if index not in MESH_MIDLINE]
    mirror = list(range(478))
    for ours, theirs in zip(right, range(248, 468), strict=True):
        mirror[ours], mirror[theirs] = theirs, ours
    # Irises: centre with centre; the ring runs to the image's right, up, left, down in both, so its sides swap.
    for ours, theirs in ((468, 473), (469, 476), (470, 475), (471, 474), (472, 477)):
        mirror[ours], mirror[theirs] = theirs, ours
    return tuple(mirror)


def _ibug_mirror() -> tuple[int, ...]:
    sums = ((range(0, 17), 16), (range(17, 27), 43), (range(31, 36), 66), (range(48, 55), 102), (range(55, 60), 114),
            (range(60, 65), 124), (range(65, 68), 132))  # fmt: skip
    mirror = list(range(68))
    for indices, total in sums:
        for index in indices:
            mirror[index] = total - index
    for ours, theirs in ((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)):
        mirror[ours], mirror[theirs] = theirs, ours
    return tuple(mirror)


MESH_MIRROR = _mesh_mirror()
IBUG_MIRROR = _ibug_mirror()


def mirrored_name(name: str) -> str:
    """Name of the landmark on the other side of the body; its own for points on the midline."""
    if name.startswith("face_mesh_"):
        return f"face_mesh_{MESH_MIRROR[int(name[10:])]}"
    if name.startswith("face_68_"):
        return f"face_68_{IBUG_MIRROR[int(name[8:])]}"
    return "_".join({"left": "right", "right": "left"}.get(word, word) for word in name.split("_"))


def _counterparts() -> dict[str, tuple[tuple[str, ...], ...]]:
    table: dict[str, list[tuple[str, ...]]] = {}

    def add(name: str, *sources: str) -> None:
        table.setdefault(name, []).append(sources)

    for index, mesh_index in enumerate(IBUG_TO_MESH):
        add(f"face_68_{index}", f"face_mesh_{mesh_index}")
        add(f"face_mesh_{mesh_index}", f"face_68_{index}")
    add("nose", "face_mesh_4")
    add("nose", "face_68_30")
    add("neck", "left_shoulder", "right_shoulder")
    add("mid_hip", "left_hip", "right_hip")
    eyes = {"left": ((362, 263), (42, 45), 473, 291, 54), "right": ((133, 33), (39, 36), 468, 61, 48)}
    for side, (mesh_corners, ibug_corners, iris, mesh_mouth, ibug_mouth) in eyes.items():
        add(f"{side}_eye", *mesh(mesh_corners))
        add(f"{side}_eye", *face_68(ibug_corners))
        for place, mesh_index, ibug_index in zip(("inner", "outer"), mesh_corners, ibug_corners, strict=True):
            add(f"{side}_eye_{place}", f"face_mesh_{mesh_index}")
            add(f"{side}_eye_{place}", f"face_68_{ibug_index}")
        add(f"{side}_pupil", f"face_mesh_{iris}")
        add(f"face_mesh_{iris}", f"{side}_pupil")
        add(f"mouth_{side}", f"face_mesh_{mesh_mouth}")
        add(f"mouth_{side}", f"face_68_{ibug_mouth}")
        add(f"{side}_wrist", f"{side}_hand_wrist")
        add(f"{side}_hand_wrist", f"{side}_wrist")
        add(f"{side}_index", f"{side}_hand_index_mcp")  # MediaPipe: "index knuckle #1"
        add(f"{side}_pinky", f"{side}_hand_pinky_mcp")
        add(f"{side}_foot_index", f"{side}_big_toe")
        add(f"{side}_big_toe", f"{side}_foot_index")
    return {name: tuple(sources) for name, sources in table.items()}


COUNTERPARTS = _counterparts()
"""For a landmark that a layout lacks: landmarks whose mean stands at the same place, best first."""


def _chains() -> tuple[tuple[str, ...], ...]:
    chains: list[tuple[str, ...]] = [
        ("left_shoulder", "right_shoulder"),
        ("left_hip", "right_hip"),
        ("mouth_left", "mouth_right"),
    ]
    for side in SIDES:
        chains += [
            ("nose", "neck", f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist", f"{side}_hand_wrist"),
            ("nose", f"{side}_eye_inner", f"{side}_eye", f"{side}_eye_outer", f"{side}_ear"),
            (f"{side}_shoulder", f"{side}_hip", f"{side}_knee", f"{side}_ankle", f"{side}_heel"),
            ("neck", "mid_hip", f"{side}_hip"),
            (f"{side}_ankle", f"{side}_big_toe", f"{side}_small_toe"),
            (f"{side}_heel", f"{side}_foot_index"),
            (f"{side}_wrist", f"{side}_thumb"),
            (f"{side}_wrist", f"{side}_index", f"{side}_pinky"),
        ]
    chains += [tuple(f"world_{name}" for name in chain) for chain in chains]
    for side in SIDES:
        for finger in ("thumb", "index", "middle", "ring", "pinky"):
            joints = tuple(point for point in HAND_POINTS if point.startswith(finger))
            chains.append(tuple(f"{side}_hand_{point}" for point in ("wrist", *joints)))
    chains += [mesh(loop + loop[:1]) for loop in MESH_LOOPS] + [mesh(brow) for brow in BROWS]
    chains += [
        face_68(range(17)),
        face_68(range(17, 22)),
        face_68(range(22, 27)),
        face_68(range(27, 31)),
        face_68(range(31, 36)),
    ]
    for loop in (range(36, 42), range(42, 48), range(48, 60), range(60, 68)):
        chains.append(face_68((*loop, loop[0])))
    return tuple(chains)


CHAINS = _chains()
"""Walks along the skeleton. A layout that lacks a point of a walk links its neighbours."""
