"""What a text owes to each moment of a clip, of every kind of translator that sees moments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import save_video_translation

from slt_hf import SignTranslator
from slt_hf.errors import CheckpointError
from slt_hf.grounding_heat import grounding_heat
from slt_hf.processing import VideoFeatureExtractor


def test_frames_are_masked_moment_by_moment(tmp_path: Path):
    translator = SignTranslator.from_pretrained(save_video_translation(tmp_path), device="cpu")
    video = np.random.default_rng(0).integers(0, 256, (24, 30, 40, 3), np.uint8)
    heat = grounding_heat(translator, video, windows=4)
    assert heat.text == translator(video).text and heat.lost.shape == (4,)
    np.testing.assert_allclose(heat.starts_ms, [0, 480, 960, 1440, 1920])  # 24 frames, read as 12.5 a second


def test_a_number_of_pictures_has_no_moments(tmp_path: Path):
    translator = SignTranslator.from_pretrained(save_video_translation(tmp_path), device="cpu")
    translator.processor.feature_extractor = VideoFeatureExtractor(image_size=16, num_frames=8)
    with pytest.raises(CheckpointError, match="frames at a fixed rate"):
        grounding_heat(translator, np.zeros((24, 30, 40, 3), np.uint8))
