"""Hands that say nothing: scratching, touching the face, fidgeting, wandering, lying still.

A live translator sees more of this than of signing, and a model that has only ever seen signing reads a sentence into
all of it. Drawn from ``idle.yaml``, in the same terms and by the same way as signs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from slt_hf.processing.pose_files import PoseClip
from slt_hf.synthesis.choreography import choreograph, resting
from slt_hf.synthesis.handshapes import YAML_LOADER
from slt_hf.synthesis.motion import perform
from slt_hf.synthesis.phonology import Score, score_of
from slt_hf.synthesis.places import CONTACT_NAMES, DIRECTIONS, HEAD_PLACES, SPACE_PLACES
from slt_hf.synthesis.recording import FULL_LAYOUT, record
from slt_hf.synthesis.signer import Signer

IDLE_FILE = Path(__file__).with_name("idle.yaml")
WANDERING, TOUCHING, STILL = 0.2, 0.15, 0.12  # shares: a hand that goes anywhere, or touches something; still hands
LONGEST_HOLD_MS, LONGEST_STILL_MS = 2500.0, 3000.0
TOUCHED = ("shoulder", "contra_shoulder", "chest", "ipsi_chest", "contra_chest", "belly")  # of the trunk
POINTED = ["1", "x", "l", "baby_o", "f"]  # hands that touch with one finger
MOVES = [
    "none",
    "tap 1 out 4",
    "tap 1 up 3",
    "shake in 3 1.5",
    "shake up 3 1.5",
    "shake back 3 1",
    "circle frontal 2 2",
]


class IdleClip(NamedTuple):
    """A clip without signing, and what is done in it, by the names of ``idle.yaml``."""

    clip: PoseClip
    movements: list[str]


@cache
def _table() -> dict[str, Any]:
    return yaml.load(IDLE_FILE.read_text(encoding="utf-8"), YAML_LOADER)


@cache
def idle_movements(unseen: bool = False) -> tuple[str, ...]:
    """Names of the movements that training may show, or of those that are kept for tests."""
    return tuple(name for name, entry in _table()["movements"].items() if entry.get("unseen", False) == unseen)


def idle_clip(
    seed: int,
    signer: Signer,
    movements: int = 2,
    unseen: bool = False,
    layout: str = FULL_LAYOUT,
) -> IdleClip:
    """Somebody who does not sign.

    Args:
        seed: of everything that is drawn. The same arguments give the same bytes.
        movements: one after the other; the hand may stay up between them.
        unseen: only movements that are kept out of training.
    """
    drawing, moving, *noise = np.random.SeedSequence(seed).spawn(4)
    rng = np.random.default_rng(drawing)
    drawn = [draw_idle(rng, unseen) for _ in range(movements)]
    sentence = choreograph([], signer.rest, before=[score for _, score in drawn])
    motion = perform(sentence, signer, np.random.default_rng(moving))
    return IdleClip(record(motion, signer, (noise[0], noise[1]), layout), [name for name, _ in drawn])


def draw_idle(rng: np.random.Generator, unseen: bool = False, brief: bool = False) -> tuple[str, Score]:
    """One movement that is no sign, with its name.

    Args:
        unseen: of a kind that is kept out of training.
        brief: it takes no longer than a sign; nobody keeps still.
    """
    roll = 1.0 if unseen else rng.uniform(STILL if brief else 0, 1)
    if roll < STILL:
        return "still", resting(float(rng.uniform(200, LONGEST_STILL_MS)))
    if roll < STILL + WANDERING:
        return "wander", _held(score_of(_wandering(rng, 2 if brief else 4), {}), rng, brief)
    if roll < STILL + WANDERING + TOUCHING:
        return "touch", _held(score_of(_touching(rng), {}), rng, brief)
    name = str(rng.choice(idle_movements(unseen)))
    return name, _held(score_of(_entry(_table()["movements"][name], rng), {}), rng, brief)


def _entry(movement: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """A movement as an entry of the lexicon: one of its handshapes, one of its moves, about where it says."""
    entry = {key: value for key, value in movement.items() if key not in ("hands", "moves", "repeats", "unseen")}
    entry["hand"] = str(rng.choice(movement["hands"]))
    entry["at"] += "".join(f" {way} {rng.uniform(-2.0, 2.0):.1f}" for way in ("out", "up", "forward"))
    if "moves" in movement:
        entry["move"] = str(rng.choice(movement["moves"]))
    if "repeats" in movement:
        entry["repeat"] = int(rng.choice(movement["repeats"]))
    return entry


def _wandering(rng: np.random.Generator, most: int) -> dict[str, Any]:
    """Some places that a hand, or both, go to for no reason."""
    steps = [_anywhere(rng) for _ in range(rng.integers(1, most + 1))]
    if rng.random() < 0.35:
        steps[0]["both"] = str(rng.choice(["mirror", "parallel"]))
    return {**steps[0], "then": steps[1:]}


def _touching(rng: np.random.Generator) -> dict[str, Any]:
    """A hand that touches head or trunk anywhere, with whatever part of it, and rubs or does not."""
    hands = POINTED if rng.random() < 0.35 else _table()["hands"]
    shift = " ".join(f"{way} {rng.uniform(-3, 3):.1f}" for way in ("out", "up", "forward"))
    return _anywhere(rng) | {
        "hand": str(rng.choice(hands)),
        "at": f"{rng.choice([*HEAD_PLACES, *HEAD_PLACES, *TOUCHED])} {shift}",
        "contact": str(rng.choice(CONTACT_NAMES)),
        "move": str(rng.choice(MOVES)),
    }


def _anywhere(rng: np.random.Generator) -> dict[str, Any]:
    fingers, palm = rng.permutation(["in out", "up down", "forward back"])[:2]
    place = str(rng.choice([*HEAD_PLACES, *SPACE_PLACES, *SPACE_PLACES]))
    shift = " ".join(f"{way} {rng.uniform(-12, 12):.1f}" for way in ("out", "up"))
    return {
        "hand": str(rng.choice(_table()["hands"])),
        "at": f"{place} {shift} forward {rng.uniform(4, 12):.1f}",
        "palm": _leaning(str(rng.choice(palm.split())), rng),
        "fingers": _leaning(str(rng.choice(fingers.split())), rng),
    }


def _leaning(way: str, rng: np.random.Generator) -> str:
    """A direction, or one half-way to a neighbour."""
    axis = {"in": 0, "out": 0, "up": 1, "down": 1, "forward": 2, "back": 2}
    others = [other for other in DIRECTIONS if axis[other] != axis[way]]
    return f"{way} {way} {rng.choice(others)}" if rng.random() < 0.6 else way


def _held(score: Score, rng: np.random.Generator, brief: bool = False) -> Score:
    """Faster or slower than it is written, and held in the end for as long as it pleases."""
    durations = score.durations_ms * rng.uniform(0.5 if brief else 0.7, 1.0 if brief else 1.6)
    durations[-1] = rng.uniform(40, LONGEST_HOLD_MS) if not brief and rng.random() < 0.5 else rng.uniform(40, 300)
    return replace(score, durations_ms=durations)
