"""Parts and edges of common pose layouts as plain lists, so that an encoder's config needs no landmark schema at run time.

The lists repeat what `processing.landmarks` defines by name; a test compares the two. They live here because model code
travels to the Hub without the processing package's classes.
"""

# MediaPipe hand: wrist 0, then thumb, index, middle, ring and little finger with four points each; palm arch closes it.
HAND_EDGES = [
    [0, 1], [1, 2], [2, 3], [3, 4],
    [0, 5], [5, 6], [6, 7], [7, 8],
    [9, 10], [10, 11], [11, 12],
    [13, 14], [14, 15], [15, 16],
    [0, 17], [17, 18], [18, 19], [19, 20],
    [5, 9], [9, 13], [13, 17],
]  # fmt: skip

# nose, eyes, ears, shoulders, elbows, wrists: left before right
SIGNING_BODY_EDGES = [
    [0, 1], [0, 2], [1, 3], [2, 4], [5, 6], [5, 7], [7, 9], [6, 8], [8, 10],
]  # fmt: skip


def chain(start: int, length: int, closed: bool = False) -> list[list[int]]:
    """Edges that join `length` consecutive points from `start`; `closed` joins the last to the first."""
    edges = [[start + i, start + i + 1] for i in range(length - 1)]
    return edges + [[start + length - 1, start]] if closed else edges


def shifted(edges: list[list[int]], offset: int) -> list[list[int]]:
    return [[a + offset, b + offset] for a, b in edges]


def span(start: int, stop: int) -> list[int]:
    return list(range(start, stop))


# jaw 9, brows 3 + 3, nose tip, outer lips 12, inner lips 4 (every second of iBUG's eight)
SIGNING_FACE_EDGES = chain(0, 9) + chain(9, 3) + chain(12, 3) + chain(16, 12, closed=True) + chain(28, 4, closed=True)

SIGNING_85_PARTS = {
    "body": span(0, 11),
    "left_hand": span(11, 32),
    "right_hand": span(32, 53),
    "face": span(53, 85),
}
SIGNING_85_EDGES = (
    SIGNING_BODY_EDGES
    + [[9, 11], [10, 32]]  # body wrist to hand wrist
    + shifted(HAND_EDGES, 11)
    + shifted(HAND_EDGES, 32)
    + shifted(SIGNING_FACE_EDGES, 53)
)

# Number of landmarks -> parts and edges, used when a config names only `num_landmarks`. Larger layouts list hand edges
# only: there the processor's conversion to signing_85 is the better choice.
PARTS_BY_SIZE: dict[int, tuple[dict[str, list[int]], list[list[int]]]] = {
    21: ({"right_hand": span(0, 21)}, HAND_EDGES),
    42: (
        {"left_hand": span(0, 21), "right_hand": span(21, 42)},
        HAND_EDGES + shifted(HAND_EDGES, 21),
    ),
    75: (
        {"body": span(0, 33), "left_hand": span(33, 54), "right_hand": span(54, 75)},
        [[11, 12], [11, 13], [13, 15], [12, 14], [14, 16]] + shifted(HAND_EDGES, 33) + shifted(HAND_EDGES, 54),
    ),
    85: (SIGNING_85_PARTS, SIGNING_85_EDGES),
    133: (
        {
            "body": span(0, 23),
            "left_hand": span(91, 112),
            "right_hand": span(112, 133),
            "face": span(23, 91),
        },
        [[5, 6], [5, 7], [7, 9], [6, 8], [8, 10]] + shifted(HAND_EDGES, 91) + shifted(HAND_EDGES, 112),
    ),
    543: (
        {
            "body": span(0, 33),
            "left_hand": span(501, 522),
            "right_hand": span(522, 543),
            "face": span(33, 501),
        },
        [[11, 12], [11, 13], [13, 15], [12, 14], [14, 16]] + shifted(HAND_EDGES, 501) + shifted(HAND_EDGES, 522),
    ),
}


def parts_and_edges(num_landmarks: int) -> tuple[dict[str, list[int]], list[list[int]]]:
    """Parts and edges for a layout of this many points; one part without edges where the size is not a known layout."""
    return PARTS_BY_SIZE.get(num_landmarks, ({"pose": span(0, num_landmarks)}, []))
