"""Write docs/results.md and the short table of README.md from the files in results/: no number is typed by hand.

python scripts/readme_results.py            # rewrite both
python scripts/readme_results.py --check    # exit 1 if one of them says something else
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results: made by scripts/readme_results.py -->", "<!-- end of results -->"
Row = tuple[str, str, str]  # what, result, command

TASKS = {
    "f1": "F1: letters of unseen sign languages",
    "f2": "F2: words spelled by unseen signers",
    "w": "W: isolated ASL words",
}
NAMES = {
    "top1": "top-1",
    "top5": "top-5",
    "cer": "character error rate",
    "exact_match": "exact match",
    "bleu_4": "BLEU-4",
    "chrf": "chrF",
    "wer": "word error rate",
}


def real_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Dev and cross-validation scores of the real tasks."""
    for task, title in TASKS.items():
        for split, scores in report.get(task, {}).get("scores", {}).items():
            told = ", ".join(f"{NAMES[name]} {scores[name]:.2f}" for name in NAMES if name in scores)
            yield f"{title}, {split}", told, report["command"]


def learning_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Which encoder learns a fixed synthetic corpus soonest."""
    for result in report["results"]:
        reached = result["seconds_to_90"]
        told = f"exact match {result['exact_match']:.0f} %, BLEU {result['bleu']:.1f}, "
        told += "90 % not reached" if reached is None else f"90 % after {reached:.0f} s"
        told += f", {result['clip_ms']:.0f} ms a clip"
        yield f"learning, {result['encoder']} encoder", told, report["command"]


def stages_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Contrastive then translation, against translation alone, in equal steps."""
    for result in report["results"]:
        paired = result["contrastive_steps"]
        what = f"{paired} steps contrastive, then translation" if paired else "translation alone"
        told = f"exact match {result['exact_match']:.0f} %, BLEU {result['bleu']:.1f}"
        yield f"{report['steps']} steps on a synthetic corpus: {what}", told, report["command"]


def contrastive_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Memory of a contrastive step: a large batch in chunks beside a small batch, and beside one without chunks."""
    for result in report["results"]:
        clips, chunk = result["clips"], result["chunk_size"]
        what = f"contrastive step, {clips} clips" + (f" in chunks of {chunk}" if chunk < clips else " at once")
        held = result["megabytes_of_poses"] + result["megabytes_of_a_similarity_table"]
        yield what, f"{result['megabytes']:.0f} MB, poses and similarities {held:.0f} of them", report["command"]


def speed_rows(report: dict[str, Any]) -> Iterator[Row]:
    """The default encoder beside the part-wise ST-GCN."""
    ratio = report["forward_ratio_at_batch_4_frames_256"]
    growth = report["time_per_frame_at_4096_over_256"]
    told = f"{ratio:.0f} times the frames a second; time a frame at T=4096 is {growth:.2f} of T=256"
    yield "pose encoder beside a part-wise ST-GCN, forward, B=4, T=256", told, report["command"]


def export_rows(report: dict[str, Any]) -> Iterator[Row]:
    """An export beside eager and compiled PyTorch, and from a cold process."""
    command = "slt-hf export bundled --output X && python benchmarks/export_speed.py --exported X --compiled"
    for batch, row in report["seconds"].items():
        faster = row["decode_times_faster"]
        told = ", ".join(f"{faster[name]:.1f} times {name}" for name in ("eager", "compiled") if name in faster)
        yield f"decoding 48 tokens with the exported bundled checkpoint, {batch}", told, command
    cold = report["cold_start"]
    told = f"{cold['onnx']['seconds']:.2f} s; PyTorch {cold['torch']['seconds']:.1f} s"
    told += f", its bare import with transformers {cold['import_torch_transformers_names']['seconds']:.1f} s"
    yield "first translation from a cold process", told, command


def serving_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Live streams and callers of one server, on two cores that the client shares."""
    overhead = report["overhead"]["milliseconds"]
    for key, where in (("streams_beside_clips", "as served"), ("streams", "by two processes of their own")):
        streams = report[key]
        told = f"{streams['dropped']} frames dropped, answered after {streams['delay_ms']['p95']:.0f} ms (p95)"
        what = f"{streams['streams']} live streams at 25 frames a second on {report['cores']} cores, {where}"
        yield what, told, report["command"]
    callers = report["overhead"]["callers"]
    yield f"what the server adds to a request, {callers} callers", f"{overhead['p99']:.0f} ms (p99)", report["command"]


def requests_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Many requests in a row, for the server's memory."""
    asked = report["requests"]
    told = f"memory grew by {asked['memory_growth_mb']:.0f} MB, {asked['refused']} refused"
    yield f"{asked['requests']} clips from {asked['callers']} callers", told, report["command"]


def soak_rows(report: dict[str, Any]) -> Iterator[Row]:
    """An hour of clips and streams."""
    soak = report["soak"]
    told = (
        f"memory grew by {soak['memory_growth_mb']:.0f} MB ({soak['memory_growth_at_most_mb']:.0f} at the most in "
        f"between), {soak['refused']} clips refused, {soak['dropped']} of {soak['frames']} frames dropped"
    )
    yield f"{soak['minutes']:.0f} minutes of {soak['requests']} clips, and streams", told, report["command"]


def streaming_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Live translation of replays at 30 frames a second."""
    for name, row in report["results"].items():
        if "30 fps" in name and "utterance" in name:
            stands = row["ms until it stands, median"]
            told = (
                f"{100 * row['words right']:.0f} % of words right, stands {stands:.0f} ms after the last sign (median)"
            )
            yield f"live, {name}", told, report["command"]
        if "in ten minutes" in row:
            yield f"live, {name}", f"{row['in ten minutes']} texts in ten minutes", report["command"]


def gpu_rows(report: dict[str, Any]) -> Iterator[Row]:
    """One GPU: training, attention kernels, chunked gradients, and whether it says what the CPU says."""
    on, command = report["machine"]["device"], report["command"]
    clips = report["training"]["clips"]
    told = ", ".join(f"{name}: {row['per_second']:.0f} ({row['gigabytes']:.1f} GB)" for name, row in clips.items())
    yield f"{on}: clips a second of training, UMT5-small's size, 32 clips of 256 frames", told, command
    clips = report["attention"]["clips"]
    told = ", ".join(f"{name}: {row['per_second']:.0f} ({row['gigabytes']:.0f} GB)" for name, row in clips.items())
    yield f"{on}: clips a second of VideoMAE-base, bf16, forward and backward", told, command
    clips = report["contrastive"]["clips"]
    told = ", ".join(f"{name}: {row['gigabytes']:.1f} GB" for name, row in clips.items())
    yield f"{on}: memory of a contrastive step", told, command
    same = report["parity"]
    told = ", ".join(f"{100 * same[f'same text as the CPU, {name}']:.0f} % in {name}" for name in ("fp32", "bf16"))
    yield f"{on}: same text as the CPU, bundled checkpoint, {same['sentences']} sentences", told, command


def video_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Small classifiers of videos on the real isolated signs at hand; dev of `signs` are the same recordings again."""
    where = {"signs": ("the clips it learned from", "3 of them in another file"),
             "letters": ("the clips it learned from", "signers it never saw, drawn")}  # fmt: skip
    for name, result in report["results"].items():
        model, task = name.split(", ")[0].split()
        how = ", in one light" if "one light" in name else ""
        command = result.get("command") or report["command"]  # newer runs have their own
        for split, meant in zip(("train", "dev"), where[task], strict=True):
            scores = result["scores"][split]
            told = f"top-1 {scores['top1']:.2f}, top-5 {scores['top5']:.2f} (n={scores['clips']})"
            yield f"small {model} from random weights{how}, {task}: {meant}", told, command
        if task == "signs":
            told = ", ".join(f"{name} {right:.2f}" for name, right in result["disturbed"].items())
            yield f"small {model}{how}, signs: its own clips shown otherwise, top-1", told, command
            strangers = result["strangers"]
            told = f"{strangers['unknown']} of {strangers['clips']} called unknown"
            yield f"small {model}{how}, three signs of another language and signer", told, command


def full_size_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Video recipes at their own size with random weights."""
    for name, row in report["recipes"].items():
        shown = f"{row['shown'][1]} frames of {row['shown'][-1]} pixels"
        told = f"{row['training_gb']:.1f} GB for a training step, {row['use_gb']:.1f} GB in use"
        what = f"`{name}`, {row['parameters'] / 1e6:.0f} million random weights, float32 on a CPU, one clip of {shown}"
        yield what, told, row["command"]


def vlm_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Vision-language models: loading, seconds a clip, memory."""
    for model, ways in report["results"].items():
        for way, row in ways.items():
            if "answers" not in row:
                yield f"{model}, {way}", row.get("refused", "failed"), row["command"]
                continue
            answers = [f"{each['clip_s']:.1f} s a clip ({name})" for name, each in row["answers"].items()]
            told = f"loaded in {row['load_s']:.0f} s, {', '.join(answers)}, {row['memory_gb']:.1f} GB"
            where = row["gpu"] or f"CPU, {row['threads']} thread{'s' * (row['threads'] > 1)}"
            yield f"{model}, {way}, {where}", told, row["command"]


def left_out_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Groups that a real recipe has not seen: alphabets (F1), sources (W)."""
    for task, result in report.items():
        told = ", ".join(f"{group} {scores['top1']:.2f}" for group, scores in result["left out"].items())
        yield f"{TASKS[task]}, one group left out, top-1", told, result["command"]


def data_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Random rows of shards to model input, beside other ways."""
    times = report["times_faster"]
    told = f"{times['shards holistic_543 / pose-format']:.0f} times pose-format, "
    told += f"{times['shards holistic_543 / pickle']:.0f} times pickles; "
    told += f"{times['ready inputs / pickle']:.0f} times with inputs made once"
    yield "random rows a second from shards to model input", told, report["command"]


def decoded_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Clips stored frame by frame beside the videos they were cut from."""
    where = {"files": "files of one sign", "parts": "parts of a recording"}
    for kind, meant in where.items():
        own = [cell for cell in report["cells"] if cell["kind"] == kind]
        told = ", ".join(f"{cell['times_faster']:.1f} times at {cell['frames']} frames" for cell in own)
        disk = own[0]["mb_shards"] / own[0]["mb_videos"]
        what = f"clips a second of `slt-hf decode-clips` beside decoding on the fly, {meant}"
        yield what, f"{told}; {disk:.1f} times the disk", report["command"]


def extract_rows(report: dict[str, Any]) -> Iterator[Row]:
    """Pose extraction beside MediaPipe alone."""
    told = f"{report['of_bare_loop']:.2f} of a bare MediaPipe loop"
    yield "video frames a second of `slt-hf extract`", told, report["command"]


def bundled_rows(card: dict[str, Any]) -> Iterator[Row]:
    """Scores in the bundled checkpoint's card."""
    found: dict[str, list[str]] = {}
    for metric in card["metrics"]:
        named = f"{NAMES.get(metric['name'], metric['name'])} {metric['value']:g}"
        found.setdefault(f"bundled checkpoint, {metric['dataset']} ({metric['split']})", []).append(named)
    for what, told in found.items():
        yield what, ", ".join(told), card["command"]


Rows = Callable[[dict[str, Any]], Iterator[Row]]
SECTIONS: dict[str, dict[str, Rows]] = {
    "The bundled checkpoint": {"slt_hf/checkpoints/demo/card.yaml": bundled_rows},
    "People: letters, words and spelling": {
        "results/real.json": real_rows,
        "results/real_cross_validation.json": left_out_rows,
    },
    "Live translation": {"results/streaming.json": streaming_rows},
    "Videos": {
        "results/real_videos.json": video_rows,
        "results/full_size.json": full_size_rows,
        "results/vlm_speed.json": vlm_rows,
    },
    "Learning": {
        "results/learning.json": learning_rows,
        "results/two_stages.json": stages_rows,
        "results/contrastive_memory.json": contrastive_rows,
        "results/encoder_speed.json": speed_rows,
    },
    "Data": {
        "results/data_speed.json": data_rows,
        "results/extract_speed.json": extract_rows,
        "results/decoded_clips.json": decoded_rows,
    },
    "Serving and export": {
        "results/serving.json": serving_rows,
        "results/serving_20000.json": requests_rows,
        "results/serving_soak.json": soak_rows,
        "results/export_speed.json": export_rows,
    },
    "On a GPU": {"results/gpu_speed.json": gpu_rows},
}

# Beginnings of the rows that README.md shows.
HEADLINES = (
    "bundled checkpoint, synthetic sentences, clean clips",
    "bundled checkpoint, synthetic sentences, noisy clips",
    "bundled checkpoint, real words",
    "bundled checkpoint, real spelled names",
    "F1: letters of unseen sign languages, dev",
    "F2: words spelled by unseen signers, dev words, dev signers",
    "W: isolated ASL words, one group left out",
    "live, sentences, pauses, 30 fps",
    "live, sentences, no pauses, 30 fps",
    "live, nobody signs, movements unlike",
    "random rows a second from shards to model input",
    "decoding 48 tokens with the exported bundled checkpoint, batch 1",
    "first translation from a cold process",
    "30 live streams",
)
INTRODUCTION = """# Results

From the files in [results](../results), by `scripts/readme_results.py`; what was tried and failed stands there, too.
"""


def rows_of(source: str, rows: Rows) -> list[Row]:
    """What one file says; nothing where it is absent."""
    path = ROOT / source
    return list(rows(yaml.safe_load(path.read_text(encoding="utf-8")))) if path.is_file() else []  # JSON is YAML


def table(rows: Iterable[Row]) -> str:
    lines = ["| what | result |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {what} | {result} |" for what, result, _ in rows)])


def short_table() -> str:
    """The rows that README.md shows.

    Raises:
        ValueError: if one of them is measured no more, or called otherwise.
    """
    rows = [row for sources in SECTIONS.values() for source in sources.items() for row in rows_of(*source)]
    shown = [next((row for row in rows if row[0].startswith(beginning)), None) for beginning in HEADLINES]
    if None in shown:
        absent = HEADLINES[shown.index(None)]
        raise ValueError(f"expected a result that begins with {absent!r}, found none; correct HEADLINES")
    return table(row for row in shown if row is not None)


def whole_page() -> str:
    """docs/results.md: every row, below each table the command that made it."""
    parts = [INTRODUCTION]
    for title, sources in SECTIONS.items():
        parts.append(f"## {title}\n")
        for source, rows in sources.items():
            for command, made in groupby(rows_of(source, rows), lambda row: row[2]):
                parts.append(f"{table(made)}\n\n`{command}` → [{source}](../{source})\n")
    return "\n".join(parts)


def readme_with(text: str) -> str:
    """README.md's text with today's short table in its place."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + short_table() + "\n" + END + rest.split(END)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    readme, page = ROOT / "README.md", ROOT / "docs" / "results.md"
    made = {readme: readme_with(readme.read_text(encoding="utf-8")), page: whole_page()}
    if options.check:
        old = [path.name for path, text in made.items() if path.read_text(encoding="utf-8") != text]
        sys.exit(f"{', '.join(old)}: not what results/ says; run scripts/readme_results.py" if old else 0)
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
