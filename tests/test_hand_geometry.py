"""Either hand, any depth unit, other people's hands: what the real recipes rest on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError

from slt_hf.errors import RecipeError
from slt_hf.modeling import PoseEncoderConfig, PoseEncoderForSignClassification
from slt_hf.poses.formats import read_clip
from slt_hf.processing.feature_extraction_pose import PoseFeatureExtractor
from slt_hf.processing.hand_geometry import hand_depth, mirrored, rotations, signs_with_left, vary_hands
from slt_hf.processing.pose_augmentation import AugmentationSettings, augment_clip
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.training.collators import VariantCollator

STILL = {"bone_length": 0.0, "finger_bend": 0.0, "hand_turn": 0.0}


def hand_clip(seed: int = 0, side: str = "right") -> PoseClip:
    """12 frames of one random moving hand in pixels."""
    rng = np.random.default_rng(seed)
    points = np.full((12, 42, 3), np.nan, np.float32)
    first = 21 if side == "right" else 0
    shape = rng.normal(0, 30, (21, 3))
    points[:, first : first + 21] = shape + rng.normal(0, 5, (12, 1, 3)).cumsum(0) + [300, 200, 0]
    confidence = np.asarray(np.isfinite(points).all(-1), np.float32)
    return PoseClip(points, confidence, "hands_42", 25.0)


def extractor(**settings) -> PoseFeatureExtractor:
    return PoseFeatureExtractor(layout="hands_21", num_coordinates=4, normalization="hands", depth="hands", **settings)


def test_a_sign_by_the_left_hand_reads_as_by_the_right():
    clip = hand_clip()
    points, confidence = mirrored(clip.points, clip.confidence, clip.layout)
    left = dataclasses.replace(clip, points=points, confidence=confidence)
    assert signs_with_left(left.points, left.confidence, left.layout)
    read = extractor(signing_hand="right")
    np.testing.assert_allclose(read(left)["pose_values"], read(clip)["pose_values"], atol=1e-5)


def test_of_two_hands_the_one_that_moves_further_signs():
    left, right = hand_clip(1, "left"), hand_clip(2, "right")
    points = np.where(np.isnan(left.points), right.points, left.points)
    points[:, 21:] = points[:1, 21:]  # the right hand rests
    assert signs_with_left(points, np.ones((12, 42), np.float32), "hands_42")


@pytest.mark.parametrize("unit", [0.001, 1.0, 450.0])
def test_the_unit_and_origin_of_depth_do_not_matter(unit):
    clip = hand_clip()
    other = clip.points * [1, 1, unit] + [0, 0, 250 * unit]
    np.testing.assert_allclose(hand_depth(other, clip.layout), hand_depth(clip.points, clip.layout), atol=0.05)


def test_fractions_and_pixels_of_a_square_image_read_alike():
    clip = hand_clip()
    fraction = dataclasses.replace(clip, points=clip.points / 1000)
    read = extractor()
    np.testing.assert_allclose(read(fraction)["pose_values"], read(clip)["pose_values"], atol=1e-4)


def test_hands_that_are_not_varied_stay_as_they_are():
    clip = hand_clip()
    varied = vary_hands(clip.points.copy(), clip.layout, np.random.default_rng(0), STILL)
    np.testing.assert_allclose(varied[..., :2], clip.points[..., :2], atol=1e-3)


def test_varied_hands_keep_their_wrist_and_change_the_rest():
    clip = hand_clip()
    sizes = {"bone_length": 0.1, "finger_bend": 10.0, "hand_turn": 10.0}
    varied = vary_hands(clip.points.copy(), clip.layout, np.random.default_rng(0), sizes)
    np.testing.assert_allclose(varied[:, 21], clip.points[:, 21], atol=1e-3)
    assert np.abs(varied[:, 22:] - clip.points[:, 22:]).max() > 1
    assert np.isnan(varied[:, :21]).all()


def test_a_bend_does_not_change_bone_lengths():
    clip = hand_clip()
    clip.points[..., 2] *= 0.5 * np.sqrt(2)  # depth already on the scale that hands are built in
    plain = vary_hands(clip.points.copy(), clip.layout, np.random.default_rng(0), STILL)
    bent = vary_hands(clip.points.copy(), clip.layout, np.random.default_rng(0), STILL | {"finger_bend": 20.0})
    lengths = [np.linalg.norm(hand[:, 26:30] - hand[:, [21, 26, 27, 28]], axis=-1) for hand in (plain, bent)]
    np.testing.assert_allclose(*lengths, rtol=1e-3)


def test_rotations_are_rotations():
    turns = rotations(np.random.default_rng(0).normal(0, 1, (5, 4, 3)))
    np.testing.assert_allclose(turns @ np.swapaxes(turns, -1, -2), np.broadcast_to(np.eye(3), turns.shape), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-5)


def test_trimming_takes_at_most_its_share_from_each_end():
    clip = hand_clip()
    trim = AugmentationSettings(trim=0.25)
    lengths = {augment_clip(clip, np.random.default_rng(seed), trim).num_frames for seed in range(40)}
    assert min(lengths) >= 6 and max(lengths) <= 12 and len(lengths) > 3


def tiny_classifier(**fields) -> PoseEncoderForSignClassification:
    config = PoseEncoderConfig(
        num_landmarks=21, num_coordinates=4, frame_encoder="shape", hidden_size=8, num_hidden_layers=0,
        num_attention_heads=2, shape_hidden_size=8, part_hidden_size=8, num_labels=3, **fields,
    )  # fmt: skip
    return PoseEncoderForSignClassification(config).eval()


@pytest.mark.parametrize("places", [True, False])
def test_a_hands_place_counts_only_where_the_config_says_so(places):
    torch.manual_seed(0)
    model = tiny_classifier(anchor_places=places)
    poses = torch.cat([torch.randn(2, 5, 21, 3), torch.ones(2, 5, 21, 1)], -1)
    moved = poses + torch.tensor([1.0, -1.0, 0.0, 0.0])
    moved[..., 3] = 1
    with torch.no_grad():
        same = torch.allclose(model(poses).logits, model(moved).logits, atol=1e-4)
    # the first frame's velocity is zero either way, so only the place itself can differ
    assert same != places


def test_bones_depend_on_neither_size_nor_distance_and_points_do():
    torch.manual_seed(0)
    poses = torch.cat([torch.randn(2, 1, 21, 3), torch.ones(2, 1, 21, 1)], -1)  # one frame: nothing moves
    larger = torch.cat([poses[..., :3] * 1.5, poses[..., 3:]], -1)
    for inputs, same in ((["bones"], True), (["points", "bones"], False)):
        model = tiny_classifier(anchor_places=False, shape_inputs=inputs)
        with torch.no_grad():
            assert torch.allclose(model(poses).logits, model(larger).logits, atol=1e-5) == same


def test_a_shape_of_nothing_is_refused():
    with pytest.raises(StrictDataclassClassValidationError, match="shape_inputs must be"):
        tiny_classifier(shape_inputs=["angles"])


def test_a_kept_variant_is_made_once_and_shown_every_few_epochs():
    made = []

    def vary(clip, rng):
        made.append(rng.random())
        return clip

    collate = VariantCollator(extractor(), 2, augmentation=vary, label_column="class_id")
    batches = [collate([{"clip": hand_clip(), "index": 0, "epoch": epoch, "class_id": 1}]) for epoch in range(6)]
    assert len(made) == 2
    torch.testing.assert_close(batches[0]["pose_values"], batches[4]["pose_values"])
    assert batches[0]["labels"].tolist() == [1]


def test_workers_which_would_forget_variants_are_refused():
    collate = VariantCollator(extractor(), 2, label_column="class_id")
    rows = [{"clip": hand_clip(), "index": 0, "epoch": 0, "class_id": 1}]
    with pytest.raises(RecipeError, match="set dataloader_num_workers to 0"):
        next(iter(torch.utils.data.DataLoader(rows, collate_fn=collate, num_workers=1)))


def test_the_signing_hand_of_real_letters_is_found(shared_data):
    folder = shared_data / "isolated" / "fingerspelling" / "poses"
    for language, left in (("ise", True), ("ase", False)):
        clips = [read_clip(path) for path in sorted((folder / language).glob("*.pose"))[:8]]
        assert [signs_with_left(c.points, c.confidence, c.layout) for c in clips] == [left] * 8
