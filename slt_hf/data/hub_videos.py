"""Columns of videos in data sets of the Hub."""

from __future__ import annotations

from typing import Any


def undecoded(rows: Any) -> Any:
    """A `datasets` split whose videos come as bytes or paths: we read the frames we want, and without torchcodec."""
    import datasets

    for column, feature in rows.features.items():
        if isinstance(feature, datasets.Video):
            rows = rows.cast_column(column, datasets.Video(decode=False))
    return rows
