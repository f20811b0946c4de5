"""A checkpoint to an export: trace, hold against PyTorch, score, describe, and only then let it appear.

Everything happens in a folder beside the output that is removed on any failure; a failed gate leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slt_hf import __version__
from slt_hf.checkpoint import find_checkpoint, is_export, load_model, load_processor, read_json
from slt_hf.errors import ExportError, SignDataError
from slt_hf.export.comparison import Check
from slt_hf.export.folder import CONFIGS, FORMAT, MANIFEST, ExportFolder, digests_of_configs

CLIPS_OF_DATA = 3  # for the gate
ARCHITECTURES = {
    "SignToTextForConditionalGeneration": "slt_hf.modeling.modeling_sign_to_text",
    "PoseEncoderForCTC": "slt_hf.modeling.modeling_pose_encoder",
    "PoseEncoderForSignClassification": "slt_hf.modeling.modeling_pose_encoder",
    "PoseEncoderModel": "slt_hf.modeling.modeling_pose_encoder",
    "SignTextDualEncoderModel": "slt_hf.modeling.modeling_sign_text_dual_encoder",
    "VideoEncoderModel": "slt_hf.modeling.modeling_video_encoder",
    "VideoMAEForVideoClassification": "transformers",
    "I3DForVideoClassification": "slt_hf.modeling.modeling_i3d",
}


@dataclass(frozen=True)
class ExportSettings:
    """What is written, and what it is measured on.

    Attributes:
        target: onnx or onnx-int8; the targets for servers are made from these.
        clips: real clips for the gate.
        data: manifest, shards, Hub dataset or `synthetic`, that the card's scores are computed on; `split`, `limit`.
            Its first clips go through the gate too.
        opset: of ONNX; the exporter's own unless given.
    """

    target: str = "onnx"
    clips: Sequence[Any] = field(default_factory=tuple)
    data: str | None = None
    split: str = "dev"
    limit: int | None = None
    opset: int | None = None
    seed: int = 0
    revision: str | None = None


def export_checkpoint(model: str | Path | None, output: Path, settings: ExportSettings | None = None) -> Path:
    """Export a checkpoint (folder, Hub repository, None for the bundled one) to a new folder.

    Raises:
        ExportError: if the output is in the way, the model cannot be exported, or the gate fails.
        CheckpointError, HubError: if there is no such checkpoint.
    """
    settings = settings or ExportSettings()
    if settings.target == "onnx-int8" and settings.data is None:
        raise ExportError("int8 is judged on a dev split: expected data to judge it on, found none; pass --data")
    source = find_checkpoint(model, settings.revision)
    if is_export(source):
        raise ExportError(f"{source}: expected a checkpoint with weights, found an export; give the one it was made of")
    return appearing_whole(output, lambda folder: write_export(source, folder, settings))


def appearing_whole(output: Path, fill: Callable[[Path], None]) -> Path:
    """Let `fill` write into a folder beside `output`, which takes that name once it is complete, or is removed.

    Raises:
        ExportError: if something is at `output` already.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ExportError(f"{output}: expected no such folder, or an empty one, found something; name another")
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        fill(partial)
        partial.chmod(0o755)
        if output.exists():
            output.rmdir()
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output


def write_export(source: Path, folder: Path, settings: ExportSettings) -> None:
    """All files of an export."""
    import onnxscript  # noqa: F401  # transformers' exporter says that it lacks this only when it traces, in words of its own

    from slt_hf.export.card import write_export_card
    from slt_hf.export.gate import refuse_failures, run_gate
    from slt_hf.export.gate_cases import gate_cases
    from slt_hf.export.graph_writer import write_graphs
    from slt_hf.export.graphs import graph_specs
    from slt_hf.export.quantization import check_int8, quantize_export
    from slt_hf.export.video_graphs import windows_of

    model, processor = load_source(source)
    copy_configs(source, folder)
    prompted = getattr(processor, "prompt", None) is not None  # an extractor alone has none
    windows = windows_of(model)
    clips = [*settings.clips, *clips_of_data(processor, settings)]
    if settings.clips:
        processor(list(settings.clips), return_tensors="np")  # what cannot be read is said before minutes of tracing
    entries = write_graphs(graph_specs(model, prompted), folder, settings.opset)
    write_manifest(folder, type(model).__name__, entries, "float32", windows)
    config = getattr(model.config, "encoder_config", model.config).to_dict()  # models that are an encoder have no part
    checks = run_gate(model, ExportFolder.open(folder), gate_cases(processor, config, clips, settings.seed))
    checks += processor_checks(processor, folder, clips)
    refuse_failures(checks)
    scores = score(folder, settings) if settings.data is not None else None
    if settings.target == "onnx-int8" and scores is not None:
        entries = quantize_export(folder)
        write_manifest(folder, type(model).__name__, entries, "int8", windows)
        before, scores = scores, score(folder, settings)
        checks.append(check_int8(before, scores))
        refuse_failures(checks)
    write_report(folder, checks, scores)
    data = Path(settings.data or "none").name if Path(settings.data or "none").exists() else str(settings.data)
    write_export_card(source, folder, checks, scores, (data, settings.split))


def clips_of_data(processor: Any, settings: ExportSettings) -> list[Any]:
    """The first readable clips of the data that the graphs are scored on; synthetic ones the gate has anyway."""
    if settings.data in (None, "synthetic"):
        return []
    from slt_hf.evaluation.checkpoint import read_row
    from slt_hf.evaluation.rows import open_rows

    frames, clips = processor.model_input_names[0] == "pixel_values", []
    for row in open_rows(str(settings.data), settings.split, limit=settings.limit):
        with contextlib.suppress(SignDataError):  # the scores count what cannot be read
            clip = read_row(row, frames)
            processor([clip], return_tensors="np")
            clips.append(clip)
        if len(clips) == CLIPS_OF_DATA:
            break
    return clips


def load_source(source: Path) -> tuple[Any, Any]:
    """Model in float32 on the CPU, and processor.

    Raises:
        ExportError: for an architecture that has no graphs.
    """
    from importlib import import_module

    name = (read_json(source, "config.json").get("architectures") or ["nothing"])[0]
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ExportError(f"{source}: expected a model among {known}, found {name}; run it with PyTorch")
    # the model's module first: it registers our classes, without which transformers asks whether to trust the source
    model = load_model(getattr(import_module(ARCHITECTURES[name]), name), source, "cpu", "float32")
    if model.config.to_dict().get("hand_crop_width") is not None:
        raise ExportError(
            f"{source}: expected a model that reads poses or frames, found one that looks at crops of the hands beside "
            "poses, for which graphs have no input; run it with PyTorch"
        )
    processor = load_processor(source)
    tokenizer = getattr(processor, "tokenizer", None)  # an extractor alone has none
    if tokenizer is not None and not (source / "tokenizer.json").is_file():
        raise ExportError(
            f"{source}: expected tokenizer.json, which text is decoded with, found none; save the tokenizer again as a "
            "fast one (AutoTokenizer.from_pretrained(...).save_pretrained)"
        )
    check_frames(model, processor)
    return model, processor


def check_frames(model: Any, processor: Any) -> None:
    """The graph of a classifier of videos has one number of frames, and it must be the processor's.

    Raises:
        ExportError: if it is not.
    """
    if not type(model).__name__.endswith("ForVideoClassification"):
        return
    own, given = model.config.num_frames, processor.num_frames
    if own != given:
        found = "frames at a fixed rate" if given is None else str(given)
        raise ExportError(
            f"expected a processor that gives {own} frames, as the model's config says, found {found}; correct the one "
            "that is wrong, or run it with PyTorch"
        )


def copy_configs(source: Path, folder: Path) -> None:
    """Everything an export runs by, but the weights; and what its card is written from."""
    for name in (*CONFIGS, "card.yaml"):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def write_manifest(
    folder: Path, architecture: str, entries: dict[str, Any], precision: str, windows: dict[str, int] | None = None
) -> None:
    """`export.json`; `windows` says how clips are cut for a graph of windows."""
    values: dict[str, Any] = {"format": FORMAT, "slt_hf": __version__, "architecture": architecture}
    values |= {"precision": precision, "configs": digests_of_configs(folder)} | entries
    if windows is not None:
        values["windows"] = windows
    (folder / MANIFEST).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def processor_checks(processor: Any, folder: Path, clips: Sequence[Any]) -> list[Check]:
    """The processor without transformers makes the same arrays and the same text."""
    import numpy as np

    from slt_hf.export.comparison import compare_numbers, compare_sequences
    from slt_hf.export.gate_cases import sample_clips
    from slt_hf.export.processor import ExportProcessor

    ours = ExportProcessor(folder)
    given = list(clips) or sample_clips(processor)
    found, expected = ours(given), processor(given, return_tensors="np")
    arrays = {name: (np.asarray(found[name]), np.asarray(value)) for name, value in expected.items()}
    checks = [compare_numbers(name, "processor", *both, limit=0.0) for name, both in arrays.items()]
    if ours.tokenizer is not None:
        size = processor.tokenizer.vocab_size
        rows = np.random.default_rng(0).integers(0, size, (16, 12)).tolist()
        texts = (each.batch_decode(rows, skip_special_tokens=True) for each in (ours, processor))
        checks.append(compare_sequences("decoded text", "random tokens", *texts))
    return checks


def score(folder: Path, settings: ExportSettings) -> dict[str, Any]:
    """The report of `slt-hf evaluate`, of the exported graphs."""
    from slt_hf.evaluation.run import EvaluationArguments, run_evaluation

    report = run_evaluation(
        EvaluationArguments(
            checkpoint=str(folder), data=settings.data, split=settings.split, limit=settings.limit, device="cpu",
            samples=200, name="export",
        )  # fmt: skip
    )
    assert report is not None  # only other processes of a distributed run get None
    return report


def write_report(folder: Path, checks: Sequence[Check], scores: dict[str, Any] | None) -> None:
    """`export_report.json` and `export_report.md`."""
    from slt_hf.export.card import report_table

    values = {"passed": all(check.passed for check in checks), "checks": [check.to_dict() for check in checks]}
    values["scores"] = scores
    (folder / "export_report.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    (folder / "export_report.md").write_text(report_table(checks) + "\n", encoding="utf-8")
