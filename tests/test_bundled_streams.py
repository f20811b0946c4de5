"""Training clips as a live translator hears them: `scripts/bundled_streams.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from slt_hf.demonstration import SOURCES


@pytest.fixture
def bundled_streams(repository: Path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(repository / "scripts"), *sys.path])
    import bundled_streams

    return bundled_streams


def test_a_sentence_is_cut_where_hands_go_up_and_down_and_keeps_its_times(bundled_streams):
    for seed in range(4):
        whole = SOURCES["sentence"](np.random.default_rng(seed))
        heard = bundled_streams.Heard(SOURCES["sentence"])(np.random.default_rng(seed))
        assert heard.targets == whole.targets and heard.text == whole.text
        assert heard.clip.num_frames < whole.clip.num_frames
        last_ms = 1000 * (heard.clip.num_frames - 1) / heard.clip.fps
        assert heard.spans_ms.min() >= 0 and heard.spans_ms.max() <= last_ms + 1e-6
        # the rest of what came before the first sign and after the last one is gone, no sign is
        inner = heard.spans_ms[1:-1, 1] - heard.spans_ms[1:-1, 0]
        assert np.allclose(inner, (whole.spans_ms[:, 1] - whole.spans_ms[:, 0])[1:-1])


def test_a_lone_sign_says_its_word_and_a_brief_movement_nothing(bundled_streams):
    rng = np.random.default_rng(5)
    lone, brief = bundled_streams.lone(rng), bundled_streams.brief(rng)
    assert len(lone.targets) == 1 and lone.text and lone.spans_ms.shape == (1, 2)
    assert not brief.targets and brief.text == "" and brief.clip.num_frames >= 8
