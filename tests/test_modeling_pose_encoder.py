"""The pose encoder: its budget, what it must not depend on, and that a stream of it equals the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from transformers import AutoConfig, AutoModel  # noqa: E402

from slt_hf.modeling import PoseEncoderConfig, PoseEncoderModel  # noqa: E402
from slt_hf.modeling.pose_parts import PARTS_BY_SIZE  # noqa: E402
from slt_hf.processing.landmarks import LAYOUTS, get_layout  # noqa: E402

TINY = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "graph_hidden_size": 8, "point_hidden_size": 4, "part_hidden_size": 16, "attention_window": 8,
    "conv_kernel_size": 5, "dropout": 0.0,
}  # fmt: skip
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def tiny_encoder(**changes) -> PoseEncoderModel:
    """Random weights larger than at the start of training, so that a leak between frames or rows would show."""
    torch.manual_seed(0)
    model = PoseEncoderModel(PoseEncoderConfig(**{**TINY, **changes})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def poses(batch: int = 2, frames: int = 50, landmarks: int = 85, coordinates: int = 3, seed: int = 0) -> torch.Tensor:
    """Random poses in which a fifth of the points is missing."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, frames, landmarks, coordinates, generator=generator)
    values[..., -1] = torch.rand(batch, frames, landmarks, generator=generator)
    return values * (torch.rand(batch, frames, landmarks, 1, generator=generator) > 0.2)


@torch.no_grad()
def encode(model: PoseEncoderModel, values: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    return model(values, mask).last_hidden_state


def test_default_encoder_keeps_its_budget():
    model = PoseEncoderModel(PoseEncoderConfig()).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(poses(1, 256))
    assert counter.get_total_flops() / 256 <= 20e6
    assert sum(parameter.numel() for parameter in model.parameters()) <= 2.0e6


@pytest.mark.parametrize("frames", [1, 2, 15, 16, 17, 33, 200])
@pytest.mark.parametrize("chunk_frames", [None, 4])
def test_output_has_one_step_for_every_two_frames(frames: int, chunk_frames: int | None):
    model = tiny_encoder(chunk_frames=chunk_frames)
    with torch.no_grad():
        output = model(poses(2, frames))
    steps = (frames + 1) // 2
    assert output.last_hidden_state.shape == (2, steps, 32)
    assert output.attention_mask.shape == (2, steps) and output.attention_mask.all()
    assert output.last_hidden_state.isfinite().all()


@pytest.mark.parametrize("chunk_frames", [None, 4])
@pytest.mark.parametrize("frames", [9, 30, 61])
def test_padding_does_not_change_results(frames: int, chunk_frames: int | None):
    model = tiny_encoder(chunk_frames=chunk_frames)
    clip = poses(1, frames)
    padded = torch.cat([clip, poses(1, 41, seed=1) * 100], dim=1)
    mask = torch.zeros(1, frames + 41, dtype=torch.long)
    mask[:, :frames] = 1
    alone = encode(model, clip)
    output = model(padded, mask)
    torch.testing.assert_close(output.last_hidden_state[:, : alone.shape[1]], alone, **CLOSE)
    assert (output.last_hidden_state[:, alone.shape[1] :] == 0).all()
    assert output.attention_mask.sum() == alone.shape[1]


def test_batch_mates_do_not_change_results():
    model = tiny_encoder()
    batch = poses(3, 40)
    mask = torch.ones(3, 40, dtype=torch.long)
    mask[1, 7:] = 0
    mask[2, 23:] = 0
    together = encode(model, batch, mask)
    for row, length in enumerate(mask.sum(-1).tolist()):
        alone = encode(model, batch[row : row + 1, :length])
        torch.testing.assert_close(together[row : row + 1, : alone.shape[1]], alone, **CLOSE)


def test_missing_point_is_not_a_position():
    model = tiny_encoder()
    clip = poses()
    missing = clip[..., -1:] == 0
    moved = torch.where(missing & (torch.arange(3) < 2), torch.tensor(float("nan")), clip)
    torch.testing.assert_close(encode(model, moved), encode(model, clip), atol=0, rtol=0)
    at_zero = clip.clone()
    at_zero[:, :, 40] = torch.tensor([0.0, 0.0, 1.0])
    absent = clip.clone()
    absent[:, :, 40] = 0
    assert (encode(model, at_zero) - encode(model, absent)).abs().max() > 1e-2


def test_hands_alone_are_enough():
    model = tiny_encoder()
    clip = poses()
    hands = torch.zeros_like(clip)
    hands[:, :, 11:53] = clip[:, :, 11:53]
    states = encode(model, hands)
    hands[:, :, 20, 0] += 0.5
    assert states.isfinite().all() and (encode(model, hands) - states).abs().max() > 1e-2
    assert encode(model, torch.zeros_like(clip)).isfinite().all()


def test_mirrored_signer_swaps_the_hands():
    """Left and right hand go through the same weights, x mirrored: a mirrored pose gives the other hand's vector."""
    model = tiny_encoder()
    encoder = model.frame_encoder
    clip = poses()
    mirrored = clip[:, :, list(get_layout("signing_85").mirror)] * torch.tensor([-1.0, 1.0, 1.0])
    mask = torch.ones(2, 50)
    parts = dict(zip(encoder.parts, encoder(clip, mask)[0].chunk(4, dim=-1), strict=True))
    others = dict(zip(encoder.parts, encoder(mirrored, mask)[0].chunk(4, dim=-1), strict=True))
    torch.testing.assert_close(parts["left_hand"], others["right_hand"], **CLOSE)
    torch.testing.assert_close(parts["right_hand"], others["left_hand"], **CLOSE)


def test_hand_shape_is_seen_apart_from_where_the_hand_is():
    from slt_hf.modeling.pose_graph import local_frame

    hand = torch.randn(1, 6, 21, 2)
    seen = torch.ones(1, 6, 21, dtype=torch.bool)
    torch.testing.assert_close(local_frame(3 * hand + 5, seen, 0), local_frame(hand, seen, 0), **CLOSE)
    wrist_missing = seen.clone()
    wrist_missing[..., 0] = False
    hidden = hand * wrist_missing.unsqueeze(-1)
    moved = (3 * hand + 5) * wrist_missing.unsqueeze(-1)
    torch.testing.assert_close(local_frame(moved, wrist_missing, 0), local_frame(hidden, wrist_missing, 0), **CLOSE)


@pytest.mark.parametrize("frames", [11, 64, 90])
@pytest.mark.parametrize("chunk_frames", [None, 4])
def test_every_attention_implementation_gives_the_same(frames: int, chunk_frames: int | None):
    model = tiny_encoder(chunk_frames=chunk_frames)
    clip = poses(2, frames)
    mask = torch.ones(2, frames, dtype=torch.long)
    mask[1, 9:] = 0
    states = {}
    for implementation in ("sdpa", "eager", "flex_attention"):
        model.set_attn_implementation(implementation)
        assert model.config._attn_implementation == implementation
        states[implementation] = encode(model, clip, mask)
    torch.testing.assert_close(states["eager"], states["sdpa"], **CLOSE)
    torch.testing.assert_close(states["flex_attention"], states["sdpa"], **CLOSE)


@pytest.mark.parametrize("chunk_frames", [2, 8, 16])
def test_stream_equals_offline(chunk_frames: int):
    model = tiny_encoder(chunk_frames=chunk_frames)
    clip = poses(2, 112)
    offline = encode(model, clip)
    state, outputs = model.initial_state(batch_size=2), []
    shapes = {name: tensor.shape for name, tensor in state.items()}
    with torch.no_grad():
        for start in range(0, 112, chunk_frames):
            output, state = model.stream(clip[:, start : start + chunk_frames], state)
            outputs.append(output.last_hidden_state)
            assert {name: tensor.shape for name, tensor in state.items()} == shapes  # memory is bounded
    torch.testing.assert_close(torch.cat(outputs, dim=1), offline, **CLOSE)


def test_stream_may_be_fed_several_chunks_and_end_inside_one():
    model = tiny_encoder(chunk_frames=8)
    clip = poses(1, 61)
    offline = encode(model, clip)
    padded = torch.nn.functional.pad(clip, (0, 0, 0, 0, 0, 3))
    mask = torch.ones(1, 64)
    mask[:, 61:] = 0
    with torch.no_grad():
        first, state = model.stream(padded[:, :40], model.initial_state(), mask[:, :40])
        last, _ = model.stream(padded[:, 40:], state, mask[:, 40:])
    states = torch.cat([first.last_hidden_state, last.last_hidden_state], dim=1)
    torch.testing.assert_close(states[:, : offline.shape[1]], offline, **CLOSE)


def test_chunked_encoder_never_looks_past_its_chunk():
    model = tiny_encoder(chunk_frames=8)
    clip = poses(1, 64)
    changed = clip.clone()
    changed[:, 40:] = poses(1, 24, seed=2)
    before, after = encode(model, clip), encode(model, changed)
    torch.testing.assert_close(after[:, :20], before[:, :20], atol=0, rtol=0)
    assert (after[:, 20:] - before[:, 20:]).abs().max() > 1e-2


def test_stream_needs_a_chunked_encoder_and_whole_chunks():
    with pytest.raises(ValueError, match="chunk_frames"):
        tiny_encoder().initial_state()
    model = tiny_encoder(chunk_frames=8)
    with pytest.raises(ValueError, match="found 7"):
        model.stream(poses(1, 7), model.initial_state())


def test_attention_reaches_as_far_as_the_window_and_no_farther():
    model = tiny_encoder(num_hidden_layers=1, conv_kernel_size=1)
    clip = poses(1, 120)
    changed = clip.clone()
    changed[:, 60:62] = poses(1, 2, seed=3)  # step 30; velocity carries it to step 31
    moved = (encode(model, changed) - encode(model, clip)).abs().amax(-1)[0] > 1e-7
    assert moved[22:40].all() and not moved[:22].any() and not moved[40:].any()


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_any_layout_makes_an_encoder(name: str):
    layout = get_layout(name)
    model = PoseEncoderModel(PoseEncoderConfig.from_layout(layout, **TINY)).eval()
    assert encode(model, poses(1, 6, layout.num_points)).shape == (1, 3, 32)


@pytest.mark.parametrize("landmarks", [1, 10, 21, 42, 75, 133, 543])
def test_a_number_of_landmarks_makes_an_encoder(landmarks: int):
    model = tiny_encoder(num_landmarks=landmarks, num_coordinates=4)
    assert encode(model, poses(1, 6, landmarks, 4)).shape == (1, 3, 32)


@pytest.mark.parametrize("name", ["hands_21", "hands_42", "holistic_75", "signing_85", "coco_wholebody_133"])
def test_plain_lists_are_those_of_the_landmark_layouts(name: str):
    layout = get_layout(name)
    parts, edges = PARTS_BY_SIZE[layout.num_points]
    assert {part: tuple(indices) for part, indices in parts.items()} == layout.parts
    assert sorted(sorted(edge) for edge in edges) == sorted(sorted(edge) for edge in layout.edges)


def test_default_anchors_are_wrists_and_nose():
    config = PoseEncoderConfig()
    points = get_layout("signing_85").points
    assert {part: points[index] for part, index in config.anchors.items()} == {
        "left_hand": "left_hand_wrist",
        "right_hand": "right_hand_wrist",
        "face": "face_68_30",
    }
    assert config.layout == "signing_85"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": {"hand": [0, 90]}}, r"\[90\]"),
        ({"num_coordinates": 2}, "at least 3"),
        ({"hidden_size": 33}, "attention heads"),
        ({"chunk_frames": 3}, "multiple of stride 2"),
        ({"chunk_frames": 12}, "whole number of chunks"),
    ],
)
def test_contradicting_sizes_are_refused(changes: dict, message: str):
    with pytest.raises(Exception, match=message):
        PoseEncoderConfig(**{**TINY, **changes})


def test_wrong_layout_is_refused_with_advice():
    with pytest.raises(ValueError, match=r"85, 3.*signing_85.*processor"):
        tiny_encoder()(torch.zeros(1, 4, 75, 3))


@pytest.mark.parametrize("chunk_frames", [None, 4])
def test_saved_encoder_gives_equal_states(tmp_path: Path, chunk_frames: int | None):
    model = tiny_encoder(chunk_frames=chunk_frames)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert type(loaded) is PoseEncoderModel
    assert AutoConfig.from_pretrained(tmp_path).to_dict() == loaded.config.to_dict()
    torch.testing.assert_close(encode(loaded, poses()), encode(model, poses()), atol=0, rtol=0)


def test_hidden_states_and_attentions_are_returned_on_request():
    model = tiny_encoder(attn_implementation="eager")
    output = model(poses(2, 20), output_hidden_states=True, output_attentions=True)
    assert len(output.hidden_states) == 3 and output.hidden_states[0].shape == (2, 10, 32)
    assert len(output.attentions) == 2
    torch.testing.assert_close(output.attentions[0].sum(-1), torch.ones_like(output.attentions[0].sum(-1)))


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        model = tiny_encoder().train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(poses()).last_hidden_state.square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert plain is not None
        torch.testing.assert_close(recomputed, plain, **CLOSE)


def test_bfloat16_stays_near_float32():
    model = tiny_encoder()
    expected = encode(model, poses())
    states = encode(model.to(torch.bfloat16), poses())
    assert states.dtype == torch.bfloat16
    assert (states.float() - expected).abs().mean() < 0.05 * expected.abs().mean()


def test_autocast_trains_in_bfloat16_near_float32():
    model, inputs = PoseEncoderModel(PoseEncoderConfig()).eval(), torch.rand(2, 24, 85, 3)
    exact = model(inputs).last_hidden_state
    with torch.autocast("cpu", torch.bfloat16):  # parameters stay in float32, and so did the learned graph
        found = model(inputs).last_hidden_state
    assert (found.float() - exact).abs().mean() < 0.05 * exact.abs().mean()
    found.float().square().mean().backward()
    assert all(weights.grad is not None and weights.grad.isfinite().all() for weights in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("chunk_frames", [None, 4])
def test_compiled_encoder_equals_eager(chunk_frames: int | None):
    model = tiny_encoder(chunk_frames=chunk_frames)
    compiled = torch.compile(model, fullgraph=True)
    for frames in (20, 50):
        clip = poses(2, frames)
        with torch.no_grad():
            torch.testing.assert_close(compiled(clip).last_hidden_state, encode(model, clip), **CLOSE)
