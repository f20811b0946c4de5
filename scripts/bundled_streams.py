"""Sources of training clips as a live translator hears them: cut by its own rule, which begins late and ends early.

What a stream reads is mostly not signing: a hand that comes up for something else, and goes down again as soon as a
sign would. Nothing but training on both tells them apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slt_hf.data.example_store import Source
from slt_hf.demonstration import Draft, sign, text_of_sign
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.streaming import StreamEvent, StreamPolicy
from slt_hf.streaming.utterance_stream import UtteranceStream
from slt_hf.synthesis.idle import draw_idle
from slt_hf.synthesis.lexicon import lexicon

FPS = 25.0
SPREAD_MS = 80.0  # other cameras, other thresholds: a cut is early or late by about so much


class Cuts(UtteranceStream):
    """Where utterances begin and end; nothing is read."""

    def _work(self) -> list[StreamEvent]:
        return []

    def _close(self) -> StreamEvent:
        return self._event("", "", True, 0.0)


def cuts(clip: PoseClip) -> np.ndarray:
    """From when to when a stream listens, ms: (utterances, 2)."""
    heard = Cuts(FPS, clip.layout, StreamPolicy()).translate(clip)
    return np.array([(event.start_ms, event.end_ms) for event in heard]).reshape(-1, 2)


def as_heard(draft: Draft, rng: np.random.Generator) -> Draft:
    """What a stream hears of a clip; of somebody who does not sign, one of the times when it listens."""
    heard = cuts(draft.clip)
    if not len(heard):
        return draft
    chosen = heard if draft.targets else heard[[rng.integers(len(heard))]]
    start, end = np.array([chosen[0, 0], chosen[-1, 1]]) + rng.normal(0, SPREAD_MS, 2)
    first = max(0, round(start * draft.clip.fps / 1000))
    last = min(draft.clip.num_frames, max(first + 8, round(end * draft.clip.fps / 1000)))
    part = replace(draft.clip, points=draft.clip.points[first:last], confidence=draft.clip.confidence[first:last])
    spans = draft.spans_ms
    if spans is not None:
        spans = np.clip(spans - 1000 * first / draft.clip.fps, 0, 1000 * (part.num_frames - 1) / part.fps)
    return draft._replace(clip=part, spans_ms=spans)


class Heard:
    """A source whose clips are cut as a stream cuts them."""

    def __init__(self, source: Source):
        self.source = source

    def __call__(self, rng: np.random.Generator) -> Draft:
        return as_heard(self.source(rng), rng)


def lone(rng: np.random.Generator) -> Draft:
    """A sign that stands alone, with what it says."""
    gloss = str(rng.choice(list(lexicon())))
    return as_heard(sign([gloss], text_of_sign(gloss), rng), rng)


def brief(rng: np.random.Generator) -> Draft:
    """A movement as short as a sign, that is none; now and then two."""
    return as_heard(
        sign([], "", rng, before=[draw_idle(rng, brief=True)[1] for _ in range(1 + (rng.random() < 0.2))]), rng
    )
