"""Models that see frames export: clips are cut into windows outside of the graphs, and nothing changes by that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_checkpoints import VIDEOMAE, WORDS, save_video_classification, save_video_translation, tiny_tokenizer

from slt_hf import SignClassifier, SignTranslator
from slt_hf.errors import ExportError
from slt_hf.export.exporting import export_checkpoint
from slt_hf.export.processor import ExportProcessor
from slt_hf.export.video_graphs import WindowGraph
from slt_hf.export.windows import WindowedEncoder, encoder_of
from slt_hf.modeling import VideoEncoderConfig, VideoEncoderModel
from slt_hf.processing import SignVideoProcessor, VideoFeatureExtractor


def video(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, 30, 40, 3), np.uint8)


@pytest.mark.parametrize("pooling", ["learned", "mean"])
def test_windows_in_arrays_say_what_the_encoder_says(pooling: Any):
    torch.manual_seed(0)
    fields = {"window_stride": 6, "pooling": pooling}
    encoder = VideoEncoderModel(VideoEncoderConfig(backbone_config={"model_type": "videomae", **VIDEOMAE}, **fields))
    graph = WindowGraph(encoder.eval())

    def window(window_values: np.ndarray) -> dict[str, np.ndarray]:
        found = graph(window_values=torch.from_numpy(window_values))
        return {name: tensor.numpy() for name, tensor in found.items()}

    pixels = np.random.default_rng(0).normal(size=(4, 21, 3, 16, 16)).astype(np.float32)
    mask = (np.arange(21) < np.array([[21], [8], [5], [1]])).astype(np.int64)  # several windows, one, shorter ones
    with torch.inference_mode():
        ours = WindowedEncoder(window, None, frames=8, stride=6, step=2)(pixels, mask)
        theirs = encoder(torch.from_numpy(pixels), torch.from_numpy(mask))
    np.testing.assert_array_equal(ours["output_mask"], theirs.attention_mask.numpy())
    np.testing.assert_allclose(ours["last_hidden_state"], theirs.last_hidden_state.numpy(), atol=1e-6)


def test_an_export_that_does_not_say_how_clips_are_cut_is_refused():
    for wrong in ({"frames": 8}, {"frames": 8, "stride": 0, "step": 2}, [8, 8, 2]):
        with pytest.raises(ExportError, match="expected windows with frames, stride and step"):
            encoder_of(lambda name: name, {"windows": wrong})


@pytest.mark.parametrize(
    "settings",
    [{"num_frames": None, "fps": 12.5}, {"num_frames": 4, "short_side": 40}, {"flow": True, "fit": "pad"}],
)
def test_frames_are_the_same_without_transformers(tmp_path: Path, settings: dict[str, Any]):
    theirs = SignVideoProcessor(VideoFeatureExtractor(image_size=32, **settings), tiny_tokenizer(), prompt="word1:")
    theirs.save_pretrained(tmp_path)
    flow = np.random.default_rng(0).normal(size=(5, 30, 40, 2)).astype(np.float32)
    clips = [flow] if "flow" in settings else [video(7), video(20)]
    found, expected = ExportProcessor(tmp_path)(clips), theirs(clips, return_tensors="np")
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_a_classifier_whose_clips_have_any_length_is_refused(tmp_path: Path):
    source = save_video_classification(tmp_path / "source")
    VideoFeatureExtractor(num_frames=None, image_size=16).save_pretrained(source)
    with pytest.raises(ExportError, match="gives 8 frames, as the model's config says, found frames at a fixed rate"):
        export_checkpoint(source, tmp_path / "graphs")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def widened(folder: Path) -> Path:
    """The tiny translator, its windows overlapping."""
    import json

    source = save_video_translation(folder)
    config = json.loads((source / "config.json").read_text())
    config["encoder_config"] |= {"window_frames": 8, "window_stride": 4}
    (source / "config.json").write_text(json.dumps(config))
    (source / "card.yaml").write_text("title: Tiny\ndata: None.\nlimits: [All.]\nlicense: apache-2.0\n")
    return source


@pytest.mark.slow
def test_a_translator_of_videos_exports_and_says_the_same(tmp_path: Path):
    source = widened(tmp_path / "source")
    folder = export_checkpoint(source, tmp_path / "graphs")
    assert "clip.mp4" in (folder / "README.md").read_text()
    ours, theirs = (SignTranslator.from_pretrained(each, device="cpu") for each in (folder, source))
    clips = [video(frames, seed=frames) for frames in (1, 8, 29)]
    calls: tuple[dict[str, Any], ...] = ({}, {"num_beams": 4})
    for options in calls:
        found, expected = ours(clips, **options), theirs(clips, **options)
        assert [each.text for each in found] == [each.text for each in expected]
        confidences = [each.confidence for each in expected]
        assert [each.confidence for each in found] == pytest.approx(confidences, abs=1e-3)


@pytest.mark.slow
def test_a_videomae_classifier_exports_with_its_labels(tmp_path: Path):
    compare_classifiers(save_video_classification(tmp_path / "source", unknown_threshold=0.9), tmp_path / "graphs")


@pytest.mark.slow
@pytest.mark.parametrize(("pooling", "frames"), [("mean", 16), ("max", 32)])  # of one step, and of three
def test_an_i3d_classifier_exports_with_its_labels(tmp_path: Path, pooling: str, frames: int):
    from slt_hf.modeling import I3DConfig, I3DForVideoClassification

    torch.manual_seed(0)
    labels = {index: word.upper() for index, word in enumerate(WORDS)}
    size: Any = {"num_frames": frames, "image_size": 32, "width_multiplier": 1 / 16, "time_pooling": pooling}
    config = I3DConfig(**size, id2label=labels)
    I3DForVideoClassification(config).save_pretrained(tmp_path / "source")
    VideoFeatureExtractor(num_frames=frames, image_size=32).save_pretrained(tmp_path / "source")
    compare_classifiers(tmp_path / "source", tmp_path / "graphs")


def compare_classifiers(source: Path, output: Path) -> None:
    folder = export_checkpoint(source, output)
    ours, theirs = (SignClassifier.from_pretrained(each, device="cpu") for each in (folder, source))
    clips = [video(frames, seed=frames) for frames in (3, 40)]
    for found, expected in zip(ours(clips), theirs(clips), strict=True):
        assert [label for label, _ in found.labels] == [label for label, _ in expected.labels]
        assert found.known == expected.known
        assert found.confidence == pytest.approx(expected.confidence, abs=1e-3)
