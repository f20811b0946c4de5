"""`slt_hf.load_dataset`: every corpus through one door."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from slt_hf.data.corpora import get_corpus
from slt_hf.data.sample import split_name
from slt_hf.errors import CorpusError

logger = logging.getLogger(__name__)


def load_dataset(
    name: str,
    config: str | None = None,
    *,
    data_dir: str | Path | None = None,
    split: str | None = None,
    streaming: bool = False,
    num_proc: int | None = None,
    glossary: str | Path | None = None,
    skip_invalid: bool = False,
    split_seed: int = 0,
    cache_dir: str | Path | None = None,
) -> Any:
    """Open a corpus from your copy of it, as `datasets.load_dataset` would.

        signs = slt_hf.load_dataset("wlasl", "wlasl100", data_dir="WLASL", glossary="everyday", split="train")

    Rows have the columns of a Sample: paths of `pose` and `video` (None where the file is not there), times, text,
    gloss, signer and so on. Splits are the official ones; corpora without any get a fixed one, by gloss or
    recording.

    Args:
        name: wlasl, asl_citizen, isign, how2sign, phoenix14t, msasl, include, or folder or manifest for your own.
        config: a subset, such as wlasl100; needed where a corpus has several.
        data_dir: the folder of the corpus; for manifest also the file itself.
        split: train, validation (also dev, val) or test; all of them by default.
        streaming: iterate without writing a cache.
        num_proc: processes that write the cache.
        glossary: everyday, or a file of words (YAML or a word a line): keep those signs only.
        skip_invalid: leave out rows that contradict themselves, with a warning each.
        split_seed: for corpora without an official split.

    Returns:
        Dataset or DatasetDict; IterableDataset or IterableDatasetDict when streaming.

    Raises:
        CorpusError: unknown names, or no data_dir: the message says where to ask for the corpus and how the folder
            must look.
    """
    corpus = get_corpus(name)
    if config is None and len(corpus.configs) > 1:
        raise CorpusError(
            f"{corpus.title}: expected a configuration among {', '.join(corpus.configs)}, found none; pass config="
        )
    corpus.check_config(config)
    if data_dir is None:
        raise CorpusError(
            f"{corpus.title}: expected data_dir, the folder of the corpus, found none. {corpus.how_to_get()}"
        )
    from slt_hf.data.corpora.builders import BUILDERS  # imports datasets

    logger.warning("%s: %s (%s)", corpus.title, corpus.licence, corpus.homepage)
    builder = BUILDERS[name](
        cache_dir=str(cache_dir) if cache_dir is not None else None,
        dataset_name=f"slt_{name}",
        config_name=config or corpus.configs[0],
        data_dir=str(Path(data_dir).absolute()),
        glossary=str(glossary) if glossary is not None else None,
        skip_invalid=skip_invalid,
        split_seed=split_seed,
    )
    wanted = split_name(split) if split is not None else None
    if streaming:
        return builder.as_streaming_dataset(split=wanted)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset(split=wanted)
