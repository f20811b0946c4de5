"""Corpora: real annotation files with their counts, official splits, honest messages, datasets builders over them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import slt_hf
from slt_hf.data.corpora import CORPORA
from slt_hf.data.corpora.corpus import Annotations
from slt_hf.data.glossary import EVERYDAY, glossary_words, load_glossary
from slt_hf.data.manifest import read_manifest, write_manifest
from slt_hf.data.sample import Sample
from slt_hf.data.splits import assign_split
from slt_hf.errors import CorpusError, ManifestError


def read(shared_data: Path, corpus: str, path: str, config: str | None = None) -> Annotations:
    return CORPORA[corpus].read(shared_data / "annotations" / path, config)


def first(annotations: Annotations) -> Sample:
    return annotations.samples[0]


REAL = [
    # corpus, path, config, samples by split
    ("wlasl", "wlasl/nslt_100.json", None, {"train": 1442, "validation": 338, "test": 258}),
    ("wlasl", "wlasl/nslt_300.json", None, {"train": 3549, "validation": 901, "test": 668}),
    ("wlasl", "wlasl/nslt_2000.json", None, {"train": 14296, "validation": 3920, "test": 2879}),
    ("wlasl", "wlasl/asl100.json", None, {"train": 1442, "validation": 338, "test": 258}),
    ("wlasl", "wlasl", "wlasl100", {"train": 1442, "validation": 338, "test": 258}),
    ("wlasl", "wlasl", "wlasl300", {"train": 3549, "validation": 901, "test": 668}),
    ("wlasl", "wlasl", "wlasl1000", {"train": 8978, "validation": 2320, "test": 1876}),  # from nslt_2000
    ("wlasl", "wlasl", "wlasl2000", {"train": 14296, "validation": 3920, "test": 2879}),
    ("asl_citizen", "asl_citizen", None, {"train": 12}),
    ("isign", "isign", None, {None: 31221}),  # 31222 rows, one of them twice
    ("how2sign", "how2sign", None, {"validation": 1741}),
    ("phoenix14t", "phoenix14t", None, {"test": 642, "validation": 519}),
    ("phoenix14t", "phoenix14t/PHOENIX-2014-T.test.corpus.csv", None, {"test": 642}),
    ("phoenix14t", "phoenix14t/phoenix14t.dev", None, {"validation": 519}),
    ("msasl", "msasl", None, {"validation": 5287}),
    ("include", "include", None, {"train": 766, "test": 192}),
]


@pytest.mark.parametrize("corpus, path, config, splits", REAL)
def test_every_real_annotation_file_gives_all_its_rows(shared_data, corpus, path, config, splits):
    annotations = read(shared_data, corpus, path, config)
    assert annotations.problems == []
    assert Counter(sample.split for sample in annotations.samples) == splits
    assert len({sample.id for sample in annotations.samples}) == len(annotations.samples)


@pytest.mark.parametrize(
    "corpus, path",
    [(row[0], row[1]) for row in REAL if row[1] in ("wlasl/asl100.json", "how2sign", "msasl", "include")],
)
def test_corpus_rows_survive_the_manifest(shared_data, tmp_path, corpus, path):
    samples = read(shared_data, corpus, path).samples
    write_manifest(samples, tmp_path / "rows.parquet")
    again = read_manifest(tmp_path / "rows.parquet", check_files=False)
    assert [(s.id, s.gloss, s.text, s.start_ms, s.end_ms, s.signer, s.bbox) for s in again] == [
        (s.id, s.gloss, s.text, s.start_ms, s.end_ms, s.signer, s.bbox) for s in samples
    ]


def test_wlasl_gives_every_instance_field_with_times_at_25_frames_per_second(shared_data):
    samples = {sample.id: sample for sample in read(shared_data, "wlasl", "wlasl/asl100.json").samples}
    whole, part = samples["69241"], samples["68208"]
    assert (whole.gloss, whole.class_index, whole.signer, whole.variation, whole.fps) == ("book", 0, "118", 0, 25)
    assert whole.bbox == [385, 37, 885, 720]
    assert (whole.start_ms, whole.end_ms) == (0, None)  # frame_end -1 is the end of the video
    assert (part.extras["frame_start"], part.extras["frame_end"]) == (1, 60)
    assert (part.start_ms, part.end_ms, part.num_frames) == (0, 2400, 60)


def test_both_layouts_of_wlasl_agree(shared_data):
    by_gloss = {sample.id: sample for sample in read(shared_data, "wlasl", "wlasl/asl100.json").samples}
    by_video = {sample.id: sample for sample in read(shared_data, "wlasl", "wlasl/nslt_100.json").samples}
    assert {i: (s.gloss, s.class_index, s.split) for i, s in by_gloss.items()} == {
        i: (s.gloss, s.class_index, s.split) for i, s in by_video.items()
    }


def test_frames_of_the_nslt_files_cut_nothing(shared_data):
    """They count in clips that are cut already, at rates that the file does not give: as times they would be wrong."""
    samples = {sample.id: sample for sample in read(shared_data, "wlasl", "wlasl/nslt_100.json").samples}
    assert {(s.start_ms, s.end_ms, s.fps) for s in samples.values()} == {(None, None, None)}
    assert (samples["05237"].num_frames, samples["05237"].extras) == (55, {"frame_start": 1, "frame_end": 55})


def test_a_gloss_that_a_file_does_not_give_is_none(shared_data, tmp_path):
    (tmp_path / "nslt_100.json").write_bytes((shared_data / "annotations" / "wlasl" / "nslt_100.json").read_bytes())
    samples = CORPORA["wlasl"].read(tmp_path).samples
    assert {sample.gloss for sample in samples} == {None}
    assert {sample.class_index for sample in samples} == set(range(100))


def test_bad_rows_of_wlasl_are_reported_with_their_video(shared_data):
    path = shared_data / "malformed" / "annotations" / "nslt_bad_rows.json"
    annotations = CORPORA["wlasl"].read(path)
    assert [sample.id for sample in annotations.samples] == ["10898"]
    for video, message in [
        ("05237", "found 'dev'"),
        ("69422", "class from 0 to 99, found 999"),
        ("10899", "found 80 to 20"),
    ]:
        assert any(f"video {video}" in problem and message in problem for problem in annotations.problems)


def test_a_subset_larger_than_the_file_is_refused(shared_data):
    with pytest.raises(CorpusError, match="at least 300 glosses for wlasl300, found 100"):
        read(shared_data, "wlasl", "wlasl/asl100.json", "wlasl300")


def test_how2sign_times_are_seconds_and_its_quotes_are_csv(shared_data):
    samples = {sample.id: sample for sample in read(shared_data, "how2sign", "how2sign").samples}
    sample = samples["-d5dN54tH2E_0-1-rgb_front"]
    assert (sample.start_ms, sample.end_ms, sample.signer) == (12970, 19520, "1")
    assert sample.video == "-d5dN54tH2E-1-rgb_front.mp4"
    assert samples["1G8LIWgKLME_3-2-rgb_front"].text.startswith('For a very small intricate design like an "i" you')


def test_how2sign_reads_commas_too(shared_data, tmp_path):
    import csv

    source = shared_data / "annotations" / "how2sign" / "how2sign_realigned_val.csv"
    with source.open(newline="") as tabs, (tmp_path / "how2sign_realigned_val.csv").open("w", newline="") as commas:
        csv.writer(commas).writerows(csv.reader(tabs, delimiter="\t"))
    copied = CORPORA["how2sign"].read(tmp_path).samples
    assert copied == read(shared_data, "how2sign", "how2sign").samples


def test_msasl_times_and_boxes_are_milliseconds_and_pixels(shared_data):
    sample = first(read(shared_data, "msasl", "msasl"))
    assert (sample.id, sample.gloss, sample.start_ms, sample.end_ms) == ("ri3NrdgfAtE_0_37_837", "absent", 0, 1277)
    assert sample.bbox == pytest.approx([1.73, 78.83, 202, 359.2], abs=0.1)  # the file has y first, as fractions
    assert len(read(shared_data, "msasl", "msasl", "msasl100").samples) == 1190


def test_phoenix_rows_hold_glosses_and_german(shared_data):
    sample = first(read(shared_data, "phoenix14t", "phoenix14t/phoenix14t.dev"))
    assert (sample.gloss, sample.signer, sample.num_frames, sample.sign_language) == (
        "DRUCK TIEF KOMMEN",
        "Signer08",
        42,
        "gsg",
    )


def test_asl_citizen_keeps_awkward_names(shared_data):
    samples = {sample.id: sample for sample in read(shared_data, "asl_citizen", "asl_citizen").samples}
    assert samples["4.7299129501965353e-7-seedSOUR"].video == "4.7299129501965353e-7-seedSOUR.mp4"
    assert samples["03681771406333234-THIS-IT"].gloss == "THIS/IT"


def test_include_glosses_are_tidied(shared_data):
    assert first(read(shared_data, "include", "include/train_include50.csv")).gloss == "BIRD"


def test_a_uid_that_occurs_twice_is_kept_once_and_said(shared_data):
    assert read(shared_data, "isign", "isign").notes == [
        "iSign / ISLTranslate: id UbhONRGm-90--61 occurs again with the same content; the first is kept"
    ]
    annotations = CORPORA["isign"].read(shared_data / "malformed" / "annotations" / "isign_duplicate_uid.csv")
    assert "1782bea75c7d-2 occurs again with different content; the first is kept" in annotations.notes[0]
    assert annotations.samples[1].text == "Make it shorter."


def test_references_are_the_raw_text(shared_data):
    texts = {sample.id: sample.text for sample in read(shared_data, "isign", "isign").samples}
    assert texts["UbhONRGm-90--61"].startswith(" As vijay")  # the space is in the file


@pytest.mark.parametrize(
    "name, message",
    [
        ("isign_missing_column.csv", "expected the column text, found uid, sentence"),
        ("isign_latin1.csv", "expected utf-8 text, found byte 0xe9 in line 2"),
        ("isign_open_quote.csv", "expected every quotation mark to be closed"),
    ],
)
def test_damaged_annotations_are_refused_with_a_reason(shared_data, name, message):
    with pytest.raises(ManifestError, match=f"{name}.*{message}"):
        CORPORA["isign"].read(shared_data / "malformed" / "annotations" / name)


def test_unusual_annotations_are_read(shared_data):
    folder = shared_data / "malformed" / "annotations"
    assert len(CORPORA["isign"].read(folder / "isign_bom_crlf.csv").samples) == 11
    empty = CORPORA["isign"].read(folder / "isign_empty_text.csv")
    assert [problem.split(":")[0] for problem in empty.problems] == [
        "row 2 of isign_empty_text.csv, column text",
        "row 3 of isign_empty_text.csv, column text",
    ]
    assert len(empty.samples) == 2


def test_the_everyday_glossary_is_320_words_of_wlasl_in_twelve_categories(shared_data):
    classes = (shared_data / "annotations" / "wlasl" / "wlasl_class_list.txt").read_text().splitlines()
    glosses = {line.split("\t")[1] for line in classes}
    categories = load_glossary("everyday")
    words = [word for listed in categories.values() for word in listed]
    assert len(words) == len(set(words)) == 320
    assert set(words) <= glosses
    assert set(categories) == {
        "pronouns", "verbs", "time", "people", "places", "objects", "feelings", "descriptors", "colours", "numbers",
        "question words", "connectors",
    }  # fmt: skip


def test_the_glossary_reads_the_same_with_any_yaml_loader():
    assert yaml.safe_load(EVERYDAY.read_text()) == load_glossary("everyday")


def test_a_glossary_of_the_users_own(tmp_path):
    (tmp_path / "words.txt").write_text("Book\n\ndrink\n")
    assert glossary_words(tmp_path / "words.txt") == {"book", "drink"}
    with pytest.raises(CorpusError, match="expected the glossary everyday or a file, found 'everday'"):
        glossary_words("everday")


def test_a_missing_split_is_made_by_gloss_and_does_not_depend_on_order():
    samples = [Sample(id=f"{gloss}{i}", gloss=gloss) for gloss in "abcdef" for i in range(20)] + [
        Sample(id="rare", gloss="x")
    ]
    again = [Sample(id=s.id, gloss=s.gloss) for s in reversed(samples)]
    assert "the clips of each gloss are divided" in str(assign_split(samples))
    assign_split(again)
    assert assign_split(again) is None  # there is a split now
    assert {s.id: s.split for s in samples} == {s.id: s.split for s in again}
    for gloss in "abcdef":
        assert Counter(s.split for s in samples if s.gloss == gloss) == {"train": 16, "validation": 2, "test": 2}
    assert samples[-1].split == "train"


def test_sentences_with_glosses_are_not_all_training():
    samples = [Sample(id=str(i), gloss=f"A B{i}", text=f"sentence {i}", source=str(i // 2)) for i in range(40)]
    assert "whole recordings" in str(assign_split(samples))
    assert Counter(s.split for s in samples) == {"train": 32, "validation": 4, "test": 4}


def test_sentences_without_a_split_keep_a_recording_together(shared_data):
    samples = read(shared_data, "isign", "isign").samples
    assign_split(samples)
    splits: dict[str | None, set[str | None]] = {}
    for sample in samples:
        splits.setdefault(sample.source, set()).add(sample.split)
    assert all(len(found) == 1 for found in splits.values())
    counts = Counter(sample.split for sample in samples)
    assert counts["train"] / len(samples) == pytest.approx(0.8, abs=0.05)


# datasets builders


def wlasl(folder: Path, media: dict[str, bytes] | None = None) -> Path:
    """A small WLASL: three glosses, one instance from YouTube, one with times."""
    instance = {"bbox": [0, 0, 10, 10], "fps": 25, "frame_end": -1, "frame_start": 1, "instance_id": 0, "signer_id": 1,
                "source": "aslu", "split": "train", "url": "http://x/1.mp4", "variation_id": 0}  # fmt: skip
    youtube = instance | {"url": "https://www.youtube.com/watch?v=0UsjUE-TXns", "frame_start": 26, "frame_end": 50}
    glosses = [f"gloss{number}" for number in range(100)]
    glosses[0], glosses[1] = "book", "drink"
    content = [
        {
            "gloss": gloss,
            "instances": [
                instance | {"video_id": f"{number:05d}"},
                youtube | {"video_id": f"9{number:04d}", "split": "test"},
            ],
        }
        for number, gloss in enumerate(glosses)
    ]
    folder.mkdir(exist_ok=True)
    (folder / "WLASL_v0.3.json").write_text(json.dumps(content))
    for name, data in (media or {}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_load_dataset_opens_wlasl_with_official_splits_and_every_field(tmp_path):
    data = slt_hf.load_dataset("wlasl", "wlasl100", data_dir=wlasl(tmp_path / "raw"), cache_dir=tmp_path / "cache")
    assert {split: len(rows) for split, rows in data.items()} == {"train": 100, "test": 100}
    row = data["train"][0]
    assert row["gloss"] == "book" and row["bbox"] == [0, 0, 10, 10] and row["variation"] == 0 and row["frame_end"] == -1
    assert row["video"] is None  # no media there
    assert data["train"].info.license.startswith("C-UDA")


def test_the_glossary_filter_keeps_its_signs_only(tmp_path):
    folder = wlasl(tmp_path / "raw")
    data = slt_hf.load_dataset(
        "wlasl", "wlasl100", data_dir=folder, cache_dir=tmp_path / "cache", glossary="everyday", split="train"
    )
    assert data["gloss"][:] == ["book", "drink"]


def test_streaming_and_processes_give_the_same_rows(tmp_path):
    folder = wlasl(tmp_path / "raw")
    options = {"data_dir": folder, "split": "train"}
    plain = slt_hf.load_dataset("wlasl", "wlasl100", cache_dir=tmp_path / "one", **options)
    two = slt_hf.load_dataset("wlasl", "wlasl100", cache_dir=tmp_path / "two", num_proc=2, **options)
    stream = slt_hf.load_dataset("wlasl", "wlasl100", cache_dir=tmp_path / "three", streaming=True, **options)
    assert plain.to_list() == two.to_list() == list(stream)


def test_media_decide_whether_times_apply(tmp_path):
    """WLASL's preprocess.py cuts YouTube videos into videos/; in raw_videos/ they are whole."""
    cut = wlasl(tmp_path / "cut", {"videos/90000.mp4": b"x"})
    whole = wlasl(tmp_path / "whole", {"raw_videos/0UsjUE-TXns.mp4": b"x"})
    rows = [
        slt_hf.load_dataset("wlasl", "wlasl100", data_dir=folder, cache_dir=tmp_path / "cache", split="test")[0]
        for folder in (cut, whole)
    ]
    assert Path(rows[0]["video"]).name == "90000.mp4" and rows[0]["start_ms"] is None
    assert Path(rows[1]["video"]).name == "0UsjUE-TXns.mp4" and (rows[1]["start_ms"], rows[1]["end_ms"]) == (1000, 2000)


MEDIA = [
    # corpus, annotations, id, where docs/data.md says that its clip may lie, whether the row's times cut it
    ("asl_citizen", "asl_citizen", "9717397360056315-ALL GONE", "videos/9717397360056315-ALL GONE.mp4", False),
    ("asl_citizen", "asl_citizen", "820103043744252-W.H.A.T", "poses/820103043744252-W.H.A.T.pose", False),
    ("isign", "isign/ISLTranslate.csv", "1782bea75c7d-1", "videos/1782bea75c7d-1.mp4", False),
    ("isign", "isign/ISLTranslate.csv", "1782bea75c7d-1", "poses/1782bea75c7d-1.pose", False),
    ("how2sign", "how2sign", "-d5dN54tH2E_0-1-rgb_front", "raw_videos/-d5dN54tH2E-1-rgb_front.mp4", True),
    ("how2sign", "how2sign", "-d5dN54tH2E_0-1-rgb_front", "videos/-d5dN54tH2E_0-1-rgb_front.mp4", False),
    ("how2sign", "how2sign", "-d5dN54tH2E_0-1-rgb_front", "poses/-d5dN54tH2E_0-1-rgb_front.pose", False),
    ("phoenix14t", "phoenix14t", "25October_2010_Monday_tagesschau-17",
     "features/fullFrame-210x260px/test/25October_2010_Monday_tagesschau-17/images0001.png", False),
    ("phoenix14t", "phoenix14t", "11August_2010_Wednesday_tagesschau-2",
     "videos/11August_2010_Wednesday_tagesschau-2.mp4", False),
    ("msasl", "msasl", "ri3NrdgfAtE_0_37_837", "raw_videos/ri3NrdgfAtE.mp4", True),
    ("msasl", "msasl", "ri3NrdgfAtE_0_37_837", "poses/ri3NrdgfAtE_0_37_837.pose", False),
    ("include", "include", "Animals/4. Bird/MVI_2988", "Animals/4. Bird/MVI_2988.MOV", False),
    ("include", "include", "Animals/4. Bird/MVI_2988", "poses/Animals/4. Bird/MVI_2988.pose", False),
]  # fmt: skip


@pytest.mark.parametrize("corpus, path, name, place, cut_by_times", MEDIA)
def test_media_are_found_where_the_guide_puts_them(shared_data, tmp_path, corpus, path, name, place, cut_by_times):
    sample = next(sample for sample in read(shared_data, corpus, path).samples if sample.id == name)
    assert not CORPORA[corpus].locate(replace(sample), tmp_path)
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_bytes(b"x")
    assert CORPORA[corpus].locate(sample, tmp_path)
    found = sample.pose if place.endswith(".pose") else sample.video
    assert found in (str(tmp_path / place), str((tmp_path / place).with_name("*.png")))
    assert (sample.end_ms is not None) == cut_by_times


def test_a_changed_annotation_file_is_seen_despite_the_cache(tmp_path):
    folder = wlasl(tmp_path / "raw")
    load = {"data_dir": folder, "cache_dir": tmp_path / "cache", "split": "train"}
    assert len(slt_hf.load_dataset("wlasl", "wlasl100", **load)) == 100
    content = json.loads((folder / "WLASL_v0.3.json").read_text())
    content[0]["instances"].append(content[0]["instances"][0] | {"video_id": "77777"})
    (folder / "WLASL_v0.3.json").write_text(json.dumps(content))
    assert len(slt_hf.load_dataset("wlasl", "wlasl100", **load)) == 101


def test_any_manifest_opens_as_a_dataset(shared_data, tmp_path):
    data = slt_hf.load_dataset("manifest", data_dir=shared_data / "isolated" / "fingerspelling", cache_dir=tmp_path)
    assert {split: len(rows) for split, rows in data.items()} == {"train": 360, "validation": 62}
    assert Path(data["train"][0]["pose"]).is_file()
    assert json.loads(data["train"][0]["extras"])["letter"] == "A"


@pytest.mark.parametrize("name", list(CORPORA))
def test_a_missing_folder_gets_directions_and_the_licence(name, tmp_path):
    corpus = CORPORA[name]
    config = corpus.configs[0]
    for data_dir in (None, tmp_path / "absent"):
        with pytest.raises(CorpusError) as caught:
            slt_hf.load_dataset(name, config, data_dir=data_dir, cache_dir=tmp_path)
        message = str(caught.value)
        assert corpus.ask in message and "data_dir/" in message and corpus.licence in message


def test_unknown_names_list_what_there_is(tmp_path):
    with pytest.raises(CorpusError, match="expected a corpus among wlasl, asl_citizen"):
        slt_hf.load_dataset("wsasl", data_dir=tmp_path)
    with pytest.raises(CorpusError, match="expected a configuration among wlasl100, wlasl300"):
        slt_hf.load_dataset("wlasl", "wlasl50", data_dir=tmp_path)
    with pytest.raises(CorpusError, match="expected a configuration among wlasl100.*found none"):
        slt_hf.load_dataset("wlasl", data_dir=tmp_path)


def test_bad_rows_stop_a_dataset_unless_they_are_skipped(tmp_path):
    (tmp_path / "ISLTranslate.csv").write_text("uid,text\nx-1,hello\nx-2,\nx-3,bye\n")
    with pytest.raises(CorpusError, match="row 2 of ISLTranslate.csv, column text"):
        slt_hf.load_dataset("isign", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    data = slt_hf.load_dataset("isign", data_dir=tmp_path, cache_dir=tmp_path / "cache", skip_invalid=True)
    assert sum(map(len, data.values())) == 2


# the command line


@pytest.mark.parametrize(
    "corpus, path, count, ending",
    [
        ("wlasl", "wlasl/nslt_100.json", 2038, "csv"),
        ("asl_citizen", "asl_citizen", 12, "parquet"),
        ("isign", "isign/ISLTranslate.csv", 31221, "jsonl"),
        ("how2sign", "how2sign/how2sign_realigned_val.csv", 1741, "tsv"),
        ("phoenix14t", "phoenix14t", 1161, "jsonl"),
        ("msasl", "msasl/MSASL_val.json", 5287, "jsonl"),
        ("include", "include", 958, "tsv"),
    ],
)
def test_the_manifest_command_writes_every_row_without_media(
    shared_data, tmp_path, capsys, corpus, path, count, ending
):
    from slt_hf.cli.manifest import manifest

    output = tmp_path / f"rows.{ending}"
    manifest(corpus, shared_data / "annotations" / path, output)
    assert len(read_manifest(output, check_files=False)) == count
    printed = capsys.readouterr().out
    assert f"{count} rows" in printed and CORPORA[corpus].licence in printed
    assert "no split" not in printed


def test_every_command_and_load_dataset_make_the_same_split_and_say_that_it_is_ours(tmp_path, capsys, caplog):
    """iSign publishes no split file: whole recordings are divided, never one into two."""
    from slt_hf.cli.manifest import manifest

    rows = "".join(f"video{number // 3}-{number % 3},text {number}\n" for number in range(90))
    (tmp_path / "ISLTranslate.csv").write_text(f"uid,text\n{rows}")
    manifest("isign", tmp_path / "ISLTranslate.csv", tmp_path / "rows.jsonl")
    assert "no row has a split: whole recordings are divided" in capsys.readouterr().err
    written = {s.id: s.split for s in read_manifest(tmp_path / "rows.jsonl", check_files=False)}
    data = slt_hf.load_dataset("isign", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert "no row has a split" in caplog.text
    assert {row["id"]: split for split, rows in data.items() for row in rows} == written
    assert Counter(written.values()) == {"train": 72, "validation": 9, "test": 9}
    assert all(len({written[f"video{video}-{part}"] for part in range(3)}) == 1 for video in range(30))


def test_the_manifest_command_stops_at_bad_rows_and_can_skip_them(shared_data, tmp_path):
    from slt_hf.cli.manifest import manifest

    bad = shared_data / "malformed" / "annotations" / "nslt_bad_rows.json"
    with pytest.raises(CorpusError, match="(?s)video 05237.*pass --skip-invalid"):
        manifest("wlasl", bad, tmp_path / "rows.csv")
    manifest("wlasl", bad, tmp_path / "rows.csv", skip_invalid=True)
    assert len(read_manifest(tmp_path / "rows.csv", check_files=False)) == 1


def test_shared_signers_are_told_and_an_error_with_strict(tmp_path):
    from command_line import cli

    table = tmp_path / "rows.tsv"
    table.write_text("id\tpose\tsigner\tsplit\na\tx.pose\tZ\ttrain\nb\ty.pose\tZ\ttest\n")
    for command in (["manifest", "manifest", table], ["prepare", table, "--workers", 1]):
        refused = cli(*command, "--strict", "--output", tmp_path / "strict.jsonl")
        assert refused.exit_code == 2 and "column signer: expected each signer in one split" in refused.stderr
    told = cli("manifest", "manifest", table, "--output", tmp_path / "rows.jsonl")
    assert told.exit_code == 0 and told.stderr.count("column signer") == 1


def test_prepare_leaves_out_bad_rows_where_told_to(tmp_path):
    from command_line import cli

    table = tmp_path / "rows.csv"
    table.write_text("id,pose,start_ms,end_ms\na,x.pose,0,100\nb,y.pose,500,100\n")
    refused = cli("prepare", table, "--output", tmp_path / "shards", "--workers", 1)
    assert refused.exit_code == 2 and "row 2 of rows.csv, column end_ms" in refused.stderr
    told = cli("prepare", table, "--output", tmp_path / "shards", "--workers", 1, "--skip-invalid")
    assert told.exit_code == 0 and "| train | 1 | 1 |" in told.stdout


def test_a_corpus_folder_becomes_shards_with_one_command(shared_data, tmp_path, capsys):
    """Rows whose poses are there are prepared, the others are `missing` in the ledger."""
    from slt_hf.cli.prepare import prepare
    from slt_hf.data.storage import ShardDataset

    poses = sorted((shared_data / "isolated" / "fingerspelling" / "poses" / "ase").glob("*.pose"))[:2]
    (tmp_path / "raw" / "poses").mkdir(parents=True)
    for number, pose in enumerate(poses):
        (tmp_path / "raw" / "poses" / f"v{number}-1.pose").write_bytes(pose.read_bytes())
    (tmp_path / "raw" / "ISLTranslate.csv").write_text("uid,text\nv0-1,hello\nv1-1,bye\nv2-1,lost\n")
    prepare(tmp_path / "raw", tmp_path / "shards", corpus="isign", workers=1)
    shards = ShardDataset(tmp_path / "shards", cache_dir=tmp_path / "cache")
    assert dict(zip(shards.column("id"), shards.column("text"), strict=True)) == {"v0-1": "hello", "v1-1": "bye"}
    assert "| missing |" in capsys.readouterr().out
    card = (tmp_path / "shards" / "README.md").read_text()
    assert "license: cc-by-nc-4.0" in card and CORPORA["isign"].licence in card and CORPORA["isign"].homepage in card
