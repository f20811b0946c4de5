"""The Python of the guides runs as it stands, in a folder that holds what it names; what does not says why."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from test_corpora import wlasl
from test_export import exported, source  # noqa: F401  # fixtures: an export that the tests of exports make once
from test_hand_crops import clip_of, make_film
from test_storage import make_clip, write_shard
from test_video import make_video
from tiny_checkpoints import save_translation, save_video_classification, save_video_translation

from slt_hf import SignTranslator
from slt_hf.modeling import SignToTextForConditionalGeneration
from slt_hf.processing import PoseProcessor
from slt_hf.processing.pose_files import write_pose
from slt_hf.synthesis.synthesizer import synthesize

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = ["CONTRIBUTING.md", "deploy/README.md", *sorted(f"docs/{path.name}" for path in REPOSITORY.glob("docs/*.md"))]
Names = dict[str, Any]

# What is not run here, and why; it is compiled.
NOT_RUN = {
    ("docs/choosing_a_model.md", 0): "tests/test_hyperparameter_search.py runs a search",
    ("deploy/README.md", 0): "asks a paid service",
}


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (REPOSITORY / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Names]:
    """Run a page's block in a folder of its own, with the names that the text before it gave."""
    monkeypatch.chdir(tmp_path)

    def runs(page: str, number: int, change: tuple[str, str] = ("", ""), **names: Any) -> Names:
        code = blocks(page)[number].replace(*change)
        exec(compile(code, f"{page}, block {number}", "exec"), names)
        return names

    return runs


def test_every_block_of_python_is_run_or_says_why_not():
    own = Path(__file__).read_text()
    run = {(page, int(number)) for page, number in re.findall(r"run\(\s*\"([\w./]+)\", (\d)", own)}
    assert run | set(NOT_RUN) == {(page, number) for page in PAGES for number in range(len(blocks(page)))}
    for page, number in NOT_RUN:
        compile(blocks(page)[number], page, "exec")


def test_data(run: Callable[..., Names]):
    wlasl(Path("WLASL"))
    found = run("docs/data.md", 0)
    assert found["signs"]["gloss"] == ["book", "drink"]


def test_preparation(run: Callable[..., Names]):
    write_shard(Path("shards/data/train-00000-of-00001.parquet"), [make_clip(20 + i, i) for i in range(3)])
    (batch,) = run("docs/preparation.md", 0)["loader"]
    assert batch["attention_mask"].sum(1).tolist() and batch["labels"].shape[0] == 3


def test_video_reading(run: Callable[..., Names]):
    make_video(Path("talk.mp4"), frames=100), make_video(Path("book.webm").with_suffix(".mp4")).rename("book.webm")
    assert run("docs/video.md", 0)["batch"]["pixel_values"].shape[0] == 2


def test_video_with_hands(run: Callable[..., Names]):
    write_pose(clip_of(25), "talk.pose")
    make_film(Path("talk.mp4"))
    folder = save_translation(Path("org/poses-and-hands"))
    processor = PoseProcessor.from_pretrained(folder)
    processor.feature_extractor.hand_crop_size = 16
    processor.save_pretrained(folder)
    SignToTextForConditionalGeneration.from_pretrained(folder, hand_crop_width=16).save_pretrained(folder)
    batch = run("docs/video.md", 1, SignTranslator=SignTranslator, processor=processor)["batch"]
    assert batch["crop_mask"].sum() == 50


def test_video_using(run: Callable[..., Names]):
    make_video(Path("talk.mp4"), frames=100), make_video(Path("book.mp4"))
    save_video_translation(Path("org/videos-to-text")), save_video_classification(Path("org/signs-from-videos"))
    run("docs/video.md", 2)


def test_evaluation(run: Callable[..., Names]):
    Path("outputs.txt").write_text("it rains\n"), Path("references.txt").write_text("it rains today\n")
    run("docs/evaluation.md", 0)
    assert run("docs/evaluation.md", 1)["report"]


def test_publishing(run: Callable[..., Names], hub_server: HubServer, monkeypatch: pytest.MonkeyPatch):
    hub_server.stand_in(monkeypatch)
    folder = save_translation(Path("checkpoint"))
    model, processor = (kind.from_pretrained(folder) for kind in (SignToTextForConditionalGeneration, PoseProcessor))
    run("docs/publishing.md", 0, model=model, processor=processor)
    assert "model.safetensors" in hub_server.files("org/name")


def test_publishing_in_a_test_of_yours(run: Callable[..., Names], hub_server: HubServer):
    run("docs/publishing.md", 1)["test_mine"](hub_server)


def test_export(run: Callable[..., Names], exported: Path):  # noqa: F811
    write_pose(synthesize("Where is the school?", seed=1), "clip.pose")
    Path("demo-onnx").symlink_to(exported)
    run("docs/export.md", 0)


def test_streaming(run: Callable[..., Names], capsys: pytest.CaptureFixture[str]):
    clip = synthesize("Where is the school?", seed=1)
    run("docs/streaming.md", 0, camera=[(points, 1000 * k / clip.fps) for k, points in enumerate(clip.points)])
    assert len(said := SignTranslator.from_pretrained()(clip).text) > 3 and said in capsys.readouterr().out


def test_synthetic_signer(run: Callable[..., Names]):
    found = run("docs/synthetic_signer.md", 0, ("corpus(1000", "corpus(2"))
    assert found["sample"].split == "train"
