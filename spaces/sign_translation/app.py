"""A Space that reads signing: upload, webcam or synthetic signer in; skeleton, text or signs, timeline, grounding out.

python app.py                       # MODELS=bundled,org/name: what can be chosen
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image, ImageDraw

from slt_hf.demonstration import sign_unseen
from slt_hf.errors import ClipError, PreparationError, SignDataError
from slt_hf.grounding_heat import GroundingHeat, grounding_heat
from slt_hf.guarded_poses import extract_untrusted
from slt_hf.guarded_video import GuardedClip
from slt_hf.open_model import open_model
from slt_hf.pipeline import Classification, SignClassifier, SignTranslator, reads_video
from slt_hf.poses.mediapipe_extractor import find_extraction_python
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_files import read_pose, write_pose
from slt_hf.streaming import StreamingClassifier, StreamingTranslator
from slt_hf.visualization import draw_animation, draw_sheet

MODELS = [name.strip() for name in os.environ.get("MODELS", "bundled").split(",")]
SENTENCES = ("Does your sister like coffee?", "My name is Nora.", "Where do you live?")
LONGEST_SECONDS = 60
EXTRACTION = ("mediapipe==0.10.21", "pose-format==0.15.0", "av==18.1.0", "numpy==1.26.4", "protobuf==4.25.9")
COLUMNS, SIZE = 4, 180  # of the frames over the heat: two rows of four can still be made out on a phone
HEAT_ROWS = 26  # pixels
DRAWN, KEPT_SECONDS = Path(tempfile.mkdtemp(prefix="skeletons_")), 60


class Answer(NamedTuple):
    """What the page shows, and the API gives, in this order."""

    text: str  # of a translator; of a classifier the likeliest sign
    confidence: float
    signs: dict[str, float] | None = None  # label -> probability, of a classifier
    timeline: list[list[Any]] | None = None  # start s, end s, text, confidence
    skeleton: str | None = None  # an animation; models that see frames look for no points
    grounding: Image.Image | None = None  # of a text


@lru_cache(len(MODELS))
def reader(name: str) -> SignTranslator | SignClassifier:
    return open_model(None if name == "bundled" else name)


def translate(clip_file: str | None, model: str) -> Answer:
    """Translate a clip, or name its sign.

    Args:
        clip_file: a pose file or a video.
        model: one of the offered ones.

    Returns:
        Text or likeliest sign, confidence, the likeliest signs (of a classifier), timeline (start s, end s, text,
        confidence), animated skeleton, grounding over the clip (of a translator); what a model has not is null.
    """
    try:
        if model not in MODELS:
            raise ClipError(f"expected a model among {', '.join(MODELS)}, found {model}; choose one of these")
        if clip_file is None:
            raise ClipError("expected a clip, found none; upload one, record one, or take an example")
        chosen = reader(model)
        if reads_video(chosen.processor):
            return said(chosen(GuardedClip(clip_file, label=Path(clip_file).name)))
        return read_poses(chosen, poses_in(Path(clip_file)))
    except SignDataError as error:
        raise gr.Error(" ".join(str(error).split())) from error


def said(found: Any) -> Answer:
    """Of a model, without what is shown of the clip."""
    if isinstance(found, Classification):
        best = found.label if found.known else "unknown"  # less sure than its own threshold for signs never seen
        return Answer(best, found.confidence, dict(found.labels))
    return Answer(found.text, found.confidence)


def read_poses(chosen: SignTranslator | SignClassifier, clip: PoseClip) -> Answer:
    answer = said(chosen(clip))
    shown = answer._replace(timeline=timeline(chosen, clip), skeleton=animate(clip, answer.text))
    if isinstance(chosen, SignClassifier):
        return shown
    return shown._replace(grounding=draw_heat(clip, grounding_heat(chosen, clip)))


def poses_in(path: Path) -> PoseClip:
    """Poses of an upload; a video is opened by a guarded process.

    Raises:
        SignDataError: if it cannot be read, or is too long.
    """
    clip = read_pose(path) if path.suffix == ".pose" else extract_untrusted(path, path.name)
    if clip.duration_ms > 1000 * LONGEST_SECONDS:
        raise ClipError(f"expected at most {LONGEST_SECONDS} s, found {clip.duration_ms / 1000:.0f} s; cut the clip")
    return clip


def timeline(chosen: SignTranslator | SignClassifier, clip: PoseClip) -> list[list[Any]]:
    """Utterances: where hands go up and down again."""
    return [
        [round(event.start_ms / 1000, 2), round(event.end_ms / 1000, 2), event.committed, round(event.confidence, 3)]
        for event in stream(chosen, clip.layout).translate(clip)
        if event.committed
    ]


def stream(chosen: SignTranslator | SignClassifier, layout: str) -> StreamingTranslator | StreamingClassifier:
    if isinstance(chosen, SignClassifier):
        return StreamingClassifier(chosen, layout)
    return StreamingTranslator(chosen, layout)


def animate(clip: PoseClip, text: str) -> str:
    """A file that gradio copies to its own cache, which it empties; ours goes when the next ones are drawn."""
    for old in DRAWN.glob("*.gif"):
        with suppress(FileNotFoundError):  # two visitors at once: the other one's turn deleted it
            if time.time() - old.stat().st_mtime > KEPT_SECONDS:
                old.unlink()
    with tempfile.NamedTemporaryFile(suffix=".gif", dir=DRAWN, delete=False) as file:
        return str(draw_animation(clip, file.name, text=text))


def draw_heat(clip: PoseClip, heat: GroundingHeat) -> Image.Image:
    """Frames in rows; below each, how much of the text's probability is lost without each of its moments."""
    sheet = draw_sheet(clip, None, num_frames=2 * COLUMNS, columns=COLUMNS, size=SIZE)
    rows = -(-min(2 * COLUMNS, clip.num_frames) // COLUMNS)
    height = sheet.height // rows
    picture = Image.new("RGB", (sheet.width, rows * (height + HEAT_ROWS)), "white")
    for row in range(rows):
        top = row * (height + HEAT_ROWS)
        picture.paste(sheet.crop((0, row * height, sheet.width, (row + 1) * height)), (0, top))
        draw_bar(ImageDraw.Draw(picture), heat, row, rows, picture.width, top + height)
    return picture


def draw_bar(ink: ImageDraw.ImageDraw, heat: GroundingHeat, row: int, rows: int, width: int, top: int) -> None:
    """The part of the heat that belongs to a row."""
    for start, end, lost in zip(heat.starts_ms[:-1], heat.starts_ms[1:], heat.lost, strict=True):
        left, right = (width * (rows * at / heat.starts_ms[-1] - row) for at in (start, end))
        left, right = max(left, 0), min(right, width)
        if left < right:
            pale = 235 - int(215 * lost / max(heat.lost.max(), 0.05))
            ink.rectangle([left, top + 4, right - 1, top + HEAT_ROWS - 4], fill=(235, pale, pale))


def examples() -> list[list[str]]:
    """Clips that nobody was filmed for."""
    folder = Path(tempfile.mkdtemp(prefix="sign_examples_"))
    for number, sentence in enumerate(SENTENCES):
        write_pose(sign_unseen(sentence, seed=number)[1], folder / f"{number + 1}.pose")
    return [[str(path), MODELS[0]] for path in sorted(folder.iterdir())]


def make_extraction_environment() -> None:
    """MediaPipe's own environment, beside this file, unless there is one: it needs an older numpy than the rest."""
    try:
        find_extraction_python()
    except PreparationError:
        folder = Path.home() / ".venv-extract"
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", *EXTRACTION], check=True)
        os.environ["SLT_HF_EXTRACT_PYTHON"] = str(folder / "bin/python")


def build() -> gr.Blocks:
    if not reads_video(reader(MODELS[0]).processor):
        stream(reader(MODELS[0]), "holistic_543")  # its graphs are traced now, not while somebody waits
    has_signs, has_grounding = shown(MODELS[0])
    with gr.Blocks(title="Sign translation", delete_cache=(3600, 3600)) as page:
        gr.Markdown("# Sign translation\nA pose file or a video of signing in, text out. Clips are not kept.")
        with gr.Row():
            with gr.Column():
                clip = gr.File(label="Pose file or video", file_types=[".pose", "video"], type="filepath")
                webcam = gr.Video(label="Or record one", sources=["webcam"], include_audio=False)
                model = gr.Dropdown(MODELS, value=MODELS[0], label="Model")
                button = gr.Button("Translate", variant="primary")
            with gr.Column():
                text = gr.Textbox(label="Translation", lines=2)
                confidence = gr.Number(label="Confidence", precision=3)
                signs = gr.Label(label="Likeliest signs", visible=has_signs)
                times = gr.Dataframe(
                    headers=["from (s)", "to (s)", "text", "confidence"], label="Timeline", interactive=False, wrap=True
                )
        skeleton = gr.Image(label="Skeleton", type="filepath", format="gif", interactive=False)
        with gr.Column(visible=has_grounding) as grounding:
            gr.Markdown("**What the text depends on**: the redder a moment, the more of the text is lost without it.")
            heat = gr.Image(label="Grounding", show_label=False, type="pil", interactive=False)
        outputs = [text, confidence, signs, times, skeleton, heat]
        gr.Examples(
            examples(), [clip, model], outputs, translate, run_on_click=True, cache_examples=False,
            label="Signed by the synthetic signer", example_labels=list(SENTENCES), api_visibility="private",
        )  # fmt: skip
        model.change(show_for, model, [signs, grounding], api_visibility="private")
        button.click(translate, [clip, model], outputs, api_name="translate")
        webcam.stop_recording(translate, [webcam, model], outputs, api_visibility="private")
    return page


def shown(model: str) -> tuple[bool, bool]:
    """Whether a model has likeliest signs, and a grounding."""
    chosen = reader(model)
    classifies = isinstance(chosen, SignClassifier)
    return classifies, not classifies and not reads_video(chosen.processor)


def show_for(model: str) -> list[Any]:
    try:
        return [gr.update(visible=visible) for visible in shown(model)]
    except SignDataError as error:
        raise gr.Error(" ".join(str(error).split())) from error


if __name__ == "__main__":
    if "SPACE_ID" in os.environ:
        make_extraction_environment()
    build().queue(max_size=16, default_concurrency_limit=1).launch(
        max_file_size="32mb", server_port=int(sys.argv[1]) if len(sys.argv) > 1 else None
    )
