"""How soon, how steadily and how rightly a stream says what is signed.

    python benchmarks/streaming.py --sentences 20 --output results/streaming.json

Replays unseen synthetic sentences, two to a stream, at 10, 15 and 30 frames a second, with a pause between them and
without, under both commit policies. One thread. Per stream: share of reference words that stand in the end (1 - word
error rate, at least 0), milliseconds from the end of a sentence's last sign to the event that ends its utterance
(median, 95th percentile; only with pauses, where each sentence has an utterance of its own), words of a guess that a
later one took back per word (flicker), and milliseconds of computing a pushed frame: mean, and 95th percentile of
pushes as they come and of whole chunks shared among their frames.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are loaded

import argparse
import dataclasses
import json
import platform
import time
import warnings
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch

from slt_hf import SignTranslator
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_resampling import resample
from slt_hf.streaming import StreamEvent, StreamingTranslator
from slt_hf.synthesis import Signer, synthesize_timed
from slt_hf.synthesis.grammar import sentences

RATES = (10.0, 15.0, 30.0)
REST_SECONDS = 1.0  # hands down between two sentences, where there is a pause
SEED = 77_000_000  # of signers and sentences that neither training nor the card's test has


def signed(seed: int) -> tuple[str, PoseClip, float]:
    """A sentence of the test split: text, clip, and when its last sign ends (ms)."""
    pair = next(pair for pair in sentences("test", SEED + seed) if len(pair.glosses) > 1)
    signer = Signer.random(np.random.default_rng((SEED, seed)), noisy=False)
    clip, spans = synthesize_timed(list(pair.glosses), seed=seed, signer=signer)
    return pair.text, clip, spans[-1][2]


def at_rate(clip: PoseClip, fps: float) -> PoseClip:
    points, confidence = resample(clip.points, clip.confidence, clip.fps, fps)
    return dataclasses.replace(clip, points=points, confidence=confidence, fps=fps)


def joined(clips: list[PoseClip], rest_seconds: float) -> tuple[PoseClip, list[float]]:
    """One after the other at the size and place of the first, and when each begins (ms)."""
    fps, starts, points, confidence = clips[0].fps, [], [], []
    for clip in clips:
        starts.append(1000 * sum(map(len, points)) / fps)
        rest = round(rest_seconds * fps)
        points.append(np.concatenate([clip.points, np.repeat(clip.points[-1:], rest, 0)]))
        confidence.append(np.concatenate([clip.confidence, np.repeat(clip.confidence[-1:], rest, 0)]))
    whole = dataclasses.replace(clips[0], points=np.concatenate(points), confidence=np.concatenate(confidence))
    return whole, starts


def replay(translator: SignTranslator, clip: PoseClip, commit: str) -> tuple[list[StreamEvent], np.ndarray]:
    """Events, and milliseconds that each push took."""
    stream = StreamingTranslator(translator, clip.layout, commit=commit)
    events, spent = [], []
    for frame, (points, confidence) in enumerate(zip(clip.points, clip.confidence, strict=True)):
        started = time.perf_counter()
        events += stream.push(points, 1000 * frame / clip.fps, confidence)
        spent.append(1000 * (time.perf_counter() - started))
    return events + stream.finish(), np.array(spent)


def flicker(events: list[StreamEvent]) -> tuple[int, int]:
    """Words that a later guess of the same utterance took back, and words shown in the end."""
    taken_back, shown, before = 0, 0, []
    for event in events:
        words = f"{event.committed} {event.tentative}".split()
        same = next(
            (i for i, (a, b) in enumerate(zip(before, words, strict=False)) if a != b), min(len(before), len(words))
        )
        taken_back += len(before) - same
        before = [] if event.final else words
        shown += len(words) if event.final else 0
    return taken_back, shown


def measure(translator: SignTranslator, streams: list[Any], fps: float, pause: bool, commit: str) -> dict[str, float]:
    rights, delays, backs, finals, pushes, chunks = [], [], 0, 0, [], []
    for drawn in streams:
        clips = [at_rate(clip, fps) for _, clip, _ in drawn]
        whole, starts = joined(clips, REST_SECONDS if pause else 0.0)
        events, spent = replay(translator, whole, commit)
        said = " ".join(event.committed for event in events if event.final)
        rights.append(max(0.0, 1 - jiwer.wer(" ".join(text for text, _, _ in drawn), said or "-")))
        taken, shown = flicker(events)
        backs, finals = backs + taken, finals + shown
        ends = [event.end_ms for event in events if event.final]
        if pause and len(ends) == len(drawn):
            done = [start + end for start, (_, _, end) in zip(starts, drawn, strict=True)]
            delays += [max(0.0, end - last) for end, last in zip(ends, done, strict=True)]
        pushes.append(spent)
        chunk = max(1, round(0.32 * fps))
        chunks += [part.mean() for part in np.array_split(spent, max(1, len(spent) // chunk))]
    every = np.concatenate(pushes)
    return {
        "words right": round(float(np.mean(rights)), 3),
        "ms to stable text, median": round(float(np.median(delays)), 0) if delays else float("nan"),
        "ms to stable text, p95": round(float(np.percentile(delays, 95)), 0) if delays else float("nan"),
        "flicker": round(backs / max(1, finals), 2),
        "ms a frame, mean": round(float(every.mean()), 2),
        "ms a frame, p95 of pushes": round(float(np.percentile(every, 95)), 2),
        "ms a frame, p95 of chunks": round(float(np.percentile(chunks, 95)), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=20)
    parser.add_argument("--model", help="checkpoint; the bundled one unless named")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    translator = SignTranslator.from_pretrained(arguments.model, device="cpu")
    drawn = [signed(seed) for seed in range(arguments.sentences)]
    streams = [drawn[start : start + 2] for start in range(0, len(drawn), 2)]
    results = {}
    for commit in ("utterance", "agreement"):
        for pause in (True, False):
            for fps in RATES:
                name = f"{commit}, {'pauses' if pause else 'no pauses'}, {fps:g} fps"
                results[name] = measure(translator, streams, fps, pause, commit)
                print(name, json.dumps(results[name]), flush=True)
    if arguments.output:
        facts = {
            "command": f"python benchmarks/streaming.py --sentences {arguments.sentences} --output {arguments.output}",
            "machine": f"{platform.machine()}, one thread, Python {platform.python_version()}",
            "results": results,
        }
        arguments.output.parent.mkdir(exist_ok=True)
        arguments.output.write_text(json.dumps(facts, indent=2).replace("NaN", "null") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
