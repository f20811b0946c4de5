"""slt-hf prepare: every item accounted for, same bytes whatever happens on the way."""

from __future__ import annotations

import hashlib
import json
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slt_hf.data.ledger import Ledger
from slt_hf.data.manifest import write_manifest
from slt_hf.data.preparation import PreparationSettings, begin, finish, prepare, run_task
from slt_hf.data.preparation_executor import execute
from slt_hf.data.preparation_item import ItemSettings
from slt_hf.data.preparation_plan import load_plan
from slt_hf.data.sample import Sample
from slt_hf.data.storage import ShardDataset
from slt_hf.errors import ManifestError, PreparationError
from slt_hf.processing.pose_files import PoseClip, write_pose

QUICK = PreparationSettings(workers=2, shard_clips=4)


def make_clip(frames: int, seed: int = 0) -> PoseClip:
    rng = np.random.default_rng(seed)
    points = rng.normal((640, 360, 0), (100, 150, 30), (frames, 75, 3)).astype(np.float32)
    return PoseClip(points, rng.uniform(0.3, 1, (frames, 75)).astype(np.float32), "holistic_75", 25.0, 1280, 720)


def make_corpus(folder: Path, count: int = 10) -> Path:
    """`count` pose files in two splits, and a manifest."""
    (folder / "poses").mkdir(parents=True)
    samples = []
    for i in range(count):
        write_pose(make_clip(20 + i, i), folder / f"poses/{i}.pose")
        split = "train" if i % 4 else "validation"
        samples.append(Sample(f"clip-{i}", pose=f"poses/{i}.pose", text=f"Sentence {i}.", split=split, signer=f"s{i}"))
    write_manifest(samples, folder / "manifest.csv")
    return folder / "manifest.csv"


def result(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that a user sees."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".prepare" not in path.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def undisturbed(manifest, tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed") / "shards"
    prepare(manifest, folder, QUICK)
    return result(folder)


def test_manifest_becomes_shards_that_hold_its_clips(manifest, tmp_path):
    census = prepare(manifest, tmp_path / "shards", QUICK)
    assert census.statuses == {"ok": 10}
    train = ShardDataset(tmp_path / "shards", "train", cache_dir=tmp_path / "cache")
    assert train.column("id") == ["clip-1", "clip-2", "clip-3", "clip-5", "clip-6", "clip-7", "clip-9"]
    assert train[0]["text"] == "Sentence 1." and train[0]["signer"] == "s1"
    np.testing.assert_allclose(train.clip(4).points, make_clip(26, 6).points, atol=0.5)


def test_same_bytes_whatever_the_workers_and_tasks(manifest, undisturbed, tmp_path):
    prepare(manifest, tmp_path / "one" / "shards", replace(QUICK, workers=1))
    assert result(tmp_path / "one/shards") == undisturbed
    plan = begin(manifest, tmp_path / "three/shards", QUICK)
    for rank in (2, 0, 1):
        run_task(load_plan(plan.folder), rank, 3)
    finish(plan)
    assert result(tmp_path / "three/shards") == undisturbed


def test_same_bytes_wherever_the_corpus_lies(undisturbed, tmp_path):
    prepare(make_corpus(tmp_path / "elsewhere"), tmp_path / "shards", QUICK)
    assert result(tmp_path / "shards") == undisturbed


def test_second_run_does_nothing_again(manifest, tmp_path):
    prepare(manifest, tmp_path / "shards", QUICK)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "shards/data").iterdir()}
    seen: list[str] = []
    prepare(manifest, tmp_path / "shards", QUICK, progress=lambda entry: seen.append(entry.id))
    assert seen == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "shards/data").iterdir()} == before


def test_grown_manifest_prepares_only_what_is_new(tmp_path):
    manifest = make_corpus(tmp_path / "corpus", 6)
    prepare(manifest, tmp_path / "shards", QUICK)
    write_pose(make_clip(30, 99), tmp_path / "corpus/poses/new.pose")
    with manifest.open("a") as file:
        file.write("clip-new,poses/new.pose,New.,s9,train\n")
    seen: list[str] = []
    prepare(manifest, tmp_path / "shards", QUICK, progress=lambda entry: seen.append(entry.id))
    assert seen == ["clip-new"]
    fresh = tmp_path / "fresh/shards"
    prepare(manifest, fresh, QUICK)
    assert result(tmp_path / "shards") == result(fresh)


def test_every_bad_item_has_its_status_and_reason(tmp_path):
    folder = tmp_path / "corpus"
    make_corpus(folder, 2)
    write_pose(make_clip(3), folder / "poses/short.pose")
    nobody = make_clip(20)
    nobody.points[2:], nobody.confidence[2:] = np.nan, 0
    write_pose(nobody, folder / "poses/nobody.pose")
    (folder / "poses/cut.pose").write_bytes((folder / "poses/0.pose").read_bytes()[:2000])
    (folder / "poses/text.pose").write_text("<html>404</html>")
    rows = [
        Sample("good", pose="poses/0.pose", text="a"),
        Sample("gone", pose="poses/gone.pose", text="b"),
        Sample("short", pose="poses/short.pose", text="c"),
        Sample("nobody", pose="poses/nobody.pose", text="d"),
        Sample("cut", pose="poses/cut.pose", text="e"),
        Sample("text", pose="poses/text.pose", text="f"),
        Sample("beyond", pose="poses/0.pose", start_ms=5000, end_ms=6000, text="g"),
        Sample("past the end", pose="poses/0.pose", start_ms=0, end_ms=3000, text="h"),
        Sample("part", pose="poses/0.pose", start_ms=200, end_ms=600, text="i"),
    ]
    write_manifest(rows, folder / "bad.jsonl")
    census = prepare(folder / "bad.jsonl", tmp_path / "shards", QUICK)
    with Ledger(tmp_path / "shards/.prepare/ledger.sqlite") as ledger:
        entries = ledger.entries()
    assert {id: entry.status for id, entry in entries.items()} == {
        "good": "ok",
        "gone": "missing",
        "short": "too_short",
        "nobody": "no_person",
        "cut": "corrupt",
        "text": "corrupt",
        "beyond": "mistimed",
        "past the end": "mistimed",
        "part": "ok",
    }
    assert all(entry.reason for entry in entries.values() if entry.status != "ok")
    assert entries["good"].checksum == hashlib.sha256((folder / "poses/0.pose").read_bytes()).hexdigest()
    assert entries["part"].num_frames == 10 and "slt_hf" in entries["part"].tools
    assert sum(census.statuses.values()) == len(rows)
    published = (tmp_path / "shards/census.json").read_text() + (tmp_path / "shards/README.md").read_text()
    assert "beyond" in published and str(tmp_path) not in published


def test_several_people_are_refused_unless_one_is_to_be_chosen(shared_data, tmp_path):
    write_manifest([Sample("two", pose=str(shared_data / "malformed/pose/two_people.pose"))], tmp_path / "m.csv")
    assert prepare(tmp_path / "m.csv", tmp_path / "a", QUICK).statuses == {"several_people": 1}
    choosing = replace(QUICK, item=ItemSettings(people="most_visible"))
    assert prepare(tmp_path / "m.csv", tmp_path / "a", choosing).statuses == {"ok": 1}


TRIAL = '''
import os, signal, time
import numpy as np
from slt_hf.poses.extractor import Closing
from slt_hf.processing.pose_files import PoseClip

class Trial(Closing):
    """Behaves as the name of the video says."""
    layout, tools = "holistic_75", {"trial": "1"}

    def __init__(self, budget=None):
        pass

    def extract(self, video, start_ms=None, end_ms=None, bbox=None, progress=None):
        name = os.path.basename(video)
        if name.startswith("segfault"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if name.startswith("exits"):
            os._exit(3)
        if name.startswith("hangs"):
            time.sleep(600)
        if name.startswith("raises"):
            raise RuntimeError("cannot do this one")
        if name.startswith("oom"):
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory ends
        if name.startswith("greedy"):
            np.zeros(1 << 40, np.uint8)
        if name.startswith("hoards"):
            hoard = []
            while True:
                hoard.append(np.ones(1 << 24, np.uint8))
        return PoseClip(np.ones((10, 75, 3), np.float32), np.ones((10, 75), np.float32), "holistic_75", 25.0)
'''


def make_trial(folder: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]) -> Path:
    """Videos of those names, and the extractor above where workers can import it."""
    (folder / "slt_trial_extractor.py").write_text(textwrap.dedent(TRIAL))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    for name in names:
        (folder / name).write_bytes(b"not looked at")
    write_manifest([Sample(name[:-4], video=name, text="x") for name in names], folder / "m.csv")
    return folder / "m.csv"


BAD = {
    "segfault": ("crash", "killed its worker: signal SIGSEGV"),
    "exits": ("crash", "killed its worker: exit code 3"),
    "oom": ("crash", "killed its worker: signal SIGKILL"),
    "hangs": ("timeout", "took longer than 6 s and was stopped"),
    "greedy": ("memory", "greedy.mp4: needed more memory than an item may have"),
    "hoards": ("memory", "hoards.mp4: needed more memory than an item may have"),
    "raises": ("error", "RuntimeError: cannot do this one"),
}


def test_of_200_items_those_that_crash_hang_or_eat_memory_are_lost_alone(tmp_path, monkeypatch):
    """The trial in which other engines lost up to half of the items, or never ended; what is left is the same twice."""
    names = [f"{i}.mp4" for i in range(200 - len(BAD))]
    for place, name in enumerate(BAD):
        names.insert(20 + 25 * place, f"{name}.mp4")
    manifest = make_trial(tmp_path, monkeypatch, names)
    item = ItemSettings(extractor="slt_trial_extractor:Trial")
    for workers, tasks in ((2, 1), (3, 2)):
        settings = PreparationSettings(
            item=item, workers=workers, shard_clips=50, timeout_seconds=6, memory_bytes=3 << 29
        )
        plan = begin(manifest, tmp_path / f"{workers}/shards", settings)
        execute(plan, "local", tasks)
        with Ledger(plan.ledger_path) as ledger:
            entries = ledger.entries()
        assert {id: (entry.status, entry.reason) for id, entry in entries.items() if entry.status != "ok"} == BAD
        shards = ShardDataset(plan.folder, cache_dir=tmp_path / f"{workers}/cache")
        assert shards.column("id") == [name[:-4] for name in names if name[:-4] not in BAD]
    assert result(tmp_path / "2/shards") == result(tmp_path / "3/shards")


def test_retry_tries_again_what_failed_and_nothing_else(tmp_path, monkeypatch):
    manifest = make_trial(tmp_path, monkeypatch, ["a.mp4", "exits.mp4", "b.mp4"])
    settings = PreparationSettings(item=ItemSettings(extractor="slt_trial_extractor:Trial"), workers=1)
    assert prepare(manifest, tmp_path / "shards", settings).statuses == {"ok": 2, "crash": 1}
    (tmp_path / "slt_trial_extractor.py").write_text(TRIAL.replace("os._exit(3)", "pass"))
    seen: list[str] = []
    retried = prepare(manifest, tmp_path / "shards", settings, retry=("crash",), progress=lambda e: seen.append(e.id))
    assert retried.statuses == {"ok": 3} and seen == ["exits"]
    shards = ShardDataset(tmp_path / "shards", cache_dir=tmp_path / "cache")
    assert shards.column("id") == ["a", "exits", "b"]


def test_run_without_extractor_ends_before_the_first_item(tmp_path, monkeypatch):
    manifest = make_trial(tmp_path, monkeypatch, ["a.mp4"])
    settings = PreparationSettings(item=ItemSettings(extractor="slt_trial_extractor:Absent"), workers=1)
    with pytest.raises(PreparationError, match="slt_trial_extractor:Absent"):
        prepare(manifest, tmp_path / "shards", settings)
    with Ledger(tmp_path / "shards/.prepare/ledger.sqlite") as ledger:
        assert ledger.entries() == {}


def test_wrong_manifest_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "m.csv").write_text("id,pose,start_ms,end_ms\na,a.pose,500,100\n")
    with pytest.raises(ManifestError, match="row 1 of m.csv"):
        prepare(tmp_path / "m.csv", tmp_path / "shards", QUICK)
    with pytest.raises(PreparationError, match="found none at"):
        load_plan(tmp_path)


def test_unfinished_folder_is_not_called_finished(manifest, tmp_path):
    plan = begin(manifest, tmp_path / "shards", QUICK)
    run_task(plan, 0, 2)
    with pytest.raises(PreparationError, match="1 of 3 shards are not written yet"):
        finish(plan)


def test_card_tells_licence_census_fields_and_splits(manifest, tmp_path):
    prepare(manifest, tmp_path / "shards", replace(QUICK, licence="cc-by-nc-4.0", name="My signs"))
    card = (tmp_path / "shards/README.md").read_text()
    assert "license: cc-by-nc-4.0" in card and "path: data/train-*" in card and "path: data/validation-*" in card
    assert "| train | 7 | 7 |" in card and "`confidence`" in card
    census = json.loads((tmp_path / "shards/census.json").read_text())
    assert census["splits"]["validation"]["statuses"] == {"ok": 3}


def test_malformed_files_are_settled_with_a_status_that_fits(shared_data, tmp_path):
    """Every damaged pose file of the collection: refused with a reason, or used with what is good in it."""
    folder = shared_data / "malformed"
    files = [path for kind in ("pose", "npy", "pickle") for path in sorted((folder / kind).iterdir())]
    files += [path for path in sorted((folder / "openpose").iterdir()) if path.is_dir()]
    rows = [Sample(f"{path.parent.name}/{path.name}", pose=str(path), layout=None) for path in files]
    write_manifest(rows, tmp_path / "m.jsonl")
    census = prepare(tmp_path / "m.jsonl", tmp_path / "shards", replace(QUICK, shard_clips=50))
    with Ledger(tmp_path / "shards/.prepare/ledger.sqlite") as ledger:
        entries = ledger.entries()
    assert len(entries) == len(files) > 30
    assert not {"error", "crash", "timeout", "memory"} & census.statuses.keys(), census.report()
    assert all(entry.reason for entry in entries.values() if entry.status != "ok")
    statuses = {id: entry.status for id, entry in entries.items()}
    assert statuses["pose/two_people.pose"] == "several_people"
    assert statuses["pose/empty.pose"] == "corrupt"
