"""One item of a preparation: from manifest row to shard row, a pure function that runs in a killable child."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import threading
import time
import warnings
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from slt_hf import __version__
from slt_hf.data.hand_crops import schema_of, stored_hands
from slt_hf.data.manifest import media_exists
from slt_hf.data.sample import Sample
from slt_hf.data.storage import SCHEMA, encode_clip
from slt_hf.errors import ClipError, PreparationError, SignDataError, VideoError
from slt_hf.poses.extraction import Extractor, open_extractor
from slt_hf.poses.formats import read_clip
from slt_hf.poses.video import VideoBudget
from slt_hf.processing.hand_crops import with_hands
from slt_hf.processing.landmarks import convert
from slt_hf.processing.pose_files import PoseClip

FORMAT = 1  # of a row; raise it when the same input gives other bytes, so that prepared items are prepared again


@dataclass(frozen=True)
class ItemSettings:
    """Everything besides the manifest row that shapes an item: other settings, other items."""

    extractor: str = "mediapipe_holistic"
    """Who finds landmarks in videos"""
    extractor_options: dict[str, Any] = field(default_factory=dict)
    layout: str | None = None
    """Store this layout; None keeps the extractor's or the file's"""
    min_frames: int = 5
    """Fewer frames are too short"""
    max_frames: int = 20_000
    """More frames are too long"""
    min_seen: float = 0.5
    """Least share of frames in which somebody is seen"""
    people: str = "refuse"
    """Of several people: refuse, or take the most_visible"""
    hand_crops: int | None = None
    """Pixels of the hands' crops to store beside the poses; None stores none"""
    tolerance_ms: float = 500.0
    """A clip may be this much shorter than its row says, before it counts as mistimed"""
    budget: VideoBudget = field(default_factory=VideoBudget)
    """What one video may cost"""


class Job(NamedTuple):
    """One item with all it needs."""

    sample: Sample
    file: str | None  # the local file, or None if it is not there
    output: str  # where the row goes
    key: str
    settings: ItemSettings


class Outcome(NamedTuple):
    """What became of an item."""

    status: str
    reason: str | None = None
    num_frames: int | None = None
    duration_ms: float | None = None
    checksum: str | None = None
    tools: dict[str, str] = {}
    seconds: float = 0.0


class Refused(Exception):
    """An item that ends here, with its status."""

    def __init__(self, status: str, reason: str):
        super().__init__(reason)
        self.status = status


def item_key(sample: Sample, settings: ItemSettings, root: Path) -> str:
    """Names an item's content: the same row and settings give the same key wherever the corpus lies."""
    row = sample.to_row()
    for column in ("pose", "video"):
        if name := row.get(column):
            row[column] = name if "://" in name else os.path.relpath(name, root)
    options = {name: value for name, value in settings.extractor_options.items() if name not in ("python", "device")}
    shaped = {**asdict(settings), "extractor_options": options}
    if settings.hand_crops is None:
        del shaped["hand_crops"]  # items keep the names that they had before there were crops
    told = {"row": row, "settings": shaped, "format": FORMAT}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:32]


def prepare_item(job: Job) -> Outcome:
    """Read or extract, check, write the row to `job.output`; every failure is an outcome, not an exception."""
    begin = time.monotonic()
    facts: dict[str, Any] = {"tools": {"slt_hf": __version__}}
    try:
        with warnings.catch_warnings(record=True) as caught:  # what one should know about a clip that is used
            warnings.simplefilter("always", UserWarning)
            facts |= _prepare(job, facts)
        status, reason = "ok", "; ".join(str(warning.message) for warning in caught) or None
    except Refused as refused:
        status, reason = refused.status, str(refused)
    except MemoryError:
        status, reason = "memory", f"{job.file}: needed more memory than an item may have"
    except SignDataError as error:
        status, reason = status_of(error, job), str(error)
    except Exception as error:
        status, reason = "error", f"{type(error).__name__}: {error}"
    return Outcome(status, _one_line(reason), seconds=time.monotonic() - begin, **facts)


def _prepare(job: Job, facts: dict[str, Any]) -> dict[str, Any]:
    sample, settings = job.sample, job.settings
    if job.file is None or not Path(container_of(job.file)).exists():
        raise Refused("missing", f"expected {sample.pose or sample.video}, found nothing there; fetch or remove it")
    facts["checksum"] = file_checksum(container_of(job.file))
    extractor = None if sample.pose else _extractor(settings)
    if extractor:
        facts["tools"] |= extractor.tools
        clip = extractor.extract(job.file, sample.start_ms, sample.end_ms, sample.bbox)
    else:
        clip = read_pose_input(job.file, sample)
    facts["num_frames"], facts["duration_ms"] = clip.num_frames, clip.duration_ms
    check_clip(clip, sample, settings)
    hands = {} if settings.hand_crops is None else {"hands": crops_of(clip, sample, settings.hand_crops)}
    if settings.layout and settings.layout != clip.layout:
        clip.points, clip.confidence = convert(clip.points, clip.confidence, clip.layout, settings.layout)
        clip.layout = settings.layout
    made_by = " ".join(f"{name} {value}" for name, value in extractor.tools.items()) if extractor else None
    row = make_row(sample, clip, made_by, facts["checksum"])
    write_table(pa.Table.from_pylist([row | hands], schema=schema_of(settings.hand_crops)), Path(job.output))
    return facts


def crops_of(clip: PoseClip, sample: Sample, size: int) -> bytes:
    """Crops of a clip's hands: out of the video that its poses were just found in, or that stands beside them."""
    if clip.hands is None:
        if sample.video is None or not media_exists(sample.video):
            found = "poses alone" if sample.video is None else f"{sample.video}, where there is nothing"
            raise Refused("missing", f"expected the video of the poses, to cut hands out of, found {found}; fetch it")
        clip = with_hands(clip, sample.video, sample.start_ms, whole=sample.end_ms is None)
    return stored_hands(clip, size)


def check_extractor(settings: ItemSettings) -> dict[str, str]:
    """The tools behind the extractor; raises now, rather than once per item, where it cannot be had at all."""
    return _extractor(settings).tools


def read_pose_input(file: str, sample: Sample) -> PoseClip:
    """The part of a pose file that the row names."""
    layout = None if file.endswith(".pose") else sample.layout
    about = {"layout": layout, "default_fps": sample.fps, "width": sample.width, "height": sample.height}
    return read_clip(file, start_ms=sample.start_ms, end_ms=sample.end_ms, **about)  # type: ignore[arg-type]


def check_clip(clip: PoseClip, sample: Sample, settings: ItemSettings) -> None:
    """Raise Refused for a clip that nobody should train on."""
    frames = clip.num_frames
    if sample.end_ms is not None:
        asked = sample.end_ms - (sample.start_ms or 0)
        if clip.duration_ms < asked - settings.tolerance_ms:
            raise Refused("mistimed", f"the row asks for {asked:.0f} ms, the file has {clip.duration_ms:.0f} ms there")
    if frames < settings.min_frames:
        raise Refused("too_short", f"{frames} frames, expected at least {settings.min_frames}")
    if frames > settings.max_frames:
        raise Refused("too_long", f"{frames} frames, expected at most {settings.max_frames}; cut it with start and end")
    seen = float((np.asarray(clip.confidence) > 0).any(-1).mean())
    if seen < settings.min_seen or seen == 0:
        raise Refused("no_person", f"somebody is seen in {seen:.0%} of the frames, expected {settings.min_seen:.0%}")
    if clip.num_people > 1 and settings.people == "refuse":
        raise Refused(
            "several_people", f"{clip.num_people} people; cut the signer out, or pass --people most_visible to choose"
        )


def make_row(sample: Sample, clip: PoseClip, extractor: str | None, checksum: str) -> dict[str, Any]:
    """The item as a row of the shards; nothing in it tells when or where it was made."""
    known = {name: getattr(sample, name) for name in Sample.__slots__ if name in SCHEMA.names}
    extras = {"bbox": sample.bbox, "variation": sample.variation, **sample.extras}
    extras = {name: value for name, value in extras.items() if value is not None}
    return {
        **known,
        **encode_clip(clip),
        "split": sample.split or "train",
        "extractor": extractor,
        "checksum": checksum,
        "extras": json.dumps(extras, sort_keys=True, ensure_ascii=False, default=str) if extras else None,
    }


def write_table(table: pa.Table, path: Path) -> None:
    """One row as an Arrow file; its name appears only when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with pa.OSFile(str(draft), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    os.replace(draft, path)


def read_table(path: Path) -> pa.Table:
    with pa.OSFile(str(path), "rb") as file:
        return pa.ipc.open_file(file).read_all()


def status_of(error: SignDataError, job: Job) -> str:
    """Which status an error of ours means for the item."""
    if isinstance(error, VideoError) and "nothing there" in str(error):
        return "missing"
    if isinstance(error, PreparationError):
        return "crash" if "extractor ended" in str(error) else "error"
    timed = job.sample.start_ms is not None or job.sample.end_ms is not None
    if not isinstance(error, ClipError) or not timed:
        return "corrupt"
    if job.sample.video:
        return "mistimed"
    whole = Sample(job.sample.id, pose=job.sample.pose, layout=job.sample.layout, fps=job.sample.fps)
    try:
        read_pose_input(str(job.file), whole)
    except SignDataError:
        return "corrupt"
    return "mistimed"  # the file itself can be read


def container_of(file: str) -> str:
    """The file on disk: `data.pkl#ID` names a clip inside one, `frames/*.json` the pictures of one."""
    if Path(file).exists() or "#" not in file:
        return str(Path(file).parent) if "*" in Path(file).name else file
    return file.rsplit("#", 1)[0]


def file_checksum(path: str) -> str:
    """SHA-256 of a file, or of all files of a folder in order of their names."""
    stat = os.stat(path)
    return _checksum(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _checksum(path: str, size: int, modified: int) -> str:
    """Cached, since many sentences are cut from one recording."""
    digest = hashlib.sha256()
    files = [Path(path)] if os.path.isfile(path) else sorted(file for file in Path(path).rglob("*") if file.is_file())
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


_extractors: dict[str, Extractor] = {}


def _extractor(settings: ItemSettings) -> Extractor:
    """This process' extractor, kept between items: loading its model takes seconds."""
    key = json.dumps([settings.extractor, settings.extractor_options], sort_keys=True, default=str)
    if key not in _extractors:
        _extractors[key] = open_extractor(settings.extractor, budget=settings.budget, **settings.extractor_options)
    return _extractors[key]


def start_child(memory_bytes: int) -> None:
    """Called once in every worker: limit its memory, and leave when the parent is gone, however it went."""
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _one_line(reason: str | None) -> str | None:
    return " ".join(reason.split())[:500] if reason else None
