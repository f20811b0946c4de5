"""Whether somebody signs: a hand is raised. A rule, since it holds for every camera and needs no training.

# V landmarks, C coordinates
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from slt_hf.processing.landmarks import get_layout, sources_of
from slt_hf.streaming.arm import Arm, Place
from slt_hf.streaming.events import StreamPolicy

SIDES = ("left", "right")
JOINTS = ("shoulder", "elbow", "hand_wrist", "wrist")
HANDS_ALONE = 3  # times as long a pause where there are no arms to see
ELSEWHERE = 2  # times as long a pause where hands are low, and not where they rested before


class SigningActivity:
    """Frame by frame: is a hand raised, and where does that begin and end.

    A hand is raised when its wrist is less than `policy.raised` upper arms below the hanging elbow: an arm that hangs
    has it half an upper arm lower or more, whatever the camera's angle and distance, and few signs are made there.
    Where hands rest is learned while nobody signs; hands on their way back there end an utterance at once, low hands
    elsewhere do when they stay: a child's head, the wall of a house and a dog are low, too. Where no arm was ever seen
    (hands alone), a hand that is seen is raised.
    """

    def __init__(self, layout: str, policy: StreamPolicy, fps: float):
        self.policy = policy
        self.start_frames = max(1, round(policy.start_ms * fps / 1000))
        self.settle_frames = max(1, round(policy.settle_ms * fps / 1000))
        self.raised_for = 0  # frames in a row
        self.down_for = 0
        self.resting_for = 0
        self.signing = False
        ahead = policy.ahead_ms * fps / 1000
        self.arms = {side: Arm(policy.raised, policy.rest_near, ahead) for side in SIDES}
        points = get_layout(layout).points
        self.places = {side: [place_of(f"{side}_{joint}", points) for joint in JOINTS] for side in SIDES}
        # hands alone: one that is not found may be down, or only lost for a moment
        patience = 1 if any(elbow is not None for _, elbow, _, _ in self.places.values()) else HANDS_ALONE
        self.pause_frames = max(1, round(patience * policy.pause_ms * fps / 1000))

    def push(self, points: np.ndarray, confidence: np.ndarray) -> str | None:
        """One frame (V, C), (V,) -> "start" or "end" where signing begins or ends, "settling" where it may end."""
        self._look(points, confidence)
        resting, raised = self._are_resting(), any([self._is_raised(arm) for arm in self.arms.values()])
        self.resting_for = self.resting_for + 1 if resting else 0
        self.raised_for = self.raised_for + 1 if raised and not resting else 0
        self.down_for = 0 if raised else self.down_for + 1
        if not self.signing:
            return self._begin()
        if self.down_for >= self.pause_frames * (ELSEWHERE if self._rest_elsewhere() else 1):
            self.signing = False
            return "end"
        return "settling" if self.resting_for == self.settle_frames else None

    def _begin(self) -> str | None:
        self.signing = self.raised_for >= self.start_frames
        for arm in self.arms.values():
            arm.learn()
        return "start" if self.signing else None

    def _look(self, points: np.ndarray, confidence: np.ndarray) -> None:
        places = {
            side: [place_at(place, points, confidence) for place in places] for side, places in self.places.items()
        }
        left, right = (places[side][0] for side in SIDES)
        width = 0.0 if left is None or right is None else abs(left[0] - right[0])
        for side, (shoulder, elbow, hand, arm_end) in places.items():
            # a hand that is not found for a while has not gone down: the arm's own end says where it is
            self.arms[side].look(shoulder, elbow, arm_end if hand is None else hand, width)

    def _is_raised(self, arm: Arm) -> bool:
        if not arm.seen:
            return False
        return not arm.low if arm.known else not any(other.known for other in self.arms.values())

    def _are_resting(self) -> bool:
        """Every hand that is seen is where it rested before, or nearly."""
        seen = [arm for arm in self.arms.values() if arm.seen]
        return bool(seen) and all(arm.resting for arm in seen)

    def _rest_elsewhere(self) -> bool:
        return any(arm.seen and arm.rest is not None and not arm.resting for arm in self.arms.values())

    def end(self) -> None:
        """Whatever was signed is over, for another reason than hands that went down."""
        self.signing, self.raised_for, self.down_for, self.resting_for = False, 0, 0, 0

    def state(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in ("raised_for", "down_for", "resting_for", "signing")}
        return counts | {"arms": {side: arm.state() for side, arm in self.arms.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        for side, arm in self.arms.items():
            arm.restore(state["arms"][side])
        self.raised_for, self.down_for, self.resting_for = (
            state[name] for name in ("raised_for", "down_for", "resting_for")
        )
        self.signing = state["signing"]


def place_of(name: str, points: tuple[str, ...]) -> int | None:
    """Index of a landmark, or of the one that stands for it; None where the layout has neither."""
    sources = sources_of(name, points)
    return points.index(sources[0]) if sources else None


def place_at(place: int | None, points: np.ndarray, confidence: np.ndarray) -> Place | None:
    if place is None or not confidence[place] > 0:
        return None
    x, y = float(points[place, 0]), float(points[place, 1])
    return None if math.isnan(x + y) else (x, y)
