"""`slt-hf translate`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import typer

UNKNOWN = "unknown"  # said of a sign that the checkpoint is not sure enough of


def translate(
    clips: Annotated[
        list[Path], typer.Argument(help="Pose files (.pose and others), videos, pictures, or folders of these.")
    ],
    model: Annotated[str | None, typer.Option(help="Folder or Hub repository; the bundled one if left out.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub repository.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps, cpu; the best one there is if left out.")] = None,
    layout: Annotated[str | None, typer.Option(help="Landmark layout of files that do not say it.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frame rate of files that do not say it.")] = None,
    start_ms: Annotated[float | None, typer.Option(help="Begin here, in milliseconds.")] = None,
    end_ms: Annotated[float | None, typer.Option(help="End here, in milliseconds.")] = None,
    sample_id: Annotated[str | None, typer.Option(help="Which sample, of a file that holds many.")] = None,
    language: Annotated[
        str | None, typer.Option(help="Write this language, of those that the checkpoint was trained on.")
    ] = None,
    sign_language: Annotated[str | None, typer.Option(help="The signing is in this language, likewise.")] = None,
    num_beams: Annotated[
        int | None, typer.Option(min=1, help="Width of the beam search, 1 is greedy; the checkpoint's own if left out.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Of checkpoints that name signs: so many of the likeliest; 5 in JSON.")
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            help="What the poses were found in, or a folder of such videos, for checkpoints that look at crops of the "
            "hands; a video of a pose file's name beside it if left out."
        ),
    ] = None,
    quantization: Annotated[str | None, typer.Option(help="4bit or 8bit, of vision-language models.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips of a folder that are computed together.")] = 8,
    grounding: Annotated[
        bool, typer.Option("--grounding", help="Also how much each text owes to the signing, 0 to 1: another pass.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, as always where a folder is given.")
    ] = False,
) -> None:
    """Translate clips of signing to text, or name their sign where the checkpoint names signs.

    A sign of which it is less sure than its own threshold is `unknown`. Of a folder every clip is translated, with
    progress on stderr; one that cannot be read is a line with its error, and the exit code is 1.
    """
    from slt_hf.cli.output import clip_progress, frame_progress
    from slt_hf.clips import clips_in, load_clip, video_beside
    from slt_hf.errors import RecipeError
    from slt_hf.open_model import open_model
    from slt_hf.pipeline import NO_CROPS, makes_crops

    translator = open_model(model, revision, device, quantization)
    crops = makes_crops(translator.processor)
    if video is not None and not crops:
        raise RecipeError(f"--video: {NO_CROPS}")
    options = {"language": language, "sign_language": sign_language, "num_beams": num_beams, "grounding": grounding}
    ask = partial(translator, **fitting(translator, options | {"top_k": top_k}))
    whole = any(path.is_dir() for path in clips)
    paths = [inner for path in clips for inner in (clips_in(path, translator.reads_video) if path.is_dir() else [path])]
    with ExitStack() as opened, clip_progress(len(paths), shown=whole) as done:
        extractor = opened_once(opened)

        def read(path: Path) -> Any:
            if translator.reads_video:
                from slt_hf.processing.video_clip import to_video_clip

                return to_video_clip(path, None, start_ms, end_ms)
            with frame_progress(path, shown=sys.stderr.isatty() and not whole) as progress:
                given: dict[str, Any] = {"layout": layout, "fps": fps, "start_ms": start_ms, "end_ms": end_ms}
                given |= {"video": video_beside(path, video)} if crops else {}
                return load_clip(path, **given, sample_id=sample_id, progress=progress, extractor=extractor(path))

        failed = 0
        for path, found in answers(ask, paths, read, batch_size if whole else 1, keep_going=whole):
            failed += isinstance(found, ValueError)
            done(failed)
            show(path, found, json or whole, alone=len(paths) == 1, listed=top_k or 1)
    if failed:
        raise typer.Exit(1)


def fitting(model: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given.

    Raises:
        RecipeError: if one of them has no meaning for such a checkpoint.
    """
    from slt_hf.errors import RecipeError
    from slt_hf.pipeline import SignClassifier

    classifies = isinstance(model, SignClassifier)
    given = {name: value for name, value in options.items() if value}
    strangers = [name for name in given if (name == "top_k") != classifies]
    if strangers:
        named = ", ".join("--" + name.replace("_", "-") for name in strangers)
        kinds = ["a checkpoint that writes text", "a checkpoint that names signs"]
        expected, found = kinds if classifies else reversed(kinds)
        raise RecipeError(f"{named}: expected {expected}, found {found}; leave it out, or name another checkpoint")
    return given


def opened_once(opened: ExitStack) -> Callable[[Path], Any]:
    """An extractor for the first video that needs one, kept for those that follow; None for pose files."""
    from slt_hf.clips import is_video

    @cache
    def extractor() -> Any:
        from slt_hf.poses.extraction import open_extractor

        return opened.enter_context(open_extractor())

    return lambda path: extractor() if is_video(path) else None


def answers(
    translate: Callable[..., Any], paths: list[Path], read: Callable[[Path], Any], size: int, keep_going: bool
) -> Iterator[tuple[Path, Any]]:
    """Each path with its Translation or, if `keep_going`, with the error that it met; in batches, in order."""
    from slt_hf.errors import SignDataError

    def attempt(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except SignDataError as error:
            if not keep_going:
                raise
            return error

    def translated(clips: list[Any]) -> list[Any]:
        found = attempt(lambda: translate(clips, batch_size=size)) if clips else []
        if not isinstance(found, SignDataError):
            return found
        return [found] if len(clips) == 1 else [answer for clip in clips for answer in translated([clip])]

    for start in range(0, len(paths), size):
        batch = paths[start : start + size]
        clips = [attempt(lambda path=path: read(path)) for path in batch]  # type: ignore[misc]
        good = iter(translated([clip for clip in clips if not isinstance(clip, SignDataError)]))
        for path, clip in zip(batch, clips, strict=True):
            yield path, clip if isinstance(clip, SignDataError) else next(good)


def show(path: Path, found: Any, json: bool, alone: bool, listed: int = 1) -> None:
    """One clip's line on stdout.

    Args:
        alone: no other clip is shown, so that its name says nothing.
        listed: labels of a line of text, where signs are named.
    """
    from slt_hf.cli.output import print_json

    if isinstance(found, ValueError):
        print_json(clip=str(path), error=" ".join(str(found).split()))
    elif json:
        timings = {name: round(value, 1) for name, value in found.timings.items()}
        print_json(clip=str(path), **said(found), milliseconds=round(found.milliseconds, 1), timings=timings)
    else:
        print(told(found, listed) if alone else f"{path}: {told(found, listed)}")


def said(found: Any) -> dict[str, Any]:
    """What the checkpoint says, for JSON."""
    from slt_hf.pipeline import Classification

    confidence = {"confidence": round(found.confidence, 4)}
    if isinstance(found, Classification):
        labels = [{"label": label, "probability": round(probability, 4)} for label, probability in found.labels]
        return {"sign": found.label if found.known else UNKNOWN, "known": found.known, **confidence, "labels": labels}
    owed = {} if found.grounding is None else {"grounding": round(found.grounding, 4)}
    return {"translation": found.text, **confidence, **owed}


def told(found: Any, listed: int) -> str:
    """The same for people."""
    from slt_hf.pipeline import Classification

    if isinstance(found, Classification):
        ranked = ", ".join(f"{label} {probability:.0%}" for label, probability in found.labels[:listed])
        return f"{found.label if found.known else UNKNOWN}  ({ranked}, {found.milliseconds:.0f} ms)"
    grounded = "" if found.grounding is None else f"grounding {found.grounding:.2f}, "
    return f"{found.text or '(nothing)'}  ({found.confidence:.0%}, {grounded}{found.milliseconds:.0f} ms)"
