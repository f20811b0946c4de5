"""Light of a clip: what it does to colours, that it is one for all frames, and that a recipe draws it by seed."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from slt_hf.errors import RecipeError, VideoError  # noqa: E402
from slt_hf.processing import VideoClip, VideoFeatureExtractor  # noqa: E402
from slt_hf.processing.video_augmentation import VideoAugmentationSettings, augment_video  # noqa: E402
from slt_hf.processing.video_light import Light  # noqa: E402
from slt_hf.training.arguments import AugmentationArguments  # noqa: E402
from slt_hf.training.setup import build_augmentation  # noqa: E402

ALL = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(60, 160, (4, 24, 32, 3), dtype=np.uint8)


def test_each_change_does_what_its_name_says(frames: np.ndarray) -> None:
    image = frames[0]
    np.testing.assert_array_equal(Light()(image), image)
    assert Light(brightness=0.5)(image).mean() == pytest.approx(image.mean() / 2, abs=0.5)
    softer = Light(contrast=0.5)(image).astype(float)
    np.testing.assert_allclose(softer - 127.5, (image - 127.5) / 2, atol=0.51)
    np.testing.assert_array_equal(np.ptp(Light(saturation=0.0)(image), axis=-1), 0)
    red = np.array([[[170, 70, 70]]], np.uint8)
    hue, _, _ = colorsys.rgb_to_hsv(*(Light(hue=1 / 3)(red)[0, 0] / 255.0))
    assert hue == pytest.approx(2 / 3, abs=0.08) or hue == pytest.approx(1 / 3, abs=0.08)  # blue or green, not red
    np.testing.assert_allclose(Light(hue=1.0)(image), image, atol=1)
    grey = np.full((2, 2, 3), 90, np.uint8)
    np.testing.assert_array_equal(Light(hue=0.3, saturation=0.4)(grey), grey)  # what has no colour keeps having none


def test_extremes_stay_within_a_picture(frames: np.ndarray) -> None:
    assert Light(brightness=9.0)(frames[0]).max() == 255 and Light(brightness=0.0)(frames[0]).max() == 0
    assert Light(contrast=9.0)(frames[0]).dtype == np.uint8


def test_one_light_for_all_frames_and_none_beside_the_picture(frames: np.ndarray) -> None:
    """The bars that `pad` adds stay black; each frame is changed as every other."""
    extractor = VideoFeatureExtractor(num_frames=4, image_size=24, fit="pad")
    light = Light(brightness=0.7, contrast=0.6, hue=0.1)
    plain, shown = (extractor.frames(VideoClip(frames, light=each)) for each in (None, light))
    bars = (plain == 0).all((0, 2, 3))
    assert bars.sum() == 6 and not shown[:, bars].any()
    for before, after in zip(plain, shown, strict=True):
        np.testing.assert_array_equal(light(before[~bars]), after[~bars])


def test_the_drawn_light_follows_the_seed_and_stays_within_the_settings() -> None:
    settings = VideoAugmentationSettings(**ALL)
    lights = [augment_video(VideoClip("a.mp4"), np.random.default_rng(seed), settings).light for seed in range(200)]
    assert lights[3] == augment_video(VideoClip("a.mp4"), np.random.default_rng(3), settings).light
    assert len(set(lights)) == 200
    for name, share in ALL.items():
        values = np.array([getattr(light, name) for light in lights]) - (0 if name == "hue" else 1)
        assert -share <= values.min() < -0.9 * share and 0.9 * share < values.max() <= share


def test_without_light_a_recipe_varies_what_it_did_before() -> None:
    """Off by default; and it is drawn last, so that mirror, crop and times of a seed stay."""
    plain, lit = (VideoAugmentationSettings(mirror=0.5, crop=0.2, **more) for more in ({}, ALL))
    for seed in range(20):
        one, other = (augment_video(VideoClip("a.mp4"), np.random.default_rng(seed), each) for each in (plain, lit))
        assert one.light is None and other.light is not None
        assert (one.seed, one.mirrored, one.box) == (other.seed, other.mirrored, other.box)


def test_a_recipe_names_it_as_crop_and_mirror(frames: np.ndarray) -> None:
    vary = build_augmentation(AugmentationArguments(brightness=0.5), of_videos=True)
    assert vary is not None
    extractor = VideoFeatureExtractor(num_frames=4, image_size=24)
    clips: list[Any] = [vary(VideoClip(frames), np.random.default_rng(seed)) for seed in range(8)]
    means = [extractor.frames(clip).mean() / frames.mean() for clip in clips]
    assert min(means) < 0.85 and max(means) > 1.15
    with pytest.raises(RecipeError, match="hue: expected augmentations of poses"):
        build_augmentation(AugmentationArguments(hue=0.1))


@pytest.mark.parametrize(
    ("name", "value", "most"), [("brightness", 40, "1"), ("hue", 0.6, "0.5"), ("crop", 1.0, "0.9")]
)
def test_a_setting_beyond_reason_is_refused(name: str, value: float, most: str) -> None:
    with pytest.raises(VideoError, match=f"{name}: expected a number from 0 to {most}, found {value}"):
        build_augmentation(AugmentationArguments(**{name: value}), of_videos=True)


def test_flow_has_no_light() -> None:
    flow = np.zeros((4, 24, 24, 2), np.float32)
    with pytest.raises(VideoError, match="light: expected pictures"):
        VideoFeatureExtractor(num_frames=4, image_size=24, flow=True)(VideoClip(flow, light=Light(brightness=0.5)))
