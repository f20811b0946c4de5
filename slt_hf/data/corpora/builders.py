"""Every corpus as a `datasets` builder: cached, streamed, prepared in parallel, with features of native types only.

    builder = WLASLBuilder(config_name="wlasl100", data_dir="WLASL")
    builder.download_and_prepare(num_proc=4)
    dataset = builder.as_dataset(split="train")

Nothing is downloaded: the corpora ask their users to accept terms first. `slt_hf.load_dataset` is the shorter way.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets

from slt_hf.data.corpora import CORPORA, Annotations, Corpus
from slt_hf.data.glossary import keep_glossary
from slt_hf.data.manifest import summary
from slt_hf.data.sample import FIELDS, Sample
from slt_hf.data.splits import assign_split
from slt_hf.errors import CorpusError

logger = logging.getLogger(__name__)

SHARD_ROWS = 500  # rows a worker takes at a time: num_proc and streaming split by shard
TYPES = {
    "start_ms": "float64",
    "end_ms": "float64",
    "num_frames": "int32",
    "fps": "float64",
    "width": "int32",
    "height": "int32",
    "variation": "int32",
    "class_index": "int32",
}


@dataclass
class SignCorpusConfig(datasets.BuilderConfig):
    """What to read of a corpus, besides its name and folder."""

    glossary: str | None = None
    """`everyday`, or a file with words: keep the signs whose gloss is among them"""
    skip_invalid: bool = False
    """Leave rows out that contradict themselves, with a warning each, instead of stopping"""
    split_seed: int = 0
    """For corpora without an official split"""

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """The cache's name: with what lies in the folder, so that a changed annotation file or new media are seen."""
        kwargs = config_kwargs | {"contents": _contents(Path(self.data_dir))} if self.data_dir else config_kwargs
        return super().create_config_id(kwargs, custom_features=custom_features)


def _contents(folder: Path, depth: int = 2) -> str:
    """A digest of names, sizes and times of the files in a folder, two levels deep."""
    digest = hashlib.sha256()
    patterns = ["*", "*/*"][:depth] if folder.is_dir() else []
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)) or [folder]:
        if path.exists():
            status = path.stat()
            digest.update(f"{path}:{status.st_size}:{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


class SignCorpusBuilder(datasets.GeneratorBasedBuilder):
    """Turns a corpus' samples into a dataset; subclasses only name their corpus."""

    corpus: ClassVar[Corpus]
    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = SignCorpusConfig

    def _info(self) -> datasets.DatasetInfo:
        features: dict[str, Any] = {name: datasets.Value(TYPES.get(name, "string")) for name in FIELDS}
        features["bbox"] = datasets.List(datasets.Value("float64"))
        features |= {name: datasets.Value(kind) for name, kind in self.corpus.extras.items()}
        return datasets.DatasetInfo(
            description=f"{self.corpus.title} as slt_hf samples",
            features=datasets.Features(features),
            homepage=self.corpus.homepage,
            license=self.corpus.licence,
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        by_split: dict[str, list[Sample]] = defaultdict(list)
        for sample in self.samples():
            by_split[sample.split or "train"].append(sample)
        order = sorted(by_split, key=lambda split: (split != "train", split != "validation", split != "test", split))
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"shards": self._shards(by_split[split])}) for split in order
        ]

    def samples(self) -> list[Sample]:
        """All samples of the configuration, with splits and the media that are there."""
        corpus, config = self.corpus, self.config
        if not config.data_dir:
            raise CorpusError(
                f"{corpus.title}: expected data_dir, the folder of the corpus, found none. {corpus.how_to_get()}"
            )
        annotations = corpus.read(config.data_dir, config.name)
        self._report(annotations)
        samples = keep_glossary(annotations.samples, config.glossary) if config.glossary else annotations.samples
        if made := assign_split(samples, config.split_seed):
            logger.warning("%s: %s", corpus.title, made)
        folder = Path(config.data_dir).absolute()
        found = sum(corpus.locate(sample, folder if folder.is_dir() else folder.parent) for sample in samples)
        if found < len(samples):
            missing = len(samples) - found
            logger.warning(
                "%s: %d of %d samples have no pose or video in %s", corpus.title, missing, len(samples), folder
            )
        return samples

    def _report(self, annotations: Annotations) -> None:
        if annotations.problems and not self.config.skip_invalid:
            raise CorpusError(
                f"{summary(annotations.problems)}\ncorrect the rows, or pass skip_invalid=True to leave them out"
            )
        for message in annotations.problems + annotations.notes:
            logger.warning("%s", message)

    def _shards(self, samples: list[Sample]) -> list[list[dict[str, Any]]]:
        rows = [self._row(sample) for sample in samples]
        return [rows[start : start + SHARD_ROWS] for start in range(0, len(rows), SHARD_ROWS)]

    def _row(self, sample: Sample) -> dict[str, Any]:
        row = {name: getattr(sample, name) for name in FIELDS}
        if "extras" in self.corpus.extras:
            return row | {"extras": json.dumps(sample.extras, ensure_ascii=False) if sample.extras else None}
        return row | {name: sample.extras.get(name) for name in self.corpus.extras}

    def _generate_examples(self, shards: list[list[dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
        for rows in shards:
            for row in rows:
                yield row["id"], row


def _configs(corpus: Corpus) -> list[SignCorpusConfig]:
    return [SignCorpusConfig(name=name, version=SignCorpusBuilder.VERSION) for name in corpus.configs]


class WLASLBuilder(SignCorpusBuilder):
    corpus = CORPORA["wlasl"]
    BUILDER_CONFIGS = _configs(corpus)


class ASLCitizenBuilder(SignCorpusBuilder):
    corpus = CORPORA["asl_citizen"]
    BUILDER_CONFIGS = _configs(corpus)


class ISignBuilder(SignCorpusBuilder):
    corpus = CORPORA["isign"]
    BUILDER_CONFIGS = _configs(corpus)


class How2SignBuilder(SignCorpusBuilder):
    corpus = CORPORA["how2sign"]
    BUILDER_CONFIGS = _configs(corpus)


class Phoenix14TBuilder(SignCorpusBuilder):
    corpus = CORPORA["phoenix14t"]
    BUILDER_CONFIGS = _configs(corpus)


class MSASLBuilder(SignCorpusBuilder):
    corpus = CORPORA["msasl"]
    BUILDER_CONFIGS = _configs(corpus)


class INCLUDEBuilder(SignCorpusBuilder):
    corpus = CORPORA["include"]
    BUILDER_CONFIGS = _configs(corpus)


class ManifestBuilder(SignCorpusBuilder):
    corpus = CORPORA["manifest"]
    BUILDER_CONFIGS = _configs(corpus)


class FolderBuilder(SignCorpusBuilder):
    corpus = CORPORA["folder"]
    BUILDER_CONFIGS = _configs(corpus)


BUILDERS: dict[str, type[SignCorpusBuilder]] = {
    "wlasl": WLASLBuilder,
    "asl_citizen": ASLCitizenBuilder,
    "isign": ISignBuilder,
    "how2sign": How2SignBuilder,
    "phoenix14t": Phoenix14TBuilder,
    "msasl": MSASLBuilder,
    "include": INCLUDEBuilder,
    "manifest": ManifestBuilder,
    "folder": FolderBuilder,
}
