"""Signs are signed as their description says, and can be told apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from slt_hf.errors import SignDataError
from slt_hf.processing.landmarks import get_layout
from slt_hf.synthesis import LEXICON, Camera, Signer, handshape_points, spell, synthesize, synthesize_timed
from slt_hf.synthesis.body import body_of
from slt_hf.synthesis.choreography import choreograph
from slt_hf.synthesis.motion import perform
from slt_hf.synthesis.phonology import AUTO, score_of
from slt_hf.synthesis.places import PLACE_IDS, place

EXACT = Signer(precision_cm=0, looseness_deg=0, smoothness_ms=1, nonmanual=0, camera=Camera(fps=60))
LETTERS = "abcdefghijklmnopqrstuvwxyz"
HOLISTIC = get_layout("holistic_543")
THUMB_TIP, INDEX_TIP, MIDDLE_TIP = 4, 8, 12


def motion_of(gloss: str, signer: Signer = EXACT):
    """Movement of one sign, and its frames."""
    sentence = choreograph([gloss], signer.rest)
    motion = perform(sentence, signer, np.random.default_rng(0))
    (first, last) = sentence.spans[0]
    frames = np.arange(len(motion.hands)) * 1000 / signer.camera.fps
    return motion, (frames >= motion.ends_ms[first]) & (frames <= motion.ends_ms[last])


def closest(gloss: str, tip: int, where: str) -> float:
    """How close a point of the dominant hand comes to a place, metres."""
    motion, signed = motion_of(gloss)
    target = body_of(EXACT).places[PLACE_IDS[where]]
    return float(np.linalg.norm(motion.hands[signed, 0, tip] - target, axis=-1).min())


def test_lexicon_has_many_signs_of_many_kinds() -> None:
    kinds = {entry["kind"] for entry in LEXICON.values()}
    assert len(LEXICON) >= 150
    assert {"person", "animal", "food", "thing", "place", "verb", "adjective", "time", "question", "number"} <= kinds
    handshapes = {str(entry["hand"]) for entry in LEXICON.values()}
    assert len(handshapes) >= 30
    assert sum("base" in entry for entry in LEXICON.values()) >= 30
    assert sum("both" in entry for entry in LEXICON.values()) >= 30


@pytest.mark.parametrize(
    ("gloss", "tip", "where"),
    [
        ("MOTHER", THUMB_TIP, "chin"), ("FATHER", THUMB_TIP, "forehead"), ("I", INDEX_TIP, "chest"),
        ("SEE", INDEX_TIP, "eye"), ("EAT", MIDDLE_TIP, "mouth"), ("THINK", INDEX_TIP, "temple"),
        ("DEAF", INDEX_TIP, "ear"),
        ("WATER", INDEX_TIP, "chin"), ("LIKE", MIDDLE_TIP, "chest"), ("COW", THUMB_TIP, "temple"),
    ],
)  # fmt: skip
def test_sign_touches_its_place(gloss: str, tip: int, where: str) -> None:
    assert closest(gloss, tip, where) < 0.045


def test_family_signs_differ_in_place_only() -> None:
    assert closest("MOTHER", THUMB_TIP, "forehead") > 0.12
    assert closest("FATHER", THUMB_TIP, "chin") > 0.12


def test_two_hands_meet_where_one_is_the_base() -> None:
    motion, signed = motion_of("SCHOOL")
    palms = motion.hands[signed][:, :, [0, 5, 9, 13, 17]].mean(axis=2)
    gap = np.linalg.norm(palms[:, 0] - palms[:, 1] * [-1, 1, 1], axis=-1)
    assert gap.min() < 0.045 and gap.max() > 0.09  # claps


def test_mirror_signs_are_symmetric_and_alternating_ones_are_not() -> None:
    for gloss, symmetric in (("WANT", True), ("BOOK", True), ("CAR", False), ("BICYCLE", False)):
        motion, signed = motion_of(gloss)
        apart = np.linalg.norm(motion.hands[signed, 0, 0] - motion.hands[signed, 1, 0], axis=-1).max()
        assert (apart < 0.02) == symmetric, gloss


def test_one_handed_signs_leave_the_other_hand_at_rest() -> None:
    motion, signed = motion_of("MOTHER")
    assert np.ptp(motion.hands[signed, 1, 0], axis=0).max() < 0.01
    assert motion.hands[signed, 1, 0, 1].min() > 0.25  # low


@pytest.fixture(scope="module")
def motions() -> dict:
    """Every sign of the lexicon."""
    return {gloss: motion_of(gloss) for gloss in LEXICON}


def test_no_wrist_bends_further_than_wrists_do(motions: dict) -> None:
    for gloss, (motion, signed) in motions.items():
        hand = motion.hands[signed, 0]
        forearm = hand[:, 0] - motion.elbows[signed, 0]
        palm = hand[:, 9] - hand[:, 0]
        cosine = np.sum(forearm * palm, axis=-1) / np.linalg.norm(forearm, axis=-1) / np.linalg.norm(palm, axis=-1)
        assert np.degrees(np.arccos(cosine.min())) < 105, gloss


def test_no_hand_passes_through_the_trunk(motions: dict) -> None:
    for gloss, (motion, signed) in motions.items():
        wrist = motion.hands[signed, 0, 0]
        inside = (np.abs(wrist[:, 0]) < 0.14) & (wrist[:, 1] > 0.04) & (wrist[:, 1] < 0.45) & (wrist[:, 2] > -0.03)
        assert not inside.any(), gloss


def at_twelve_moments(hands: np.ndarray) -> np.ndarray:
    """Both hands' movement (T, 2, 21, 3) without its tempo: (12, 2, 21, 3)."""
    return hands[np.linspace(0, len(hands) - 1, 12).round().astype(int)]


def test_no_two_signs_look_alike(motions: dict) -> None:
    signatures = {gloss: at_twelve_moments(motion.hands[signed]) for gloss, (motion, signed) in motions.items()}
    for (one, a), (other, b) in itertools.combinations(signatures.items(), 2):
        assert np.linalg.norm(a - b, axis=-1).mean(axis=0).max() > 0.045, (one, other)  # of some point, on average


def test_letters_hold_still_and_j_and_z_move() -> None:
    ways = {}
    for letter in LETTERS:
        hand = handshape_points(letter, EXACT, layout="hands_42").points[:, 21:, :2]
        ways[letter] = np.ptp(hand[:, 8 if letter == "z" else 20], axis=0).max()
    width = 0.28 * 720  # of the shoulders, pixels
    assert min(ways["j"], ways["z"]) > 0.2 * width
    assert max(way for letter, way in ways.items() if letter not in "jz") < 0.06 * width


def test_letters_differ_from_each_other_in_the_picture() -> None:
    hands = {}
    for letter in LETTERS:
        hand = handshape_points(letter, EXACT).points[-1, 21:, :2]
        hands[letter] = (hand - hand[0]) / np.abs(hand - hand[0]).max()
    for (one, a), (other, b) in itertools.combinations(hands.items(), 2):
        assert np.linalg.norm(a - b, axis=-1).max() > 0.1, (one, other)


def test_palm_faces_the_camera_while_spelling() -> None:
    """A right hand with its palm to the camera and its fingers up has its thumb towards the middle of the picture."""
    for letter in "abdfilrsuvwy":
        hand = handshape_points(letter, EXACT).points[-1, 21:]
        assert hand[5, 0] > hand[17, 0] and hand[9, 1] < hand[0, 1], letter


def test_synthetic_letters_teach_real_ones(shared_data) -> None:
    """Nearest neighbours among synthetic letters name most real ones of the ASL alphabet: nobody real was seen."""
    import csv

    from slt_hf.processing.pose_files import read_pose

    def look(hand: np.ndarray) -> np.ndarray:
        hand = hand[..., :2] - hand[..., :1, :2]
        return (hand / np.abs(hand).max(axis=(-1, -2), keepdims=True)).reshape(*hand.shape[:-2], 42)

    signers = [Signer.random(np.random.default_rng((3, i))) for i in range(8)]
    signers = [signer for signer in signers if signer.handedness == "right"]
    clips = [(letter, handshape_points(letter, signer, i)) for letter in LETTERS for i, signer in enumerate(signers)]
    known = np.stack([look(clip.points[clip.num_frames // 2, 21:]) for _, clip in clips])
    folder = shared_data / "isolated" / "fingerspelling"
    right = []
    for row in csv.DictReader((folder / "manifest.csv").open()):
        if row["sign_language"] == "ase" and row["letter"]:
            hand = read_pose(folder / row["path"]).points[:, 54:75]
            hand = hand[np.isfinite(hand).all(axis=(1, 2))]
            middle = hand[len(hand) // 4 : 3 * len(hand) // 4 + 1]
            distance = ((look(middle)[:, None] - known) ** 2).sum(axis=-1).mean(axis=0)
            right.append(clips[int(distance.argmin())][0] == row["letter"].lower())
    assert len(right) == 26 and np.mean(right) > 0.5


def test_spelling_a_doubled_letter_slides() -> None:
    (_, start, end) = synthesize_timed(["fs:NN"], signer=EXACT)[1][0]
    clip = spell("nn", signer=EXACT, layout="hands_42")
    hand = clip.points[int(start * 60 / 1000) : int(end * 60 / 1000), 21, 0]
    assert np.ptp(hand) > 0.03 / 0.36 * 0.28 * 720  # three of the centimetres that the shoulders are 36 of


def test_negation_shakes_the_head_and_questions_raise_the_brows() -> None:
    signer = Signer(precision_cm=0, camera=Camera(fps=50))
    plain, negated = (synthesize(text, signer=signer) for text in ("I like coffee.", "I do not like coffee."))
    nose, ears = HOLISTIC.points.index("nose"), [HOLISTIC.points.index("left_ear"), HOLISTIC.points.index("right_ear")]
    turn = [np.ptp(clip.points[:, nose, 0] - clip.points[:, ears, 0].mean(axis=1)) for clip in (plain, negated)]
    assert turn[1] > 2 * turn[0]
    brow, eye = HOLISTIC.points.index("face_mesh_105"), HOLISTIC.points.index("face_mesh_159")
    height = {}
    for text in ("You like coffee.", "Do you like coffee?", "What do you like?"):
        points = synthesize(text, signer=signer).points
        middle = slice(len(points) // 3, 2 * len(points) // 3)
        height[text[:2]] = float((points[middle, eye, 1] - points[middle, brow, 1]).mean())
    assert height["Wh"] < height["Yo"] < height["Do"]


def test_face_looks_like_a_face() -> None:
    clip = synthesize(["I"], signer=EXACT, layout="holistic_543")
    indices = {
        "top": 10,
        "chin": 152,
        "right": 234,
        "left": 454,
        "nose": 1,
        "lip": 13,
        "low_lip": 14,
        "brow": 105,
        "eye": 159,
    }
    face = {name: clip.points[0, HOLISTIC.points.index(f"face_mesh_{index}")] for name, index in indices.items()}
    assert face["top"][1] < face["brow"][1] < face["eye"][1] < face["nose"][1] < face["lip"][1] < face["chin"][1]
    assert face["right"][0] < face["nose"][0] < face["left"][0]  # the signer's right is on the picture's left
    assert face["nose"][2] < min(face["left"][2], face["right"][2])  # nearer to the camera
    assert 1.2 < (face["chin"][1] - face["top"][1]) / (face["left"][0] - face["right"][0]) < 1.6
    assert face["lip"][1] <= face["low_lip"][1]


@pytest.mark.parametrize("bad", ["", "...", [], ["MOTER"], ["fs:!"]])
def test_nothing_to_sign_is_said_so(bad) -> None:
    with pytest.raises(SignDataError, match=r"expected .*found.*"):
        synthesize(bad)


def test_places_are_read_with_their_directions() -> None:
    where, offset = place("chin forward 4 down 2")
    assert where == PLACE_IDS["chin"] and offset.tolist() == pytest.approx([0, 0.02, -0.04])


def test_score_of_a_path_has_start_end_and_hold() -> None:
    score = score_of({"hand": "b", "at": "chin", "to": "forward 10", "palm": "back", "fingers": "up"}, {})
    assert len(score.places) == 3 and np.isnan(score.durations_ms[0]) and np.isnan(AUTO)
    assert np.allclose(score.offsets[1, 0] - score.offsets[0, 0], [0, 0, -0.1])
    assert (score.offsets[2] == score.offsets[1]).all() and score.active[:, 0].all() and not score.active[:, 1].any()
