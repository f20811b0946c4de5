"""Whether somebody signs: a hand is raised. A rule, since it holds for every camera and needs no training.

# V landmarks, C coordinates
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slt_hf.processing.landmarks import get_layout, sources_of
from slt_hf.streaming.events import StreamPolicy

SIDES = ("left", "right")
HANDS_ALONE = 3  # times as long a pause where there are no arms to see


class SigningActivity:
    """Frame by frame: is a hand raised, and where does that begin and end.

    A hand is raised when its wrist is less than `policy.raised` upper arms below its elbow: an arm that hangs has it
    half an upper arm lower or more, whatever the camera's angle and distance, and hardly a sign is made there. The arm
    is the one seen last; where none was ever seen (hands alone), a hand that is seen is raised.
    """

    def __init__(self, layout: str, policy: StreamPolicy, fps: float):
        self.policy = policy
        self.start_frames = max(1, round(policy.start_ms * fps / 1000))
        self.arms: dict[str, list[float]] = {}  # side -> height of shoulder and elbow
        self.raised_for = 0  # frames in a row
        self.down_for = 0
        self.signing = False
        points = get_layout(layout).points
        self.places = {
            side: {joint: place_of(f"{side}_{joint}", points) for joint in ("shoulder", "elbow", "hand_wrist", "wrist")}
            for side in SIDES
        }
        # hands alone: one that is not found may be down, or only lost for a moment
        patience = 1 if any(place["elbow"] is not None for place in self.places.values()) else HANDS_ALONE
        self.pause_frames = max(1, round(patience * policy.pause_ms * fps / 1000))

    def push(self, points: np.ndarray, confidence: np.ndarray) -> str | None:
        """One frame (V, C), (V,) -> "start" or "end" where signing begins or ends, else None."""
        raised = any([self.is_raised(side, points[:, 1], confidence) for side in SIDES])
        self.raised_for = self.raised_for + 1 if raised else 0
        self.down_for = 0 if raised else self.down_for + 1
        if not self.signing and self.raised_for >= self.start_frames:
            self.signing = True
            return "start"
        if self.signing and self.down_for >= self.pause_frames:
            self.signing = False
            return "end"
        return None

    def is_raised(self, side: str, heights: np.ndarray, confidence: np.ndarray) -> bool:
        places = self.places[side]
        shoulder, elbow, hand, arm_end = (height_at(place, heights, confidence) for place in places.values())
        wrist = arm_end if hand is None else hand  # a hand that is not found for a while has not gone down
        if shoulder is not None and elbow is not None and elbow > shoulder:
            self.arms[side] = [shoulder, elbow]
        if wrist is None:
            return False
        if side not in self.arms:
            return not self.arms
        shoulder, elbow = self.arms[side]
        return wrist < elbow + self.policy.raised * (elbow - shoulder)

    def end(self) -> None:
        """Whatever was signed is over, for another reason than hands that went down."""
        self.signing, self.raised_for, self.down_for = False, 0, 0

    def state(self) -> dict[str, Any]:
        arms = {side: list(arm) for side, arm in self.arms.items()}
        return {"arms": arms, "raised_for": self.raised_for, "down_for": self.down_for, "signing": self.signing}

    def restore(self, state: dict[str, Any]) -> None:
        self.arms = {side: list(arm) for side, arm in state["arms"].items()}
        self.raised_for, self.down_for, self.signing = state["raised_for"], state["down_for"], state["signing"]


def place_of(name: str, points: tuple[str, ...]) -> int | None:
    """Index of a landmark, or of the one that stands for it; None where the layout has neither."""
    sources = sources_of(name, points)
    return points.index(sources[0]) if sources else None


def height_at(place: int | None, heights: np.ndarray, confidence: np.ndarray) -> float | None:
    return None if place is None or not confidence[place] > 0 else float(heights[place])
