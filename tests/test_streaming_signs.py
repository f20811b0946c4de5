"""Streams of single signs: the best cut of what is signed, nothing taken back, offline and live the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_checkpoints import save_classification, save_video_classification

from slt_hf import SignClassifier
from slt_hf.errors import ClipError
from slt_hf.pipeline import Classification
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.streaming import StreamingClassifier, StreamPolicy
from slt_hf.streaming.activity import SigningActivity
from slt_hf.streaming.classifier import WINDOWS
from slt_hf.streaming.sign_segments import Segment, SignSegments, joined
from slt_hf.synthesis.synthesizer import synthesize

MADE = [("BOOK", 0, 10), ("HELP", 12, 26), ("BOOK", 26, 34)]  # label, first frame, frame behind the last


def seen(window: tuple[int, int]) -> tuple[tuple[int, int], str, float]:
    """What a good classifier makes of a window: the sign it overlaps most, sure where it is that sign's own."""
    first, last = window
    shares = [(min(last, end) - max(first, start)) / (max(last, end) - min(first, start)) for _, start, end in MADE]
    best = int(np.argmax(shares))
    return window, MADE[best][0], float(np.clip(shares[best] ** 2, 0.02, 0.98))


def decoded(frames: int) -> tuple[SignSegments, list[list[Segment]]]:
    segments, certain = SignSegments(step=2, shortest=6, longest=16, behind=12.0), []
    for last in range(2, frames + 1, 2):
        segments.decode(last, [seen(window) for window in segments.windows(last)])
        certain.append(segments.certain())
    return segments, certain


def test_the_best_cut_is_the_one_that_was_made():
    segments, _ = decoded(34)
    assert [(each.label, each.first, each.last) for each in segments.best()] == MADE


def test_signs_stand_before_the_end_and_are_never_taken_back():
    segments, certain = decoded(34)
    for before, after in zip(certain, certain[1:], strict=False):
        assert after[: len(before)] == before
    assert [each.label for each in certain[-1]][:1] == ["BOOK"]
    assert segments.best()[: len(certain[-1])] == certain[-1]


def test_the_cut_of_an_endless_utterance_is_found_within_bounds():
    segments = SignSegments(step=2, shortest=6, longest=16, behind=12.0)
    sizes = []
    for last in range(2, 2000, 2):
        windows = segments.windows(last)
        segments.decode(last, [(window, "A", 0.9 if window[1] - window[0] == 10 else 0.1) for window in windows])
        sizes.append(len(windows))
    assert max(sizes) == 6


def test_halves_of_a_sign_are_one_and_a_sign_made_twice_is_two():
    halves = [Segment("A", 0.8, 0, 6), Segment("A", 0.9, 6, 14), Segment("A", 0.9, 14, 28)]
    assert [(each.first, each.last) for each in joined(halves, 16)] == [(0, 14), (14, 28)]


def test_a_lost_hand_is_waited_for_where_there_are_no_arms_to_see():
    def ends_after(layout: str) -> int:
        return SigningActivity(layout, StreamPolicy(pause_ms=160), 25.0).pause_frames

    assert ends_after("hands_42") == 3 * ends_after("holistic_543")


# --- with a checkpoint ---


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> SignClassifier:
    return SignClassifier.from_pretrained(save_classification(tmp_path_factory.mktemp("signs")), device="cpu")


@pytest.fixture(scope="module")
def signing() -> PoseClip:
    clip = synthesize(["HELP", "BOOK"], seed=3)
    rest = [np.concatenate([each, np.repeat(each[-1:], 15, 0)]) for each in (clip.points, clip.confidence)]
    return dataclasses.replace(clip, points=rest[0], confidence=rest[1])


def test_a_stream_of_signs_goes_on_from_its_saved_state(classifier: SignClassifier, signing: PoseClip):
    first, second = (StreamingClassifier(classifier, signing.layout) for _ in range(2))
    frames = list(zip(signing.points, signing.confidence, strict=True))
    half = len(frames) // 2
    for index, frame in enumerate(frames[:half]):
        first.push(frame[0], 40.0 * index, frame[1])
    state = first.state
    second.restore(state)
    for index, frame in enumerate(frames[half:], half):
        mine, its = (each.push(frame[0], 40.0 * index, frame[1]) for each in (first, second))
        assert mine == its
    assert first.finish() == second.finish()
    json.dumps(state, default=lambda array: array.tolist())


def test_a_graph_of_a_classifier_gives_its_probabilities(classifier: SignClassifier):
    engine: Any = classifier.engine
    engine.quicken()
    graph, torch = engine.graph, pytest.importorskip("torch")
    for clips, frames in ((1, 6), (5, 20), (2, 150)):  # the last beyond the attention window
        inputs = {"pose_values": torch.rand(clips, frames, 85, 3), "attention_mask": torch.ones(clips, frames)}
        inputs["attention_mask"][-1, 5:] = 0
        engine.graph = None
        plain = engine.classify(inputs)
        engine.graph = graph
        np.testing.assert_allclose(engine.classify(inputs), plain, atol=1e-5)


def test_windows_are_classified_together_as_if_alone(classifier: SignClassifier, signing: PoseClip):
    stream = StreamingClassifier(classifier, signing.layout)
    nobody = np.zeros_like(signing.confidence[0])
    only_face = np.where(np.arange(len(nobody)) == 40, signing.confidence[0], nobody)  # of no landmark of the model
    frames = [*zip(signing.points, signing.confidence, strict=True)]
    stream.utterance = [*frames[:20], *[(frames[0][0], nobody)] * 8, *[(frames[0][0], only_face)] * 8]
    windows = [(0, 6), (4, 20), (20, 28), (10, 24), (28, 36)]
    together = stream._classified(windows)
    alone = [found for window in windows for found in stream._classified([window])]
    assert [each[:2] for each in together] == [each[:2] for each in alone] and len(alone) == 3
    assert [each[2] for each in together] == pytest.approx([each[2] for each in alone], abs=1e-5)


@pytest.mark.parametrize("fps", [10.0, 30.0])
def test_windows_keep_up_with_the_camera(
    classifier: SignClassifier, signing: PoseClip, fps: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(classifier, "__class__", type("Counted", (SignClassifier,), {"__call__": named}))
    stream = StreamingClassifier(classifier, signing.layout, longest_ms=1e6)
    behind = []
    for index in range(round(6 * fps)):  # a hand that stays up
        stream.push(signing.points[20], 1000 * index / fps, signing.confidence[20])
        behind.append(len(stream.utterance) - stream.segments.reached)
    assert max(behind) <= 3 * stream.segments.step


def named(self: Any, clips: list[PoseClip], top_k: int) -> list[Any]:
    """Every window the same sign, at once."""
    assert len(clips) <= WINDOWS
    return [Classification([(self.labels[0], 0.9)])] * len(clips)


def test_what_stands_is_what_the_windows_say_and_all_of_it_in_the_end(classifier: SignClassifier, signing: PoseClip):
    stream = StreamingClassifier(classifier, signing.layout)
    committed = ""
    events: list[Any] = []
    for index, (points, confidence) in enumerate(zip(signing.points, signing.confidence, strict=True)):
        for event in stream.push(points, 1000 * index / signing.fps, confidence):
            assert event.committed.startswith(committed)
            committed, events = ("" if event.final else event.committed), [*events, event]
    final = [event for event in [*events, *stream.finish()] if event.final]
    assert len(final) == 1 and final[0].tentative == ""
    assert set(final[0].committed.split()) <= set(classifier.labels) and 0 < final[0].confidence <= 1


def test_signs_below_the_threshold_are_left_out(classifier: SignClassifier, signing: PoseClip):
    silent = StreamingClassifier(classifier, signing.layout, min_confidence=1.0).translate(signing)
    assert [event.committed for event in silent] == [""]


@pytest.mark.slow
def test_real_words_joined_without_a_pause_are_told_apart(repository: Path, shared_data: Path):
    trained = repository / "outputs" / "real" / "w"
    if not trained.is_dir():
        pytest.skip("the checkpoint of task W is made by `make real`")
    import sys

    sys.path.insert(0, str(repository / "benchmarks"))
    from streaming import SEED, joined_words

    classifier = SignClassifier.from_pretrained(trained, device="cpu")
    spoken = joined_words(shared_data, SEED, count=4, pause_seconds=0.0)
    right = sum(
        " ".join(event.committed for event in StreamingClassifier(classifier, clip.layout).translate(clip))
        == " ".join(text)
        for text, clip, *_ in spoken
    )
    assert right >= 2


def test_a_model_that_sees_frames_is_told_to_get_clips(tmp_path: Path):
    classifier = SignClassifier.from_pretrained(save_video_classification(tmp_path))
    with pytest.raises(ClipError, match="sees frames"):
        StreamingClassifier(classifier)
