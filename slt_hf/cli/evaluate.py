"""`slt-hf evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer


def evaluate(
    hypotheses: Annotated[
        str | None, typer.Argument(help="Outputs: one a line, or csv, tsv, jsonl, parquet; - is stdin.")
    ] = None,
    references: Annotated[
        str | None, typer.Argument(help="References; left out if the table above has them too.")
    ] = None,
    hypothesis_column: Annotated[str | None, typer.Option(help="Column of outputs, if not a usual name.")] = None,
    reference_column: Annotated[str | None, typer.Option(help="Column of references, if not a usual name.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column that joins the two files.")] = None,
    task: Annotated[str, typer.Option(help="text, signs (ranked labels) or auto.")] = "auto",
    checkpoint: Annotated[
        str | None, typer.Option(help="Run this model instead: folder, Hub id, or `bundled`.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub checkpoint.")] = None,
    data: Annotated[str | None, typer.Option(help="Manifest, folder of shards, Hub dataset or `synthetic`.")] = None,
    data_config: Annotated[str | None, typer.Option(help="Configuration of a Hub dataset.")] = None,
    split: Annotated[str, typer.Option(help="Split to run on; choose checkpoints on dev, never on test.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Only the first so many rows.")] = None,
    batch_size: Annotated[int, typer.Option(help="Clips computed together.")] = 8,
    num_beams: Annotated[
        int | None, typer.Option(help="Width of the beam search, 1 is greedy; the checkpoint's own if left out.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps, cpu; the best one there is if left out.")] = None,
    grounding: Annotated[
        bool, typer.Option("--grounding", help="Also what each text owes to the signing: another pass.")
    ] = False,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also score disturbed clips, eight conditions.")
    ] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Fit confidence on this split (dev); writes into the checkpoint.")
    ] = False,
    baseline: Annotated[str | None, typer.Option(help="Outputs of another system, for a paired test.")] = None,
    train_text: Annotated[str | None, typer.Option(help="Training sentences: overlap, function words.")] = None,
    function_words: Annotated[str | None, typer.Option(help="File of words to leave out of reduced BLEU.")] = None,
    language: Annotated[str | None, typer.Option(help="Two-letter code of the text.")] = "en",
    tokenizer: Annotated[str | None, typer.Option(help="Tokenizer to check the raw references against.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Token limit of generation, to count cut outputs.")] = None,
    tokenize: Annotated[str, typer.Option(help="sacrebleu tokeniser: 13a, zh, intl, char, none, …")] = "13a",
    by: Annotated[list[str] | None, typer.Option(help="Scores per value of this column; repeat for more.")] = None,
    samples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 12345,
    bleurt: Annotated[str | None, typer.Option(help="BLEURT checkpoint, if BLEURT is installed.")] = None,
    comet: Annotated[str | None, typer.Option(help="COMET checkpoint, if COMET is installed.")] = None,
    name: Annotated[str | None, typer.Option(help="What the report calls the system.")] = None,
    json: Annotated[
        str | None, typer.Option(help="Write the report as JSON; - prints it instead of the table.")
    ] = None,
    html: Annotated[str | None, typer.Option(help="Write one page with plots.")] = None,
    card: Annotated[str | None, typer.Option(help="Write the table for a model card.")] = None,
    predictions: Annotated[str | None, typer.Option(help="Write every output beside its reference.")] = None,
) -> None:
    """Score outputs against references, or a checkpoint on a split.

    \b
    slt-hf evaluate outputs.txt references.txt --html report.html
    slt-hf evaluate --checkpoint FOLDER --data manifest.csv --split test --robustness
    """
    settings = dict(locals())
    from slt_hf.evaluation.report import to_json
    from slt_hf.evaluation.run import EvaluationArguments, run_evaluation
    from slt_hf.evaluation.tables import terminal_report

    printed = settings["json"] == "-"
    report = run_evaluation(EvaluationArguments(**settings | {"json": None if printed else settings["json"]}))
    if report is not None:
        print(to_json(report) if printed else terminal_report(report), end="" if printed else "\n")
