"""From a checkpoint and a split: the user's own call, every row accounted for."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_checkpoints import WORDS, save_classification, save_recognition

from slt_hf import SignClassifier, SignTranslator
from slt_hf.confidence import Calibration
from slt_hf.data.tables import write_table
from slt_hf.errors import EvaluationError, RecipeError
from slt_hf.evaluation.checkpoint import load_checkpoint, predict
from slt_hf.evaluation.predictions import read_predictions
from slt_hf.evaluation.robustness import CONDITIONS
from slt_hf.evaluation.rows import open_rows
from slt_hf.evaluation.run import EvaluationArguments, run_evaluation
from slt_hf.evaluation.tables import terminal_report
from slt_hf.processing.landmarks import convert
from slt_hf.processing.pose_files import PoseClip, write_pose

CLIPS = 5


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips, one whose file is gone, one whose file is damaged, and one of another split."""
    folder = tmp_path_factory.mktemp("split")
    rows: list[dict[str, Any]] = []
    for number in range(CLIPS):
        points = np.random.default_rng(number).normal(size=(20 + number, 85, 2)).cumsum(0) * 3 + 200
        points[:, 5], points[:, 6] = (250, 200), (150, 200)
        flat = convert(points.astype(np.float32), np.ones(points.shape[:2], np.float32), "signing_85", "holistic_543")
        write_pose(PoseClip(*flat, "holistic_543", 25.0, 640, 480), folder / f"{number}.pose")
        rows.append({"id": f"clip{number}", "pose": f"{number}.pose", "text": f"word{number} word1", "split": "test"})
    rows.append({"id": "gone", "pose": "gone.pose", "text": "word1 word2", "split": "test"})
    (folder / "damaged.pose").write_bytes(b"not a pose")
    rows.append({"id": "damaged", "pose": "damaged.pose", "text": "word3", "split": "test"})
    rows.append({"id": "other", "pose": "0.pose", "text": "word3", "split": "train"})
    for row in rows:
        row["gloss"] = row["text"].split()[0].upper()
    write_table(rows, folder / "manifest.csv")
    return folder / "manifest.csv"


def arguments(checkpoint: Path, manifest: Path, **options: Any) -> EvaluationArguments:
    return EvaluationArguments(checkpoint=str(checkpoint), data=str(manifest), device="cpu", samples=10, **options)


def test_predictions_are_those_of_the_user_call_and_failures_are_counted(
    tiny_checkpoint: Path, manifest: Path, tmp_path: Path
):
    report = run_evaluation(arguments(tiny_checkpoint, manifest, predictions=str(tmp_path / "p.csv"), batch_size=3))
    assert report is not None and report["items"]["references"] == CLIPS + 2
    assert report["items"]["missing_ids"] == ["gone", "damaged"]
    assert (
        "not a pose" in report["items"]["failures"]["damaged"]
        or "damaged.pose" in report["items"]["failures"]["damaged"]
    )
    translator = SignTranslator.from_pretrained(tiny_checkpoint, device="cpu")
    found = read_predictions(tmp_path / "p.csv")
    expected = [translator(manifest.parent / f"{number}.pose").text for number in range(CLIPS)]  # type: ignore[union-attr]
    assert found.hypotheses == [*expected, "", ""] and found.references[0] == "word0 word1"
    assert report["integrity"]["changed_text"] == 0  # the checkpoint's own tokenizer was asked


def test_the_evaluator_searches_as_the_user_call_does(tiny_checkpoint: Path, manifest: Path, tmp_path: Path):
    """A checkpoint says how wide: greedy by default would score what nobody is given."""
    import shutil

    wide = shutil.copytree(tiny_checkpoint, tmp_path / "wide")
    settings = json.loads((wide / "generation_config.json").read_text())
    (wide / "generation_config.json").write_text(json.dumps(settings | {"num_beams": 4, "length_penalty": 3.0}))
    run_evaluation(arguments(wide, manifest, predictions=str(tmp_path / "p.csv")))
    called = SignTranslator.from_pretrained(wide, device="cpu")
    expected = [called(manifest.parent / f"{number}.pose").text for number in range(CLIPS)]  # type: ignore[union-attr]
    assert read_predictions(tmp_path / "p.csv").hypotheses[:CLIPS] == expected
    greedy = [called(manifest.parent / f"{n}.pose", num_beams=1).text for n in range(CLIPS)]  # type: ignore[union-attr]
    assert greedy != expected  # else this test could not fail


def test_a_prediction_file_gives_the_same_report_as_the_checkpoint_did(
    tiny_checkpoint: Path, manifest: Path, tmp_path: Path
):
    first = run_evaluation(arguments(tiny_checkpoint, manifest, predictions=str(tmp_path / "p.parquet"), name="x"))
    second = run_evaluation(
        EvaluationArguments(
            hypotheses=str(tmp_path / "p.parquet"), tokenizer=str(tiny_checkpoint), samples=10, name="x"
        )
    )
    assert first == second


def test_outputs_that_ran_into_the_limit_are_told_from_those_that_ended(tiny_checkpoint: Path, manifest: Path):
    report = run_evaluation(arguments(tiny_checkpoint, manifest))
    translator = SignTranslator.from_pretrained(tiny_checkpoint, device="cpu")
    inputs = translator.processor(
        poses=[manifest.parent / f"{number}.pose" for number in range(CLIPS)], return_tensors="pt"
    )
    tokens = [hypothesis.tokens for hypothesis in translator.engine.generate(inputs)]
    assert report is not None and report["census"]["cut"] == sum(row[-1] != 1 for row in tokens)  # 1 is </s>


def test_recognition_checkpoints_have_no_token_limit(manifest: Path, tmp_path: Path):
    report = run_evaluation(arguments(save_recognition(tmp_path / "ctc"), manifest, reference_column="gloss"))
    assert report is not None and report["census"]["cut"] is None and report["task"] == "text"


def test_classifiers_are_scored_as_signs_and_their_failures_as_wrong(manifest: Path, tmp_path: Path):
    checkpoint = save_classification(tmp_path / "signs")
    report = run_evaluation(arguments(checkpoint, manifest, predictions=str(tmp_path / "p.jsonl")))
    assert report is not None and report["task"] == "signs" and report["items"]["missing"] == 2
    classifier = SignClassifier.from_pretrained(checkpoint, device="cpu")
    found = read_predictions(tmp_path / "p.jsonl")
    answer = classifier(manifest.parent / "2.pose", top_k=10)
    assert found.ranked is not None and found.ranked[2] == [label for label, _ in answer.labels]  # type: ignore[union-attr]
    assert found.references == [f"WORD{n}" for n in range(CLIPS)] + ["WORD1", "WORD3"] and found.ranked[-1] == []


def test_robustness_gives_every_condition_a_column(tiny_checkpoint: Path, manifest: Path, tmp_path: Path):
    report = run_evaluation(arguments(tiny_checkpoint, manifest, robustness=True, html=str(tmp_path / "r.html")))
    assert report is not None
    conditions = report["robustness"]["conditions"]
    assert list(conditions) == ["undisturbed", *CONDITIONS] and all(
        entry["missing"] == 2 for entry in conditions.values()
    )
    assert conditions["undisturbed"]["scores"]["chrf"] == report["scores"]["chrf"]["score"]
    assert "Robustness" in (tmp_path / "r.html").read_text()


def test_confidence_passes_through_the_checkpoints_curve(tiny_checkpoint: Path, manifest: Path):
    rows = open_rows(str(manifest), limit=2)
    (_, plain), *_ = predict(load_checkpoint(str(tiny_checkpoint), device="cpu"), rows, [0])
    Calibration((0.0, 1.0), (0.0, 0.5)).save(tiny_checkpoint)
    (_, halved), *_ = predict(load_checkpoint(str(tiny_checkpoint), device="cpu"), rows, [0])
    assert halved.confidence == pytest.approx(plain.confidence / 2)  # type: ignore[operator]
    assert (
        halved.confidence == SignTranslator.from_pretrained(tiny_checkpoint, device="cpu")(rows[0]["pose"]).confidence
    )


def test_grounding_stands_in_the_report_and_in_the_predictions_where_asked(
    tiny_checkpoint: Path, manifest: Path, tmp_path: Path
):
    written = str(tmp_path / "p.csv")
    report = run_evaluation(arguments(tiny_checkpoint, manifest, grounding=True, predictions=written))
    assert report is not None and report["grounding"]["items"] == CLIPS
    translator = SignTranslator.from_pretrained(tiny_checkpoint, device="cpu")
    owed = translator(manifest.parent / "0.pose", grounding=True).grounding
    assert read_predictions(written).groundings[0] == pytest.approx(owed, abs=1e-4)
    assert 0 <= report["grounding"]["mean"] <= 1 and "Grounding" in terminal_report(report)
    without = run_evaluation(arguments(tiny_checkpoint, manifest))
    assert without is not None and without["grounding"] is None


def test_calibrating_writes_a_curve_that_says_how_often_answers_are_right(
    tiny_checkpoint: Path, manifest: Path, tmp_path: Path
):
    translator = SignTranslator.from_pretrained(tiny_checkpoint, device="cpu")
    clips = [str(manifest.parent / f"{number % CLIPS}.pose") for number in range(20)]
    said = [found.text for found in translator(clips)]
    rows = [
        {"id": f"{n}", "pose": clip, "text": text if n % CLIPS else "word9", "split": "dev"}  # four of five are right
        for n, (clip, text) in enumerate(zip(clips, said, strict=True))
    ]
    write_table(rows, tmp_path / "dev.csv")
    run_evaluation(arguments(tiny_checkpoint, tmp_path / "dev.csv", split="dev", calibrate=True))
    curve = Calibration.load(tiny_checkpoint)
    assert curve.confidences == (0.8,) and curve.data == "dev, dev, 20 clips"
    report = run_evaluation(arguments(tiny_checkpoint, tmp_path / "dev.csv", split="dev"))
    assert report is not None and report["confidence"]["reliability"]["expected_error"] == pytest.approx(0, abs=1e-6)


def test_the_test_split_and_classifiers_are_not_calibrated_on(tiny_checkpoint: Path, manifest: Path, tmp_path: Path):
    with pytest.raises(EvaluationError, match="name --split dev"):
        run_evaluation(arguments(tiny_checkpoint, manifest, calibrate=True))
    with pytest.raises(EvaluationError, match="found a classifier"):
        run_evaluation(arguments(save_classification(tmp_path), manifest, split="train", calibrate=True))
    with pytest.raises(EvaluationError, match="at least 20"):
        run_evaluation(arguments(tiny_checkpoint, manifest, split="train", calibrate=True))


def test_a_disturbed_run_is_the_users_call_on_the_disturbed_clip(tiny_checkpoint: Path, manifest: Path):
    from slt_hf.processing.pose_files import read_pose

    rows = open_rows(str(manifest))
    checkpoint = load_checkpoint(str(tiny_checkpoint), device="cpu")
    (place, output), *_ = predict(checkpoint, rows, [1], CONDITIONS["jitter"], seed=7)
    clip = CONDITIONS["jitter"](read_pose(manifest.parent / "1.pose"), np.random.default_rng((7, 1)))
    assert place == 1 and output.text == checkpoint.model(clip).text


def test_rows_are_of_the_split_that_was_asked_for_and_dev_is_validation(manifest: Path):
    assert len(open_rows(str(manifest), "train")) == 1 and len(open_rows(str(manifest), None)) == CLIPS + 3
    assert len(open_rows(str(manifest), limit=2)) == 2
    with pytest.raises(EvaluationError, match="split 'dev'"):
        open_rows(str(manifest), "dev")


def test_rows_without_references_are_refused(tiny_checkpoint: Path, manifest: Path):
    with pytest.raises(EvaluationError, match="clip0"):
        run_evaluation(arguments(tiny_checkpoint, manifest, reference_column="signer", limit=2))
    with pytest.raises(EvaluationError, match="--data"):
        run_evaluation(EvaluationArguments(checkpoint=str(tiny_checkpoint)))


def test_shards_are_evaluated_like_the_manifest_they_were_made_from(tiny_checkpoint: Path, tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    from slt_hf.data.storage import SCHEMA, encode_clip

    points = np.random.default_rng(0).normal(size=(20, 85, 2)).cumsum(0).astype(np.float32)
    points[:, 5], points[:, 6] = (50, 0), (-50, 0)
    clip = PoseClip(points, np.ones((20, 85), np.float32), "signing_85", 25.0)
    row = {"id": "a", "text": "word1 word2", "split": "test", **encode_clip(clip)}
    (tmp_path / "data").mkdir()
    parquet.write_table(pa.Table.from_pylist([row], schema=SCHEMA), tmp_path / "data" / "test-00000.parquet")
    report = run_evaluation(arguments(tiny_checkpoint, tmp_path / "data", predictions=str(tmp_path / "p.csv")))
    assert report is not None and report["items"]["references"] == 1 and report["items"]["missing"] == 0
    assert set(read_predictions(tmp_path / "p.csv").hypotheses[0].split()) <= set(WORDS)


@pytest.mark.slow
def test_the_script_on_two_processes_writes_what_one_process_writes(
    tiny_checkpoint: Path, manifest: Path, tmp_path: Path, repository: Path
):
    script = [
        str(repository / "scripts" / "evaluate.py"),
        "--checkpoint",
        str(tiny_checkpoint),
        "--data",
        str(manifest),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    written = []
    for launcher in ([], ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29653"]):
        path = tmp_path / f"{len(launcher)}.json"
        command = [sys.executable, *launcher, *script, "--samples", "10", "--json", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        written.append(json.loads(path.read_text()))
    assert written[0] == written[1]


def test_the_script_takes_a_settings_file_and_refuses_unknown_ones(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    main = runpy.run_path(str(repository / "scripts" / "evaluate.py"))["main"]
    texts, settings = tmp_path / "h.txt", tmp_path / "settings.yaml"
    texts.write_text("a b\n")
    settings.write_text(f"hypotheses: {texts}\nreferences: {texts}\nsamples: 10\n")
    monkeypatch.setattr(sys, "argv", ["evaluate.py", str(settings), "--name", "mine"])
    main()
    assert "mine: 1 items" in capsys.readouterr().out
    settings.write_text("hypothesis: x\n")
    with pytest.raises(RecipeError, match="hypotheses"):
        main()


def test_each_row_is_written_in_its_own_language(tiny_checkpoint: Path, manifest: Path):
    from tiny_checkpoints import tiny_tokenizer

    from slt_hf.processing.feature_extraction_pose import PoseFeatureExtractor
    from slt_hf.processing.processing_pose import PoseProcessor

    codes = {"deu": "▁word7", "eng": "▁word9"}
    PoseProcessor(PoseFeatureExtractor(), tiny_tokenizer(), language_codes=codes).save_pretrained(tiny_checkpoint)
    poses = [str(manifest.parent / f"{number}.pose") for number in range(4)]
    rows = [{"pose": pose, "language": ("deu", "eng")[place % 2]} for place, pose in enumerate(poses)]
    found = predict(load_checkpoint(str(tiny_checkpoint), device="cpu", max_new_tokens=4), rows)
    assert [output.text.split()[0] for _, output in found] == ["word7", "word9", "word7", "word9"]


def test_the_synthetic_signer_is_a_data_set(tiny_checkpoint: Path):
    report = run_evaluation(EvaluationArguments(checkpoint=str(tiny_checkpoint), data="synthetic", limit=2, samples=10))
    assert report is not None and report["items"] == report["items"] | {"references": 2, "missing": 0}
    rows = open_rows("synthetic", limit=2)
    assert rows[1]["text"] == open_rows("synthetic", limit=2)[1]["text"] != rows[0]["text"]
