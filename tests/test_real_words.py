"""Words spelled for task F2: the checkpoint's training words are drawn as they were when it was trained."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from slt_hf.errors import PreparationError
from slt_hf.processing.pose_clip import PoseClip

WORDS = ["cab", "abba", "bead", "decade", "zoo"]


@pytest.fixture
def real_words(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(repository / "scripts"))
    import real_words

    return real_words


def letter(value: int, frames: int) -> PoseClip:
    """A clip that tells its alphabet (hundreds), its letter (tens) and which of the letter's clips it is."""
    points = np.full((frames, 21, 2), value, np.float32)
    return PoseClip(points, np.ones((frames, 21), np.float32), "hands_21", 25.0)


def alphabets() -> list[dict[str, list[PoseClip]]]:
    """Two alphabets of four and five letters, of each of which there are one to three clips."""
    return [
        {name: [letter(100 * a + 10 * i + k, 8 + i + k) for k in range(1 + i % 3)] for i, name in enumerate(letters)}
        for a, letters in enumerate(("abcd", "abcde"))
    ]


def test_the_first_200_words_are_those_that_f2_learned_from(real_words: ModuleType) -> None:
    lines = []
    for index in range(200):
        word, clip = real_words.spelling(index, alphabets(), WORDS)
        lines.append(f"{word} {clip.points[:, 0, 0].astype(int).tolist()}")
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert digest == "6238db9da1187313e71eac338449c47fd3a3c1cdb2421e53a92f69bf46a3acdb"
    assert not any(line.startswith("zoo") for line in lines)


def test_an_alphabet_that_spells_no_word_is_refused(real_words: ModuleType) -> None:
    with pytest.raises(PreparationError, match="found none of 1000"):
        for index in range(20):  # three in ten words are random letters, which any alphabet has
            real_words.spelling(index, alphabets(), ["zoo"])
