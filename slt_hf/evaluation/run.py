"""One evaluation from its settings: what `slt-hf evaluate` and `scripts/evaluate.py` share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slt_hf.errors import EvaluationError
from slt_hf.evaluation.bootstrap import SAMPLES, SEED
from slt_hf.evaluation.calibrating import calibrate, uncalibrated
from slt_hf.evaluation.checkpoint import CLIP_COLUMNS, Checkpoint, Output, as_predictions, load_checkpoint, predict
from slt_hf.evaluation.integrity import RoundTrip, load_tokenizer, wrap
from slt_hf.evaluation.predictions import Predictions, join, read_predictions, read_rows
from slt_hf.evaluation.report import evaluate_predictions, rounded, write_json
from slt_hf.evaluation.robustness import CONDITIONS
from slt_hf.evaluation.rows import open_rows
from slt_hf.evaluation.sign_metrics import topk_accuracy
from slt_hf.evaluation.tables import card_table
from slt_hf.evaluation.text_metrics import score_text
from slt_hf.evaluation.text_report import TextOptions

MAIN_METRIC = {"text": "bleu_4", "signs": "top_1"}
NEED_CHECKPOINT = ("grounding", "robustness", "calibrate")


@dataclass
class EvaluationArguments:
    """What is evaluated, against what, and where the numbers go. Either `hypotheses`, or `checkpoint` with `data`."""

    hypotheses: str | None = None
    """Outputs: a text file with one a line, or csv, tsv, jsonl, parquet; `-` reads lines from standard input"""
    references: str | None = None
    """References in the same forms; left out when the table of hypotheses has them too"""
    hypothesis_column: str | None = None
    """Name of the column with outputs, where it is not a usual one"""
    reference_column: str | None = None
    """Name of the column with references, where it is not a usual one"""
    id_column: str | None = None
    """Name of the column that joins the two files"""
    task: str = "auto"
    """text, signs (isolated signs with ranked labels), or auto"""
    checkpoint: str | None = None
    """Folder or Hub id of the model to run; `bundled` for the one that ships with the package"""
    revision: str | None = None
    """Branch, tag or commit of a Hub checkpoint"""
    data: str | None = None
    """Manifest, folder of shards, Hub dataset, or `synthetic`, to run the checkpoint on"""
    data_config: str | None = None
    """Configuration of a Hub dataset"""
    split: str = "test"
    """Split to run on; choose checkpoints on dev, never on test"""
    limit: int | None = None
    """Only the first so many rows"""
    batch_size: int = 8
    """Clips computed together"""
    num_beams: int | None = None
    """Width of the beam search, 1 is greedy; the checkpoint's own by default"""
    device: str | None = None
    """cuda, mps, cpu; the best one there is by default"""
    grounding: bool = False
    """Also measure how much each text owes to the signing (0 to 1), by one more pass with nobody in the clip"""
    robustness: bool = False
    """Also score hidden hand, no face, 1.5x tempo, mirrored, 10/15/30 fps and jitter: eight more runs"""
    calibrate: bool = False
    """Fit confidence to the share of exact answers on this split (dev), and write calibration.json into the checkpoint;
    the report is of the scores before it"""
    baseline: str | None = None
    """Outputs of another system on the same items, for a paired test; same forms as `hypotheses`"""
    train_text: str | None = None
    """Training sentences: one a line, or a table with a reference column; for the overlap and the function words"""
    function_words: str | None = None
    """Words to leave out of reduced BLEU, separated by white space, instead of the derived list"""
    language: str | None = "en"
    """Two-letter code of the text, for the list of function words"""
    tokenizer: str | None = None
    """Tokenizer (folder, Hub id, tokenizer.json) for raw-reference integrity; a checkpoint brings its own"""
    max_tokens: int | None = None
    """Token limit of generation, to count cut outputs where the file does not say"""
    tokenize: str = "13a"
    """sacrebleu tokeniser of BLEU: 13a, zh, intl, char, none, ja-mecab …"""
    by: list[str] | None = None
    """Columns of the references to give scores per value of, e.g. language signer"""
    samples: int = SAMPLES
    """Bootstrap resamples and random exchanges"""
    seed: int = SEED
    """Of bootstrap, exchanges, floors and jitter"""
    bleurt: str | None = None
    """Folder of a BLEURT checkpoint, if BLEURT is installed"""
    comet: str | None = None
    """COMET checkpoint, if COMET is installed"""
    name: str | None = None
    """What the report calls the system"""
    json: str | None = None
    """Write the whole report here, as JSON"""
    html: str | None = None
    """Write one page with plots here"""
    card: str | None = None
    """Write the table for a model card here, as Markdown"""
    predictions: str | None = None
    """Write every output beside its reference here: csv, tsv, jsonl or parquet"""


def run_evaluation(arguments: EvaluationArguments) -> dict[str, Any] | None:
    """Score, and write what was asked for.

    Returns:
        The report; None on all but the first of several processes.

    Raises:
        EvaluationError: if the settings contradict each other or files do not fit together.
    """
    if (arguments.hypotheses is None) == (arguments.checkpoint is None):
        raise EvaluationError(
            "expected either a file of hypotheses, or --checkpoint with --data, found "
            f"{'both' if arguments.checkpoint else 'neither'}; see slt-hf evaluate --help"
        )
    asked = [name for name in NEED_CHECKPOINT if getattr(arguments, name)]
    if arguments.checkpoint is None and asked:
        raise EvaluationError(
            f"--{asked[0]}: expected --checkpoint, since clips are read again for it, found a file of hypotheses; "
            "name the checkpoint, or leave it out"
        )
    options = text_options(arguments)
    robustness = None
    if arguments.checkpoint is None:
        predictions = from_files(arguments, str(arguments.hypotheses))
    else:
        ran = from_checkpoint(arguments)
        if ran is None:
            return None
        predictions, robustness, tokenizer = ran
        options = replace(options, tokenizer=options.tokenizer or tokenizer)
    baseline = baseline_of(arguments, predictions)
    report = evaluate_predictions(predictions, options, baseline, system_name(arguments), stem(arguments.baseline))
    if robustness is not None:
        report["robustness"] = rounded(robustness)
    write_outputs(arguments, report, predictions)
    return report


def text_options(arguments: EvaluationArguments) -> TextOptions:
    words = arguments.function_words
    return TextOptions(
        tokenize=arguments.tokenize,
        samples=arguments.samples,
        seed=arguments.seed,
        language=arguments.language,
        removed_words=Path(words).read_text(encoding="utf-8").split() if words is not None else None,
        training=read_sentences(arguments.train_text) if arguments.train_text is not None else None,
        tokenizer=load_tokenizer(arguments.tokenizer) if arguments.tokenizer is not None else None,
        max_tokens=arguments.max_tokens,
        group_by=tuple(arguments.by or ()),
        bleurt=arguments.bleurt,
        comet=arguments.comet,
    )


def read_sentences(path: str) -> list[str]:
    """Training sentences, one a line or in a table's text column; rows of a split other than train are left out."""
    rows = [row for row in read_rows(path) if row.get("split") in (None, "", "train", "training")]
    columns = [name for name in ("line", "text", "reference", "sentence", "translation") if rows and name in rows[0]]
    if not columns:
        raise EvaluationError(
            f"{path}: expected training sentences, one a line or in a column `text`, found "
            f"{', '.join(rows[0]) if rows else 'no row'}; rename the column"
        )
    return [str(row[columns[0]]) for row in rows if row[columns[0]] not in (None, "")]


def from_files(arguments: EvaluationArguments, hypotheses: str) -> Predictions:
    """The system's or the baseline's outputs, against the same references.

    A baseline of a table that held its references too is joined with that table's references.
    """
    references = arguments.references
    if references is None and hypotheses != arguments.hypotheses and arguments.checkpoint is None:
        references = arguments.hypotheses
    return read_predictions(
        hypotheses,
        references,
        arguments.hypothesis_column,
        arguments.reference_column,
        arguments.id_column,
        arguments.task,
    )


def baseline_of(arguments: EvaluationArguments, predictions: Predictions) -> Predictions | None:
    """The other system's outputs, read as what this one gives: of a classifier that a model of texts is compared with,
    its first label."""
    if arguments.baseline is None:
        return None
    if arguments.checkpoint is None:
        return from_files(replace(arguments, task=predictions.task), arguments.baseline)
    pairs = zip(predictions.ids, predictions.references, strict=True)
    asked = [{"id": item, "reference": reference} for item, reference in pairs]
    return join(read_rows(arguments.baseline), asked, reference_column="reference", task=predictions.task)


def from_checkpoint(
    arguments: EvaluationArguments,
) -> tuple[Predictions, dict[str, Any] | None, RoundTrip | None] | None:
    """Run the checkpoint on its split, shared among processes where several were launched.

    Returns:
        Predictions, robustness scores if wanted, the tokenizer if there is one; None on all but the first process.
    """
    if arguments.data is None:
        raise EvaluationError("expected --data beside --checkpoint, found none; give a manifest, shards or a Hub id")
    rows = open_rows(arguments.data, arguments.split, arguments.data_config, arguments.limit)
    state = process_state()
    device = arguments.device or (str(state.device) if state is not None else None)
    name = None if arguments.checkpoint == "bundled" else arguments.checkpoint
    options: dict[str, Any] = {} if arguments.num_beams is None else {"num_beams": arguments.num_beams}
    options |= {"grounding": True} if arguments.grounding else {}
    checkpoint = load_checkpoint(name, arguments.revision, device, **options)
    if arguments.grounding and checkpoint.classifies:
        raise EvaluationError("--grounding: expected a translator, found a classifier; leave it out")
    if arguments.calibrate:
        checkpoint = uncalibrated(checkpoint, name, arguments.split)
    outputs = share_out(state, checkpoint, rows, arguments, None)
    disturbed = {}
    for condition in CONDITIONS if arguments.robustness else ():
        disturbed[condition] = share_out(state, checkpoint, rows, arguments, condition)
    if state is not None and not state.is_main_process:
        return None
    whole = [told(rows[place]) for place in range(len(rows))]
    predictions = as_predictions(whole, outputs, checkpoint.classifies, arguments.reference_column)
    if arguments.calibrate:
        calibrate(predictions, str(name), f"{stem(arguments.data)}, {arguments.split}")
    robustness = robustness_scores(predictions, disturbed, arguments) if disturbed else None
    tokenizer = None if checkpoint.classifies else wrap(checkpoint.model.processor.tokenizer)
    return predictions, robustness, tokenizer


def told(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says, without the clip it shows."""
    return {name: value for name, value in row.items() if name not in CLIP_COLUMNS}


def process_state() -> Any:
    """accelerate's view of the processes that were launched; None for a plain run."""
    if int(os.environ.get("WORLD_SIZE", 1)) < 2:
        return None
    from accelerate.state import PartialState

    return PartialState()


def share_out(
    state: Any,
    checkpoint: Checkpoint,
    rows: Sequence[Mapping[str, Any]],
    arguments: EvaluationArguments,
    condition: str | None,
) -> list[Output]:
    """Every row's output, in order: each process computes its share, and all of them get the whole."""
    disturbance = CONDITIONS[condition] if condition is not None else None
    places = range(len(rows)) if state is None else range(state.process_index, len(rows), state.num_processes)
    numbered = predict(checkpoint, rows, places, disturbance, arguments.batch_size, arguments.seed)
    if state is not None:
        from accelerate.utils import gather_object

        numbered = sorted(gather_object(numbered), key=lambda pair: pair[0])
    return [output for _, output in numbered]


def robustness_scores(
    predictions: Predictions, disturbed: dict[str, list[Output]], arguments: EvaluationArguments
) -> dict[str, Any]:
    """Scores and failures per condition, the undisturbed run first."""
    conditions: dict[str, Any] = {"undisturbed": _condition(predictions, None, arguments)}
    conditions |= {name: _condition(predictions, outputs, arguments) for name, outputs in disturbed.items()}
    return {"metric": MAIN_METRIC[predictions.task], "conditions": conditions}


def _condition(
    predictions: Predictions, outputs: list[Output] | None, arguments: EvaluationArguments
) -> dict[str, Any]:
    if predictions.ranked is not None:
        ranked = predictions.ranked if outputs is None else [output.labels or [] for output in outputs]
        scores = topk_accuracy(ranked, predictions.references)
    else:
        said = predictions.hypotheses if outputs is None else [output.text for output in outputs]
        names = ("bleu_4", "chrf", "wer", "cer", "exact_match")
        scores = score_text(said, predictions.references, arguments.tokenize, names)
    missing = len(predictions.missing) if outputs is None else sum(output.failure is not None for output in outputs)
    return {"scores": scores, "missing": missing}


def system_name(arguments: EvaluationArguments) -> str:
    """The given name, else the checkpoint's or the file's own, never a path."""
    return arguments.name or stem(arguments.checkpoint or arguments.hypotheses)


def stem(path: str | None) -> str:
    return Path(path).stem if path not in (None, "-") else "system"  # type: ignore[arg-type]


def write_outputs(arguments: EvaluationArguments, report: dict[str, Any], predictions: Predictions) -> None:
    """Only what was asked for; folders are made."""
    for path in (arguments.json, arguments.html, arguments.card, arguments.predictions):
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    if arguments.json is not None:
        write_json(report, arguments.json)
    if arguments.html is not None:
        from slt_hf.evaluation.html_report import write_html

        write_html(report, arguments.html)
    if arguments.card is not None:
        Path(arguments.card).write_text(card_table(report), encoding="utf-8")
    if arguments.predictions is not None:
        predictions.write(arguments.predictions)
