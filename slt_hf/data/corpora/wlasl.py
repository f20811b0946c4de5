"""WLASL: 2000 American Sign Language signs from the web, in nested subsets of 100, 300 and 1000.

Li et al., "Word-level Deep Sign Language Recognition from Video: A New Large-scale Dataset and Methods Comparison"
(WACV 2020).
The annotations come as `WLASL_v0.3.json` (by gloss, every field) or `nslt_N.json` (by video: split, class, frames).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from slt_hf.data.corpora.corpus import Annotations, Corpus, Media
from slt_hf.data.sample import Sample, split_name
from slt_hf.data.tables import read_json, read_text
from slt_hf.errors import CorpusError

SIZES = (100, 300, 1000, 2000)  # glosses; subset N holds the first N of the list, which is sorted by number of clips
FPS = 25.0  # all frame numbers in the annotations count at 25 frames per second
CLASS_LIST = "wlasl_class_list.txt"
YOUTUBE = re.compile(r"(?:youtu\.be/|[?&]v=|/embed/)([\w-]{11})")


class WLASL(Corpus):
    name = "wlasl"
    title = "WLASL"
    homepage = "https://github.com/dxli94/WLASL"
    licence = "C-UDA 1.0: computational use only, academic and non-commercial"
    hub_licence = "c-uda"
    ask = "https://github.com/dxli94/WLASL (annotations, download scripts); the authors send missing videos on request."
    folder = """
    data_dir/
      WLASL_v0.3.json            or nslt_100.json, nslt_300.json, ... (glosses then need wlasl_class_list.txt)
      videos/05237.mp4           clips as WLASL's preprocess.py cuts them, or
      raw_videos/<id>.mp4        as downloaded (YouTube videos by their eleven-letter id), or
      poses/05237.pose"""
    patterns = (
        "WLASL_v*.json",
        "asl[0-9]*.json",
        "nslt_[0-9]*.json",
        "splits/asl[0-9]*.json",
        "**/WLASL_v*.json",
        "**/nslt_[0-9]*.json",
    )
    configs = tuple(f"wlasl{size}" for size in SIZES)
    sign_language = "ase"
    language = "en"
    extras: ClassVar[Mapping[str, str]] = {
        "frame_start": "int32",
        "frame_end": "int32",
        "instance_id": "int32",
        "site": "string",
    }

    def find(self, path: Path, config: str | None) -> list[Path]:
        """One file: WLASL_v0.3.json, else the smallest that reaches as far as the configuration (None: the largest)."""
        files = super().find(path, config)
        whole = [file for file in files if _size_in_name(file) is None]
        if config is None:
            return [*whole, *sorted(files, key=_reach, reverse=True)][:1]
        fitting = [file for file in files if _reach(file) >= _size(config)]
        return [*whole, *sorted(fitting, key=_reach), *sorted(files, key=_reach, reverse=True)][:1]

    def read_file(self, path: Path, config: str | None) -> Annotations:
        content = read_json(path)
        if isinstance(content, list):
            return self._read_glosses(path, content, config)
        if isinstance(content, dict):
            return self._read_videos(path, content, config)
        raise CorpusError(
            f"{path.name}: expected a list of glosses (WLASL_v0.3) or a mapping of videos (nslt), found neither"
        )

    def _read_glosses(self, path: Path, content: list[Any], config: str | None) -> Annotations:
        size = _size(config) if config else len(content)
        if len(content) < size:
            raise CorpusError(
                f"{path.name}: expected at least {size} glosses for {config}, found {len(content)}; fetch "
                f"WLASL_v0.3.json"
            )
        annotations = Annotations()
        for class_index, entry in enumerate(content[:size]):
            try:
                gloss, instances = entry["gloss"], entry["instances"]
            except (TypeError, KeyError):
                raise CorpusError(
                    f"{path.name}: expected gloss and instances in entry {class_index}, found {entry!r:.80}"
                ) from None
            for instance in instances:
                try:
                    annotations.samples.append(_from_instance(gloss, class_index, instance))
                except (KeyError, TypeError, ValueError) as error:
                    video = instance.get("video_id") if isinstance(instance, dict) else instance
                    annotations.problems.append(
                        f"{path.name}, video {video}: expected a whole instance, found {error!r}; skip it"
                    )
        return annotations

    def _read_videos(self, path: Path, content: dict[str, Any], config: str | None) -> Annotations:
        size = _size(config) if config else (_size_in_name(path) or _likely_size(content))
        reaches = max(size, _size_in_name(path) or size)  # nslt_2000.json read for wlasl100: other classes are left out
        glosses = _class_names(path.parent)
        annotations = Annotations()
        for video, entry in content.items():
            wrong = _what_is_wrong(entry, reaches)
            if wrong:
                annotations.problems.append(f"{path.name}, video {video}: {wrong}; correct the entry or skip it")
            elif entry["action"][0] < size:
                annotations.samples.append(_from_action(video, entry, glosses))
        return annotations

    def media(self, sample: Sample) -> Iterator[Media]:
        """`preprocess.py` cuts what comes from YouTube into videos/; the other sites' files are copied whole."""
        youtube = YOUTUBE.search(sample.url or "")
        for place in ("poses", "videos"):
            yield Media(f"{place}/{sample.id}.{'pose' if place == 'poses' else 'mp4'}", cut=youtube is not None)
        for place in ("raw_videos", "raw_videos_mp4"):
            yield from (
                Media(f"{place}/{youtube[1] if youtube else sample.id}.{ending}") for ending in ("mp4", "mkv", "webm")
            )


def _from_instance(gloss: str, class_index: int, instance: Mapping[str, Any]) -> Sample:
    """Frames count from 1, the last one included; -1 is the end of the video."""
    start, end, fps = int(instance["frame_start"]), int(instance["frame_end"]), float(instance.get("fps") or FPS)
    if start < 1 or (end != -1 and end < start):
        raise ValueError(f"frames {start} to {end}")
    youtube = YOUTUBE.search(instance.get("url") or "")
    return Sample(
        id=str(instance["video_id"]),
        video=f"{instance['video_id']}.mp4",
        start_ms=(start - 1) * 1000 / fps,
        end_ms=None if end == -1 else end * 1000 / fps,
        num_frames=None if end == -1 else end - start + 1,
        fps=fps,
        gloss=gloss,
        language=WLASL.language,
        sign_language=WLASL.sign_language,
        signer=_known(instance.get("signer_id")),
        split=split_name(instance["split"]),
        source=youtube[1] if youtube else None,
        url=instance.get("url"),
        bbox=instance.get("bbox"),
        variation=instance.get("variation_id"),
        class_index=class_index,
        extras={
            "frame_start": start,
            "frame_end": end,
            "instance_id": instance.get("instance_id"),
            "site": instance.get("source"),
        },
    )


def _from_action(video: str, entry: Mapping[str, Any], glosses: list[str]) -> Sample:
    """The frames count in the clip as it was cut, at that clip's own rate, and are nearly always all of it.

    So they are kept as they are and cut nothing: 304 of 21095 do not begin with 1, and those repeat the numbers in the
    uncut video. The authors' own I3D reads the whole files, too.
    """
    class_index, start, end = entry["action"]
    return Sample(
        id=video,
        video=f"{video}.mp4",
        num_frames=end - start + 1,
        gloss=glosses[class_index] if class_index < len(glosses) else None,  # the file has class numbers only
        language=WLASL.language,
        sign_language=WLASL.sign_language,
        split=split_name(entry["subset"]),
        class_index=class_index,
        extras={"frame_start": start, "frame_end": end},
    )


def _what_is_wrong(entry: Any, size: int) -> str | None:
    try:
        subset, (class_index, start, end) = entry["subset"], map(int, entry["action"])
    except (TypeError, KeyError, ValueError):
        return f"expected subset and action [class, first frame, last frame], found {entry!r:.80}"
    wrong = []
    if subset not in ("train", "val", "test"):
        wrong.append(f"expected the subset train, val or test, found {subset!r}")
    if not 0 <= class_index < size:
        wrong.append(f"expected a class from 0 to {size - 1}, found {class_index}")
    if start < 1 or end < start:
        wrong.append(f"expected frames from 1 with the last not before the first, found {start} to {end}")
    return "; ".join(wrong) or None


def _known(signer: Any) -> str | None:
    return None if signer in (None, -1) else str(signer)


def _size(config: str) -> int:
    return int(config.removeprefix("wlasl"))


def _size_in_name(path: Path) -> int | None:
    found = re.fullmatch(r"(?:nslt_|asl)(\d+)", path.stem)
    return int(found[1]) if found else None


def _reach(path: Path) -> int:
    return _size_in_name(path) or SIZES[-1]


def _likely_size(content: Mapping[str, Any]) -> int:
    """The smallest subset that holds at least three quarters of the entries, where the file name does not say.

    In the real files 39 to 62 % of a subset's entries belong to the next smaller one: three quarters tells them apart.
    """
    classes = [entry["action"][0] for entry in content.values() if isinstance(entry, dict) and entry.get("action")]
    held = (size for size in SIZES if sum(0 <= index < size for index in classes) >= 0.75 * len(classes))
    return next(held, SIZES[-1])


def _class_names(folder: Path) -> list[str]:
    """Names by class number from wlasl_class_list.txt beside the annotations; empty where it is absent."""
    path = folder / CLASS_LIST
    if not path.is_file():
        return []
    return [line.split("\t", 1)[1].strip() for line in read_text(path).splitlines() if "\t" in line]
