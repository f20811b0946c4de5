"""Live translation: any camera, one path with offline translation, nothing taken back, nothing without bound."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from slt_hf import SignTranslator
from slt_hf.demonstration import idle_unseen, sign_unseen
from slt_hf.engines import TorchGenerator
from slt_hf.errors import ClipError
from slt_hf.pipeline import Preparer
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.streaming import StreamEvent, StreamingTranslator, StreamPolicy
from slt_hf.streaming.activity import SigningActivity
from slt_hf.streaming.chunk_graph import ChunkGraph
from slt_hf.streaming.frame_clock import FrameClock
from slt_hf.streaming.live_decoder import LiveDecoder
from slt_hf.streaming.sentence_end import Guess, SentenceEnd
from slt_hf.streaming.silence import Silence
from slt_hf.streaming.text_graph import TextGraph, trace_text
from slt_hf.streaming.translator import PIECES
from slt_hf.synthesis import synthesize_timed


@pytest.fixture(scope="module")
def translator() -> SignTranslator:
    return SignTranslator.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def sentence() -> PoseClip:
    """An unseen sentence, hands down before and for a second after it."""
    _, clip, _ = sign_unseen(seed=2)
    return with_rest(clip, 1.0)


def with_rest(clip: PoseClip, seconds: float) -> PoseClip:
    count = round(seconds * clip.fps)
    points = np.concatenate([clip.points, np.repeat(clip.points[-1:], count, 0)])
    return dataclasses.replace(
        clip, points=points, confidence=np.concatenate([clip.confidence, np.repeat(clip.confidence[-1:], count, 0)])
    )


def stream(translator: SignTranslator, clip: PoseClip, **policy: Any) -> list[StreamEvent]:
    live = StreamingTranslator(translator, clip.layout, **policy)
    events: list[StreamEvent] = []
    for frame, (points, confidence) in enumerate(zip(clip.points, clip.confidence, strict=True)):
        events += live.push(points, 1000 * frame / clip.fps, confidence)
    return events + live.finish()


# --- who signs ---


def test_signing_is_hands_up_from_any_camera(sentence: PoseClip):
    def spans(clip: PoseClip) -> list[tuple[str, int]]:
        return changes(SigningActivity(clip.layout, StreamPolicy(), clip.fps), clip)

    found = spans(sentence)
    assert [change for change, _ in found] == ["start", "settling", "end"]
    moved = dataclasses.replace(sentence, points=sentence.points * np.float32(3) + np.float32(50))
    assert spans(moved) == found


TEACHER_AND_DOG = (
    ["THEY", "UNDERSTAND", "YOUR", "TEACHER", "YOUR", "DOG", "BLACK"],
    ["They understand your teacher.", "Your dog is black."],
)
WE_AND_SISTER = (
    ["WE", "READY", "QUESTION", "MY", "SISTER", "LIKE", "COFFEE"],
    ["Are we ready?", "My sister likes coffee."],
)


def changes(activity: SigningActivity, clip: PoseClip) -> list[tuple[str, int]]:
    found = [activity.push(*frame) for frame in zip(clip.points, clip.confidence, strict=True)]
    return [(change, frame) for frame, change in enumerate(found) if change]


def synthesized(glosses: list[str], seed: int) -> tuple[PoseClip, float]:
    """A sentence and a second of rest; the frame at which its last sign ends."""
    clip, spans = synthesize_timed(glosses, seed=seed)
    return with_rest(clip, 1.0), spans[-1][2] * clip.fps / 1000


def test_signs_as_low_as_a_child_or_the_walls_of_a_house_do_not_end_an_utterance():
    cut = 0
    for seed in range(12):
        clip, last = synthesized([["MY", "CHILD", "SLEEP"], ["YOUR", "HOUSE", "WHITE"]][seed % 2], seed)
        found = changes(SigningActivity(clip.layout, StreamPolicy(), clip.fps), clip)
        assert found[0][0] == "start" and found[-1][0] == "end"
        cut += min(frame for change, frame in found if change != "start") < last
    assert cut <= 5  # all twelve, where only the height of wrist and elbow counted


def test_hands_on_their_way_to_where_they_rested_are_settling():
    delays = []
    for seed in range(12):
        clip, last = synthesized(["YOU", "LIKE", "COFFEE"], seed)
        found = changes(SigningActivity(clip.layout, StreamPolicy(), clip.fps), clip)
        settling, end = (next(frame for change, frame in found if change == name) for name in ("settling", "end"))
        assert settling < end
        delays.append((settling - last) / clip.fps)
    assert np.median(delays) < 0.3


def test_somebody_who_stands_still_says_nothing(translator: SignTranslator, sentence: PoseClip):
    rng = np.random.default_rng(0)
    points = np.repeat(sentence.points[-1:], 250, 0)
    points += rng.normal(0, 1, points.shape).astype(np.float32)
    idle = dataclasses.replace(sentence, points=points, confidence=np.repeat(sentence.confidence[-1:], 250, 0))
    assert stream(translator, idle) == []


def test_an_empty_chair_says_nothing(translator: SignTranslator, sentence: PoseClip):
    empty = dataclasses.replace(sentence, confidence=np.zeros_like(sentence.confidence))
    assert stream(translator, empty) == []


def test_a_hand_that_is_not_found_has_not_gone_down(sentence: PoseClip):
    lost = dataclasses.replace(sentence, confidence=sentence.confidence.copy())
    hands = slice(501, 543)
    raised = len(sentence.points) // 2
    lost.confidence[raised - 6 : raised + 6, hands] = 0
    activity = SigningActivity(lost.layout, StreamPolicy(pause_ms=80), lost.fps)
    found = changes(activity, lost)
    assert [change for change, _ in found] == ["start", "settling", "end"] and found[1][1] > raised + 6


def test_hands_that_do_not_sign_say_nothing_to_a_careful_stream(translator: SignTranslator):
    """Scratching heads, rubbing eyes, wandering hands."""
    clips = [idle_unseen(seed)[1] for seed in range(8)]
    finals = [
        event
        for clip in clips
        for event in StreamingTranslator(translator, clip.layout, min_confidence=0.95).translate(clip)
    ]
    assert len(finals) >= 6 and sum(bool(event.committed) for event in finals) <= 1


def test_the_checkpoint_names_the_limits_unless_the_policy_does(translator: SignTranslator):
    limits: dict[str, Any] = {"min_confidence": 0.2, "alone_certainty": 0.3, "slowest_sign_ms": 5000.0}
    own, named = StreamingTranslator(translator).silence, StreamingTranslator(translator, **limits).silence
    fitted: Any = translator.calibration
    assert own == Silence(fitted.abstain_below, fitted.alone_certainty, fitted.slowest_ms, fitted.slowest_sign_ms)
    assert named == Silence(0.2, 0.3, fitted.slowest_ms, 5000.0)
    by_characters = StreamingTranslator(translator, slowest_ms=70.0).silence
    assert (by_characters.slowest_ms, by_characters.slowest_sign_ms) == (70.0, None)


def test_signs_are_as_certain_as_the_least_certain_of_them(translator: SignTranslator):
    live = StreamingTranslator(translator).live
    assert live is not None and live.certainty_of_signs is None  # nothing was read
    live.labels, live.certainty = [0, 5, 5, 0, 7, 7], [0.1, 0.6, 0.8, 0.2, 0.3, 0.7]
    assert live.certainty_of_signs == 0.7  # each where it is highest, steps without a sign left out
    live.certainty = []
    assert live.certainty_of_signs is None  # an export that tells signs alone


def test_hands_that_do_not_sign_show_nothing_while_they_are_up(translator: SignTranslator):
    events = [event for seed in range(8) for event in stream(translator, idle_unseen(seed)[1])]
    shown = [event.committed + event.tentative for event in events]
    assert len(shown) >= 6 and sum(map(bool, shown)) <= len(shown) // 10


def test_too_little_text_for_the_time_is_silence(translator: SignTranslator, sentence: PoseClip):
    [quick] = StreamingTranslator(translator, sentence.layout, min_confidence=0.0, slowest_ms=1e6).translate(sentence)
    [slow] = StreamingTranslator(translator, sentence.layout, min_confidence=0.0, slowest_ms=1.0).translate(sentence)
    assert quick.committed and not slow.committed and slow.confidence == quick.confidence


# --- what is said ---


def test_a_final_event_tells_what_its_text_owes_to_the_signing(translator: SignTranslator, sentence: PoseClip):
    events = stream(translator, sentence, grounding=True)
    assert [event.grounding for event in events[:-1]] == [None] * (len(events) - 1)
    owed = events[-1].grounding
    assert owed is not None and 0.3 < owed <= 1


def test_a_guess_in_small_pieces_is_the_greedy_sentence(translator: SignTranslator, sentence: PoseClip):
    batch = next(Preparer(translator.processor)(sentence, 1))
    engine: Any = translator.engine
    memory = engine.model.encode(**batch.inputs)
    decoder = LiveDecoder(engine.model)
    [greedy] = engine.generate_from(memory, num_beams=1)
    for _ in range(2):  # from nothing, then from the same guess
        decoder.begin(memory)
        found = next(found for found in iter(decoder.step, "never") if found is not None)
        assert found.tokens == greedy.tokens and decoder.memory is None
        assert found.confidence == pytest.approx(greedy.confidence, abs=1e-4)
    assert decoder.passes == 1


def test_a_graph_of_the_text_model_writes_what_generate_writes(
    translator: SignTranslator, monkeypatch: pytest.MonkeyPatch
):
    plain = SignTranslator.from_pretrained(device="cpu")  # never opened a stream: transformers decodes
    translator.engine.quicken()  # type: ignore[attr-defined]
    assert isinstance(translator.engine.graph, TextGraph) and plain.engine.graph is None  # type: ignore[attr-defined]
    monkeypatch.setattr(translator.engine.model, "generate", None)  # type: ignore[attr-defined]  # not by transformers
    clips = [sign_unseen(seed=seed)[1] for seed in range(4)]
    for options in ({}, {"num_beams": 1}, {"num_beams": 3, "length_penalty": 0.5, "batch_size": 3}):
        for ours, theirs in zip(translator(clips, **options), plain(clips, **options), strict=True):
            assert ours.text == theirs.text and ours.confidence == pytest.approx(theirs.confidence, abs=1e-5)


def test_what_a_graph_cannot_do_is_left_to_the_model(translator: SignTranslator, monkeypatch: pytest.MonkeyPatch):
    translator.engine.quicken()  # type: ignore[attr-defined]
    graph: TextGraph = translator.engine.graph  # type: ignore[attr-defined]
    assert graph.generate({}, {"do_sample": True}) is None and graph.generate({}, {"num_beam_groups": 2}) is None
    before = torch.get_rng_state()
    monkeypatch.setattr("slt_hf.streaming.clip_graph.TOLERANCE", 0.0)  # as if its numbers were not the model's
    half = trace_text(graph.model)
    assert half is not None and half.clip is None and torch.equal(torch.get_rng_state(), before)
    monkeypatch.setattr("slt_hf.streaming.text_graph.TOLERANCE", 0.0)
    assert trace_text(graph.model) is None
    engine, tried = TorchGenerator(graph.model), list[Any]()
    monkeypatch.setattr("slt_hf.streaming.text_graph.trace_text", tried.append)
    engine.quicken()
    engine.quicken()
    assert tried == [graph.model] and engine.graph is None  # once, and not again for each stream


def test_what_stands_is_the_offline_translation_of_the_utterance(translator: SignTranslator, sentence: PoseClip):
    final = [event for event in stream(translator, sentence) if event.final]
    assert len(final) == 1
    clock = FrameClock(25.0, 250)
    made = [clock.push(*frame, 1000 * index / sentence.fps) for index, frame in enumerate(frames_of(sentence))]
    points, confidence = (np.concatenate(each) for each in zip(*made, strict=True))
    first, last = round(final[0].start_ms / 40), round(final[0].end_ms / 40)
    part = PoseClip(points[first:last], confidence[first:last], sentence.layout, 25.0)
    offline = translator(part)
    assert final[0].committed == offline.text
    assert final[0].confidence == pytest.approx(offline.confidence, abs=1e-6)


def frames_of(clip: PoseClip) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(clip.points, clip.confidence, strict=True))


def test_a_clip_translated_whole_gives_the_stream_collected(translator: SignTranslator, sentence: PoseClip):
    whole = StreamingTranslator(translator, sentence.layout).translate(sentence)
    assert whole == [event for event in stream(translator, sentence) if event.final]


def test_guesses_come_while_signing_and_name_the_last_seq(translator: SignTranslator, sentence: PoseClip):
    events = stream(translator, sentence)
    assert [event.seq for event in events] == list(range(len(events)))
    guesses = [event for event in events if not event.final]
    assert len(guesses) >= 2 and all(0 < event.confidence <= 1 for event in guesses) and guesses[-1].tentative
    assert guesses[0].end_ms < events[-1].end_ms


def test_what_was_committed_is_never_taken_back(translator: SignTranslator):
    for seed in range(3):
        _, clip, _ = sign_unseen(seed=seed)
        committed = ""
        for event in stream(translator, clip, commit="agreement"):
            assert event.committed.startswith(committed)
            committed = "" if event.final else event.committed


def test_a_sentence_that_its_own_frames_do_not_say_is_read_once(
    translator: SignTranslator, sentence: PoseClip, monkeypatch: pytest.MonkeyPatch
):
    live, read = StreamingTranslator(translator, sentence.layout), []
    monkeypatch.setattr(live, "live", SimpleNamespace(frame_between=lambda signs: 10 * signs))
    monkeypatch.setattr(live, "_read", lambda frame: read.append(frame))
    for signs in range(2, 8):
        assert live._sentence_over(Guess("I ate bread.", 0.9, signs)) == []
    assert read == [20]
    goes_on = SentenceEnd(0.5)
    goes_on.restore(live.sentence.state())
    assert goes_on.take(Guess("I ate bread. You sleep.", 0.9, 9)) is None


def test_two_sentences_without_a_pause_are_two_utterances(translator: SignTranslator):
    right = 0
    for seed, (glosses, texts) in enumerate([TEACHER_AND_DOG, WE_AND_SISTER] * 2):
        finals = [event for event in stream(translator, synthesized(glosses, seed)[0]) if event.final]
        right += [event.committed for event in finals] == texts
        assert all(one.end_ms == other.start_ms for one, other in pairwise(finals))
    assert right >= 3


def test_what_is_unsure_as_one_sentence_is_read_as_two(translator: SignTranslator, monkeypatch: pytest.MonkeyPatch):
    """A sentence was guessed, then nothing that makes sense; in the end both parts are read surely."""
    glosses, texts = TEACHER_AND_DOG
    clip, _ = synthesized(glosses, 0)
    live = StreamingTranslator(translator, clip.layout, split_above=0.5, min_confidence=0.3)
    # never while signing
    monkeypatch.setattr(live, "_sentence_over", lambda guess: [] if live.sentence.take(guess) else [])
    read = live._read

    def unsure_as_one(stop: int | None = None, start: int = 0) -> Any:
        found = read(stop, start)
        return dataclasses.replace(found, confidence=0.1) if found and (stop, start) == (None, 0) else found

    monkeypatch.setattr(live, "_read", unsure_as_one)
    finals = [event for event in live.translate(clip) if event.final]
    assert [event.committed for event in finals] == texts and finals[0].end_ms == finals[1].start_ms


def test_an_unsure_utterance_ends_in_silence(translator: SignTranslator, sentence: PoseClip):
    plain = SignTranslator(translator.processor, translator.engine)  # its confidence is never quite 1
    [final] = [event for event in stream(plain, sentence, min_confidence=1.0) if event.final]
    assert final.committed == "" and final.confidence < 1


# --- bounds, state, errors ---


def test_a_pushed_frame_does_two_small_pieces_at_most(
    translator: SignTranslator, sentence: PoseClip, monkeypatch: pytest.MonkeyPatch
):
    """But for the frame in which an utterance ends and is read whole."""
    live = StreamingTranslator(translator, sentence.layout)
    done: list[str] = []
    for kind, name in ((ChunkGraph, "piece"), (TextGraph, "memory"), (LiveDecoder, "step")):
        work = getattr(kind, name)

        def counted(self: Any, *given: Any, work: Any = work, name: str = name) -> Any:
            done.append(name)
            return work(self, *given)

        monkeypatch.setattr(kind, name, counted)
    most = 0
    names: set[str] = set()
    for frame, (points, confidence) in enumerate(frames_of(sentence)):
        done.clear()
        events = live.push(points, 1000 * frame / sentence.fps, confidence)
        if not any(event.final for event in events) and live.reading[1] is None:
            most, names = max(most, len(done)), names | set(done)
    assert most == PIECES and names == {"piece", "memory", "step"}


def test_a_stream_goes_on_from_its_saved_state(translator: SignTranslator, sentence: PoseClip):
    frames = frames_of(sentence)
    half = len(frames) // 2
    first, second = (StreamingTranslator(translator, sentence.layout) for _ in range(2))
    events = [e for i, frame in enumerate(frames[:half]) for e in first.push(frame[0], 1000 * i / 25, frame[1])]
    state = first.state
    second.restore(state)
    for i, frame in enumerate(frames[half:], half):
        mine, its = (each.push(frame[0], 1000 * i / 25, frame[1]) for each in (first, second))
        assert mine == its
        events += mine
    assert first.finish() == second.finish()
    json.dumps(state, default=lambda array: array.tolist())  # arrays, numbers and strings, nothing else


def test_an_endless_utterance_is_cut_and_keeps_its_memory_bounded(translator: SignTranslator, sentence: PoseClip):
    live = StreamingTranslator(translator, sentence.layout, longest_ms=1000)
    longest, finals = 0, 0
    raised = len(sentence.points) // 2
    for frame in range(100):
        events = live.push(sentence.points[raised], 40.0 * frame, sentence.confidence[raised])
        longest = max(longest, len(live.utterance))
        finals += sum(event.final for event in events)
    assert longest <= 25 and finals >= 3


@pytest.mark.parametrize(
    ("points", "time_ms", "message"),
    [(np.zeros((5, 2)), 0.0, "543 points"), (np.zeros((543, 2)), float("nan"), "time in milliseconds")],
)
def test_frames_that_cannot_be_are_refused(
    translator: SignTranslator, points: np.ndarray, time_ms: float, message: str
):
    with pytest.raises(ClipError, match=message):
        StreamingTranslator(translator).push(points, time_ms)


@pytest.mark.parametrize("shape", [(), (1,), (544,), (543, 1)])
def test_confidence_is_given_for_each_point(translator: SignTranslator, shape: tuple[int, ...]):
    with pytest.raises(ClipError, match="confidence for each of 543 points"):
        StreamingTranslator(translator).push(np.zeros((543, 2)), 0.0, np.ones(shape))


def test_a_camera_that_was_away_for_long_ends_the_utterance_and_keeps_the_time(
    translator: SignTranslator, sentence: PoseClip
):
    live = StreamingTranslator(translator, sentence.layout)
    frames = frames_of(sentence)
    away_from = len(frames) // 2  # hands are up
    events = [e for i, frame in enumerate(frames[:away_from]) for e in live.push(frame[0], 40.0 * i, frame[1])]
    back_ms = 40.0 * away_from + 60_000
    for i, frame in enumerate(frames):
        events += live.push(frame[0], back_ms + 40.0 * i, frame[1])
    first, second = [event for event in events + live.finish() if event.final]
    assert first.end_ms <= 40.0 * away_from
    assert back_ms <= second.start_ms < second.end_ms <= back_ms + 40.0 * len(frames)
