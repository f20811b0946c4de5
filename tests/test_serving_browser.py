"""The page in a browser: recorded landmarks and a fake camera, by keyboard, and nothing of a face leaves it."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server_process import free_port, wait_until_ready

pytest.importorskip("limits", reason="slt_hf[serve] is not installed")
pytest.importorskip("av", reason="slt_hf[data] is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import uvicorn  # noqa: E402
from test_guarded_video import encode  # noqa: E402

from slt_hf.demonstration import sign_unseen  # noqa: E402
from slt_hf.processing.pose_files import pose_bytes  # noqa: E402
from slt_hf.serving import landmark_finder  # noqa: E402
from slt_hf.serving.frames import HEADER, read_frame  # noqa: E402
from slt_hf.serving.keys import new_key  # noqa: E402
from slt_hf.serving.rest import build_app  # noqa: E402
from slt_hf.serving.service import SignService  # noqa: E402
from slt_hf.serving.settings import ServerSettings  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine; apt-get install chromium", allow_module_level=True)

pytestmark = pytest.mark.slow
KEY, HASH = new_key()
FRAME_BYTES = HEADER.size + 543 * 7
SECONDS = 60_000  # ms; a busy machine takes its time
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
STAND_IN = """
self.Holistic = class {  // gives recorded landmarks instead of looking at the picture
  setOptions() {} reset() { this.at = 0; } async initialize() { this.at = 0; }
  onResults(tell) { this.tell = tell; }
  async send({ image }) {
    if (!(image instanceof ImageBitmap)) throw new Error("no picture");
    for (const until = performance.now() + BUSY_MS; performance.now() < until;);
    this.tell(RECORDED[Math.min(this.at++, RECORDED.length - 1)]);
  }
};
const RECORDED = """
BEATS = """() => {  // how long the page was deaf, at the most
  let last = performance.now();
  window.deafMs = 0;
  setInterval(() => { const now = performance.now(); deafMs = Math.max(deafMs, now - last); last = now; }, 10);
}"""


def recorded() -> list[dict[str, Any]]:
    """A signed sentence as Holistic gives its results; x and y in parts of the picture (640 x 480)."""
    clip = sign_unseen(seed=2)[1]
    largest = float(np.nanmax(np.abs(clip.points)))
    points = np.nan_to_num(clip.points / largest * [1, 4 / 3, 1])
    parts = {"poseLandmarks": (0, 33), "faceLandmarks": (33, 501), "leftHandLandmarks": (501, 522)}
    parts["rightHandLandmarks"] = (522, 543)
    results = []
    for frame, seen in zip(points.round(4).tolist(), clip.confidence, strict=True):
        result = {}
        for name, (start, end) in parts.items():
            if seen[start:end].any():
                result[name] = [
                    {"x": x, "y": y, "z": z, "visibility": float(sure)}
                    for (x, y, z), sure in zip(frame[start:end], seen[start:end], strict=True)
                ]
        results.append(result)
    return results


def stand_in(busy_ms: int = 0) -> str:
    """A landmark finder that takes so long for a picture."""
    return f"const BUSY_MS = {busy_ms};{STAND_IN}{json.dumps(recorded())};"


@contextmanager
def running(**bounds: Any) -> Iterator[str]:
    """A server in a thread of this process."""
    port = free_port()
    app = build_app(SignService({"demo": None}, ServerSettings(port=port, **bounds), "cpu"))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until_ready(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("holistic")
    for name in landmark_finder.FILES:
        (folder / name).touch()
    (folder / "holistic.js").write_text(stand_in())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLT_HF_PAGE_LANDMARKS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def address(finder: Path) -> Iterator[str]:
    with running(open_to_all=True) as address:
        yield address


@pytest.fixture(scope="module")
def tool() -> Iterator[Any]:
    with playwright.sync_playwright() as tool:
        yield tool


@pytest.fixture(scope="module")
def browser(tool: Any) -> Iterator[Any]:
    browser = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *CAMERA])
    yield browser
    browser.close()


class Seen:
    """What a page sends, and what goes wrong in it."""

    def __init__(self, page: Any):
        self.requests: list[Any] = []
        self.frames: list[Any] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request))
        page.on("websocket", lambda socket: socket.on("framesent", lambda sent: self.frames.append(sent)))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.extend([message.text] * (message.type == "error")))


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(permissions=["camera"], accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    playwright.expect.set_options(timeout=SECONDS)
    page.seen = Seen(page)
    yield page
    context.close()


def lines(page: Any) -> Any:
    return page.locator("#transcript li")


def test_the_camera_becomes_text_and_only_landmarks_leave(page: Any, address: str):
    page.goto(address)
    page.get_by_role("button", name="Start camera").click()
    playwright.expect(lines(page)).to_have_count(1)  # the hands go down, and an utterance stands
    playwright.expect(page.locator("#latency")).to_have_text(re.compile(r"\d+ ms"))
    playwright.expect(page.locator("#rate")).to_have_text(re.compile(r"\d+ a second"))
    page.get_by_role("button", name="Stop").click()
    playwright.expect(page.get_by_role("status")).to_have_text("Stopped.")
    assert {request.method for request in page.seen.requests} == {"GET"}
    assert all(request.url.startswith((address, "data:")) for request in page.seen.requests)
    sent = [frame for frame in page.seen.frames if frame != "finish"]
    assert len(sent) > 20 and {len(frame) for frame in sent} == {FRAME_BYTES}
    assert not page.seen.errors


@pytest.fixture(scope="module")
def translation() -> str:
    from slt_hf import SignTranslator

    return SignTranslator.from_pretrained(device="cpu")(sign_unseen(seed=2)[1]).text


def test_recorded_landmarks_become_the_offline_text(page: Any, address: str, translation: str):
    page.goto(address)
    page.evaluate("Math.random = () => 0.002")  # the example of seed 2
    page.get_by_role("button", name="Watch the synthetic signer").click()
    playwright.expect(lines(page)).to_have_count(1)
    playwright.expect(lines(page).locator("span").first).to_have_text(translation)
    playwright.expect(page.get_by_role("status")).to_have_text("That was all.")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as subtitles").click()
    saved = Path(download.value.path()).read_text()
    assert saved.startswith("WEBVTT\n\n00:00:0") and translation in saved
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as text").click()
    assert translation in Path(download.value.path()).read_text()
    assert not page.seen.errors


def test_a_pose_file_is_read(page: Any, address: str, translation: str):
    page.goto(address)
    body = pose_bytes(sign_unseen(seed=2)[1])
    page.locator("#file").set_input_files({"name": "a.pose", "mimeType": "application/octet-stream", "buffer": body})
    playwright.expect(lines(page).locator("span").first).to_have_text(translation)


def test_a_video_is_played_and_read_in_the_browser_and_stays_there(page: Any, address: str):
    body = encode("libvpx", "webm", (320, 240), 25 * 9, fps=25, deadline="realtime", **{"cpu-used": "8"})
    page.goto(address)
    page.locator("#file").set_input_files({"name": "a.webm", "mimeType": "video/webm", "buffer": body})
    playwright.expect(lines(page)).to_have_count(1)
    playwright.expect(page.get_by_role("status")).to_have_text("That was all.")
    assert {request.method for request in page.seen.requests} == {"GET"}  # nothing was uploaded
    assert all(request.url.startswith((address, f"blob:{address}", "data:")) for request in page.seen.requests)
    assert {len(frame) for frame in page.seen.frames if frame != "finish"} == {FRAME_BYTES}
    assert not page.seen.errors


def test_the_page_answers_while_a_picture_is_looked_at(page: Any, address: str, finder: Path):
    (finder / "holistic.js").write_text(stand_in(busy_ms=4000))
    try:
        page.goto(address)
        page.get_by_role("button", name="Start camera").click()
        page.evaluate(BEATS)
        until_frames_are_sent(page, number=1)
        page.get_by_role("button", name="Pause").click()  # while the second is looked at
        playwright.expect(page.get_by_role("button", name="Pause")).to_have_attribute("aria-pressed", "true")
        assert page.evaluate("deafMs") < 2000  # some tens on a machine that does nothing else
    finally:
        (finder / "holistic.js").write_text(stand_in())
    assert not page.seen.errors


def test_a_landmark_finder_that_fails_is_said_and_ends_the_camera(page: Any, address: str, finder: Path):
    (finder / "holistic.js").write_text(
        stand_in() + "Holistic.prototype.send = async () => { throw new Error('lost') };"
    )
    try:
        page.goto(address)
        page.get_by_role("button", name="Start camera").click()
        playwright.expect(page.get_by_role("status")).to_have_text("The landmark finder failed: lost")
        playwright.expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    finally:
        (finder / "holistic.js").write_text(stand_in())


def filmed(video: Path, target: Path) -> Path:
    """The first second of a video as Chromium takes it for a camera."""
    import av

    with av.open(str(video)) as source, av.open(str(target), "w", format="mjpeg") as sink:
        stream: Any = sink.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
        for frame, _ in zip(source.decode(video=0), range(25), strict=False):
            sink.mux(stream.encode(frame.reformat(320, 240, "yuvj420p")))
        sink.mux(stream.encode(None))
    return target


def test_the_real_landmark_finder_finds_a_person(tool: Any, shared_data: Path, tmp_path: Path):
    """Slow: without a GPU the first picture takes a quarter of a minute, the next some seconds each."""
    if not landmark_finder.installed():
        pytest.skip(f"the page's landmark finder is not installed; {landmark_finder.HOW_TO_GET}")
    video = filmed(shared_data / "continuous/how2sign_clips/videos/_15CDIexNDM_3-5-rgb_front.mp4", tmp_path / "a.mjpeg")
    arguments = [*CAMERA, f"--use-file-for-fake-video-capture={video}", "--enable-unsafe-swiftshader"]
    with running(open_to_all=True) as address:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *arguments])
        page: Any = browser.new_context(permissions=["camera"]).new_page()
        page.seen = Seen(page)
        page.goto(address)
        page.get_by_role("button", name="Start camera").click()
        page.evaluate(BEATS)
        until_frames_are_sent(page, number=2, seconds=400)
        assert page.evaluate("deafMs") < 2000
        frames = [frame for frame in page.seen.frames if frame != "finish"]
        assert all(request.url.startswith((address, "data:", "blob:")) for request in page.seen.requests)
        browser.close()
    _, _, points, seen = read_frame(frames[-1], 543)
    assert seen[:25].sum() > 15 and seen[33:501].all()  # the upper body, and a face
    nose, left, right = points[0, :2], points[11, :2], points[12, :2]
    assert 0 < nose[1] < left[1] < 0.8 and right[0] < nose[0] < left[0]  # as a camera sees somebody who looks at it


def test_push_to_sign_sends_only_while_the_space_bar_is_held(page: Any, address: str):
    page.goto(address)
    page.get_by_role("button", name="Push to sign").click()
    page.get_by_role("button", name="Start camera").click()
    playwright.expect(page.locator("#rate")).to_have_text(re.compile("second"))
    assert not page.seen.frames
    page.evaluate("document.activeElement.blur()")
    page.keyboard.down(" ")
    playwright.expect(page.locator("#latency")).to_have_text(re.compile(r"\d+ ms"))  # something was read
    page.keyboard.up(" ")
    playwright.expect(lines(page)).to_have_count(1)
    page.wait_for_timeout(300)
    before = len(page.seen.frames)
    assert page.seen.frames[-1] == "finish"
    page.wait_for_timeout(700)
    assert len(page.seen.frames) == before


def until_frames_are_sent(page: Any, number: int = 6, seconds: int = SECONDS // 1000) -> None:
    for _ in range(10 * seconds):
        if len(page.seen.frames) >= number:
            return
        page.wait_for_timeout(100)
    raise AssertionError("no frame was sent")


def test_pause_by_keyboard_sends_nothing_more(page: Any, address: str):
    page.goto(address)
    page.get_by_role("button", name="Start camera").click()
    until_frames_are_sent(page)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("p")
    playwright.expect(page.get_by_role("button", name="Pause")).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(300)
    before = len(page.seen.frames)
    page.wait_for_timeout(700)
    assert len(page.seen.frames) == before
    page.keyboard.press("p")
    for _ in range(100):
        if len(page.seen.frames) > before:
            break
        page.wait_for_timeout(100)
    assert len(page.seen.frames) > before
    page.keyboard.press("m")
    playwright.expect(page.get_by_role("button", name="Mirror")).to_have_attribute("aria-pressed", "false")


def test_a_server_with_keys_asks_for_one_on_the_page(page: Any, finder: Path):
    with running(api_key_hashes=(HASH,)) as address:
        page.goto(address)
        playwright.expect(page.get_by_role("status")).to_have_text("This server asks for a key.")
        page.get_by_label("API key of this server").fill(KEY)
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#model option")).to_have_count(1)
        page.get_by_role("button", name="Watch the synthetic signer").click()
        playwright.expect(lines(page)).to_have_count(1)
        page.get_by_role("button", name="Clear").click()
        playwright.expect(lines(page)).to_have_count(0)


def test_a_correction_is_sent_only_when_its_user_says_so(page: Any, finder: Path, tmp_path: Path):
    from slt_hf.data.manifest import read_manifest

    with running(open_to_all=True, corrections=tmp_path) as address:
        page.goto(address)
        playwright.expect(page.locator("#privacy")).to_contain_text("Only an utterance that you correct is kept")
        page.get_by_role("button", name="Watch the synthetic signer").click()
        playwright.expect(lines(page)).to_have_count(1)
        assert {request.method for request in page.seen.requests} == {"GET"}
        page.on("dialog", lambda dialog: dialog.accept("What I really signed"))
        page.get_by_role("button", name="Correct").click()
        playwright.expect(page.get_by_role("status")).to_have_text("Thank you. Your correction is kept.")
        playwright.expect(lines(page).locator("span").first).to_have_text("What I really signed")
    assert [row.text for row in read_manifest(tmp_path / "manifest.jsonl")] == ["What I really signed"]


def test_a_missing_landmark_finder_is_said_plainly(
    page: Any, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SLT_HF_PAGE_LANDMARKS", str(tmp_path / "nothing"))
    page.goto(address)
    playwright.expect(page.locator("#missing")).to_contain_text("slt-hf serve --fetch-landmarks")
    playwright.expect(page.get_by_role("button", name="Start camera")).to_be_disabled()
    playwright.expect(page.get_by_role("button", name="Watch the synthetic signer")).to_be_enabled()


def test_everything_has_a_name_and_its_place_on_a_phone(browser: Any, address: str):
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = context.new_page()
    page.goto(address)
    playwright.expect(page.locator("#model option")).to_have_count(1)
    unnamed = page.locator("button:visible, input, select").evaluate_all(
        "all => all.filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map(e => e.id)"
    )
    assert unnamed == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing to scroll sideways
    below = [page.locator(name).bounding_box()["y"] for name in (".screen", ".caption", ".controls", "#transcript")]
    assert below == sorted(below)
    small = page.locator("button:visible").evaluate_all("all => all.filter(e => e.offsetHeight < 40).map(e => e.id)")
    assert small == [] and page.locator("[role=log][aria-live=polite]").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the transcript"
    context.close()


def test_text_stands_out_from_its_ground_in_both_themes(browser: Any, address: str):
    for theme in ("light", "dark"):
        context = browser.new_context(color_scheme=theme)
        page = context.new_page()
        page.goto(address)
        style = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
        for ink, ground in (("--ink", "--ground"), ("--quiet", "--panel"), ("--on-accent", "--accent")):
            assert contrast(page.evaluate(style, ink), page.evaluate(style, ground)) >= 4.5, (theme, ink)  # WCAG AA
        context.close()


def contrast(first: str, second: str) -> float:
    """Of two colours #rrggbb, as WCAG 2 has it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_javascript_packs_frames_as_python_reads_them(page: Any, address: str):
    values = [0.0, -0.5, 1e-7, 6e-5, 1 / 3, 65504.0, -1e-3, 0.1, 7.0]
    code = """async ([base, values]) => {
        const { pack, unpackAll } = await import(new URL("page/frame.js", base));
        const frame = { timeMs: 12.5, points: Float32Array.from(values), seen: Uint8Array.from([1, 0, 1]) };
        const packed = pack(frame, 7), back = unpackAll(packed, 3)[0];
        return [[...new Uint8Array(packed)], [...back.points], [...back.seen], back.timeMs];
    }"""
    page.goto(address)
    packed, points, seen, time_ms = page.evaluate(code, [address, values])
    expected = np.asarray(values, np.float16).astype(np.float32)
    assert read_frame(bytes(packed), 3)[:2] == (12.5, 7) and time_ms == 12.5 and seen == [1, 0, 1]
    np.testing.assert_array_equal(read_frame(bytes(packed), 3)[2].ravel(), expected)
    np.testing.assert_array_equal(np.asarray(points, np.float32), expected)
