"""One sample: what every manifest, corpus, shard and request is made of. Absent is None."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

# Split names as the Hub writes them, and how corpora spell them
SPLITS = {"train": "train", "training": "train", "dev": "validation", "val": "validation", "valid": "validation"}
SPLITS |= {"validation": "validation", "test": "test", "testing": "test"}


@dataclass(slots=True)
class Sample:
    """A clip and what is known about it.

    `start_ms` and `end_ms` are times in the file named by `pose` or `video`; None is its beginning or its end.
    A path may end in `#ID` where a file holds many clips: `data.pkl#ID`, `words.npz#17`, `dev.skels#3`.
    """

    id: str
    pose: str | None = None
    video: str | None = None
    start_ms: float | None = None
    end_ms: float | None = None
    num_frames: int | None = None
    fps: float | None = None
    text: str | None = None
    """What is said, as the corpus has it: references are never normalised."""
    gloss: str | None = None
    """The sign, or the signs in order separated by spaces."""
    language: str | None = None
    """Of the text, ISO 639."""
    sign_language: str | None = None
    """ISO 639-3: ase, gsg, ins, ..."""
    signer: str | None = None
    split: str | None = None
    """train, validation or test (as on the Hub), or a name of the user's own."""
    source: str | None = None
    """The recording the clip was cut from; samples of one recording belong in one split."""
    url: str | None = None
    layout: str | None = None
    width: int | None = None
    height: int | None = None
    bbox: list[float] | None = None
    """The signer's box in pixels: x_min, y_min, x_max, y_max."""
    variation: int | None = None
    """Number of the dialect variant of the sign."""
    class_index: int | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    """Further columns, as they are."""

    def to_row(self) -> dict[str, Any]:
        """One flat row: the fields that are known, then the extras."""
        known = {name: getattr(self, name) for name in FIELDS if getattr(self, name) is not None}
        return {key: _tidy(value) for key, value in known.items()} | self.extras


FIELDS = tuple(entry.name for entry in fields(Sample) if entry.name != "extras")


def _tidy(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def split_name(name: str) -> str:
    """The Hub's name of a split: dev, val, valid become validation; an unknown name stays as it is."""
    return SPLITS.get(name.strip().lower(), name.strip())
