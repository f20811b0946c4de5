"""One arm of somebody who may sign: how low its hand is, and whether it is back, or nearly, where it rested before.

# lengths in upper arms; a place is (x, y) seen from the shoulder
"""

from __future__ import annotations

import math
from typing import Any

Place = tuple[float, float]

WIDTH = 0.6  # of the shoulders, that an upper arm has at least: one that points at the camera looks shorter
GROWS, SHRINKS = 0.2, 0.002  # how fast the length of an arm follows what is seen: a raised elbow shortens nobody
STILL, LEARNS = 0.1, 0.2  # a low hand that moves less in a frame rests; how fast its place is learned
WAY = 1.0  # a hand further from its place is not said to arrive, however fast it comes
STEPS = 2  # frames over which its speed is measured
PLACES = ("shoulder", "hand", "rest")
KEPT = (*PLACES, "reach", "seen", "moved", "way")  # of its state


class Arm:
    """The arm of one side. Its upper arm is as long as it is seen when it hangs, whatever the elbow does while signing.

    Args:
        raised: a hand is low when it is further below the hanging elbow.
        near: a hand that is so near to its resting place is there.
        ahead: frames for which its way is thought on: a hand that will be there is there.
    """

    def __init__(self, raised: float, near: float, ahead: float):
        self.raised, self.near, self.ahead = raised, near, ahead
        self.shoulder: Place | None = None
        self.reach = 0.0  # length of the upper arm as it hangs, in the clip's unit
        self.hand: Place | None = None  # where it was seen last
        self.seen = False  # whether it is seen now
        self.moved = 0.0  # since it was seen last
        self.rest: Place | None = None
        self.way: list[Place] = []  # of the last frames, as seen from its resting place

    @property
    def known(self) -> bool:
        return self.shoulder is not None

    def look(self, shoulder: Place | None, elbow: Place | None, wrist: Place | None, width: float) -> None:
        """A frame, in the clip's unit; None for what is not seen. `width` is that of the shoulders."""
        if shoulder is not None and elbow is not None and elbow[1] > shoulder[1]:
            self._measure(elbow[1] - shoulder[1], WIDTH * width)
            self.shoulder = shoulder
        self.seen = wrist is not None
        if wrist is None or self.shoulder is None:
            return
        x, y = self.shoulder
        before, self.hand = self.hand, ((wrist[0] - x) / self.reach, (wrist[1] - y) / self.reach)
        self.moved = 0.0 if before is None else math.dist(before, self.hand)
        if self.rest is not None:
            place = (self.hand[0] - self.rest[0], self.hand[1] - self.rest[1])
            self.way = [*self.way, place][-STEPS - 1 :]

    def _measure(self, length: float, least: float) -> None:
        if self.reach:
            length = self.reach + (GROWS if length > self.reach else SHRINKS) * (length - self.reach)
        self.reach = max(length, least)

    @property
    def low(self) -> bool:
        """Lower than signs are made."""
        return self.hand is not None and self.hand[1] >= 1 + self.raised

    @property
    def resting(self) -> bool:
        """Where it rested before, or on its way there."""
        if not self.way:
            return False
        far = math.hypot(*self.way[-1])
        return far < self.near or (far < WAY and self._arrives(far))

    def _arrives(self, far: float) -> bool:
        """It comes fast enough, and straight: a sign as low as a hand at rest is seldom made just there."""
        (x, y), (now_x, now_y) = self.way[0], self.way[-1]
        moved = math.dist(self.way[0], self.way[-1])
        if not moved or far + self.ahead * (far - math.hypot(x, y)) / STEPS >= self.near:
            return False
        return abs(x * now_y - y * now_x) / moved < self.near  # how near the line that it is on comes to its place

    def learn(self) -> None:
        """Nobody signs: a low hand that does not move is where it rests."""
        if self.seen and self.hand is not None and self.low and self.moved < STILL:
            x, y = self.rest or self.hand
            self.rest = (x + LEARNS * (self.hand[0] - x), y + LEARNS * (self.hand[1] - y))

    def state(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value := getattr(self, name), tuple | list) else value for name in KEPT}

    def restore(self, state: dict[str, Any]) -> None:
        for name in KEPT:
            value = state[name]
            setattr(self, name, (value[0], value[1]) if name in PLACES and value is not None else value)
        self.way = [(x, y) for x, y in state["way"]]
