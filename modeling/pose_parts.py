"""Parts and edges of common pose layouts as plain lists, so that building an encoder needs no landmark schema.

They repeat what `processing/landmarks.py` derives from names; a test compares the two. They are here because code in
this folder travels to the Hub beside the weights and imports nothing of the processing folder.
"""


def chain(*points: int) -> list[list[int]]:
    """Edges from each point to the next."""
    return [[a, b] for a, b in zip(points, points[1:], strict=False)]


def run(start: int, length: int, closed: bool = False) -> list[list[int]]:
    """Edges through `length` consecutive points; `closed` joins the last to the first."""
    points = [*range(start, start + length), *([start] if closed else [])]
    return chain(*points)


def hand(wrist: int) -> list[list[int]]:
    """MediaPipe's hand: five fingers of four points, each from the wrist."""
    return [
        edge for finger in range(5) for edge in chain(wrist, *range(wrist + 1 + 4 * finger, wrist + 5 + 4 * finger))
    ]


def span(start: int, stop: int) -> list[int]:
    return list(range(start, stop))


# COCO's upper body: nose, eyes, ears, shoulders, elbows, wrists, left before right
BODY_11 = chain(0, 1, 3) + chain(0, 2, 4) + chain(0, 5, 7, 9) + chain(0, 6, 8, 10) + chain(5, 6)
# then hips, knees, ankles, and the toes and heels of COCO-WholeBody
BODY_23 = BODY_11 + chain(5, 11, 13, 15, 19) + chain(6, 12, 14, 16, 22) + chain(11, 12)
BODY_23 += chain(15, 17, 18) + chain(16, 20, 21)
# MediaPipe's body
BODY_33 = (
    chain(0, 1, 2, 3, 7) + chain(0, 4, 5, 6, 8) + chain(9, 10) + chain(0, 11, 13, 15, 21) + chain(0, 12, 14, 16, 22)
)
BODY_33 += chain(11, 12) + chain(15, 19, 17) + chain(16, 20, 18)
BODY_33 += chain(11, 23, 25, 27, 29, 31) + chain(12, 24, 26, 28, 30, 32) + chain(23, 24)

# jaw, brows, (nose tip), outer lips, inner lips: iBUG's 68 points thinned to 32
FACE_32 = run(53, 9) + run(62, 3) + run(65, 3) + run(69, 12, closed=True) + run(81, 4, closed=True)
# iBUG's 68: jaw, brows, nose, eyes, outer and inner lips
FACE_68 = run(23, 17) + run(40, 5) + run(45, 5) + run(50, 4) + run(54, 5)
FACE_68 += run(59, 6, closed=True) + run(65, 6, closed=True) + run(71, 12, closed=True) + run(83, 8, closed=True)

# number of landmarks -> parts, edges
PARTS_BY_SIZE: dict[int, tuple[dict[str, list[int]], list[list[int]]]] = {
    21: ({"right_hand": span(0, 21)}, hand(0)),
    42: ({"left_hand": span(0, 21), "right_hand": span(21, 42)}, hand(0) + hand(21)),
    75: (
        {"body": span(0, 33), "left_hand": span(33, 54), "right_hand": span(54, 75)},
        BODY_33 + chain(15, 33) + chain(16, 54) + hand(33) + hand(54),
    ),
    85: (
        {"body": span(0, 11), "left_hand": span(11, 32), "right_hand": span(32, 53), "face": span(53, 85)},
        BODY_11 + chain(9, 11) + chain(10, 32) + hand(11) + hand(32) + FACE_32,
    ),
    133: (
        {"body": span(0, 23), "left_hand": span(91, 112), "right_hand": span(112, 133), "face": span(23, 91)},
        BODY_23 + chain(9, 91) + chain(10, 112) + hand(91) + hand(112) + FACE_68,
    ),
    # the 468 points of the face mesh stay without edges: signing_85 is the better choice for so many
    543: (
        {"body": span(0, 33), "left_hand": span(501, 522), "right_hand": span(522, 543), "face": span(33, 501)},
        BODY_33 + chain(15, 501) + chain(16, 522) + hand(501) + hand(522),
    ),
}


def parts_and_edges(num_landmarks: int) -> tuple[dict[str, list[int]], list[list[int]]]:
    """Parts and edges for a layout of this many points; one part without edges where the size is not a known layout."""
    return PARTS_BY_SIZE.get(num_landmarks, ({"pose": span(0, num_landmarks)}, []))
