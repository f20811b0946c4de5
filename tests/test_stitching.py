"""Sentences joined from isolated clips: what a recipe's `stitching` makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_training_scripts import TINY_T5, WORDS, corpus, losses, moving_clip, run  # noqa: F401

from slt_hf.data.manifest import Sample, read_manifest, write_manifest
from slt_hf.data.stitching import StitchingSettings, join_clips
from slt_hf.errors import RecipeError
from slt_hf.processing.pose_files import PoseClip, write_pose
from slt_hf.processing.pose_normalization import measure_frame
from slt_hf.training.arguments import DataArguments
from slt_hf.training.setup import training_rows
from slt_hf.training.stitched import StitchedSource, StitchingRecipe


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of each of four signs, by Ann and by Bo, who signs no `water`; clips differ in place and size."""
    folder, samples = tmp_path_factory.mktemp("signs"), []
    for row in range(8):
        word, signer = WORDS[row % 4], ("ann", "bo")[row // 4]
        if (signer, word) == ("bo", "water"):
            continue
        clip = moving_clip(row % 4, 10 + row)
        clip.points = clip.points * (1 + row // 4) + 50 * row
        write_pose(clip, folder / f"{row}.pose")
        facts: dict[str, Any] = {"gloss": word.upper(), "text": word, "signer": signer, "language": "eng"}
        samples.append(Sample(id=str(row), pose=f"{row}.pose", split="train", **facts))
    write_manifest(samples, folder / "manifest.csv")
    (folder / "sentences.tsv").write_text(
        "gloss\ttext\nHELLO TREE\tHello, tree.\nwater house\tThe house is wet.\nHELLO SKY\tHello, sky.\n"
    )
    return folder


def source(folder: Path, seed: int = 0, **options: Any) -> StitchedSource:
    recipe = StitchingRecipe.parse({"dataset": [str(folder / "manifest.csv")], "samples": 20, **options})
    return StitchedSource(recipe, "train", 25.0, seed)


def plain(**options: Any) -> dict[str, Any]:
    """Clips as they are, one after the other."""
    return {"tempo": 0.0, "trim": 0.0, "transition_ms": 0.0, **options}


def test_sentences_are_those_that_the_signs_can_say(signs: Path) -> None:
    rows = source(signs, sentences=str(signs / "sentences.tsv"))
    assert set(rows.column("text")) == {"Hello, tree.", "The house is wet."}, "there is no clip of SKY"
    made = [rows[index] for index in range(len(rows))]
    glosses = {"Hello, tree.": "HELLO TREE", "The house is wet.": "WATER HOUSE"}
    assert all(row["gloss"] == glosses[row["text"]] and row["language"] == "eng" for row in made)
    alone = source(signs, sentences=str(signs / "sentences.tsv"), same="signer")
    assert [len(pool.sentences) for pool in alone.pools] == [2, 1], "Bo has no WATER"


def test_a_sentence_lasts_as_long_as_its_clips_and_the_glides_between(signs: Path) -> None:
    rows = source(signs, **plain(lengths=[3, 3], transition_ms=80, same="signer"))
    frames = {(word.upper(), row // 4): 10 + row for row in range(8) for word in [WORDS[row % 4]]}
    for index in range(5):
        made = rows[index]
        lengths = [sum(frames[sign, signer] for sign in made["gloss"].split()) + 2 * 2 for signer in (0, 1) if
                   all((sign, signer) in frames for sign in made["gloss"].split())]  # fmt: skip
        assert made["clip"].num_frames in lengths and made["text"] == made["gloss"].lower()


def test_clips_are_joined_in_one_place_and_size(signs: Path) -> None:
    clips = [moving_clip(0), moving_clip(1)]
    moved = PoseClip(clips[1].points * 3 - 100, clips[1].confidence, "holistic_75", 25.0)
    settings = StitchingSettings(fps=25, align=True)
    near, far = join_clips(clips, settings), join_clips([clips[0], moved], settings)
    np.testing.assert_allclose(far.points[..., :2], near.points[..., :2], atol=0.01)
    hard = join_clips([clips[0], moved], StitchingSettings(fps=25))
    np.testing.assert_array_equal(hard.points[12:], moved.points)
    first, last = (
        measure_frame(PoseClip(part, np.ones(part.shape[:2], np.float32), "holistic_75", 25.0))
        for part in (far.points[:12], far.points[12:])
    )
    assert first is not None and last is not None and first.scale == pytest.approx(last.scale, rel=1e-4)


def test_the_same_seed_and_epoch_give_the_same_sentences_in_any_order(signs: Path) -> None:
    def made(rows: StitchedSource, epoch: int, order: list[int]) -> dict[int, Any]:
        rows.set_epoch(epoch)
        return {index: (rows[index]["text"], rows[index]["clip"].points) for index in order}

    forwards = made(source(signs), 1, list(range(6)))
    backwards = made(source(signs), 1, list(range(6))[::-1])
    for index, (text, points) in forwards.items():
        assert backwards[index][0] == text
        np.testing.assert_array_equal(backwards[index][1], points)
    for other in (made(source(signs), 2, list(range(6))), made(source(signs, seed=1), 1, list(range(6)))):
        assert [text for text, _ in other.values()] != [text for text, _ in forwards.values()]


def test_spelled_words_have_no_spaces(tmp_path: Path) -> None:
    samples = []
    for place, letter in enumerate("abc"):
        write_pose(moving_clip(place), tmp_path / f"{letter}.pose")
        samples.append(Sample(id=letter, pose=f"{letter}.pose", gloss=letter.upper(), text=letter, split="train"))
    write_manifest(samples, tmp_path / "manifest.csv")
    (tmp_path / "words.txt").write_text("cab\n\nAbba\nzoo\n")
    rows = source(tmp_path, sentences=str(tmp_path / "words.txt"), spelled=True, random_share=0.5)
    texts = rows.column("text")
    assert {"cab", "Abba"} < set(texts) and not any(" " in text or "z" in text for text in texts)
    assert rows[texts.index("Abba")]["gloss"] == "A B B A"


def test_joined_sentences_stand_beside_recordings_or_alone(signs: Path, corpus: Path) -> None:  # noqa: F811
    joined = {"dataset": [str(signs / "manifest.csv")], "samples": 7}
    recorded = [str(corpus / "manifest.csv")]
    both = training_rows(DataArguments(dataset=recorded, stitching=joined, max_frames=500), 25.0, seed=0)
    assert len(both) == 8 + 7 and "clip" in both[8] and "clip" not in both[7] and both[14]["index"] == 14
    both.set_epoch(3)
    assert both[8]["id"] == "stitched-3-0"
    assert len(training_rows(DataArguments(stitching=joined), 25.0, seed=0)) == 7


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sentence": "a.txt"}, "did you mean sentences"),
        ({"dataset": []}, "a list of corpora"),
        ({"samples": "many"}, "expected numbers and lists"),
        ({"lengths": [3, 2]}, "fewest and most"),
        ({"column": "variation"}, "name another `column`"),
        ({"sentences": "absent.txt"}, "expected a file at absent.txt"),
    ],
)
def test_wrong_settings_say_what_to_do(signs: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        source(signs, **options)


def test_sentences_without_clips_and_batches_by_frames_are_refused(signs: Path, tmp_path: Path) -> None:
    (tmp_path / "sentences.txt").write_text("good morning\n")
    with pytest.raises(RecipeError, match="found none of 1"):
        source(signs, sentences=str(tmp_path / "sentences.txt"))
    with pytest.raises(RecipeError, match="remove frames_per_batch"):
        source(signs).num_frames()


def test_a_classifier_learns_from_no_joined_clips(repository: Path, corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    joined = {"dataset": [str(corpus / "manifest.csv")]}
    with pytest.raises(RecipeError, match="take train_translation.py"):
        run("train_isolated_signs.py", repository, corpus, tmp_path, target="gloss", tokenizer=None, stitching=joined)


@pytest.mark.slow
def test_order_is_learned_from_joined_clips_alone(repository: Path, corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    """Dev sentences of two recorded words, of which training has seen each word by itself."""
    from slt_hf.data.tables import read_table

    samples = read_manifest(corpus / "manifest.csv", split="dev")
    pairs = [(0, 1), (1, 0), (2, 3), (3, 2)]
    for place, pair in enumerate(pairs):
        write_pose(join_clips([moving_clip(word, 20) for word in pair]), tmp_path / f"{place}.pose")
        samples[place].pose, samples[place].text = f"{place}.pose", " ".join(WORDS[word] for word in pair)
    write_manifest(samples, tmp_path / "dev.csv")
    joined = {"dataset": [str(corpus / "manifest.csv")], "samples": 16, "lengths": [1, 2]}
    run(
        "train_translation.py", repository, corpus, tmp_path / "run", dataset=None, stitching=joined,
        eval_dataset=[str(tmp_path / "dev.csv")], text_config=TINY_T5, max_steps=400, eval_steps=400,
        per_device_train_batch_size=8, learning_rate=0.003, lr_scheduler_type="constant",
    )  # fmt: skip
    rows = read_table(tmp_path / "run" / "predictions" / "step-000400.csv").rows
    right = sum(row["hypothesis"] == row["reference"] for row in rows)
    assert right >= 3, [row["hypothesis"] for row in rows]


@pytest.mark.slow
def test_workers_make_the_sentences_that_one_process_makes(repository: Path, corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    joined = {"dataset": [str(corpus / "manifest.csv")], "samples": 6}
    found = []
    for workers in (0, 2):
        folder = run(
            "train_translation.py", repository, corpus, tmp_path / str(workers), stitching=joined, text_config=TINY_T5,
            max_steps=8, eval_strategy="no", logging_steps=1, noise=0.01, dataloader_num_workers=workers,
        )  # fmt: skip
        found.append(losses(folder))
    assert found[0] == pytest.approx(found[1], abs=1e-6)
