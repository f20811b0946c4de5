"""VideoFeatureExtractor and SignVideoProcessor: which frames are read, how they are fitted, how settings travel."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from test_video import make_video
from tiny_checkpoints import tiny_tokenizer

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402
from transformers import AutoFeatureExtractor, AutoProcessor  # noqa: E402

from slt_hf.errors import ClipError, VideoError  # noqa: E402
from slt_hf.processing import SignVideoProcessor, VideoClip, VideoFeatureExtractor  # noqa: E402

# values are grey / 255
PLAIN: dict[str, Any] = {"image_mean": (0.0, 0.0, 0.0), "image_std": (1.0, 1.0, 1.0), "image_size": 16}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 25 fps; frame k is a flat grey of 4k."""
    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4")


def numbers(values: Any) -> list[int]:
    """Which frame of `make_video` each of (T, C, H, W) shows."""
    return [round(float(picture.mean()) * 255 / 4) for picture in values]


def read(source: Any, **settings: Any) -> list[int]:
    return numbers(VideoFeatureExtractor(**{**PLAIN, **settings})(source)["pixel_values"][0])


def test_uniform_sampling_takes_the_middle_of_each_section(clip: Path):
    assert read(str(clip), num_frames=5) == [5, 15, 25, 35, 45]


def test_dense_sampling_reads_at_the_checkpoints_rate_whatever_the_videos(clip: Path, tmp_path: Path):
    assert read(str(clip), num_frames=None, fps=12.5) == list(range(0, 50, 2))
    fast = make_video(tmp_path / "fast.mp4", frames=60, fps=50)
    assert read(str(fast), num_frames=None, fps=12.5) == list(range(0, 60, 4))
    for rate, path in ((25, clip), (50, fast)):
        with av.open(str(path)) as container:
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        dense = {"num_frames": None, "fps": 12.5}
        assert read(VideoClip(frames, fps=rate), **dense) == read(str(path), **dense)
        assert read(VideoClip(frames), **dense) == list(range(len(frames))), "without a rate, all that were given"


def test_a_long_clip_is_spread_over_max_frames(clip: Path):
    found = read(str(clip), num_frames=None, fps=25, max_frames=10)
    assert found == [2, 7, 12, 17, 22, 27, 32, 37, 42, 47]


@pytest.mark.parametrize("settings", [{"num_frames": 5}, {"num_frames": None, "fps": 5.0}])
def test_a_seed_draws_the_frames_and_draws_the_same_again(clip: Path, settings: dict[str, Any]):
    fixed = read(str(clip), **settings)
    drawn = [read(VideoClip(str(clip), seed=seed), **settings) for seed in range(8)]
    assert drawn == [read(VideoClip(str(clip), seed=seed), **settings) for seed in range(8)]
    assert len({tuple(found) for found in drawn}) > 2
    for found in drawn:  # never out of its own tenth or step of the clip
        assert found == sorted(found) and all(abs(a - b) <= 9 for a, b in zip(found, fixed, strict=False))
    assert read(VideoClip(str(clip)), **settings) == fixed


def test_a_part_is_read_by_time(clip: Path):
    extractor = VideoFeatureExtractor(num_frames=5, **PLAIN)
    assert numbers(extractor(str(clip), start_ms=400, end_ms=600)["pixel_values"][0]) == [10, 11, 12, 13, 14]
    batch = extractor([str(clip)] * 2, start_ms=[400, 0], end_ms=[600, 200])["pixel_values"]
    assert [numbers(row) for row in batch] == [[10, 11, 12, 13, 14], [0, 1, 2, 3, 4]]


def test_clips_of_several_lengths_are_padded_and_masked(clip: Path):
    extractor = VideoFeatureExtractor(num_frames=None, fps=5, **PLAIN)
    batch = extractor([str(clip), VideoClip(str(clip), 0, 1000)], return_tensors="pt")
    assert batch["pixel_values"].shape == (2, 10, 3, 16, 16) and batch["pixel_values"].dtype == torch.float32
    assert batch["attention_mask"].sum(1).tolist() == [10, 5]
    assert (batch["pixel_values"][1, 5:] == 0).all()
    assert "attention_mask" not in VideoFeatureExtractor(num_frames=4, **PLAIN)(str(clip))


def test_path_bytes_array_and_picture_are_read_alike(clip: Path, tmp_path: Path):
    extractor = VideoFeatureExtractor(num_frames=4, **PLAIN)
    expected = extractor(str(clip))["pixel_values"]
    with av.open(str(clip)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    for source in (clip, clip.read_bytes(), BytesIO(clip.read_bytes()), frames):
        np.testing.assert_array_equal(extractor(source)["pixel_values"], expected)
    picture = np.full((30, 40, 3), 80, np.uint8)
    stills: list[Any] = [picture, Image.fromarray(picture)]
    for ending in ("png", "webp", "bmp"):
        Image.fromarray(picture).save(tmp_path / f"still.{ending}", lossless=True)
        stills += [tmp_path / f"still.{ending}", (tmp_path / f"still.{ending}").read_bytes()]
    dense = VideoFeatureExtractor(num_frames=None, **PLAIN)
    assert all(numbers(dense(still)["pixel_values"][0]) == [20] for still in stills)
    assert all(numbers(extractor(still)["pixel_values"][0]) == [20] * 4 for still in stills)


def half_black() -> np.ndarray:
    """48 x 64: left half black, right half white."""
    picture = np.zeros((1, 48, 64, 3), np.uint8)
    picture[:, :, 32:] = 255
    return picture


@pytest.mark.parametrize(
    ("settings", "columns"),
    [  # share of white in each quarter of the width
        ({"fit": "crop"}, [0, 0, 1, 1]),
        ({"fit": "squash"}, [0, 0, 1, 1]),
        ({"fit": "pad"}, [0, 0, 0.75, 0.75]),  # black above and below
        ({"fit": "squash", "short_side": 32}, [0, 0, 1, 1]),
    ],
)
def test_pictures_are_cut_padded_or_squashed_to_a_square(settings: dict[str, Any], columns: list[float]):
    values = VideoFeatureExtractor(num_frames=1, **PLAIN, **settings)(half_black())["pixel_values"][0, 0, 0]
    assert values.shape == (16, 16)
    np.testing.assert_allclose(values.reshape(16, 4, 4).mean((0, 2)), columns, atol=0.15)


def test_the_middle_of_a_squashed_picture_is_cut_out():
    """As the public code of WLASL does it: the whole picture to 256 x 256, then the middle 224 x 224."""
    picture = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)
    extractor = VideoFeatureExtractor(num_frames=1, image_size=224, short_side=256, fit="squash")
    found = extractor.frames(VideoClip(picture[None]))[0]
    squashed = np.asarray(Image.fromarray(picture).resize((256, 256), Image.Resampling.BILINEAR))[16:240, 16:240]
    assert np.abs(found.astype(int) - squashed).mean() < 1


def test_mirrored_and_boxed_clips_show_that(clip: Path):
    extractor = VideoFeatureExtractor(num_frames=1, **PLAIN)
    straight = extractor(half_black())["pixel_values"]
    mirrored = extractor(VideoClip(half_black(), mirrored=True))["pixel_values"]
    np.testing.assert_array_equal(mirrored, straight[..., ::-1])
    right = extractor(VideoClip(half_black(), box=(0.5, 0.0, 1.0, 1.0)))["pixel_values"]
    assert right.min() > 0.8  # not 1: the edge is blurred


def test_pixels_are_normalised_by_the_checkpoints_mean_and_deviation():
    grey = np.full((1, 16, 16, 3), 51, np.uint8)
    values = VideoFeatureExtractor(num_frames=1, image_size=16)(grey)["pixel_values"][0, 0, :, 0, 0]
    np.testing.assert_allclose(values, (0.2 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225], atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit": "stretch"}, "expected one of crop, pad, squash, found 'stretch'"),
        ({"num_frames": 0}, "expected 1 or more, or None, found 0"),
        ({"short_side": 100}, "expected at least image_size 224, found 100"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(VideoError, match=message):
        VideoFeatureExtractor(**settings)


def test_no_clip_and_no_video_are_refused(tmp_path: Path):
    extractor = VideoFeatureExtractor(**PLAIN)
    with pytest.raises(ClipError, match="found an empty list"):
        extractor([])
    with pytest.raises(VideoError, match="found int"):
        extractor(7)
    with pytest.raises(VideoError, match="found an address; fetch the file first"):
        extractor("https://example.org/clip.mp4")
    with pytest.raises(VideoError, match="found nothing there"):
        extractor(str(tmp_path / "absent.mp4"))


def test_settings_survive_saving(tmp_path: Path, clip: Path):
    extractor = VideoFeatureExtractor(
        num_frames=None, fps=10, max_frames=12, image_size=20, short_side=24, fit="crop", provenance={"camera": "phone"}
    )
    extractor.save_pretrained(tmp_path)
    for loaded in (VideoFeatureExtractor.from_pretrained(tmp_path), AutoFeatureExtractor.from_pretrained(tmp_path)):
        assert type(loaded) is VideoFeatureExtractor
        assert loaded.to_dict() == extractor.to_dict()
        np.testing.assert_array_equal(loaded(str(clip))["pixel_values"], extractor(str(clip))["pixel_values"])


def test_processor_gives_frames_labels_and_prompt_and_survives_saving(tmp_path: Path, clip: Path):
    extractor = VideoFeatureExtractor(num_frames=None, fps=5, **PLAIN)
    processor = SignVideoProcessor(extractor, tiny_tokenizer(), prompt="word1 word2")
    processor.save_pretrained(tmp_path)
    assert processor.model_input_names == ["pixel_values", "attention_mask"]
    for loaded in (processor, SignVideoProcessor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)):
        assert type(loaded) is SignVideoProcessor
        batch = loaded(videos=[str(clip), VideoClip(str(clip), 0, 600)], text=["word3", "word4 word5"],
                       return_tensors="pt")  # fmt: skip
        assert set(batch) == {
            "pixel_values", "attention_mask", "labels", "prompt_input_ids", "prompt_attention_mask"
        }  # fmt: skip
        assert batch["attention_mask"].sum(1).tolist() == [10, 3]
        assert batch["labels"][0, -1] == -100 and batch["labels"][1, -1] == 1
        assert loaded.batch_decode(batch["labels"][1:], skip_special_tokens=True)[0].strip() == "word4 word5"
        assert batch["prompt_input_ids"].shape == (2, 2)


ELSEWHERE = """
import sys, numpy as np
from transformers import AutoFeatureExtractor, AutoProcessor
processor = AutoProcessor.from_pretrained("somebody/videos", trust_remote_code=True)
alone = AutoFeatureExtractor.from_pretrained("somebody/frames", trust_remote_code=True)
frames = np.arange(10 * 20 * 30 * 3, dtype=np.uint64).reshape(10, 20, 30, 3).astype(np.uint8)
batch = processor(videos=frames, text="word3", return_tensors="np")
print(type(processor).__name__, batch["pixel_values"].shape, float(batch["pixel_values"].sum()), batch["labels"])
print(type(alone).__name__, float(alone(frames)["pixel_values"].sum()))
assert not [name for name in sys.modules if name.startswith("slt_hf.")]
"""


@pytest.mark.slow
def test_processors_pushed_to_the_hub_work_where_slt_hf_is_not_installed(
    hub_server: Any, monkeypatch: pytest.MonkeyPatch
):
    hub_server.stand_in(monkeypatch)
    extractor = VideoFeatureExtractor(num_frames=4, image_size=16)
    processor = SignVideoProcessor(extractor, tiny_tokenizer())
    processor.push_to_hub("somebody/videos")
    extractor.push_to_hub("somebody/frames")
    printed = hub_server.python(ELSEWHERE, without=["slt_hf"])
    frames = np.arange(10 * 20 * 30 * 3, dtype=np.uint64).reshape(10, 20, 30, 3).astype(np.uint8)
    batch = processor(videos=frames, text="word3", return_tensors="np")
    total = float(batch["pixel_values"].sum())
    assert f"SignVideoProcessor {batch['pixel_values'].shape} {total} {batch['labels']}" in printed
    assert f"VideoFeatureExtractor {float(extractor(frames)['pixel_values'].sum())}" in printed
