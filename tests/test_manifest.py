"""Manifests: four formats, units in the column names, and errors that name file, row and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from slt_hf.data.manifest import Sample, check_manifest, read_manifest, write_manifest
from slt_hf.errors import ManifestError

SAMPLES = [
    Sample(id="a", pose="a.pose", start_ms=0.0, end_ms=1200.5, fps=25.0, text=' Hé,\t"llo"\nthere', split="train"),
    Sample(
        id="b", video="b.mp4", num_frames=30, gloss="BOOK", bbox=[1.0, 2.0, 30.0, 40.0], signer="7", split="validation"
    ),
]


def rows(tmp_path: Path, text: str, name: str = "train.tsv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_what_is_written_is_what_is_read(tmp_path, ending):
    path = tmp_path / f"rows.{ending}"
    assert write_manifest(SAMPLES, path) == 2
    read = read_manifest(path, check_files=False)
    for before, after in zip(SAMPLES, read, strict=True):
        after.pose = after.pose and Path(after.pose).name
        after.video = after.video and Path(after.video).name
        assert after == before


def test_an_error_names_file_row_and_column(tmp_path):
    path = rows(tmp_path, "id\tpose\tstart_ms\tend_ms\n" + "a{0}\tx.pose\t0\t10\n" * 0 + "a\tx.pose\t1200\t900\n")
    with pytest.raises(
        ManifestError, match=r"row 1 of train\.tsv, column end_ms: expected an end after the start.*found 900"
    ):
        read_manifest(path, check_files=False)


def test_all_bad_rows_are_reported_at_once(tmp_path):
    path = rows(tmp_path, "id\tpose\tfps\na\tx.pose\t0\nb\tx.pose\t25\nc\tx.pose\tfast\n")
    report = check_manifest(path, check_files=False)
    assert [problem.split(",")[0] for problem in report.problems] == ["row 1 of train.tsv", "row 3 of train.tsv"]
    assert [sample.id for sample in report.samples] == ["b"]


def test_skip_invalid_keeps_the_good_rows_and_warns(tmp_path, caplog):
    path = rows(tmp_path, "id\tpose\tfps\na\tx.pose\t0\nb\tx.pose\t25\n")
    assert [sample.id for sample in read_manifest(path, check_files=False, skip_invalid=True)] == ["b"]
    assert "row 1 of train.tsv, column fps" in caplog.text


@pytest.mark.parametrize(
    "columns", ["start_ms\tend_ms\n250\t500", "start_s\tend_s\n0.25\t0.5", "start_frame\tend_frame\n10\t20"]
)
def test_times_come_in_milliseconds_seconds_or_frames(tmp_path, columns):
    names, values = columns.split("\n")
    path = rows(tmp_path, f"id\tpose\tfps\t{names}\na\tx.pose\t40\t{values}\n")
    sample = read_manifest(path, check_files=False)[0]
    assert (sample.start_ms, sample.end_ms) == (250, 500)


@pytest.mark.parametrize(
    "header, message",
    [
        ("id\tpose\tstart\tend", "column start: expected a unit.*start_ms, start_s or start_frame"),
        ("id\tpose\tstart_ms\tstart_s", "expected one unit for start, found 'start_ms, start_s'"),
        ("id\ttext", "expected the column pose, found id, text"),
    ],
)
def test_a_header_without_units_or_paths_is_refused(tmp_path, header, message):
    with pytest.raises(ManifestError, match=message):
        read_manifest(rows(tmp_path, header + "\n"), check_files=False)


def test_frames_need_a_frame_rate(tmp_path):
    path = rows(tmp_path, "id\tpose\tstart_frame\na\tx.pose\t10\n")
    with pytest.raises(ManifestError, match="column fps: expected the frame rate that start_frame counts in"):
        read_manifest(path, check_files=False)


def test_an_unreadable_path_is_found_before_training(tmp_path):
    path = rows(tmp_path, "id\tpose\na\tabsent.pose\n")
    with pytest.raises(
        ManifestError, match=r"row 1 of train.tsv, column pose: expected a readable file, found '.*absent.pose'"
    ):
        read_manifest(path)


def test_paths_start_at_the_manifest(tmp_path, monkeypatch):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.pose").write_bytes(b"x")
    path = rows(tmp_path, "id\tpose\na\tclips/a.pose\n")
    monkeypatch.chdir("/")
    assert Path(read_manifest(path)[0].pose).is_file()


@pytest.mark.parametrize(
    "body, message",
    [
        (
            "a\tx.pose\thi\na\ty.pose\tho\n",
            r"row 2 of train.tsv, column id: expected a name used once \(row 1 has it too\)",
        ),
        ("a\tx.pose\t  \n", "row 1 of train.tsv, column text: expected text, found '  '"),
        ("a\t\thi\n", "row 1 of train.tsv, column pose: expected a path"),
        ("\tx.pose\thi\n", "row 1 of train.tsv, column id: expected a name for the row"),
        ("a\tx.pose\n", r"row 1 of train.tsv \(line 2\): expected 3 cells \(id, pose, text\), found 2"),
        ("", "expected rows below the header, found none"),
    ],
)
def test_duplicates_empty_text_and_ragged_rows_are_errors(tmp_path, body, message):
    with pytest.raises(ManifestError, match=message):
        read_manifest(rows(tmp_path, "id\tpose\ttext\n" + body), check_files=False)


def test_the_json_null_is_absent_and_the_empty_text_is_not(tmp_path):
    path = rows(
        tmp_path, '{"id": "a", "pose": "x", "text": null}\n{"id": "b", "pose": "y", "text": ""}\n', "rows.jsonl"
    )
    report = check_manifest(path, check_files=False)
    assert report.samples[0].text is None
    assert "row 2 of rows.jsonl, column text" in report.problems[0]


@pytest.mark.parametrize("column", ["signer", "source"])
def test_what_splits_share_is_reported_and_an_error_when_strict(tmp_path, column):
    path = rows(tmp_path, f"id\tpose\t{column}\tsplit\na\tx.pose\tZ\ttrain\nb\ty.pose\tZ\tdev\nc\tz.pose\tQ\ttest\n")
    assert len(read_manifest(path, check_files=False)) == 3
    with pytest.raises(ManifestError, match=rf"column {column}: .*'Z' in train \(1 rows\), validation \(1 rows\)"):
        read_manifest(path, check_files=False, strict=True)


def test_one_clip_under_two_names_is_reported(tmp_path):
    path = rows(tmp_path, "id\tpose\tsplit\na\tx.pose\ttrain\nb\tx.pose\ttest\n")
    assert "the same clip as a, b (test, train)" in check_manifest(path, check_files=False).notes[0]


def test_dev_val_and_validation_are_one_split(tmp_path):
    path = rows(tmp_path, "id\tpose\tsplit\na\tx\tdev\nb\ty\tval\nc\tz\tvalidation\nd\tw\ttrain\n")
    assert len(read_manifest(path, split="dev", check_files=False)) == 3


def test_byte_order_mark_and_crlf_change_nothing(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("\ufeffid,pose,text\r\na,x.pose,hi\r\n".encode())
    assert read_manifest(path, check_files=False)[0].text == "hi"


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("id,pose,text\na,x.pose,Café\n".encode("latin-1"))
    with pytest.raises(ManifestError, match="rows.csv: expected utf-8 text, found byte 0xe9 in line 2, as latin-1"):
        read_manifest(path, check_files=False)
    assert read_manifest(path, check_files=False, encoding="latin-1")[0].text == "Café"


def test_an_open_quote_does_not_swallow_rows(tmp_path):
    path = rows(tmp_path, 'id,pose,text\na,x.pose,"never closed\nb,y.pose,next\n', "rows.csv")
    with pytest.raises(
        ManifestError, match=r"row 1 of rows.csv \(from line 2\): expected every quotation mark to be closed"
    ):
        read_manifest(path, check_files=False)


def test_multimodalhugs_files_are_read_as_they_are(shared_data):
    path = shared_data / "annotations" / "multimodalhugs_tsv" / "rwth_phoenix2014_t.train.tsv"
    first = read_manifest(path, check_files=False)[0]
    assert (first.sign_language, first.language, first.text) == ("dgs", "de", "guten abend liebe zuschauer")
    assert (first.start_ms, first.end_ms) == (0, None)
    assert first.pose is not None and first.pose.endswith("03February_2011_Thursday_heute-600.pose")


@pytest.mark.parametrize(
    "name, count",
    [
        ("isolated/fingerspelling/manifest.csv", 422),
        ("isolated/asl_words/manifest.csv", 912),
        ("isolated/asl_words/pose_subset.csv", 82),
        ("isolated/letters_parquet/train.csv", 48),
        ("isolated/msl150/videos.csv", 3),
        ("continuous/how2sign_clips/manifest.csv", 63),
        ("continuous/how2sign_openpose/manifest.csv", 3),
        ("continuous/wlasl_gloss_sequences/manifest.csv", 4),
    ],
)
def test_manifests_of_real_data_are_valid_with_their_media(shared_data, name, count):
    assert len(read_manifest(shared_data / name)) == count
