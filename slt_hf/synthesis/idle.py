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
from slt_hf.synthesis.places import DIRECTIONS, HEAD_PLACES, SPACE_PLACES
from slt_hf.synthesis.recording import FULL_LAYOUT, record
from slt_hf.synthesis.signer import Signer

IDLE_FILE = Path(__file__).with_name("idle.yaml")
WANDERING, STILL = 0.2, 0.12  # shares of what is drawn: a hand that goes anywhere, hands that lie still
LONGEST_HOLD_MS, LONGEST_STILL_MS = 2500.0, 3000.0


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


def draw_idle(rng: np.random.Generator, unseen: bool = False) -> tuple[str, Score]:
    """One movement that is no sign, with its name."""
    roll = 1.0 if unseen else rng.random()
    if roll < STILL:
        return "still", resting(float(rng.uniform(200, LONGEST_STILL_MS)))
    if roll < STILL + WANDERING:
        return "wander", _held(score_of(_wandering(rng), {}), rng)
    name = str(rng.choice(idle_movements(unseen)))
    return name, _held(score_of(_entry(_table()["movements"][name], rng), {}), rng)


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


def _wandering(rng: np.random.Generator) -> dict[str, Any]:
    """Up to four places that a hand, or both, go to for no reason."""
    steps = [_anywhere(rng) for _ in range(rng.integers(1, 5))]
    if rng.random() < 0.35:
        steps[0]["both"] = str(rng.choice(["mirror", "parallel"]))
    return {**steps[0], "then": steps[1:]}


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


def _held(score: Score, rng: np.random.Generator) -> Score:
    """Faster or slower than it is written, and held in the end for as long as it pleases."""
    durations = score.durations_ms * rng.uniform(0.7, 1.6)
    durations[-1] = rng.uniform(40, LONGEST_HOLD_MS) if rng.random() < 0.5 else rng.uniform(40, 300)
    return replace(score, durations_ms=durations)
