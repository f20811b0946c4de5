"""How soon, how steadily and how rightly a stream says what is signed, and whether it keeps silent where nothing is.

    python benchmarks/streaming.py --sentences 10 --signs outputs/real/w --spelled outputs/real/f2 \\
        --recordings ../shared/data --output results/streaming.json

Replays at 10, 15 and 30 frames a second, in one thread:

* unseen synthetic sentences, two to a stream: with a second of hands down between them, and signed in one go;
* with `--signs`, real isolated words of the dev split, four to a stream, with hands out of sight between them, and cut
  one against the other; with `--spelled`, names spelled by joined real letters of alphabets that training never saw;
* people who do not sign: movements of kinds that training has shown, and of kinds that it has not.

For each: share of reference words that stand in the end (1 - word error rate, at least 0), and the same of the offline
translations of each sentence's (or word's) own clip, which knows where they begin and end; milliseconds from the end of
the last sign of a sentence (or of a word) until its last word stands, processor time of that frame included, and until
it is shown and never changes again (median, 95th percentile, over words that are right); average lagging in ms
(arxiv:1810.08398, over utterances); words of a guess that a later one took back per word (flicker); and processor
milliseconds of a pushed frame (mean, 95th percentile). For people who do not sign: texts that stand in ten minutes, and
those that are only shown for a moment.

Policies were chosen on other people and sentences (`streaming_losses.py`: the validation split, movements as in
training). What a look at a replay led to is to be measured on another `--seed`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are loaded

import argparse
import dataclasses
import difflib
import json
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jiwer
import numpy as np
import torch

from slt_hf import SignClassifier, SignTranslator
from slt_hf.data.stitching import StitchingSettings, join_clips
from slt_hf.demonstration import idle_unseen
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_resampling import resample
from slt_hf.streaming import StreamEvent, StreamingClassifier, StreamingTranslator
from slt_hf.synthesis import Signer, synthesize_timed
from slt_hf.synthesis.grammar import sentences

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))  # what recordings say is known there

RATES = (10.0, 15.0, 30.0)
REST_SECONDS = 1.0  # hands down between two sentences, where there is a pause
WORDS_IN_A_ROW = 4
SEED = 77_000_000  # of signers and sentences that neither training nor the card's test has


class Spoken(NamedTuple):
    """A stream: its sentences (or words), when the last sign of each ends (ms), and the clip of each by itself."""

    texts: list[str]
    clip: PoseClip
    ends_ms: list[float]
    apart: list[PoseClip]


class Heard(NamedTuple):
    """Events with the time at which they were there (ms): of the frame, and what it took to compute them; and the
    milliseconds that each frame took."""

    events: list[tuple[float, StreamEvent]]
    spent: np.ndarray


# --- what is replayed ---


def two_sentences(base: int, seed: int, pause: bool, split: str = "test") -> Spoken:
    """Sentences of a split by one person, in one go or with hands down in between."""
    pairs = [next(p for p in sentences(split, base + 2 * seed + each) if len(p.glosses) > 1) for each in range(2)]
    signer = Signer.random(np.random.default_rng((base, seed)), noisy=False)
    texts, counts = [pair.text for pair in pairs], np.cumsum([len(pair.glosses) for pair in pairs])
    made = [synthesize_timed(list(pair.glosses), seed=seed, signer=signer) for pair in pairs]
    if not pause:
        clip, spans = synthesize_timed([g for pair in pairs for g in pair.glosses], seed=seed, signer=signer)
        return Spoken(texts, clip, [spans[count - 1][2] for count in counts], [part for part, _ in made])
    clips = [rested(clip, REST_SECONDS) for clip, _ in made]
    starts = [0.0, 1000 * clips[0].num_frames / clips[0].fps]
    ends = [at + spans[-1][2] for at, (_, spans) in zip(starts, made, strict=True)]
    return Spoken(texts, end_to_end(clips), ends, [clip for clip, _ in made])


def rested(clip: PoseClip, seconds: float) -> PoseClip:
    """The last frame held."""
    count = round(seconds * clip.fps)
    points, confidence = (
        np.concatenate([each, np.repeat(each[-1:], count, 0)]) for each in (clip.points, clip.confidence)
    )
    return dataclasses.replace(clip, points=points, confidence=confidence)


def end_to_end(clips: Sequence[PoseClip]) -> PoseClip:
    points, confidence = (np.concatenate([getattr(clip, name) for clip in clips]) for name in ("points", "confidence"))
    return dataclasses.replace(clips[0], points=points, confidence=confidence)


def joined_words(data: Path, base: int, count: int, pause_seconds: float) -> list[Spoken]:
    """Streams of real words of one recording, one clip cut against the next or with hands out of sight in between."""
    from bundled_recordings import word_clips

    words = list(word_clips(data, "dev"))
    rng, streams = np.random.default_rng(base), []
    for _ in range(count):
        drawn = [words[index] for index in rng.integers(0, len(words), WORDS_IN_A_ROW)]
        streams.append(in_a_row([label for label, _, _ in drawn], [clip for _, _, clip in drawn], pause_seconds))
    return streams


def spelled_names(data: Path, base: int, count: int, pause_seconds: float) -> list[Spoken]:
    """Streams of names spelled by joined letters of one person."""
    from bundled_recordings import alphabets

    from slt_hf.synthesis.vocabulary import names

    rng, streams = np.random.default_rng(base), []
    inventories = alphabets(data, "dev")
    for index in range(count):
        letters = inventories[index % len(inventories)]
        known = [name.lower() for name in names("test") if set(name.lower()) <= letters.keys()]
        drawn = [str(word) for word in rng.choice(known, WORDS_IN_A_ROW, replace=False)]
        clips = [join_clips([letters[letter] for letter in word], StitchingSettings(fps=25.0)) for word in drawn]
        streams.append(in_a_row(drawn, clips, pause_seconds))
    return streams


def in_a_row(texts: list[str], clips: list[PoseClip], pause_seconds: float) -> Spoken:
    fps = clips[0].fps
    ends: list[float] = []
    parts: list[PoseClip] = []
    for clip in clips:
        gone = rested(clip, pause_seconds)
        gone.confidence[clip.num_frames :] = 0
        ends.append(1000 * (sum(part.num_frames for part in parts) + clip.num_frames) / fps)
        parts.append(gone)
    return Spoken(texts, end_to_end(parts), ends, clips)


def at_rate(clip: PoseClip, fps: float) -> PoseClip:
    points, confidence = resample(clip.points, clip.confidence, clip.fps, fps)
    return dataclasses.replace(clip, points=points, confidence=confidence, fps=fps)


# --- what is measured ---


def replay(stream: Any, clip: PoseClip) -> Heard:
    events, spent = [], []
    for frame, (points, confidence) in enumerate(zip(clip.points, clip.confidence, strict=True)):
        started, now = time.thread_time(), 1000 * frame / clip.fps
        found = stream.push(points, now, confidence)
        spent.append(1000 * (time.thread_time() - started))
        events += [(now + spent[-1], event) for event in found]
    started, now = time.thread_time(), 1000 * clip.num_frames / clip.fps
    last = stream.finish()
    now += 1000 * (time.thread_time() - started)
    return Heard(events + [(now, event) for event in last], np.array(spent))


def utterances(heard: Heard) -> list[list[tuple[float, StreamEvent]]]:
    """Events of each utterance, its final one last."""
    found: list[list[tuple[float, StreamEvent]]] = [[]]
    for now, event in heard.events:
        found[-1].append((now, event))
        if event.final:
            found.append([])
    return [each for each in found if each]


def since_when(events: list[tuple[float, StreamEvent]], text: Callable[[StreamEvent], str]) -> list[tuple[str, float]]:
    """Each word of the last event and since when it was there (ms), as `text` shows events."""
    since: list[tuple[str, float]] = []
    for now, event in events:
        words = text(event).split()
        kept = next(
            (i for i, (a, b) in enumerate(zip(since, words, strict=False)) if a[0] != b), min(len(since), len(words))
        )
        since = since[:kept] + [(word, now) for word in words[kept:]]
    return since


def committed(event: StreamEvent) -> str:
    return event.committed


def shown(event: StreamEvent) -> str:
    return f"{event.committed} {event.tentative}"


def delays(spoken: Spoken, said: list[tuple[str, float]]) -> list[float]:
    """From the end of each sentence's last sign until its last word was there, where that word is right."""
    reference = [word for text in spoken.texts for word in text.split()]
    ends = dict(zip(np.cumsum([len(text.split()) for text in spoken.texts]) - 1, spoken.ends_ms, strict=True))
    blocks = difflib.SequenceMatcher(None, reference, [word for word, _ in said], autojunk=False).get_matching_blocks()
    pairs = [(block.a + i, block.b + i) for block in blocks for i in range(block.size)]
    return [said[own][1] - ends[theirs] for theirs, own in pairs if theirs in ends]


def average_lagging(events: list[tuple[float, StreamEvent]], ends_ms: list[float]) -> float | None:
    """Of an utterance, ms: how far its words stand behind a signer whose words came evenly."""
    words, start = since_when(events, committed), events[-1][1].start_ms
    last = max((end for end in ends_ms if end <= events[-1][0]), default=start)
    if not words or last <= start:
        return None
    behind = []
    for index, (_, now) in enumerate(words):
        behind.append(now - start - index * (last - start) / len(words))
        if now >= last:
            break
    return float(np.mean(behind))


def taken_back(events: list[tuple[float, StreamEvent]]) -> int:
    """Words that a later event of the utterance replaced."""
    count = 0
    before: list[str] = []
    for _, event in events:
        words = shown(event).split()
        same = next(
            (i for i, (a, b) in enumerate(zip(before, words, strict=False)) if a != b), min(len(before), len(words))
        )
        count, before = count + len(before) - same, words
    return count


def words_right(texts: list[str], said: str) -> float:
    return max(0.0, 1 - jiwer.wer(" ".join(texts), said or "-"))


def offline(model: Any, streams: list[Spoken], fps: float) -> float:
    """Share of words right where each sentence or word is a clip of its own."""
    found = []
    for spoken in streams:
        answers = model([at_rate(clip, fps) for clip in spoken.apart])
        said = [answer.label if isinstance(model, SignClassifier) else answer.text for answer in answers]
        found.append(words_right(spoken.texts, " ".join(said)))
    return round(float(np.mean(found)), 3)


def measure(make: Callable[[str], Any], streams: list[Spoken], fps: float) -> dict[str, float | None]:
    rights, stands, settles, lags, backs, words, spent = [], [], [], [], 0, 0, []
    for spoken in streams:
        clip = at_rate(spoken.clip, fps)
        heard = replay(make(clip.layout), clip)
        parts = utterances(heard)
        final = [pair for part in parts for pair in since_when(part, committed)]
        settled = [pair for part in parts for pair in since_when(part, shown)]
        said = " ".join(word for word, _ in final)
        rights.append(words_right(spoken.texts, said))
        stands += delays(spoken, final)
        settles += delays(spoken, settled)
        lags += [lag for part in parts if (lag := average_lagging(part, spoken.ends_ms)) is not None]
        backs, words = backs + sum(map(taken_back, parts)), words + len(final)
        spent.append(heard.spent)
    every = np.concatenate(spent)
    return {
        "words right": round(float(np.mean(rights)), 3),
        "ms until it stands, median": middle(stands, 50),
        "ms until it stands, p95": middle(stands, 95),
        "ms until it is shown for good, median": middle(settles, 50),
        "ms until it is shown for good, p95": middle(settles, 95),
        "average lagging, ms": round(float(np.mean(lags))) if lags else None,
        "flicker": round(backs / max(1, words), 2),
        "ms a frame, mean": round(float(every.mean()), 2),
        "ms a frame, p95": round(float(np.percentile(every, 95)), 2),
    }


def middle(values: list[float], percent: float) -> float | None:
    return round(float(np.percentile(values, percent))) if values else None


def measure_idle(translator: SignTranslator, base: int, people: int, unseen: bool) -> dict[str, float]:
    """Texts that stand although nobody signs."""
    minutes, hands_up, said, shown_once = 0.0, 0, 0, 0
    for seed in range(people):
        _, clip = idle_unseen(base + seed, unseen, noisy=seed % 2 == 1)
        parts = utterances(replay(StreamingTranslator(translator, clip.layout), clip))
        minutes += clip.num_frames / clip.fps / 60
        hands_up, said = hands_up + len(parts), said + sum(bool(part[-1][1].committed) for part in parts)
        shown_once += sum(any(shown(event).strip() for _, event in part) for part in parts)
    return {
        "minutes": round(minutes, 1),
        "utterances": hands_up,
        "say something": said,
        "in ten minutes": round(10 * said / minutes, 2),
        "shown for a moment, in ten minutes": round(10 * (shown_once - said) / minutes, 2),
    }


ROWS = (
    ("sentences, pauses, commit by utterance", "sentences, pauses, {} fps, commit by utterance"),
    ("sentences, pauses, commit by agreement", "sentences, pauses, {} fps, commit by agreement"),
    ("sentences, no pauses, commit by utterance", "sentences, no pauses, {} fps, commit by utterance"),
    ("sentences, no pauses, commit by agreement", "sentences, no pauses, {} fps, commit by agreement"),
    ("real words, pauses", "real words, pauses, {} fps"),
    ("real words, no pauses", "real words, no pauses, {} fps"),
    ("spelled names, pauses", "spelled names, pauses, {} fps"),
)


def table(results: dict[str, Any]) -> Iterator[str]:
    """Rows for docs/streaming.md: words right at all rates, the rest at 30 frames a second."""
    for title, name in ROWS:
        found = [results[name.format(f"{fps:g}")] for fps in RATES if name.format(f"{fps:g}") in results]
        if not found:
            continue
        last, rights = found[-1], " / ".join(f"{each['words right']:.2f}" for each in found)
        lag = "" if last["average lagging, ms"] is None else f"{last['average lagging, ms'] / 1000:.1f}"
        stands = f"{last['ms until it stands, median']} ({last['ms until it stands, p95']})"
        cells = [title, rights, f"{last['words right offline']:.2f}", stands]
        cells += [last["ms until it is shown for good, median"], lag, last["flicker"]]
        yield "| " + " | ".join(map(str, [*cells, f"{last['ms a frame, mean']} / {last['ms a frame, p95']}"])) + " |"
    for name in (name for name in results if name.startswith("nobody signs")):
        yield f"{name}: {json.dumps(results[name])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sentences", type=int, default=10, help="streams of each kind; of two sentences or four words"
    )
    parser.add_argument("--idle", type=int, default=300, help="people who do not sign, of each kind; 14 to the minute")
    parser.add_argument("--seed", type=int, default=SEED, help="of signers, sentences and movements; one not yet seen")
    parser.add_argument("--model", help="checkpoint; the bundled one unless named")
    parser.add_argument("--signs", type=Path, help="classifier of isolated signs (task W)")
    parser.add_argument("--spelled", type=Path, help="recogniser of spelled words (task F2)")
    parser.add_argument("--recordings", type=Path, help="folder of the real data, for --signs and --spelled")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--table", type=Path, help="results of another run, as rows for docs/streaming.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    results: dict[str, Any] = {}
    if arguments.table:
        print(*table(json.loads(arguments.table.read_text(encoding="utf-8"))["results"]), sep="\n")
        return

    def note(name: str, found: dict[str, Any]) -> None:
        results[name] = found
        print(name, json.dumps(found), flush=True)

    translator = SignTranslator.from_pretrained(arguments.model, device="cpu")
    for pause in (True, False):
        streams = [two_sentences(arguments.seed, seed, pause) for seed in range(arguments.sentences)]
        bounds = {fps: {"words right offline": offline(translator, streams, fps)} for fps in RATES}
        for commit in ("utterance", "agreement"):
            for fps in RATES:
                found = measure(partial(StreamingTranslator, translator, commit=commit), streams, fps) | bounds[fps]
                note(f"sentences, {'pauses' if pause else 'no pauses'}, {fps:g} fps, commit by {commit}", found)
    kinds: dict[str, tuple[Path | None, Any, Any]] = {
        "real words": (arguments.signs, SignClassifier, joined_words),
        "spelled names": (arguments.spelled, SignTranslator, spelled_names),
    }
    for kind, (folder, loaded, made) in kinds.items():
        if folder is None:
            continue
        model = loaded.from_pretrained(folder, device="cpu")
        stream = StreamingClassifier if loaded is SignClassifier else StreamingTranslator
        for pause in (True, False) if kind == "real words" else (True,):
            streams = made(arguments.recordings, arguments.seed, arguments.sentences, REST_SECONDS if pause else 0.0)
            for fps in RATES:
                found = measure(partial(stream, model), streams, fps)
                found["words right offline"] = offline(model, streams, fps)
                note(f"{kind}, {'pauses' if pause else 'no pauses'}, {fps:g} fps", found)
    for unseen in (False, True):
        kind = "movements unlike those of training" if unseen else "movements as in training"
        note(f"nobody signs, {kind}", measure_idle(translator, arguments.seed, arguments.idle, unseen))
    if arguments.output:
        facts = {
            "command": "python benchmarks/streaming.py " + " ".join(sys.argv[1:]),
            "machine": f"{platform.machine()}, one thread, Python {platform.python_version()}; processor time",
            "results": results,
        }
        arguments.output.parent.mkdir(exist_ok=True)
        arguments.output.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
