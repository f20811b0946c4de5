"""The viewer: layers hide what they say, the page serves pictures for any frame of any clip."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from slt_hf.data.collection import Collection
from slt_hf.data.sample import Sample
from slt_hf.errors import PoseFileError
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.viewer import confidence_color, describe_frame, draw_confidence, draw_view, layered

LAYOUT = get_layout("holistic_75")


def clip(num_frames: int = 12) -> PoseClip:
    """A square of points that moves right; the left hand is unsure."""
    points = np.random.default_rng(0).uniform(100, 300, (1, 75, 2)).repeat(num_frames, 0).astype(np.float32)
    points[..., 0] += np.arange(num_frames)[:, None] * 5
    confidence = np.ones((num_frames, 75), np.float32)
    confidence[:, list(LAYOUT.parts["left_hand"])] = 0.4
    return PoseClip(points, confidence, "holistic_75", 25.0)


def test_layers_keep_their_part_only():
    seen = layered(clip(), ["right_hand"]).confidence > 0
    assert seen[:, list(LAYOUT.parts["right_hand"])].all() and seen.sum() == 12 * 21


def test_the_threshold_hides_unsure_points():
    seen = layered(clip(), ["left_hand", "right_hand"], threshold=0.5).confidence > 0
    assert not seen[:, list(LAYOUT.parts["left_hand"])].any() and seen[:, list(LAYOUT.parts["right_hand"])].all()


def test_pictures_change_with_frame_layers_and_confidence():
    views = [
        draw_view(clip(), 0),
        draw_view(clip(), 6),
        draw_view(clip(), 0, ["body"]),
        draw_view(clip(), 0, by_confidence=True),
        draw_view(clip(), 0, []),
    ]
    pixels = [np.asarray(view) for view in views]
    assert all((pixels[i] != pixels[j]).any() for i in range(5) for j in range(i))
    assert (pixels[4] == 255).all()  # no layer, nothing drawn


def test_hiding_a_layer_does_not_move_the_others():
    both, one = (np.asarray(draw_view(clip(), 3, layers)) for layers in (["body", "right_hand"], ["body"]))
    ink = (one < 250).any(axis=-1)
    assert (both[ink] < 255).any(axis=-1).mean() > 0.99  # a little is lost to antialiasing where strokes cross


def test_the_chart_marks_the_frame():
    early, late = (np.asarray(draw_confidence(clip(), frame)) for frame in (0, 11))
    red = [np.flatnonzero((chart == (192, 0, 0)).all(axis=-1).any(axis=0)) for chart in (early, late)]
    assert red[0].mean() < 20 and red[1].mean() > early.shape[1] - 20


def test_colours_go_from_red_to_green():
    assert confidence_color(0)[0] > confidence_color(0)[1] and confidence_color(1)[1] > confidence_color(1)[0]


def test_the_line_below_says_time_and_what_is_seen():
    assert describe_frame(clip(), 5) == (
        "frame 5 of 12, 200 ms, `holistic_75`, 25 fps: body 33/33, left hand 21/21, right hand 21/21"
    )


@pytest.fixture(scope="module")
def served():
    """The page of two clips, one of them damaged, on a local port."""
    gradio = pytest.importorskip("gradio")
    gradio_client = pytest.importorskip("gradio_client")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from slt_hf.viewer import build_viewer

    def load(index: int) -> PoseClip:
        if index == 1:
            raise PoseFileError("b.pose: expected a .pose file, found an empty file; extract it again")
        return clip()

    samples = [Sample(id="a", pose="a.pose", text="hello"), Sample(id="b", pose="b.pose")]
    page = build_viewer(Collection("test", "folder", samples, load, [], []))
    assert isinstance(page, gradio.Blocks)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, show_error=True, inbrowser=False)
    yield gradio_client.Client(url, verbose=False)
    page.close()


def test_choosing_a_clip_sets_the_slider_and_shows_the_row(served):
    slider, about, _timer, picture, _chart, where = served.predict(0, ["body"], 0, False, api_name="/choose")
    assert slider["maximum"] == 11 and "hello" in about and where.startswith("frame 0 of 12")
    assert Image.open(picture).size[0] > 300


def test_scrubbing_shows_another_picture(served):
    layers = ["body", "left_hand", "right_hand"]
    first, last = (served.predict(0, frame, layers, 0, False, api_name="/show") for frame in (0, 11))
    assert last[2].startswith("frame 11 of 12")
    assert (np.asarray(Image.open(first[0])) != np.asarray(Image.open(last[0]))).any()


def test_a_damaged_clip_shows_its_reason(served):
    with pytest.raises(Exception, match="found an empty file; extract it again"):
        served.predict(1, 0, ["body"], 0, False, api_name="/show")
