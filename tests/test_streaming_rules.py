"""The rules of a stream, alone: clock, resting hands, what is said, when words stand, where a sentence ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slt_hf.confidence import Calibration
from slt_hf.errors import RecipeError
from slt_hf.processing.pose_resampling import resample
from slt_hf.streaming import StreamPolicy
from slt_hf.streaming.agreement import Agreement
from slt_hf.streaming.arm import Arm
from slt_hf.streaming.frame_clock import FrameClock
from slt_hf.streaming.sentence_end import Guess, SentenceEnd, step_between
from slt_hf.streaming.silence import Silence


def moving(frames: int) -> tuple[np.ndarray, np.ndarray]:
    points = np.random.default_rng(0).normal(size=(frames, 4, 2)).astype(np.float32)
    return points, np.ones((frames, 4), np.float32)


@pytest.mark.parametrize("fps", [10.0, 24.0, 25.0, 30.0, 60.0])
def test_frames_at_any_rate_become_what_resampling_the_clip_gives(fps: float):
    points, confidence = moving(40)
    clock = FrameClock(25.0, max_gap_ms=250)
    made = [clock.push(*frame, 1000 * index / fps) for index, frame in enumerate(zip(points, confidence, strict=True))]
    live = np.concatenate([each for each, _ in made])
    offline, _ = resample(points, confidence, fps, 25.0)
    assert abs(len(live) - len(offline)) <= max(1, 25 / fps)  # the clip lasts until its last frame ends
    common = min(len(live), len(offline))
    np.testing.assert_allclose(live[:common], offline[:common], atol=1e-4)


def test_nothing_is_made_up_where_the_camera_was_away():
    points, confidence = moving(3)
    clock = FrameClock(25.0, max_gap_ms=250)
    clock.push(points[0], confidence[0], 0)
    _, seen = clock.push(points[1], confidence[1], 1000)
    assert len(seen) == 25 and not seen[:-1].any() and seen[-1].all()


def test_frames_that_come_late_are_left_out_and_counted():
    points, confidence = moving(3)
    clock = FrameClock(25.0, max_gap_ms=250)
    for frame, time_ms in enumerate((0, 80, 40)):
        made, _ = clock.push(points[frame], confidence[frame], time_ms)
    assert len(made) == 0 and clock.late == 1


@pytest.mark.parametrize(("goal", "arrives"), [((0.0, 1.5), True), ((0.45, 1.5), False)])
def test_a_hand_is_on_its_way_to_its_rest_only_if_it_goes_straight_there(goal: tuple[float, float], arrives: bool):
    """A sign that is made as low as hands rest, half an upper arm beside them."""
    arm = Arm(raised=0.2, near=0.3, ahead=3.0)
    way = [(0.0, 1.5)] * 8 + [(share * goal[0], 0.2 + share * (goal[1] - 0.2)) for share in (0.0, 0.2, 0.4)]
    for place in way:
        arm.look((0.0, 0.0), (0.0, 1.0), place, 1.0)
        if place == (0.0, 1.5):
            arm.learn()
    assert arm.resting == arrives


@pytest.mark.parametrize(
    ("text", "confidence", "duration_ms", "signs", "certainty", "said"),
    [
        ("Do I see Luis?", 0.9, 6000, 7, 0.9, True),  # spelled: few characters a second, and signs enough
        ("Think.", 0.9, 2400, 1, 1.0, False),  # a hand that stays up for so long does something else
        ("Think.", 0.9, 1700, 1, 1.0, True),
        ("Think.", 0.9, 1700, 1, 0.97, False),  # not certain enough for a sign alone
        ("Think.", 0.9, 2000, 2, 0.97, False),  # one sign, read twice
        ("I think.", 0.9, 2000, 2, 0.97, True),
        ("The girl swims.", 1.0, 6000, 3, 0.9, True),  # somebody slow
        ("The girl swims.", 1.0, 9500, 3, 0.9, False),
        ("Think.", 0.9, 1500, 0, 0.0, False),  # the encoder read no sign at all
        ("Think.", 0.9, 2400, None, None, False),  # an encoder that does not tell: characters count
        ("Think.", 0.9, 1700, 1, None, True),  # one that tells signs alone
        ("I think.", 0.2, 2000, 2, 1.0, False),
    ],
)
def test_what_is_said_is_sure_and_signed_fast_enough(
    text: str, confidence: float, duration_ms: float, signs: int | None, certainty: float | None, said: bool
):
    limits: dict[str, Any] = {"slowest_ms": 200.0, "slowest_sign_ms": 800.0, "alone_certainty": 0.99}
    own = Silence.of(StreamPolicy(), Calibration(abstain_below=0.3, **limits))
    assert own.says(text, confidence, duration_ms, signs, certainty) == said


def test_words_stand_when_guesses_agree_and_the_last_one_waits():
    agreement = Agreement(StreamPolicy(commit="agreement"))
    agreement.take("Tomorrow we will.")
    agreement.take("Tomorrow we will go.")
    assert agreement.committed == "Tomorrow"  # "we" is the last word that both have
    assert agreement.finish("Tomorrow they go home.") == "Tomorrow they go home."


def test_a_sentence_is_over_before_a_sign_that_leaves_it_as_it_is():
    def over(*guesses: tuple[str, float, int]) -> list[int | None]:
        sentences = SentenceEnd(0.5)
        return [None if found is None else found.signs for found in (sentences.take(Guess(*each)) for each in guesses)]

    assert over(("We are ready.", 0.9, 2), ("Are we ready?", 0.9, 3)) == [None, None]  # the sign of a question
    assert over(("I ate.", 0.9, 2), ("I ate bread.", 0.9, 3)) == [None, None]
    bread, again, you = ("I ate bread.", 0.9, 3), ("I ate bread.", 0.8, 4), ("I ate bread. You.", 0.2, 4)
    assert over(bread, again) == [None, None]  # its own last sign, perhaps: an adjective
    assert over(bread, again, ("I ate bread. You sleep.", 0.2, 5)) == [None, None, 3]
    assert over(bread, you, ("I ate bread. You sleep.", 0.9, 5)) == [None, None, 3]
    assert over(bread, you, ("I ate your bread.", 0.9, 5)) == [None, None, None]
    assert over(bread, ("I ate bread.", 0.8, 5)) == [None, 3]  # two signs at once
    assert over(("I ate bread.", 0.4, 3), ("I ate bread.", 0.4, 5)) == [None, None]  # not sure
    assert over(("Yesterday I", 0.9, 2), ("Yesterday I", 0.9, 4)) == [None, None]  # not whole


def test_the_cut_lies_between_two_signs():
    labels = [0, 0, 5, 5, 0, 0, 7, 0, 7, 0]
    assert [step_between(labels, signs) for signs in range(4)] == [None, 5, 7, None]


@pytest.mark.parametrize("policy", [{"commit": "never"}, {"agreements": 1}, {"pause_ms": 0}])
def test_policies_that_contradict_themselves_are_refused(policy: dict[str, Any]):
    with pytest.raises(RecipeError, match="expected"):
        StreamPolicy(**policy)
