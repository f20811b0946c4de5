"""Clips in a row, whatever holds them: a manifest, a folder of shards, a folder of pose files, one clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slt_hf.data.manifest import check_manifest
from slt_hf.data.sample import FIELDS, Sample
from slt_hf.data.tables import ENDINGS
from slt_hf.errors import PoseFileError
from slt_hf.processing.pose_clip import PoseClip

MANIFEST_NAMES = tuple(f"manifest{ending}" for ending in ENDINGS)


@dataclass
class Collection:
    """Samples, and how to open the clip of each.

    Attributes:
        kind: manifest, shards, folder or clip.
        samples: what is known without opening a clip.
        load: the poses of sample number i; raises a SignDataError where they cannot be read.
        problems: rows that are no samples.
        notes: things to know, such as signers that splits share.
    """

    name: str
    kind: str
    samples: list[Sample]
    load: Callable[[int], PoseClip]
    problems: list[str]
    notes: list[str]


def open_collection(path: str | Path) -> Collection:
    """Find out what `path` is and list its clips.

    Raises:
        PoseFileError: nothing there, or nothing that holds clips. ManifestError: a manifest that cannot be read.
    """
    path = Path(path)
    if path.is_dir() and any(_is_shard(file) for file in path.glob("data/*.parquet")):
        return _shards(path)  # what slt-hf prepare wrote; of a corpus the manifest lies beside it
    manifest = path if path.is_file() and path.suffix in ENDINGS else _manifest_in(path)
    if manifest is not None and manifest.suffix == ".parquet" and _is_shard(manifest):
        return _shards(path)
    if manifest is not None and not (manifest.suffix == ".parquet" and _is_landmark_table(manifest)):
        return _manifest(manifest)
    if path.is_dir() and any(_is_shard(file) for file in path.rglob("*.parquet")):
        return _shards(path)
    return _pose_files(path)


def _manifest_in(folder: Path) -> Path | None:
    return next((folder / name for name in MANIFEST_NAMES if (folder / name).is_file()), None)


def _columns(file: Path) -> set[str]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        return set(parquet.read_schema(file).names)
    except (OSError, arrow.ArrowException):
        return set()


def _is_shard(file: Path) -> bool:
    return {"pose", "confidence", "num_frames"} <= _columns(file)


def _is_landmark_table(file: Path) -> bool:
    return {"frame", "landmark_index"} <= _columns(file)


def _manifest(path: Path) -> Collection:
    report = check_manifest(path)

    def load(index: int) -> PoseClip:
        from slt_hf.poses.formats import read_clip

        sample = report.samples[index]
        if sample.pose is None:
            raise PoseFileError(f"{sample.id}: expected poses, found a video only; extract them with slt-hf prepare")
        return read_clip(sample.pose, sample.layout, None, sample.start_ms, sample.end_ms, default_fps=sample.fps)

    return Collection(
        f"{path.absolute().parent.name}/{path.name}", "manifest", report.samples, load, report.problems, report.notes
    )


def _shards(path: Path) -> Collection:
    from slt_hf.data.manifest import leaks
    from slt_hf.data.storage import ShardDataset

    shards = ShardDataset(path if path.is_dir() else path.parent)
    names = set(shards[0]) if len(shards) else set()
    columns = {name: shards.column(name) for name in FIELDS if name in names and name != "pose"}
    samples = [Sample(**{name: column[row] for name, column in columns.items()}) for row in range(len(shards))]
    shared = [note for note in leaks(samples) if not note.startswith("column id")]  # shard rows name no file to compare
    return Collection(path.name, "shards", samples, shards.clip, [], shared)


def _pose_files(path: Path) -> Collection:
    from slt_hf.poses.formats import read_clip

    places = _clips_below(path)
    if not places:
        found = "no pose file" if path.is_dir() else "nothing"
        raise PoseFileError(f"{path}: expected a manifest, shards, or pose files, found {found}; see docs/data.md")
    samples = [Sample(id=_name(place, path), pose=str(place)) for place in places]
    kind = "clip" if places == [path] else "folder"
    return Collection(path.name, kind, samples, lambda index: read_clip(places[index]), [], [])


def _name(place: Path, root: Path) -> str:
    return place.name if place == root else str(place.relative_to(root))


def _clips_below(path: Path) -> list[Path]:
    """The pose files below a folder; a folder with one file a frame is one clip."""
    from slt_hf.poses.formats import ENDINGS as POSE_ENDINGS

    if not path.is_dir():
        return [path] if path.exists() or "#" in str(path) else []
    clips: dict[Path, None] = {}
    for file in sorted(path.rglob("*")):
        if file.suffix in POSE_ENDINGS and file.is_file():
            clips[file.parent if _is_frame(file) else file] = None
    return list(clips)


def _is_frame(file: Path) -> bool:
    """Whether a file is one frame of the clip that its folder is: numbered, with numbered neighbours."""
    if file.suffix not in (".json", ".npy", ".npz") or not any(map(str.isdigit, file.stem)):
        return False
    return sum(1 for other in file.parent.glob(f"*{file.suffix}") if any(map(str.isdigit, other.stem))) > 1


def known(values: list[Any]) -> set[Any]:
    """The values that are there."""
    return {value for value in values if value is not None}
