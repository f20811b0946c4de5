"""Hand crops beside poses: cut where hands are, closed at first, opened by learning, absent from old checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from huggingface_hub.errors import StrictDataclassClassValidationError  # noqa: E402
from test_modeling_sign_to_text import POSE, T5, tiny_model  # noqa: E402
from transformers import UMT5Config  # noqa: E402

from slt_hf.modeling import SignToTextConfig, SignToTextForConditionalGeneration, VideoEncoderConfig  # noqa: E402
from slt_hf.processing.hand_crops import hand_crops, hand_middles  # noqa: E402
from slt_hf.processing.landmarks import get_layout  # noqa: E402
from slt_hf.processing.pose_clip import PoseClip  # noqa: E402
from slt_hf.processing.pose_errors import ClipError  # noqa: E402

LAYOUT = get_layout("signing_85")


def clip_of(frames: int = 4) -> PoseClip:
    """Someone whose shoulders are 40 pixels apart, the right hand around (30, 50), the left one around (90, 50)."""
    points = np.full((frames, 85, 2), np.nan, np.float32)
    places = {"left_shoulder": (80, 20), "right_shoulder": (40, 20), "left_elbow": (90, 40), "right_elbow": (30, 40),
              "left_wrist": (90, 45), "right_wrist": (30, 45)}  # fmt: skip
    for name, place in places.items():
        points[:, LAYOUT.points.index(name)] = place
    for side, x in (("left", 90), ("right", 30)):
        hand = list(LAYOUT.parts[f"{side}_hand"])
        points[:, hand] = np.array([x, 50]) + np.linspace(-5, 5, len(hand))[:, None]
    confidence = np.asarray(np.isfinite(points).all(-1), np.float32)
    return PoseClip(points, confidence, "signing_85", 25.0, 120, 100)


def test_crops_show_the_hands_and_the_left_one_in_a_mirror() -> None:
    frames = np.zeros((4, 100, 120, 3), np.uint8)
    frames[:, 40:60, 30:48, 0] = 200  # red to the right of the right hand's middle
    frames[:, 40:60, 72:90, 1] = 200  # green to the left of the left hand's middle
    crops, seen = hand_crops(clip_of(), frames, size=24)
    assert crops.shape == (4, 2, 3, 24, 24) and seen.all()
    for hand, colour in ((0, 1), (1, 0)):
        assert crops[0, hand, colour, 8:16, 14:22].min() > 150
        assert crops[0, hand, colour, :, :10].max() == 0


def test_a_hand_without_points_is_looked_for_beyond_its_wrist() -> None:
    clip = clip_of()
    clip.confidence[1, list(LAYOUT.parts["right_hand"])] = 0
    clip.confidence[2, list(LAYOUT.parts["right_hand"])] = 0
    clip.confidence[2, LAYOUT.points.index("right_wrist")] = 0
    middles = hand_middles(clip)
    np.testing.assert_allclose(middles[0, 1], [30, 50], atol=1e-4)
    np.testing.assert_allclose(middles[1, 1], [30, 46.5], atol=1e-4)  # wrist at 45, elbow at 40
    assert np.isnan(middles[2, 1]).all() and np.isfinite(middles[2, 0]).all()
    _, seen = hand_crops(clip, np.zeros((4, 100, 120, 3), np.uint8), 16)
    assert seen.tolist() == [[1, 1], [1, 1], [1, 0], [1, 1]]


def test_crops_are_those_of_the_frames_that_the_model_sees() -> None:
    frames = np.zeros((4, 100, 120, 3), np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None, None] * 50
    crops, _ = hand_crops(clip_of(), frames, 8, fps=50.0, num_frames=7)
    assert crops[:, 1, 0, 4, 4].tolist() == [0, 0, 50, 100, 100, 100, 150]  # 0, 20, 40, ... ms of frames every 40 ms
    with pytest.raises(ClipError, match="expected 4 frames, one a pose, found 3"):
        hand_crops(clip_of(), frames[:3])


def inputs(frames: int = 9) -> dict[str, Any]:
    torch.manual_seed(1)
    mask = torch.ones(2, frames, dtype=torch.long)
    mask[1, 5:] = 0
    crop_mask = torch.ones(2, frames, 2, dtype=torch.long)
    crop_mask[0, 2:4] = 0
    crop_mask[1, 5:] = 0
    crops = torch.randint(0, 256, (2, frames, 2, 3, 16, 16), dtype=torch.uint8)
    poses = torch.rand(2, frames, 42, 3)
    return {"pose_values": poses, "attention_mask": mask, "crop_values": crops, "crop_mask": crop_mask,
            "labels": torch.tensor([[5, 6, 1], [7, 1, -100]])}  # fmt: skip


def test_an_old_checkpoint_loads_computes_the_same_and_may_get_crops(tmp_path: Path) -> None:
    old = tiny_model()
    old.save_pretrained(tmp_path)
    given = inputs()
    poses = {name: value for name, value in given.items() if not name.startswith("crop")}
    plain = SignToTextForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert not any(name.startswith("hand_crops") for name in plain.state_dict())
    fused = SignToTextForConditionalGeneration.from_pretrained(tmp_path, hand_crop_width=4).eval()
    assert fused.hand_crops.gate.item() == 0
    for model, seen in ((plain, poses), (fused, poses), (fused, given)):
        assert torch.equal(model(**seen).logits, old(**poses).logits)


def opened(**changes: Any) -> SignToTextForConditionalGeneration:
    model = tiny_model(hand_crop_width=4, **changes)
    torch.nn.init.constant_(model.hand_crops.gate, 0.8)
    return model


def test_padding_and_hands_that_are_not_seen_do_not_count() -> None:
    model, given = opened(), inputs()
    whole = model(**given).logits
    changed = {**given, "crop_values": given["crop_values"].clone()}
    changed["crop_values"][given["crop_mask"] == 0] = 7
    assert torch.equal(model(**changed).logits, whole)
    alone = {name: value[1:, :5] if name != "labels" else value[1:, :2] for name, value in given.items()}
    torch.testing.assert_close(model(**alone).logits, whole[1:, :2], atol=1e-5, rtol=1e-5)
    changed["crop_values"][0, 0] = 255 - changed["crop_values"][0, 0]
    assert not torch.allclose(model(**changed).logits, whole)


def test_generation_takes_crops_and_a_saved_model_has_them(tmp_path: Path) -> None:
    model = opened(text_encoder="skip")
    given = {name: value for name, value in inputs().items() if name != "labels"}
    tokens = model.generate(**given, max_new_tokens=6, num_beams=2)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "hand_crop_encoder.py").is_file()
    loaded = SignToTextForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert torch.equal(loaded.generate(**given, max_new_tokens=6, num_beams=2), tokens)


def test_the_gate_opens_where_only_pictures_tell_clips_apart() -> None:
    model, given = tiny_model(hand_crop_width=4, text_encoder="skip").train(), inputs()
    given["pose_values"] = given["pose_values"][:1].repeat(2, 1, 1, 1)
    given["attention_mask"][:], given["crop_mask"][:] = 1, 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = model(**given).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1, loss.item()
    assert abs(model.hand_crops.gate.tanh().item()) > 0.02


def test_crops_need_a_pose_encoder() -> None:
    video = VideoEncoderConfig(backbone_config={"model_type": "videomae"})
    with pytest.raises(StrictDataclassClassValidationError, match="hand_crop_width expects a pose encoder"):
        SignToTextConfig(encoder_config=video, text_config=UMT5Config(**T5), hand_crop_width=4)
    with pytest.raises(StrictDataclassClassValidationError, match="multiple of 4"):
        SignToTextConfig(encoder_config={**POSE}, text_config=UMT5Config(**T5), hand_crop_width=3)
