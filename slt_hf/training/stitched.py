"""Sentences joined from isolated clips, as one more corpus to learn from: `stitching:` in a recipe.

    stitching:
      dataset: [data/signs]          # where the isolated clips are: anything that `dataset` takes
      sentences: sentences.tsv       # columns gloss and text; without it random signs follow each other
      samples: 4000

A sentence is a function of seed, epoch and index: a resumed run, another batch and another worker see the same ones.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slt_hf.data.collator import clip_of
from slt_hf.data.stitching import StitchingSettings, join_clips
from slt_hf.data.tables import ENDINGS, read_table, read_text
from slt_hf.errors import RecipeError
from slt_hf.training.dataset import SignDataset, open_dataset


@dataclass(frozen=True)
class StitchingRecipe:
    """What `stitching` in a recipe may say."""

    dataset: list[str] = field(default_factory=list)
    """Corpora of isolated clips; of their training split, each with its sign in `column`"""
    samples: int = 1000
    """Sentences per epoch; fresh ones each epoch"""
    sentences: str | None = None
    """A table with columns gloss (signs, divided by spaces) and text, or a text file: a sentence a line, a sign a word;
    sentences with a sign of which there is no clip are left out"""
    column: str = "gloss"
    """Column that says which sign a clip shows; capitals do not matter"""
    same: str | None = None
    """Column whose value the clips of one sentence share, such as signer; languages are never mixed"""
    spelled: bool = False
    """Signs are letters: a line of `sentences` is one word, and texts have no spaces"""
    random_share: float = 0.0
    """Share of sentences that are random signs, so that a model reads signs and does not recite sentences"""
    lengths: list[int] = field(default_factory=lambda: [2, 6])
    """Fewest and most signs of a random sentence"""
    tempo: float = 0.1
    """Standard deviation of each clip's tempo, drawn from a log-normal around 1"""
    trim: float = 0.1
    """Each end of a clip loses up to this share of its frames, where hands rise and fall"""
    transition_ms: float = 120.0
    """Time in which landmarks glide from one sign to the next"""

    @staticmethod
    def parse(values: dict[str, Any]) -> StitchingRecipe:
        """The recipe's mapping, checked.

        Raises:
            RecipeError: for a key that there is not, or a value that cannot be.
        """
        known = {entry.name for entry in fields(StitchingRecipe)}
        for key in values.keys() - known:
            near = ", ".join(difflib.get_close_matches(key, known, n=2) or sorted(known))
            raise RecipeError(f"stitching: unknown key {key!r}; did you mean {near}?")
        made = StitchingRecipe(**values)
        try:
            checks = made.checks()
        except TypeError as error:
            raise RecipeError(
                f"stitching: expected numbers and lists where StitchingRecipe has them, found something else: {error}; "
                "correct it"
            ) from error
        for name, (good, expected) in checks.items():
            if not good:
                raise RecipeError(f"stitching: {name}: expected {expected}, found {getattr(made, name)!r}; correct it")
        return made

    def checks(self) -> dict[str, tuple[bool, str]]:
        """Field -> whether its value can be, and what is expected."""
        return {
            "dataset": (bool(self.dataset) and not isinstance(self.dataset, str), "a list of corpora"),
            "samples": (self.samples > 0, "a number above 0"),
            "random_share": (0 <= self.random_share <= 1, "a share from 0 to 1"),
            "lengths": (len(self.lengths) == 2 and 0 < self.lengths[0] <= self.lengths[1], "fewest and most signs"),
            "trim": (0 <= self.trim < 0.5, "a share below 0.5"),
        }


class Sentence(NamedTuple):
    """Signs in their order, lower case, and the text that they stand for."""

    signs: tuple[str, ...]
    text: str


@dataclass
class Pool:
    """What one sentence may be joined from: clips of one language, and of one signer where the recipe says so.

    Attributes:
        clips: sign, in lower case -> positions of its clips.
        sentences: those of which every sign has a clip.
        about: `language` and `sign_language` of a sentence.
    """

    clips: dict[str, list[int]]
    sentences: list[Sentence]
    about: dict[str, Any]


class StitchedSource:
    """A corpus of joined clips (`Source` of dataset.py).

    Args:
        recipe: which clips, which sentences.
        split: of the isolated clips.
        fps: frame rate of the joined clips.
        seed: of every draw.
        config: configuration of a Hub dataset.

    Raises:
        RecipeError: if there is no sentence to be had from the clips.
    """

    def __init__(
        self, recipe: StitchingRecipe, split: str, fps: float, seed: int = 0, config: str | None = None
    ) -> None:
        self.recipe, self.seed, self.epoch = recipe, seed, 0
        self.isolated = open_dataset(recipe.dataset, split, fps, config)
        self.joining = StitchingSettings(fps, recipe.tempo, recipe.trim, recipe.transition_ms, align=True)
        self.labels = sign_names(self.isolated, recipe.column)
        self.texts = self.isolated.column("text")
        sentences = [] if recipe.sentences is None else read_sentences(recipe.sentences, recipe.spelled)
        self.pools = make_pools(self.isolated, self.labels, sentences, recipe.same)
        if recipe.sentences is not None and recipe.random_share < 1:
            self.pools = [pool for pool in self.pools if pool.sentences]
        if not self.pools:
            raise RecipeError(
                f"stitching: expected sentences that the {len(set(self.labels))} signs of {recipe.column} can say, "
                f"found none of {len(sentences)} in {recipe.sentences}; write signs as the column does, or leave "
                "`sentences` out"
            )
        sizes = [sum(map(len, pool.clips.values())) for pool in self.pools]
        self.ends = np.cumsum(sizes)  # a signer with more clips makes more sentences

    def __len__(self) -> int:
        return self.recipe.samples

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, Any]:
        pool, sentence, rng = self.draw(index)
        choices = [pool.clips[sign] for sign in sentence.signs]
        places = [own[int(rng.integers(len(own)))] for own in choices]
        clip = join_clips([clip_of(self.isolated[place]) for place in places], self.joining, rng)
        gloss = " ".join(self.labels[place] for place in places)
        name = f"stitched-{self.epoch}-{index}"
        return {"id": name, "clip": clip, "text": sentence.text, "gloss": gloss, "fps": self.joining.fps, **pool.about}

    def draw(self, index: int) -> tuple[Pool, Sentence, np.random.Generator]:
        """One sentence, and the generator that goes on to draw its clips; no clip is opened."""
        rng = np.random.default_rng((self.seed, self.epoch, int(index)))
        pool = self.pools[int(np.searchsorted(self.ends, rng.integers(self.ends[-1]), "right"))]
        if pool.sentences and rng.random() >= self.recipe.random_share:
            return pool, pool.sentences[int(rng.integers(len(pool.sentences)))], rng
        fewest, most = self.recipe.lengths
        names = list(pool.clips)
        signs = tuple(names[place] for place in rng.integers(len(names), size=rng.integers(fewest, most + 1)))
        return pool, Sentence(signs, self.text_of(pool, signs)), rng

    def text_of(self, pool: Pool, signs: tuple[str, ...]) -> str:
        """Text of random signs: that of each sign's first clip, its name where it has none."""
        firsts = [pool.clips[sign][0] for sign in signs]
        words = [str(self.texts[place] or self.labels[place]) for place in firsts]
        return ("" if self.recipe.spelled else " ").join(words)

    def column(self, name: str) -> list[Any]:
        """Texts and languages are known without a clip; glosses too, but for how a label is written."""
        drawn = [self.draw(index)[:2] for index in range(len(self))]
        if name in ("text", "gloss"):
            return [sentence.text if name == "text" else " ".join(sentence.signs) for _, sentence in drawn]
        return [pool.about.get(name) for pool, _ in drawn]

    def num_frames(self) -> np.ndarray:
        raise RecipeError(
            "frames_per_batch: expected clips of known lengths, found stitched sentences, fresh ones each epoch; "
            "remove frames_per_batch, or stitching"
        )


def sign_names(isolated: SignDataset, column: str) -> list[str]:
    """The sign of each isolated clip."""
    labels = isolated.column(column)
    if None in labels:
        place = labels.index(None)
        raise RecipeError(f"stitching: expected a {column} in every row, row {place} has none; name another `column`")
    return [str(label) for label in labels]


def read_sentences(path: str, spelled: bool) -> list[Sentence]:
    """Sentences of a table or a text file.

    Args:
        path: a table with columns gloss and text, or a text file with a sentence a line.
        spelled: a line of the text file is a word, and its letters are the signs.
    """
    if Path(path).suffix in ENDINGS:
        table = read_table(path)
        table.require("gloss", "text")
        return [Sentence(tuple(str(row["gloss"]).lower().split()), str(row["text"])) for row in table.rows]
    if not Path(path).is_file():
        raise RecipeError(f"stitching: sentences: expected a file at {path}, found none; correct the path")
    lines = [line.strip() for line in read_text(Path(path)).splitlines() if line.strip()]
    return [Sentence(tuple(line.lower() if spelled else line.lower().split()), line) for line in lines]


def make_pools(isolated: SignDataset, labels: list[str], sentences: list[Sentence], same: str | None) -> list[Pool]:
    """Clips divided by language, and by the column `same`, each with the sentences that it can say."""
    languages = zip(isolated.column("language"), isolated.column("sign_language"), strict=True)
    shared = [None] * len(labels) if same is None else isolated.column(same)
    clips: dict[Any, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, (spoken, value, label) in enumerate(zip(languages, shared, labels, strict=True)):
        clips[*spoken, value][label.lower()].append(place)
    pools = []
    for (language, sign_language, _), signs in clips.items():
        possible = [sentence for sentence in sentences if set(sentence.signs) <= signs.keys()]
        pools.append(Pool(dict(signs), possible, {"language": language, "sign_language": sign_language}))
    return pools
