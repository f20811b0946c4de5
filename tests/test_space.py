"""The Space: from the package alone, through its API, and published with its front matter."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import cli
from hub_server import HubServer
from tiny_checkpoints import save_classification, save_video_classification

from slt_hf import SignTranslator
from slt_hf.demonstration import sign_unseen
from slt_hf.grounding_heat import grounding_heat
from slt_hf.processing.pose_files import write_pose
from slt_hf.spaces_hub import FILES, SPACE


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A classifier that the Space offers beside the bundled translator."""
    return str(save_classification(tmp_path_factory.mktemp("models") / "signs"))


@pytest.fixture(scope="module")
def app(signs: str) -> Any:
    pytest.importorskip("gradio", reason="slt_hf[demo] is not installed")
    spec = importlib.util.spec_from_file_location("sign_translation_app", SPACE / "app.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELS", f"bundled, {signs}")
        spec.loader.exec_module(module)
    return module


def test_push_space_publishes_app_and_front_matter(hub_server: HubServer, monkeypatch: pytest.MonkeyPatch):
    hub_server.stand_in(monkeypatch)
    done = cli("push-space", "org/signs", "--models", "bundled,org/name", "--json")
    assert done.exit_code == 0, done.stderr
    space = hub_server.repositories["space", "org/signs"]
    files = space.find("main").files
    assert set(FILES) <= set(files) and space.variables == {"MODELS": "bundled,org/name"}
    matter = yaml.safe_load(files["README.md"].content.decode().split("---\n")[1])
    assert matter["sdk"] == "gradio" and matter["app_file"] == "app.py" and matter["license"] == "apache-2.0"
    assert cli("push-space", "org/signs").exit_code == 0  # again: an update


def test_the_space_needs_the_published_package_alone():
    lines = (SPACE / "requirements.txt").read_text().split("\n")
    assert [line for line in lines if line] == ["slt_hf[torch,data,demo]>=0.1"]
    versions = (SPACE / "README.md").read_text(), Path("constraints-extract.txt").read_text()
    assert "sdk_version: 6.31.0" in versions[0]
    pinned = re.findall(r"^\w.*==.*$", versions[1], re.MULTILINE)
    source = (SPACE / "app.py").read_text()
    assert pinned and all(f'"{each}"' in source for each in pinned)  # MediaPipe's environment is the tested one


def test_heat_lies_where_the_signing_is():
    clip = sign_unseen("Where do you live?", seed=2)[1]
    translator = SignTranslator.from_pretrained(device="cpu")
    heat = grounding_heat(translator, clip, windows=6)
    assert heat.text == translator(clip).text and heat.lost.shape == (6,) and heat.lost.max() > 0.05
    assert heat.starts_ms[-1] == pytest.approx(clip.duration_ms, abs=80)
    assert heat.lost[1:-1].max() > max(heat.lost[0], heat.lost[-1])  # hands rest at both ends


def test_skeletons_of_visitors_are_deleted(app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(app, "DRAWN", tmp_path)
    clip = sign_unseen("My name is Nora.", seed=1)[1]
    old = Path(app.animate(clip, "old"))
    os.utime(old, (0, 0))
    new = Path(app.animate(clip, "new"))
    assert new.is_file() and not old.exists()


def test_a_classifier_gives_its_likeliest_signs_and_no_grounding(app: Any, signs: str, tmp_path: Path):
    from slt_hf import SignClassifier

    clip = sign_unseen("My name is Nora.", seed=1)[1]
    write_pose(clip, tmp_path / "clip.pose")
    found = SignClassifier.from_pretrained(signs, device="cpu")(clip)
    answer = app.translate(str(tmp_path / "clip.pose"), signs)
    assert answer.signs == dict(found.labels) and answer.grounding is None and Path(answer.skeleton).is_file()
    assert answer.text == found.label and answer.confidence == max(answer.signs.values())
    assert app.shown(signs) == (True, False) and app.shown("bundled") == (False, True)


def test_a_model_that_sees_frames_reads_the_video_itself(app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("av", reason="slt_hf[data] is not installed")
    from test_guarded_video import encode

    model = str(save_video_classification(tmp_path / "frames"))
    monkeypatch.setattr(app, "MODELS", [model])
    (tmp_path / "clip.mp4").write_bytes(encode("mpeg4", "mp4", (64, 48), 25))
    answer = app.translate(str(tmp_path / "clip.mp4"), model)
    assert answer.text in answer.signs and answer.skeleton is None and app.shown(model) == (True, False)


@pytest.fixture(scope="module")
def address(app: Any) -> Iterator[str]:
    page = app.build()
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", share=False)
    yield address
    page.close()


@pytest.mark.slow
def test_the_api_translates_a_clip(app: Any, address: str, tmp_path: Path):
    from gradio_client import Client, handle_file

    clip = sign_unseen("My name is Nora.", seed=1)[1]
    write_pose(clip, tmp_path / "clip.pose")
    client = Client(address, verbose=False)
    text, confidence, signs, timeline, skeleton, heat = client.predict(
        handle_file(str(tmp_path / "clip.pose")), "bundled", api_name="/translate"
    )
    assert (
        not signs.get("confidences")
        and text == SignTranslator.from_pretrained(device="cpu")(clip).text
        and 0 <= confidence <= 1
    )
    assert timeline["data"][0][2] == text and timeline["data"][0][1] <= clip.duration_ms / 1000 + 0.5
    from PIL import Image

    animation: Any = Image.open(skeleton)
    assert animation.n_frames > 10
    assert (
        np.ptp(np.asarray(Image.open(heat).convert("RGB"))[-12], axis=0).max() > 50
    )  # something is redder than the rest


@pytest.mark.slow
def test_the_api_names_signs_with_a_classifier(address: str, signs: str, tmp_path: Path):
    from gradio_client import Client, handle_file

    write_pose(sign_unseen("My name is Nora.", seed=1)[1], tmp_path / "clip.pose")
    text, confidence, found, timeline, skeleton, heat = Client(address, verbose=False).predict(
        handle_file(str(tmp_path / "clip.pose")), signs, api_name="/translate"
    )
    assert found["label"] == text and len(found["confidences"]) == 5 and heat is None
    assert found["confidences"][0]["confidence"] == pytest.approx(confidence, abs=1e-3)
    assert timeline["headers"][2] == "text" and Path(skeleton).is_file()


@pytest.mark.slow
def test_a_bad_clip_is_told_in_words(address: str, tmp_path: Path):
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    (tmp_path / "clip.pose").write_bytes(b"no pose")
    with pytest.raises(AppError, match="expected"):
        Client(address, verbose=False).predict(
            handle_file(str(tmp_path / "clip.pose")), "bundled", api_name="/translate"
        )


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; apt-get install chromium")
def test_an_example_is_translated_in_a_browser(address: str, tmp_path: Path):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(120_000)
        page.goto(address)
        page.get_by_role("button", name="Does your sister like coffee?").click()
        playwright.expect(page.get_by_label("Translation")).to_have_value(
            "Does your sister like coffee?", timeout=120_000
        )
        page.get_by_label("Model").click()
        page.get_by_role("option", name="signs").click()
        page.get_by_role("button", name="Translate", exact=True).click()
        playwright.expect(page.get_by_text("Likeliest signs")).to_be_visible()
        playwright.expect(page.get_by_text("What the text depends on")).to_be_hidden()
        playwright.expect(page.get_by_label("Translation")).to_have_value(re.compile("^WORD"), timeout=120_000)
        page.screenshot(path=tmp_path / "space.png", full_page=True)
        browser.close()
