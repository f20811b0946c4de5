"""Where a live translator loses sentences, and what its delay is made of: counts to choose policies by.

    python benchmarks/streaming_losses.py --sentences 100
    python benchmarks/streaming_losses.py --policy settle_ms=80 --policy rest_near=0.2

Sentences of the validation split, each with a second of hands down behind it, by people that `benchmarks/streaming.py`
does not have; signs of the lexicon, each by itself; two sentences in one go; and people who do not sign, of kinds as in
training. What is signed is `right`; or else, by the first of these that holds, `not heard`; `cut in two` (or more);
`begun late` (within the first sign), `ended early` (within the last one); kept back as `unsure`, `slow` or `uncertain`;
`misread offline`, as its own clip is; or `misread live`. Hands settle so many ms after the last sign of what is right,
and the text stands then.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are loaded

import argparse
import json
import warnings
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import torch

from slt_hf import SignTranslator
from slt_hf.demonstration import text_of_sign
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.streaming import StreamEvent, StreamPolicy
from slt_hf.streaming.silence import Silence
from slt_hf.synthesis import Signer, synthesize_timed
from slt_hf.synthesis.grammar import sentences
from slt_hf.synthesis.idle import idle_clip
from slt_hf.synthesis.lexicon import lexicon

from streaming import at_rate, rested, two_sentences, words_right  # isort: skip  (benchmarks run from their own folder)
from bundled_calibration import Heard, Listener  # isort: skip  (in scripts/, as `streaming` knows)

DEV = 88_000_000  # of signers and sentences


class Signed(NamedTuple):
    """A text, its clip with hands down behind it, and from when to when its signs are made (ms), first and last."""

    text: str
    clip: PoseClip
    alone: PoseClip
    first: tuple[float, float]
    last: tuple[float, float]


def signed(seed: int, alone: bool) -> Signed:
    rng = np.random.default_rng((DEV, seed))
    signer = Signer.random(rng, noisy=False)
    if alone:
        gloss = str(rng.choice(list(lexicon())))
        text, glosses = text_of_sign(gloss), [gloss]
    else:
        pair = next(p for p in sentences("validation", DEV + seed) if len(p.glosses) > 1)
        text, glosses = pair.text, list(pair.glosses)
    clip, spans = synthesize_timed(glosses, seed=seed, signer=signer, layout="signing_85")
    return Signed(text, rested(clip, 1.0), clip, spans[0][1:], spans[-1][1:])


def heard(translator: SignTranslator, clip: PoseClip, policy: dict[str, Any]) -> list[Heard]:
    stream = Listener(translator, clip.layout, **policy)
    stream.translate(clip)
    return stream.heard


def why_silent(each: Heard, limits: Silence) -> str:
    if each.confidence < limits.min_confidence:
        return "unsure"
    return "uncertain" if each.alone and each.certainty < limits.alone_certainty else "slow"


def fate(each: Signed, found: list[Heard], limits: Silence, offline: str) -> str:
    parts = [reading for reading in found if overlap(each, reading.event)]
    said = " ".join(reading.said for reading in found if reading.said)
    if said == each.text:
        return "right"
    if not parts:
        return "not heard"
    if len(parts) > 1:
        return "cut in two"
    [part] = parts
    if part.event.start_ms > each.first[0]:
        return "begun late"
    if part.event.end_ms < each.last[1]:
        return "ended early"
    if part.text and not part.said:
        return why_silent(part, limits) + (", though right" if part.text == each.text else "")
    return "misread offline" if offline != each.text else "misread live"


def overlap(each: Signed, event: StreamEvent) -> bool:
    return event.end_ms > each.first[0] and event.start_ms < each.last[1]


def losses(translator: SignTranslator, count: int, alone: bool, fps: float, policy: dict[str, Any]) -> dict[str, Any]:
    fates, delays, live, offline = Counter[str](), [], [], []
    limits = Silence.of(StreamPolicy(**policy), translator.calibration)
    for seed in range(count):
        each = signed(seed, alone)
        found = heard(translator, at_rate(each.clip, fps), policy)
        alone_said = translator(each.alone).text
        how = fate(each, found, limits, alone_said)
        fates[how] += 1
        live.append(words_right([each.text], " ".join(reading.said for reading in found)))
        offline.append(words_right([each.text], alone_said))
        if how == "right":
            delays.append(found[-1].event.end_ms - each.last[1])
        elif how != "misread offline":
            told = [(reading.text, reading.said, round(reading.confidence, 2), reading.certainty) for reading in found]
            print(f"  {how}: {each.text!r} -> {told}")
    return dict(fates.most_common()) | {
        "words right": round(float(np.mean(live)), 3),
        "words right offline": round(float(np.mean(offline)), 3),
        "ms until hands settle, median and p95": np.percentile(delays, (50, 95)).round().tolist(),
    }


def in_one_go(translator: SignTranslator, count: int, fps: float, policy: dict[str, Any]) -> dict[str, Any]:
    """Two sentences without a pause."""
    right, utterances = [], Counter[int]()
    for seed in range(count):
        spoken = two_sentences(DEV, seed, pause=False, split="validation")
        said = [reading.said for reading in heard(translator, at_rate(spoken.clip, fps), policy)]
        utterances[len(said)] += 1
        right.append(words_right(spoken.texts, " ".join(said)))
        if right[-1] < 1:
            print(f"  {spoken.texts} -> {said}")
    return {"words right": round(float(np.mean(right)), 3), "utterances": dict(sorted(utterances.items()))}


def idle(translator: SignTranslator, count: int, fps: float, policy: dict[str, Any]) -> dict[str, Any]:
    """Texts of people who do not sign."""
    minutes, said, utterances = 0.0, 0, 0
    for seed in range(count):
        rng = np.random.default_rng((DEV, seed, 2))
        drawn, signer = int(rng.integers(1 << 31)), Signer.random(rng, noisy=seed % 2 == 1)
        clip, done = idle_clip(drawn, signer, int(rng.integers(1, 4)), layout="signing_85")
        found = heard(translator, at_rate(clip, fps), policy)
        minutes, utterances = minutes + clip.num_frames / clip.fps / 60, utterances + len(found)
        for reading in found:
            said += bool(reading.said)
            if reading.said:
                print(
                    f"  {done}: {reading.said!r}, {reading.confidence:.2f}, {reading.signs} signs, {reading.certainty}"
                )
    return {"minutes": round(minutes, 1), "utterances": utterances, "in ten minutes": round(10 * said / minutes, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=50, help="of sentences in one go")
    parser.add_argument("--alone", type=int, default=100, help="signs by themselves")
    parser.add_argument("--idle", type=int, default=100, help="people who do not sign; six to the minute")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--model", help="checkpoint; the bundled one unless named")
    parser.add_argument("--policy", nargs="*", default=[], help="fields of StreamPolicy: name=value")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    policy = {name: float(value) for name, _, value in (each.partition("=") for each in arguments.policy)}
    translator = SignTranslator.from_pretrained(arguments.model, device="cpu")
    for alone, count in ((False, arguments.sentences), (True, arguments.alone)):
        if count:
            found = losses(translator, count, alone, arguments.fps, policy)
            print("signs alone" if alone else "sentences", json.dumps(found), flush=True)
    if arguments.pairs:
        print("in one go", json.dumps(in_one_go(translator, arguments.pairs, arguments.fps, policy)), flush=True)
    if arguments.idle:
        print("nobody signs", json.dumps(idle(translator, arguments.idle, arguments.fps, policy)), flush=True)


if __name__ == "__main__":
    main()
