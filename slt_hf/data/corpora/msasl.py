"""MS-ASL: 1000 American Sign Language signs from YouTube, in nested subsets of 100, 200, 500 and 1000.

Vaezi Joze and Koller, "MS-ASL: A Large-Scale Data Set and Benchmark for Understanding American Sign Language"
(BMVC 2019); no signer is in two splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from slt_hf.data.corpora.corpus import Annotations, Corpus, Media, split_of
from slt_hf.data.corpora.wlasl import YOUTUBE
from slt_hf.data.sample import Sample
from slt_hf.data.tables import read_json
from slt_hf.errors import CorpusError

SIZES = (100, 200, 500, 1000)


class MSASL(Corpus):
    name = "msasl"
    title = "MS-ASL"
    homepage = "https://www.microsoft.com/en-us/research/project/ms-asl/"
    licence = "C-UDA: computational use of data"
    hub_licence = "c-uda"
    ask = "the download page of Microsoft Research (search for MS-ASL): annotations only, the videos are on YouTube."
    folder = """
    data_dir/
      MSASL_train.json  MSASL_val.json  MSASL_test.json  MSASL_classes.json
      raw_videos/<youtube id>.mp4   whole videos, cut by the times of the file, or
      poses/<id>.pose               of the clips: <youtube id>_<first frame>_<last frame>_<label>"""
    patterns = ("MSASL_train.json", "MSASL_val.json", "MSASL_test.json")
    configs = tuple(f"msasl{size}" for size in SIZES)
    sign_language = "ase"
    language = "en"
    extras: ClassVar[Mapping[str, str]] = {"org_text": "string"}

    def read_file(self, path: Path, config: str | None) -> Annotations:
        content = read_json(path)
        if not isinstance(content, list):
            raise CorpusError(
                f"{path.name}: expected a list of clips, found {type(content).__name__}; pass MSASL_train, "
                f"_val or _test"
            )
        size = int((config or self.configs[-1]).removeprefix("msasl"))
        classes = path.parent / "MSASL_classes.json"
        names = read_json(classes) if classes.is_file() else []
        annotations = Annotations()
        for number, entry in enumerate(content, start=1):
            try:
                sample = _from_entry(entry, names, split_of(path))
            except (KeyError, TypeError, ValueError, IndexError) as error:
                annotations.problems.append(
                    f"entry {number} of {path.name}: expected a whole clip, found {error!r}; skip it"
                )
            else:
                if sample.class_index is not None and sample.class_index < size:
                    annotations.samples.append(sample)
        return annotations

    def media(self, sample: Sample) -> Iterator[Media]:
        yield Media(f"poses/{sample.id}.pose", cut=True)
        yield Media(f"videos/{sample.id}.mp4", cut=True)
        for place in ("raw_videos", "videos"):
            yield from (Media(f"{place}/{sample.source}.{ending}") for ending in ("mp4", "mkv", "webm"))


def _from_entry(entry: Mapping[str, Any], names: list[str], split: str | None) -> Sample:
    start_ms, end_ms = round(entry["start_time"] * 1000, 3), round(entry["end_time"] * 1000, 3)
    label = int(entry["label"])
    if not 0 <= start_ms < end_ms or not 0 <= label < SIZES[-1]:
        raise ValueError(f"times {start_ms} to {end_ms} ms, label {label}")
    width, height = int(entry["width"]), int(entry["height"])
    top, left, bottom, right = entry["box"]  # fractions of the image: y_min, x_min, y_max, x_max
    youtube = YOUTUBE.search(entry["url"])
    video = youtube[1] if youtube else entry["url"].rstrip("/").rsplit("/", 1)[-1]
    return Sample(
        id=f"{video}_{entry['start']}_{entry['end']}_{label}",
        video=f"{video}.mp4",
        start_ms=start_ms,
        end_ms=end_ms,
        num_frames=int(entry["end"]) - int(entry["start"]),
        fps=float(entry["fps"]),
        gloss=names[label] if label < len(names) else entry["clean_text"],
        language=MSASL.language,
        sign_language=MSASL.sign_language,
        signer=str(entry["signer_id"]) if entry.get("signer_id", -1) != -1 else None,
        split=split,
        source=video,
        url=entry["url"],
        width=width,
        height=height,
        bbox=[left * width, top * height, right * width, bottom * height],
        class_index=label,
        extras={"org_text": entry.get("org_text")},
    )
