"""From files: how hypotheses meet references, and what is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slt_hf.cli.main import app, main
from slt_hf.data.tables import write_table
from slt_hf.errors import EvaluationError
from slt_hf.evaluation.html_report import html_page
from slt_hf.evaluation.predictions import Predictions, read_predictions, read_rows
from slt_hf.evaluation.report import evaluate_predictions, to_json
from slt_hf.evaluation.run import EvaluationArguments, run_evaluation
from slt_hf.evaluation.tables import card_table, terminal_report
from slt_hf.evaluation.text_report import TextOptions

SAID = ["it rains", "", "sun <b>shines</b>", "go | home"]
ASKED = ["it rains", "wind comes", "sun shines", "go home now"]


def lines(path: Path, texts: list[str]) -> str:
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return str(path)


def table(path: Path, **columns: list) -> str:
    write_table([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)], path)
    return str(path)


def run(*arguments: str, said: str | None = None) -> str:
    """What the command prints."""
    done = CliRunner().invoke(app, ["evaluate", *arguments], input=said, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_two_text_files_meet_line_by_line_and_empty_lines_stay(tmp_path: Path):
    found = read_predictions(lines(tmp_path / "h.txt", SAID), lines(tmp_path / "r.txt", ASKED))
    assert found.hypotheses == SAID and found.references == ASKED and found.missing == []


def test_only_a_newline_ends_a_line(tmp_path: Path):
    path = tmp_path / "h.txt"
    path.write_bytes("a\u2028b\x0cc\r\nd".encode())
    assert [row["line"] for row in read_rows(path)] == ["a\u2028b\x0cc", "d"]


def test_text_files_of_different_length_are_refused(tmp_path: Path):
    with pytest.raises(EvaluationError, match="3 for 4.*id column"):
        read_predictions(lines(tmp_path / "h.txt", SAID[:3]), lines(tmp_path / "r.txt", ASKED))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_meet_by_id_and_a_missing_item_counts_as_empty(tmp_path: Path, ending: str):
    said = table(tmp_path / f"h.{ending}", id=["c", "a", "z"], hypothesis=["sun shines", "it rains", "extra"])
    asked = table(tmp_path / f"r.{ending}", id=["a", "b", "c"], text=ASKED[:3])
    found = read_predictions(said, asked)
    assert found.hypotheses == ["it rains", "", "sun shines"] and found.references == ASKED[:3]
    assert (found.missing, found.unexpected) == (["b"], ["z"])
    report = evaluate_predictions(found, TextOptions(samples=10))
    assert report["items"]["missing"] == 1 and report["items"]["missing_ids"] == ["b"]
    assert report["scores"]["exact_match"]["score"] == pytest.approx(200 / 3)


def test_one_table_may_hold_both_columns_under_any_name(tmp_path: Path):
    path = table(tmp_path / "both.csv", uid=["1", "1"], Ours=["a", "b"], Gold=["a", "c"])
    found = read_predictions(path, None, "Ours", "Gold")
    assert (found.hypotheses, found.references) == (["a", "b"], ["a", "c"])


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path):
    path = table(tmp_path / "both.csv", ours=["a"], gold=["a"])
    with pytest.raises(EvaluationError, match="ours, gold.*--reference-column"):
        read_predictions(path)
    with pytest.raises(EvaluationError, match="'Gold'.*ours, gold"):
        read_predictions(path, None, "ours", "Gold")


def test_the_same_id_twice_is_an_error(tmp_path: Path):
    said = table(tmp_path / "h.csv", id=["a", "a"], hypothesis=["x", "y"])
    with pytest.raises(EvaluationError, match="'a' again in row 2"):
        read_predictions(said, table(tmp_path / "r.csv", id=["a", "b"], text=["x", "y"]))


def test_ranked_labels_make_it_a_task_of_signs(tmp_path: Path):
    ranked = [[["book", 0.9], ["go", 0.1]], [["go", 0.6], ["book", 0.4]]]
    said = table(tmp_path / "h.jsonl", id=["a", "b"], labels=ranked)
    asked = table(tmp_path / "r.csv", id=["a", "b", "c"], label=["book", "book", "go"])
    found = read_predictions(said, asked)
    assert found.task == "signs" and found.ranked == [["book", "go"], ["go", "book"], []]
    assert found.confidences == [0.9, 0.6, None] and found.missing == ["c"]
    plain = read_predictions(table(tmp_path / "p.csv", id=["a"], label=["book"]), asked, task="signs")
    assert plain.ranked == [["book"], [], []]


def test_predictions_come_back_from_every_format_as_they_were(tmp_path: Path):
    text = Predictions(
        ["a", "b"], ["x y", "z"], ["x", ""], confidences=[0.5, None], truncated=[True, None],
        columns={"signer": ["s", "t"]}, missing=["b"], failures={"b": "damaged"},
    )  # fmt: skip
    signs = Predictions(["a", "b"], ["x", "y"], ["x", "z"], [["x", "y"], ["z"]], [0.5, 0.25])
    for ending in ("csv", "tsv", "jsonl", "parquet"):
        for predictions in (text, signs):
            predictions.write(tmp_path / f"p.{ending}")
            assert read_predictions(tmp_path / f"p.{ending}") == predictions


def test_two_runs_write_the_same_bytes(tmp_path: Path):
    said, asked = lines(tmp_path / "h.txt", SAID), lines(tmp_path / "r.txt", ASKED)
    kinds = ("json", "html", "card")
    settings = {n: [part for k in kinds for part in (f"--{k}", str(tmp_path / f"{n}.{k}"))] for n in ("one", "two")}
    run(said, asked, *settings["one"])
    command = [sys.executable, "-m", "slt_hf.cli.main", "evaluate", said, asked, *settings["two"]]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    for kind in kinds:
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


def test_the_command_prints_the_table_and_reads_standard_input(tmp_path: Path):
    asked = lines(tmp_path / "r.txt", ASKED)
    printed = run("-", asked, "--samples", "10", "--json", "-", said="\n".join(SAID))
    assert json.loads(printed)["items"]["references"] == 4
    assert "BLEU-4" in run("-", asked, "--samples", "10", said="\n".join(SAID))


def test_errors_of_the_command_are_one_line_and_exit_code_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(sys, "argv", ["slt-hf", "evaluate", str(tmp_path / "absent.txt"), str(tmp_path / "r.txt")])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2 and told.count("\n") == 1 and "absent.txt" in told


@pytest.mark.parametrize("column", ["confidence", "grounding"])
def test_words_where_a_share_should_be_are_told(tmp_path: Path, column: str):
    outputs = table(tmp_path / "t.tsv", reference=["a", "b"], hypothesis=["a", "b"], **{column: ["0.5", "sure"]})
    with pytest.raises(EvaluationError, match=f"column {column}: expected a number from 0 to 1, found 'sure'"):
        run_evaluation(EvaluationArguments(hypotheses=outputs))


def test_nothing_or_both_to_evaluate_is_an_error():
    with pytest.raises(EvaluationError, match="neither"):
        run_evaluation(EvaluationArguments())
    with pytest.raises(EvaluationError, match="both"):
        run_evaluation(EvaluationArguments(hypotheses="h.txt", checkpoint="c"))
    for option in ("grounding", "robustness", "calibrate"):
        with pytest.raises(EvaluationError, match=f"--{option}: expected --checkpoint"):
            run_evaluation(EvaluationArguments(hypotheses="x.csv", **{option: True}))


def test_a_baseline_is_tested_on_the_same_items(tmp_path: Path):
    asked = lines(tmp_path / "r.txt", ASKED * 10)
    arguments = EvaluationArguments(
        hypotheses=lines(tmp_path / "good.txt", ASKED * 10), references=asked,
        baseline=lines(tmp_path / "bad.txt", SAID * 10), samples=200,
    )  # fmt: skip
    report = run_evaluation(arguments)
    assert report is not None and (report["name"], report["baseline"]) == ("good", "bad")
    assert report["paired"]["metrics"]["wer"]["better"] == "system"
    assert "Difference to bad" in terminal_report(report) and "Difference to bad" in card_table(report)


def test_training_text_and_word_list_come_from_files(tmp_path: Path):
    arguments = EvaluationArguments(
        hypotheses=lines(tmp_path / "h.txt", SAID), references=lines(tmp_path / "r.txt", ASKED), samples=10,
        train_text=table(tmp_path / "train.csv", text=["it rains", "go home now"], split=["train", "test"]),
        function_words=lines(tmp_path / "words.txt", ["it", "the"]),
    )  # fmt: skip
    report = run_evaluation(arguments)
    assert report is not None and report["overlap"]["training_sentences"] == 1 and report["overlap"]["hypotheses"] == 1
    assert report["reduced"]["removed_words"] == ["it", "the"]


def test_the_page_is_one_file_without_scripts_or_links_and_escapes_texts(tmp_path: Path):
    predictions = Predictions(["1", "2", "3", "4"], ASKED, SAID, confidences=[0.9, 0.1, 0.5, 0.4])
    page = html_page(evaluate_predictions(predictions, TextOptions(samples=10), name="<script>x</script>"))
    assert "<script" not in page and "<b>shines" not in page and "sun &lt;b&gt;shines" in page
    assert not re.search(r'(?:src|href)="(?!#)(?!http://www\.w3\.org)', page.replace("xlink:", ""))
    assert page.count("<svg") == 5 and "BLEU-4" in page


def test_the_card_table_survives_pipes_and_names_signatures():
    report = evaluate_predictions(Predictions(["1"], ["a"], ["b"]), TextOptions(samples=10))
    rows = card_table(report).split("\n\n")[1].splitlines()
    bars = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert bars == {5} and "tok:13a" in card_table(report)


def test_reports_hold_no_path_no_time_and_only_numbers_json_knows(tmp_path: Path):
    arguments = EvaluationArguments(
        hypotheses=lines(tmp_path / "h.txt", SAID), references=lines(tmp_path / "r.txt", ASKED), samples=10
    )
    text = to_json(run_evaluation(arguments) or {})
    assert str(tmp_path) not in text and "NaN" not in text
    assert to_json({"value": None}) == '{\n "value": null\n}\n'


def test_scoring_files_needs_the_evaluate_extra_alone(tmp_path: Path):
    said, asked, page = lines(tmp_path / "h.txt", SAID), lines(tmp_path / "r.txt", ASKED), str(tmp_path / "r.html")
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'transformers', 'datasets', 'pyarrow', 'pandas', 'accelerate'):\n"
        "            raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from slt_hf.cli.main import main\n"
        f"sys.argv = ['slt-hf', 'evaluate', {said!r}, {asked!r}, '--samples', '10', '--html', {page!r}]\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "BLEU-4" in done.stdout and (tmp_path / "r.html").is_file(), done.stderr


def test_isl_signer_file_through_the_command(shared_data: Path, tmp_path: Path):
    path = shared_data / "annotations/isign/ISL-signer_validation.csv"
    with path.open(encoding="utf-8") as file:
        header = file.readline().rstrip("\n").split(",")
    printed = run(str(path), "--hypothesis-column", header[1], "--reference-column", header[2], "--samples", "10")
    assert re.search(r"BLEU-4 +48\.93", printed) and re.search(r"WER +0\.6188", printed)
