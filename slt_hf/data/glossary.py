"""Glossaries: which signs to keep. `everyday` is our own list of 320 words, each a WLASL gloss, by category."""

from __future__ import annotations

from pathlib import Path

import yaml

from slt_hf.data.sample import Sample
from slt_hf.errors import CorpusError

EVERYDAY = Path(__file__).with_name("glossary_everyday.yaml")


def load_glossary(name: str | Path) -> dict[str, list[str]]:
    """Words by category from `everyday`, a YAML file (a list, or lists by category), or a text file with a word a line.

    Raises:
        CorpusError: absent file, or one that holds something else than words.
    """
    path = EVERYDAY if str(name) == "everyday" else Path(name)
    if not path.is_file():
        raise CorpusError(f"expected the glossary everyday or a file, found {str(name)!r}; check the path")
    if path.suffix not in (".yaml", ".yml"):
        return {"words": [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]}
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506  BaseLoader: `no` stays a word
    categories = content if isinstance(content, dict) else {"words": content}
    if not all(
        isinstance(words, list) and all(isinstance(word, str) for word in words) for words in categories.values()
    ):
        raise CorpusError(
            f"{path.name}: expected lists of words by category, found something else; see glossary_everyday.yaml"
        )
    return categories


def glossary_words(name: str | Path) -> set[str]:
    """All words of a glossary, lower case."""
    return {word.lower() for words in load_glossary(name).values() for word in words}


def keep_glossary(samples: list[Sample], name: str | Path) -> list[Sample]:
    """The samples whose gloss is in the glossary, whatever the case.

    Raises:
        CorpusError: no sample has a gloss, as with WLASL's nslt files without their class list.
    """
    words = glossary_words(name)
    if samples and all(sample.gloss is None for sample in samples):
        raise CorpusError(
            f"glossary {name}: expected samples with glosses, found none; for WLASL put wlasl_class_list.txt "
            f"beside the annotations"
        )
    return [sample for sample in samples if sample.gloss is not None and sample.gloss.lower() in words]
