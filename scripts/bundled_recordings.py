"""Recordings of people for the bundled checkpoint: the CC0 and MIT parts of the real data, and nothing else.

Letters of one alphabet are joined into names and random letters of our own (the word lists beside them have another
licence); isolated words are taken one or two at a time. Test clips come from alphabets and recordings kept apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from slt_hf.data.stitching import StitchingSettings, join_clips
from slt_hf.demonstration import REAL_SIGNS, Draft, random_letters, text_of_sign
from slt_hf.poses.formats import read_clip
from slt_hf.processing.pose_augmentation import AugmentationSettings, augment_clip
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_inputs import clip_from_array
from slt_hf.synthesis.vocabulary import invented_name, names

from real_data import HANDS, LETTERS_FOLDER, WORDS_FOLDER, WORDS_FPS, table  # isort: skip

FPS = 25.0
JOINING = StitchingSettings(fps=FPS, tempo=0.2, trim=0.12)
VARIATION = AugmentationSettings(
    rotation=8, scale=0.1, noise=0.003, bone_length=0.06, finger_bend=5, hand_turn=12, trim=0.1
)
RANDOM_SHARE = 0.5  # of spelled words: random letters, so that letters are read and names are not guessed


class RealLetters:
    """A source of spelled words: letters of one alphabet, joined."""

    def __init__(self, data: Path):
        self.alphabets = alphabets(data, "train")

    def __call__(self, rng: np.random.Generator) -> Draft:
        inventory = self.alphabets[rng.integers(len(self.alphabets))]
        word = self._word(rng, inventory)
        clips = [augment_clip(inventory[letter], rng, VARIATION) for letter in word]
        return Draft(join_clips(clips, JOINING, rng), word.capitalize(), list(word), None)

    def _word(self, rng: np.random.Generator, inventory: dict[str, PoseClip]) -> str:
        while True:
            word = random_letters(rng)
            if rng.random() > RANDOM_SHARE:
                pick = Random(int(rng.integers(1 << 31)))
                word = (pick.choice(names("train")) if pick.random() < 0.5 else invented_name(pick)).lower()
            if set(word) <= inventory.keys():
                return word


class RealWords:
    """A source of isolated words, one or two in a clip; what two say together is known by their signs alone."""

    def __init__(self, data: Path):
        self.groups: dict[str, list[tuple[str, PoseClip]]] = {}
        for label, group, clip in word_clips(data, "train"):
            self.groups.setdefault(group, []).append((label, clip))

    def __call__(self, rng: np.random.Generator) -> Draft:
        clips = list(self.groups.values())[rng.integers(len(self.groups))]
        drawn = [clips[rng.integers(len(clips))] for _ in range(1 + (rng.random() < 0.4))]
        targets = [REAL_SIGNS[label][0] for label, _ in drawn]
        joined = join_clips([augment_clip(clip, rng, VARIATION) for _, clip in drawn], JOINING, rng)
        if not (joined.confidence > 0).any():  # trimmed to frames in which no hand was found
            return self(rng)
        return Draft(joined, text_of_sign(targets[0]) if len(targets) == 1 else None, targets, None)


def alphabets(data: Path, split: str) -> list[dict[str, PoseClip]]:
    """Letter -> clip, of each one-handed alphabet of a split; body and hands."""
    found: dict[str, dict[str, PoseClip]] = {}
    for row in table(data / LETTERS_FOLDER):
        if row["split"] == split and row["letter"] and row["two_handed"] == "0":
            clip = read_clip(data / LETTERS_FOLDER / row["path"])
            found.setdefault(row["sign_language"], {})[row["letter"].lower()] = clip
    return list(found.values())


def word_clips(data: Path, split: str) -> Iterator[tuple[str, str, PoseClip]]:
    """Label, source and clip of every isolated word that means something; both hands."""
    arrays: dict[str, np.ndarray] = {}
    for row in table(data / WORDS_FOLDER):
        if row["split"] != split or row["label"] not in REAL_SIGNS:
            continue
        if row["file"] not in arrays:
            arrays[row["file"]] = np.load(data / WORDS_FOLDER / row["file"], allow_pickle=False)["keypoints"]
        clip = clip_from_array(arrays[row["file"]][int(row["index"])][:, -126:], HANDS, WORDS_FPS)
        clip.points[clip.confidence == 0] = np.nan
        yield row["label"], row["signer_group"], clip


def test_recordings(data: Path) -> dict[str, list[tuple[str, PoseClip]]]:
    """Name of a test -> text and clip: letters and names by people of alphabets never seen, words of the dev split."""
    tests: dict[str, list[tuple[str, PoseClip]]] = {"real letters": [], "real spelled names": [], "real words": []}
    for inventory in alphabets(data, "dev"):
        tests["real letters"] += [(letter.upper(), clip) for letter, clip in sorted(inventory.items())]
        words = [name for name in names("test") if set(name.lower()) <= inventory.keys()]
        joined = [join_clips([inventory[c] for c in name.lower()], StitchingSettings(fps=FPS)) for name in words]
        tests["real spelled names"] += list(zip(words, joined, strict=True))
    tests["real words"] = [(text_of_sign(REAL_SIGNS[label][0]), clip) for label, _, clip in word_clips(data, "dev")]
    return tests


def sources(data: Path) -> dict[str, Any]:
    """Name -> source, as `ExampleStore` takes them."""
    return {"letters": RealLetters(data), "words": RealWords(data)}
