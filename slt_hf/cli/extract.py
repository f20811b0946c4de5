"""`slt-hf extract`."""

from __future__ import annotations

import queue
import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def extract(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos and pictures, or folders of them.")],
    output: Annotated[Path, typer.Option(help="Folder of the .pose files; each is named after its video.")],
    workers: Annotated[int, typer.Option(help="Videos at once, each in a process of its own.")] = 1,
    backend: Annotated[
        str, typer.Option(help="mediapipe_holistic, mediapipe_tasks, transformers, rtmlib or module:attribute.")
    ] = "mediapipe_holistic",
    model: Annotated[str | None, typer.Option(help="Model of the backend: .task file, folder or repository.")] = None,
    extract_python: Annotated[Path | None, typer.Option(help="Python of the environment with MediaPipe.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds one video may take (MediaPipe).")] = 3600.0,
    memory_gb: Annotated[float, typer.Option(help="Memory of a MediaPipe process; 0 for no limit.")] = 6.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Extract again what is there already.")] = False,
) -> None:
    """Videos in, .pose files out. Interrupted, the same command continues."""
    from slt_hf.errors import SignDataError

    targets = name_targets(found(videos), output)
    todo = [(video, target) for video, target in targets.items() if overwrite or not target.exists()]
    output.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {} if model is None else {"model": model}
    if backend.startswith("mediapipe"):
        options |= {"memory_bytes": int(memory_gb * 2**30), "timeout_seconds": timeout}
        options |= {"python": extract_python} if extract_python else {}
    failed = run(todo, min(workers, len(todo)), backend, options)
    print(f"{len(todo) - len(failed)} extracted, {len(targets) - len(todo)} there already, {len(failed)} failed")
    if failed:
        raise SignDataError("; ".join(failed))


def found(videos: list[Path]) -> list[Path]:
    """Files as named, and those in folders.

    Raises:
        VideoError: if one is not there.
    """
    from slt_hf.clips import clips_in
    from slt_hf.errors import VideoError

    absent = [video for video in videos if not video.exists() and "*" not in video.name]  # folder/*.png is a clip
    if absent:
        raise VideoError(f"{absent[0]}: expected a video, found nothing there; check the path")
    return [each for video in videos for each in (clips_in(video, frames=True) if video.is_dir() else [video])]


def name_targets(videos: list[Path], output: Path) -> dict[Path, Path]:
    """Video: its .pose file."""
    from slt_hf.errors import PreparationError

    targets = {video: output / f"{video.stem}.pose" for video in videos}
    names = [target.name for target in targets.values()]
    if twice := {name for name in names if names.count(name) > 1}:
        raise PreparationError(
            f"expected videos of different names, found {len(twice)} names twice, e.g. {min(twice)}; extract them apart"
        )
    return targets


def run(todo: list[tuple[Path, Path]], workers: int, backend: str, options: dict[str, Any]) -> list[str]:
    """Extract with one extractor a thread; a thread only waits for its process. Returns what failed and why."""
    from concurrent.futures import ThreadPoolExecutor

    from tqdm import tqdm

    from slt_hf.errors import SignDataError
    from slt_hf.poses.extraction import Extractor, open_extractor

    extractors: queue.Queue[Extractor] = queue.Queue()
    opened = [open_extractor(backend, **options) for _ in range(workers)]
    for extractor in opened:
        extractors.put(extractor)
    failed: list[str] = []
    bar = tqdm(total=len(todo), unit="video", desc="extract", mininterval=0.5)
    frames = 0

    def one(video: Path, target: Path) -> None:
        nonlocal frames
        extractor, before = extractors.get(), 0

        def progress(done: int) -> None:
            nonlocal before, frames
            frames, before = frames + done - before, done
            bar.set_postfix(frames=frames)

        try:
            write_clip(extractor.extract(video, progress=progress), target)
        except (SignDataError, MemoryError) as error:
            failed.append(" ".join(str(error).split()))
            print(failed[-1], file=sys.stderr)
        finally:
            extractors.put(extractor)
            bar.update()

    try:
        with ThreadPoolExecutor(max(1, workers)) as threads:
            list(threads.map(lambda job: one(*job), todo))
    finally:
        bar.close()
        for extractor in opened:
            extractor.close()
    return failed


def write_clip(clip: Any, target: Path) -> None:
    """The .pose file appears under its name only when it is whole."""
    from slt_hf.processing.pose_files import write_pose

    draft = target.with_name(f".{target.name}.new")
    write_pose(clip, draft)
    draft.replace(target)
