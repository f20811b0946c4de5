"""What answers rest on: numbers against worked examples, hands that light up, and pictures of every kind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from command_line import cli  # noqa: E402
from test_video import make_video  # noqa: E402
from tiny_checkpoints import (  # noqa: E402
    save_classification,
    save_recognition,
    save_video_classification,
    save_video_translation,
)

from slt_hf.convert_i3d import i3d_extractor  # noqa: E402
from slt_hf.demonstration import sign_unseen  # noqa: E402
from slt_hf.errors import CheckpointError, ClipError  # noqa: E402
from slt_hf.explanation import Explanation, draw_explanation, explain  # noqa: E402
from slt_hf.explanation.activation import class_activation  # noqa: E402
from slt_hf.explanation.answers import unit  # noqa: E402
from slt_hf.explanation.landmarks import landmark_saliency, shares_of_parts  # noqa: E402
from slt_hf.explanation.rollout import attention_of, attention_rollout, rolled_out  # noqa: E402
from slt_hf.modeling import I3DConfig, I3DForVideoClassification  # noqa: E402
from slt_hf.processing.pose_files import write_pose  # noqa: E402


def test_saliency_is_gradient_times_distance_from_a_points_own_mean() -> None:
    values = torch.rand(1, 5, 3, 3)
    values[..., -1] = 1
    values[0, 2, 1] = 0  # not seen there
    weights = torch.rand(5, 3, 2)
    inputs = {"pose_values": values}
    found = landmark_saliency(inputs, lambda given: (given["pose_values"][0, ..., :2] * weights).sum())
    points, seen = values[0, ..., :2], values[0, ..., 2:] > 0
    mean = (points * seen).sum(0) / seen.sum(0)
    np.testing.assert_allclose(found, ((points - mean) * seen * weights).sum(-1).abs().numpy(), atol=1e-6)
    assert found[2, 1] == 0


def test_shares_add_up_to_one() -> None:
    saliency = np.array([[1.0, 0.0, 3.0], [0.0, 2.0, 2.0]])
    assert shares_of_parts(saliency, {"hand": [2], "body": [0, 1]}) == {"hand": 0.625, "body": 0.375}


def test_heat_is_between_0_and_1_and_nothing_stays_nothing() -> None:
    assert unit(np.array([0.0, 2.0, 4.0])).max() == 1
    assert not unit(np.zeros((2, 2))).any()


def test_hands_light_up_in_what_the_bundled_checkpoint_reads(tmp_path: Path) -> None:
    reference, clip, _ = sign_unseen(None, 2)
    write_pose(clip, tmp_path / "clip.pose")
    done = cli("explain", tmp_path / "clip.pose", "--output", tmp_path / "clip.png", "--json")
    found = json.loads(done.stdout)
    assert found["answer"] == reference
    assert found["shares"]["left_hand"] + found["shares"]["right_hand"] > 0.7, found
    drawn = np.asarray(Image.open(tmp_path / "clip.png").convert("RGB")).astype(int)
    assert (drawn[..., 0] - drawn[..., 2] > 100).sum() > 300  # the warm colours of heat


@pytest.fixture(scope="module")
def i3d() -> Any:
    torch.manual_seed(0)
    return I3DForVideoClassification(I3DConfig(width_multiplier=0.06, num_labels=3)).eval()


def test_grad_cam_over_a_linear_head_is_its_weights_times_the_features(i3d: Any) -> None:
    clip = torch.rand(1, 16, 3, 64, 64)
    sign = int(i3d(clip).logits.argmax())
    found = class_activation(i3d, {"pixel_values": clip}, lambda inputs: i3d(**inputs).logits[0, sign])
    with torch.no_grad():
        features = i3d.i3d(clip, output_hidden_states=True).hidden_states["Mixed_5c"]  # (1, D, 2, 2, 2)
        wanted = torch.einsum("d,bdthw->bthw", i3d.classifier.weight[sign], features).relu() / features[0, 0].numel()
        wanted = torch.nn.functional.interpolate(wanted[None], (16, 64, 64), mode="trilinear")[0, 0]
    assert found.max() > 0
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-6)


def test_rollout_follows_attention_down_to_the_input() -> None:
    everyone = torch.full((4, 4), 0.25)
    torch.testing.assert_close(rolled_out([everyone, everyone]), torch.full((4,), 0.25))
    to_first = torch.zeros(4, 4)
    to_first[:, 0] = 1
    torch.testing.assert_close(rolled_out([to_first]), torch.tensor([0.625, 0.125, 0.125, 0.125]))
    # what the second layer sees in token 0, the first has from token 3
    from_last = torch.eye(4)
    from_last[0] = torch.tensor([0.0, 0, 0, 1])
    torch.testing.assert_close(rolled_out([from_last, to_first]), torch.tensor([0.3125, 0.125, 0.125, 0.4375]))


def test_attention_collected_is_what_transformers_returns(tmp_path: Path) -> None:
    from transformers import VideoMAEForVideoClassification

    model = VideoMAEForVideoClassification.from_pretrained(save_video_classification(tmp_path)).eval()
    clip = {"pixel_values": torch.rand(1, 8, 3, 16, 16)}
    with torch.no_grad(), attention_of(model.videomae) as layers:
        model(**clip)
    assert model.config._attn_implementation == "sdpa"
    model.set_attn_implementation("eager")
    with torch.no_grad():
        wanted = model(**clip, output_attentions=True).attentions
    assert len(layers) == len(wanted) == 2
    for found, attention in zip(layers, wanted, strict=True):
        torch.testing.assert_close(found, attention[0].mean(0))
    heat = attention_rollout(model, clip)
    assert heat.shape == (8, 16, 16)
    assert heat.mean() == pytest.approx(1 / (4 * 4), rel=0.2)  # shares of 16 patches; edges are interpolated


@pytest.mark.parametrize("save", [save_video_classification, save_video_translation])
def test_models_that_see_frames_are_explained_over_their_frames(save: Any, tmp_path: Path) -> None:
    video = make_video(tmp_path / "clip.mp4", frames=30)
    found = explain(video, save(tmp_path / "model"), device="cpu")
    assert found.method == "attention rollout"
    assert found.frames is not None and found.heat.shape == found.frames.shape[:3]
    assert 0 <= found.heat.min() <= found.heat.max() == 1
    draw_explanation(found, tmp_path / "clip.png", size=60)


def test_i3d_is_explained_over_its_frames(i3d: Any, tmp_path: Path) -> None:
    i3d.save_pretrained(tmp_path / "model")
    i3d_extractor(i3d.config, num_frames=16, image_size=32, short_side=32).save_pretrained(tmp_path / "model")
    found = explain(make_video(tmp_path / "clip.mp4", frames=30), tmp_path / "model", device="cpu")
    assert found.method == "Grad-CAM"
    assert found.heat.shape == (16, 32, 32)
    assert found.text in i3d.config.id2label.values()
    heat = np.linspace(0, 1, 16, dtype=np.float32)[:, None, None] * np.ones((1, 32, 32), np.float32)
    path = draw_explanation(replace(found, heat=heat), tmp_path / "clip.gif", size=60)
    assert Image.open(path).n_frames > 5  # type: ignore[attr-defined]  # frames that look the same are one


@pytest.mark.parametrize("save", [save_classification, save_recognition])
def test_pose_models_with_other_heads_are_explained_too(save: Any, tmp_path: Path) -> None:
    _, clip, _ = sign_unseen(None, 1)
    found = explain(clip, save(tmp_path), device="cpu")
    assert found.method == "landmark saliency"
    assert np.isfinite(found.heat).all() and found.heat.max() == 1


def test_other_endings_and_other_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="ends in .png"):
        draw_explanation(Explanation("hello", 1.0, "", np.zeros((1, 1))), tmp_path / "clip.jpg")
    (tmp_path / "export.json").write_text("{}")
    with pytest.raises(CheckpointError, match="found an exported graph"):
        explain("clip.pose", tmp_path)
