"""Words spelled by joining letter clips (task F2), as shards: varied ones to learn from, plain ones to choose by.

    python scripts/real_words.py --output outputs/real/data

Training words are joined from one alphabet's letters, each letter at its own tempo and trimmed a little, then varied as
a whole: one spelling is one person's. A share of them are random letters, so that the model reads letters and does not
recite the word list. Development words are joined as they are, from alphabets that training never sees.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.data.stitching import StitchingSettings, join_clips
from slt_hf.data.storage import ShardDataset, decode_clip, encode_clip
from slt_hf.errors import PreparationError
from slt_hf.processing.pose_augmentation import AugmentationSettings, augment_clip
from slt_hf.processing.pose_clip import PoseClip

from real_data import LETTERS_FOLDER, shared_data, write_shards  # isort: skip  (scripts run from their own folder)

FPS = 25.0
NUM_WORDS = 6000
RANDOM_SHARE = 0.3
RANDOM_LENGTHS = (3, 8)  # fewest and most letters of a random word
JOINING = StitchingSettings(fps=FPS, tempo=0.2, trim=0.12)
VARIATION = AugmentationSettings(
    tempo=0.1, rotation=10, scale=0.08, noise=0.003, bone_length=0.06, finger_bend=5, hand_turn=12
)

Inventory = dict[str, list[PoseClip]]  # letter -> its clips


def alphabets(shards: Path, split: str) -> dict[str, Inventory]:
    """Sign language -> lower-case letter -> clips."""
    found: dict[str, Inventory] = defaultdict(lambda: defaultdict(list))
    for row in ShardDataset(shards, split):
        found[row["sign_language"]][row["text"]].append(decode_clip(row))
    return {language: dict(letters) for language, letters in sorted(found.items())}


def read_words(data: Path, split: str) -> list[str]:
    return (data / LETTERS_FOLDER / f"words.{split}.txt").read_text(encoding="utf-8").split()


def draw_word(rng: np.random.Generator, inventory: Inventory, words: list[str]) -> str:
    """A word whose letters the alphabet has, or for `RANDOM_SHARE` of draws random letters.

    Raises:
        PreparationError: if the alphabet spells none of a thousand words drawn.
    """
    if rng.random() < RANDOM_SHARE:
        fewest, most = RANDOM_LENGTHS
        return "".join(rng.choice(sorted(inventory), rng.integers(fewest, most + 1)))
    for word in (words[rng.integers(len(words))] for _ in range(1000)):
        if set(word) <= inventory.keys():
            return word
    raise PreparationError(
        f"expected words that {''.join(sorted(inventory))} can spell, found none of 1000 drawn; add words"
    )


def spelling(index: int, alphabets: list[Inventory], words: list[str], seed: int = 0) -> tuple[str, PoseClip]:
    """A word and its clip, joined from one alphabet's letters: a function of seed and index (and of epoch 0)."""
    rng = np.random.default_rng((seed, 0, index))
    inventory = alphabets[rng.integers(len(alphabets))]
    word = draw_word(rng, inventory, words)
    clips = [inventory[letter][int(rng.integers(len(inventory[letter])))] for letter in word]
    return word, join_clips(clips, JOINING, rng)


def training_words(letters: dict[str, Inventory], words: list[str], seed: int = 0) -> Iterator[dict[str, Any]]:
    """`NUM_WORDS` varied spellings."""
    for index in range(NUM_WORDS):
        word, joined = spelling(index, list(letters.values()), words, seed)
        clip = augment_clip(joined, np.random.default_rng((seed, 1, index)), VARIATION)
        names = {"id": f"train-{index}", "text": word, "language": "en", "sign_language": None}
        yield {**names, "split": "train", **encode_clip(clip)}


def plain_words(letters: dict[str, Inventory], words: list[str]) -> Iterator[dict[str, Any]]:
    """Every word in every alphabet that has its letters, clips joined by hard cuts."""
    for language, inventory in letters.items():
        for word in words:
            if set(word) <= inventory.keys():
                clip = join_clips([inventory[letter][0] for letter in word], StitchingSettings(fps=FPS))
                names = {"id": f"{language}-{word}", "text": word, "language": "en", "sign_language": language}
                yield {**names, "split": "dev", **encode_clip(clip)}


def letter_tokenizer() -> Any:
    """A tokenizer of the 26 letters; <pad> is the CTC blank."""
    from string import ascii_lowercase

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate(["<pad>", "<unk>", *ascii_lowercase])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the shared data folder")
    parser.add_argument("--output", type=Path, default=Path("outputs/real/data"), help="where f1/ is, f2/ will be")
    arguments = parser.parse_args()
    data, shards = shared_data(arguments.data), arguments.output / "f1"
    rows = [*training_words(alphabets(shards, "train"), read_words(data, "train"))]
    rows += plain_words(alphabets(shards, "validation"), read_words(data, "dev"))
    write_shards(rows, arguments.output / "f2")
    (arguments.output / "words.txt").write_text("\n".join(read_words(data, "train")) + "\n", encoding="utf-8")
    letter_tokenizer().save_pretrained(str(arguments.output / "letter_tokenizer"))


if __name__ == "__main__":
    main()
