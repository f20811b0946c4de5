"""`slt-hf prepare`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer


def prepare(
    manifest: Annotated[
        Path | None, typer.Argument(help="CSV, TSV, JSONL or Parquet of clips; leave out with --report.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of the shards.")] = Path("shards"),
    corpus: Annotated[
        str | None, typer.Option(help="The argument is the folder of this corpus: folder, wlasl, ... (docs/data.md).")
    ] = None,
    config: Annotated[str | None, typer.Option(help="Subset of the corpus, such as wlasl100.")] = None,
    glossary: Annotated[str | None, typer.Option(help="Signs of the corpus to keep: everyday, or a file.")] = None,
    skip_invalid: Annotated[bool, typer.Option(help="Leave out rows that contradict themselves.")] = False,
    strict: Annotated[bool, typer.Option(help="Splits that share a signer or a recording are an error.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Only print what became of every item, and write it.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Worker processes.")] = max(1, (os.cpu_count() or 2) - 1),
    backend: Annotated[
        str, typer.Option(help="mediapipe_holistic, mediapipe_tasks, transformers, rtmlib or module:attribute.")
    ] = "mediapipe_holistic",
    model: Annotated[str | None, typer.Option(help="Model of the backend: .task file, folder or repository.")] = None,
    checksum: Annotated[str | None, typer.Option(help="SHA-256 of the .task file to fetch.")] = None,
    extract_python: Annotated[Path | None, typer.Option(help="Python of the environment with MediaPipe.")] = None,
    layout: Annotated[str | None, typer.Option(help="Store this landmark layout; the source's if left out.")] = None,
    min_frames: Annotated[int, typer.Option(help="Fewer frames are too_short.")] = 5,
    max_frames: Annotated[int, typer.Option(help="More frames are too_long.")] = 20_000,
    people: Annotated[str, typer.Option(help="Of several people: refuse, or most_visible.")] = "refuse",
    hand_crops: Annotated[
        int | None, typer.Option(help="Also store crops of the hands, of so many pixels: 48, 64; needs the videos.")
    ] = None,
    shard_clips: Annotated[int, typer.Option(help="Manifest rows in a shard.")] = 1000,
    timeout: Annotated[float, typer.Option(help="Seconds one item may take.")] = 600.0,
    memory_gb: Annotated[float, typer.Option(help="Memory of a worker; 0 for no limit (needed with CUDA).")] = 6.0,
    requests_per_second: Annotated[float, typer.Option(help="Downloads from one host.")] = 1.0,
    max_download_gb: Annotated[float, typer.Option(help="Largest download.")] = 4.0,
    retry: Annotated[list[str] | None, typer.Option(help="Try items of this status again; may be repeated.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the data, for the card, e.g. cc-by-nc-4.0.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the dataset, for the card.")] = None,
    executor: Annotated[str, typer.Option(help="local, slurm or ray.")] = "local",
    tasks: Annotated[int, typer.Option(help="Tasks of a cluster run; each has its own workers.")] = 1,
    slurm_partition: Annotated[str | None, typer.Option(help="Slurm partition.")] = None,
    slurm_time: Annotated[str, typer.Option(help="Slurm time limit of a task.")] = "24:00:00",
) -> None:
    """Turn a manifest of videos or pose files into shards to train from.

    Stopped at any moment, the same command continues. Nothing is dropped in silence: --report tells what became of
    every item.
    """
    from slt_hf.data.fetch import FetchSettings
    from slt_hf.data.hand_crops import check_crop_size
    from slt_hf.data.preparation import begin
    from slt_hf.data.preparation_executor import execute
    from slt_hf.data.preparation_item import ItemSettings
    from slt_hf.data.preparation_plan import PreparationSettings, load_plan
    from slt_hf.errors import PreparationError

    if report:
        return print_report(load_plan(output))
    if manifest is None:
        raise PreparationError("expected a manifest to prepare, found none; name one, or pass --report")
    if hand_crops is not None:
        check_crop_size(hand_crops)
    terms = None
    if corpus is not None:
        from slt_hf.data.corpora import get_corpus
        from slt_hf.data.corpora.gathering import write_corpus_manifest

        source = get_corpus(corpus)
        licence, name = licence or source.hub_licence, name or source.title
        terms = f"{source.title}: {source.licence} ({source.homepage})"
        print(f"licence: {terms}")
        manifest = write_corpus_manifest(corpus, manifest, output, config, glossary, skip_invalid)
    given = {"model": model, "checksum": checksum, "python": extract_python and str(extract_python)}
    item = ItemSettings(
        extractor=backend,
        extractor_options={option: value for option, value in given.items() if value is not None},
        layout=layout,
        min_frames=min_frames,
        max_frames=max_frames,
        people=people,
        hand_crops=hand_crops,
    )
    settings = PreparationSettings(
        item=item,
        fetch=FetchSettings(requests_per_second=requests_per_second, max_bytes=int(max_download_gb * 2**30)),
        shard_clips=shard_clips,
        workers=workers,
        timeout_seconds=timeout,
        memory_bytes=int(memory_gb * 2**30),
        licence=licence,
        terms=terms,
        name=name,
    )
    plan = begin(manifest, output, settings, tuple(retry or ()), skip_invalid=skip_invalid, strict=strict)
    options: dict[str, Any] = {"partition": slurm_partition, "time": slurm_time} if executor == "slurm" else {}
    if executor != "local":
        execute(plan, executor, tasks, **options)
        print(f"{tasks} tasks handed to {executor}; follow them with: slt-hf prepare --report --output {output}")
        return None
    with progress_bar(plan) as progress:
        execute(plan, "local", tasks, progress=progress)
    return print_report(plan)


def print_report(plan: Any) -> None:
    """The census of a folder, also of an unfinished one; written beside the shards."""
    from slt_hf.data.census import take_census, write_census
    from slt_hf.data.ledger import Ledger

    with Ledger(plan.ledger_path) as ledger:
        census = take_census(plan, ledger)
    print(census.report())
    print(f"\nwritten to {write_census(plan, census)}")


class progress_bar:
    """Items settled, rate, time left and what went wrong so far, on stderr."""

    def __init__(self, plan: Any):
        from tqdm import tqdm

        from slt_hf.data.census import take_census
        from slt_hf.data.ledger import Ledger

        with Ledger(plan.ledger_path) as ledger:
            census = take_census(plan, ledger)
        total = sum(split.items for split in census.splits.values())
        self.bad = {status: count for status, count in census.statuses.items() if status != "ok"}
        self.bar = tqdm(total=total, initial=total - census.pending, unit="clip", desc="prepare", mininterval=0.5)

    def __enter__(self) -> progress_bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def __call__(self, entry: Any) -> None:
        if entry.status != "ok":
            self.bad[entry.status] = self.bad.get(entry.status, 0) + 1
            self.bar.set_postfix(self.bad, refresh=False)
        self.bar.update()
