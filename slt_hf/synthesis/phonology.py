"""From a sign's description in ``lexicon.yaml`` to keyframes and the strokes between them.

K keyframes, K - 1 strokes; 2 hands, the dominant first. Nothing here depends on the signer: places stay names until
a body gives them coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from slt_hf.synthesis.handshapes import handshape_index
from slt_hf.synthesis.kinematics import quaternion_from_axes
from slt_hf.synthesis.places import CONTACT_NAMES, DIRECTIONS, PLACE_IDS, direction, displacement, place

AUTO = float("nan")  # a transition: its duration follows from the distance
PATH_MS, REPEATED_PATH_MS, SHAPE_MS, TAP_MS = 330.0, 215.0, 165.0, 140.0
CIRCLE_MS, SHAKE_MS = 430.0, 190.0  # per cycle
STILL_MS, FINAL_HOLD_MS = 200.0, 70.0
CIRCLE_PLANES = {"frontal": ("up", "in"), "sagittal": ("up", "forward"), "horizontal": ("forward", "in")}
SPIN_AXES = {"twist": 1, "nod": 0, "swing": 2}  # forearm turns about f, wrist bends about r, hand pivots about p


@dataclass(frozen=True)
class HandTarget:
    """One hand at one keyframe: a point of the hand at a place, a handshape and where the hand points."""

    place: tuple[int, np.ndarray]
    contact: int
    shape: int
    rotation: np.ndarray  # quaternion (4,)
    active: bool = True


@dataclass(frozen=True)
class HandMotion:
    """What a hand does between two keyframes on top of going from one to the other. Metres and degrees."""

    arc: np.ndarray = field(default_factory=lambda: np.zeros(3))  # bulge of the path at its middle
    circle_u: np.ndarray = field(default_factory=lambda: np.zeros(3))
    circle_v: np.ndarray = field(default_factory=lambda: np.zeros(3))
    shake: np.ndarray = field(default_factory=lambda: np.zeros(3))
    spin: np.ndarray = field(default_factory=lambda: np.zeros(3))  # rotation about (r, f, p)
    wiggle: float = 0.0  # of the fingers

    def vector(self) -> np.ndarray:
        """All of it as one row of 16 numbers, the order ``motion`` reads."""
        return np.concatenate([self.arc, self.circle_u, self.circle_v, self.shake, self.spin, [self.wiggle]])

    def opposite(self) -> HandMotion:
        """Half a period later."""
        return replace(self, circle_u=-self.circle_u, circle_v=-self.circle_v, shake=-self.shake, spin=-self.spin)

    def across(self) -> HandMotion:
        """The same movement in the room, for the other hand, whose x axis points the other way."""
        flip = np.array([-1.0, 1.0, 1.0])
        return replace(
            self,
            shake=self.shake * flip,
            arc=self.arc * flip,
            circle_u=self.circle_u * flip,
            circle_v=self.circle_v * flip,
        )


@dataclass(frozen=True)
class Stroke:
    """The time between two keyframes."""

    duration_ms: float
    cycles: float = 0.0
    motions: tuple[HandMotion, HandMotion] = (HandMotion(), HandMotion())


@dataclass(frozen=True)
class Score:
    """Keyframes and strokes as arrays, so that a sentence is a concatenation. Cached, never changed."""

    places: np.ndarray  # (K, 2) int
    offsets: np.ndarray  # (K, 2, 3) metres
    contacts: np.ndarray  # (K, 2) int
    shapes: np.ndarray  # (K, 2) int
    rotations: np.ndarray  # (K, 2, 4)
    active: np.ndarray  # (K, 2) bool
    durations_ms: np.ndarray  # (K,) of the stroke that leads to each keyframe; AUTO where that is a transition
    cycles: np.ndarray  # (K,)
    motions: np.ndarray  # (K, 2, 16)
    head: str | None = None
    brows: str | None = None


NO_HAND = HandTarget(
    (PLACE_IDS["lap"], np.zeros(3)),
    CONTACT_NAMES.index("palm"),
    handshape_index("relaxed"),
    np.array([1.0, 0, 0, 0]),
    False,
)
CHANGING = ("hand", "palm", "fingers")  # may be [first, last]
CARRIED = ("both", "base", "contact")  # besides place, handshape and orientation, what a further step keeps

Targets = tuple[HandTarget, HandTarget]  # dominant hand, other hand


def score_of(entry: dict[str, Any], bases: dict[str, dict]) -> Score:
    """Compile one entry of the lexicon."""
    keyframes: list[Targets] = []
    strokes: list[Stroke] = []
    step: dict[str, Any] = {}
    for change in [entry, *entry.get("then", [])]:
        step = {**_carried_over(step), **change}
        more_keyframes, more_strokes = _compile_step(step, bases)
        keyframes += more_keyframes
        strokes += [Stroke(AUTO), *more_strokes]
    strokes.append(Stroke(FINAL_HOLD_MS if len(keyframes) > 1 else STILL_MS))
    keyframes.append(keyframes[-1])
    return replace(_as_arrays(keyframes, strokes), head=entry.get("head"), brows=entry.get("brows"))


def _carried_over(step: dict[str, Any]) -> dict[str, Any]:
    """What holds at the end of a step unless the next one says otherwise."""
    if not step:
        return {}
    kept = {key: step[key] for key in CARRIED if key in step}
    return {**kept, **{key: _ends(step[key])[1] for key in CHANGING}, "at": _end_place(step["at"], step.get("to"))}


def _ends(value: Any) -> tuple[Any, Any]:
    return (value[0], value[1]) if isinstance(value, list) else (value, value)


def _end_place(at: str, to: str | None) -> str:
    """``to`` may be a place of its own or only directions from ``at``."""
    if to is None:
        return at
    return f"{at} {to}" if to.split()[0] in DIRECTIONS else to


def _compile_step(step: dict[str, Any], bases: dict[str, dict]) -> tuple[list[Targets], list[Stroke]]:
    """Keyframes of one step and the strokes between them (one fewer)."""
    dominant = _start_and_end(step)
    other = _other_hand(step, bases, dominant)
    start, end = zip(dominant, other, strict=True)
    kind, *arguments = step.get("move", "none").split()
    if kind == "tap":
        return _taps(step, start, arguments)
    if kind != "none":
        return [start, end], [_cycles(step, kind, arguments)]
    if (
        not any(key in step and (key == "to" or isinstance(step[key], list)) for key in ("to", *CHANGING))
        and "base_to" not in step
    ):
        return [start], []
    repeat = step.get("repeat", 1)
    moves_far = "to" in step or "base_to" in step
    duration = (PATH_MS if repeat == 1 else REPEATED_PATH_MS) if moves_far or repeat == 1 else SHAPE_MS
    arc = _arc(step)
    forth, back = Stroke(duration, 0.0, (arc, _for_other(step, arc))), Stroke(duration)
    return [start, end] * repeat, [forth, *[back, forth] * (repeat - 1)]


def _start_and_end(step: dict[str, Any]) -> Targets:
    """One hand's first and last target."""
    places = step["at"], _end_place(step["at"], step.get("to"))
    contact = CONTACT_NAMES.index(step.get("contact", "palm"))
    start, end = (
        HandTarget(
            place(where), contact, handshape_index(hand), quaternion_from_axes(direction(fingers), direction(palm))
        )
        for where, hand, palm, fingers in zip(
            places, _ends(step["hand"]), _ends(step["palm"]), _ends(step["fingers"]), strict=True
        )
    )
    return start, end


def _other_hand(step: dict[str, Any], bases: dict[str, dict], dominant: Targets) -> Targets:
    if "base" in step:
        base = dict(bases[step["base"]])
        return _start_and_end({**base, "to": step["base_to"]} if "base_to" in step else base)
    if "both" not in step:
        return NO_HAND, NO_HAND
    if step["both"] == "still":
        return _start_and_end(step["other"])
    start, end = _start_and_end({**step, **step["other"]}) if "other" in step else dominant
    return (end, start) if step["both"] == "alternate" and "move" not in step else (start, end)


def _for_other(step: dict[str, Any], motion: HandMotion) -> HandMotion:
    """The other hand's share of a movement."""
    both = step.get("both", "none")
    if both == "alternate":
        return motion.opposite()
    if both == "parallel":
        return motion.across()
    return motion if both == "mirror" else HandMotion()


def _arc(step: dict[str, Any]) -> HandMotion:
    if "path" not in step:
        return HandMotion()
    _, *towards = step["path"].split()
    return HandMotion(arc=displacement(towards))


def _taps(step: dict[str, Any], contact: Targets, arguments: list[str]) -> tuple[list[Targets], list[Stroke]]:
    """``tap 2 forward 4``: come from 4 cm in front, touch, leave, touch."""
    count, away = int(arguments[0]), displacement(arguments[1:])
    moves = (True, step.get("both") in ("mirror", "parallel"))
    apart = tuple(
        replace(target, place=(target.place[0], target.place[1] + away)) if moving else target
        for target, moving in zip(contact, moves, strict=True)
    )
    touch = Stroke(TAP_MS if count > 1 else 1.5 * TAP_MS)
    return [(apart[0], apart[1]), contact] * count, [touch] * (2 * count - 1)


def _cycles(step: dict[str, Any], kind: str, arguments: list[str]) -> Stroke:
    """The movements that swing or turn around: one stroke with a number of cycles."""
    if kind == "circle":
        up, across = (np.array(DIRECTIONS[word]) for word in CIRCLE_PLANES[arguments[0]])
        count, size = float(arguments[1]), float(arguments[2]) / 100
        motion = HandMotion(circle_u=up * size, circle_v=across * size)
    elif kind == "shake":
        count, size = float(arguments[1]), float(arguments[2]) / 100
        motion = HandMotion(shake=np.array(DIRECTIONS[arguments[0]]) * size)
    elif kind == "wiggle":
        count, motion = float(arguments[0]), HandMotion(wiggle=25.0)
    else:
        count, size = float(arguments[0]), float(arguments[1])
        motion = HandMotion(spin=np.eye(3)[SPIN_AXES[kind]] * size)
    duration = count * (CIRCLE_MS if kind == "circle" else SHAKE_MS)
    return Stroke(duration, count, (motion, _for_other(step, motion)))


def _as_arrays(keyframes: list[Targets], strokes: list[Stroke]) -> Score:
    return Score(
        places=np.array([[hand.place[0] for hand in hands] for hands in keyframes]),
        offsets=np.array([[hand.place[1] for hand in hands] for hands in keyframes]),
        contacts=np.array([[hand.contact for hand in hands] for hands in keyframes]),
        shapes=np.array([[hand.shape for hand in hands] for hands in keyframes]),
        rotations=np.array([[hand.rotation for hand in hands] for hands in keyframes]),
        active=np.array([[hand.active for hand in hands] for hands in keyframes]),
        durations_ms=np.array([stroke.duration_ms for stroke in strokes]),
        cycles=np.array([stroke.cycles for stroke in strokes]),
        motions=np.array([[motion.vector() for motion in stroke.motions] for stroke in strokes]),
    )
