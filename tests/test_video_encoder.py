"""The video encoder: any number of frames, windows joined in time, and translation from frames to text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_video import make_video
from tiny_checkpoints import WORDS, tiny_tokenizer

torch = pytest.importorskip("torch")

from transformers import AutoModel, T5Config, VideoMAEConfig, VideoMAEModel  # noqa: E402

from slt_hf.modeling import (  # noqa: E402
    SignToTextConfig,
    SignToTextForConditionalGeneration,
    VideoEncoderConfig,
    VideoEncoderModel,
)
from slt_hf.modeling.modeling_video_encoder import interpolated_positions, join_windows  # noqa: E402

BACKBONE = VideoMAEConfig(
    image_size=16, patch_size=8, num_frames=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=16, use_mean_pooling=False,
)  # fmt: skip
T5 = T5Config(vocab_size=20, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0)


def encoder(**fields) -> VideoEncoderModel:
    torch.manual_seed(0)
    return VideoEncoderModel(VideoEncoderConfig(backbone_config=BACKBONE.to_dict(), **fields)).eval()


def frames(count: int, seed: int = 0) -> Any:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def padded(*clips: Any) -> dict[str, Any]:
    values = torch.nn.utils.rnn.pad_sequence(list(clips), batch_first=True)
    mask = torch.stack([torch.arange(values.shape[1]) < len(clip) for clip in clips]).long()
    return {"pixel_values": values, "attention_mask": mask}


def test_a_clip_of_the_backbones_own_length_is_what_videomae_makes_of_it():
    model = encoder()
    clip = frames(8)[None]
    with torch.no_grad():
        expected = model.backbone(clip).last_hidden_state.unflatten(1, (4, 4)).mean(2)
        found = model(pixel_values=clip).last_hidden_state  # pooling starts as the mean
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("count", "steps"), [(1, 1), (3, 2), (6, 3), (8, 4), (9, 5), (21, 11), (32, 16)])
def test_any_number_of_frames_gives_a_step_for_every_two(count, steps):
    output = encoder()(pixel_values=frames(count)[None])
    assert output.last_hidden_state.shape == (1, steps, 16)
    assert output.last_hidden_state.isfinite().all()


def test_padding_and_batch_mates_change_nothing():
    model = encoder(window_stride=4)
    clips = [frames(count, seed) for seed, count in enumerate((21, 5, 8, 12))]
    with torch.no_grad():
        batch = model(**padded(*clips))
        for row, clip in enumerate(clips):
            alone = model(pixel_values=clip[None]).last_hidden_state[0]
            torch.testing.assert_close(batch.last_hidden_state[row, : len(alone)], alone, atol=1e-5, rtol=1e-5)
            assert batch.attention_mask[row].sum() == len(alone)
            assert (batch.last_hidden_state[row, len(alone) :] == 0).all()


def test_a_long_clip_is_its_windows_joined_in_time():
    model = encoder()
    clip = frames(20)
    with torch.no_grad():
        found = model(pixel_values=clip[None]).last_hidden_state[0]
        windows = [model(pixel_values=clip[None, a : a + 8]).last_hidden_state[0] for a in (0, 8, 12)]
    torch.testing.assert_close(found[:6], torch.cat([windows[0], windows[1][:2]]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[6:8], (windows[1][2:] + windows[2][:2]) / 2, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[8:], windows[2][2:], atol=1e-5, rtol=1e-5)


def test_joined_windows_are_averaged_where_they_overlap():
    ones, threes = torch.ones(3, 2), torch.full((3, 2), 3.0)
    assert join_windows([ones, threes], [0, 1], 4)[:, 0].tolist() == [1, 2, 2, 3]


def test_positions_keep_their_place_and_order_when_interpolated():
    table = torch.arange(4.0).repeat_interleave(2)[None, :, None]  # four steps of two patches
    assert interpolated_positions(table, 4, 4) is table
    assert interpolated_positions(table, 4, 2)[0, :, 0].tolist() == [0.5, 0.5, 2.5, 2.5]


def test_window_that_is_no_whole_number_of_tubelets_is_refused():
    with pytest.raises(ValueError, match="multiples of the backbone's tubelet_size 2.*found 7 and 7"):
        VideoEncoderConfig(backbone_config=BACKBONE, window_frames=7)
    with pytest.raises(ValueError, match="at most a window"):
        VideoEncoderConfig(backbone_config=BACKBONE, window_stride=10)


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, frames, 3, 16, 16\), found \(1, 4, 3, 8, 8\)"):
        encoder()(pixel_values=torch.zeros(1, 4, 3, 8, 8))


def test_pooling_learns_and_windows_pass_gradients():
    model = encoder(window_stride=4).train()
    model(pixel_values=frames(12)[None]).last_hidden_state[:, :, 0].sum().backward()
    missing = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert missing == []


def test_videomae_joins_a_text_model_and_reads_clips_of_any_length(tmp_path: Path):
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(0)
    VideoMAEModel(BACKBONE).save_pretrained(tmp_path / "videomae")
    model = SignToTextForConditionalGeneration.from_encoder_text_pretrained(
        str(tmp_path / "videomae"), T5ForConditionalGeneration(T5)
    ).eval()
    trained = VideoMAEModel.from_pretrained(tmp_path / "videomae").state_dict()
    assert all((model.encoder.backbone.state_dict()[name] == weight).all() for name, weight in trained.items())
    inputs = padded(frames(21), frames(5, 1))
    labels = torch.tensor([[5, 6, 1], [7, 1, -100]])
    model(**inputs, labels=labels).loss.backward()
    tokens = model.generate(**inputs, max_new_tokens=4, num_beams=2)
    model.save_pretrained(tmp_path / "joined")
    loaded = AutoModel.from_pretrained(tmp_path / "joined").eval()
    assert torch.equal(loaded.generate(**inputs, max_new_tokens=4, num_beams=2), tokens)
    with torch.no_grad():
        alone = model(pixel_values=inputs["pixel_values"][1:, :5], labels=labels[1:]).logits
        torch.testing.assert_close(model(**inputs, labels=labels).logits[1:], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_joined_parts_keep_their_attention(implementation: str):
    from transformers import PreTrainedModel, T5ForConditionalGeneration

    backbone, text = VideoMAEModel(BACKBONE), T5ForConditionalGeneration(T5)
    backbone.set_attn_implementation(implementation)
    text.set_attn_implementation(implementation)
    model = SignToTextForConditionalGeneration.from_encoder_text_pretrained(backbone, text)
    parts = [part for part in model.modules() if isinstance(part, PreTrainedModel) and part is not model]
    assert {part.config._attn_implementation for part in parts} == {implementation}


def test_the_translator_reads_videos_and_pictures_where_the_checkpoint_sees_frames(tmp_path: Path):
    from slt_hf import SignTranslator
    from slt_hf.processing import SignVideoProcessor, VideoFeatureExtractor

    torch.manual_seed(0)
    fields = {"model_type": "slt_video_encoder", "backbone_config": BACKBONE.to_dict()}
    text = T5Config(**{**T5.to_dict(), "vocab_size": 3 + len(WORDS), "initializer_factor": 3.0})
    SignToTextForConditionalGeneration(SignToTextConfig(encoder_config=fields, text_config=text)).save_pretrained(
        tmp_path
    )
    SignVideoProcessor(
        VideoFeatureExtractor(image_size=16, num_frames=None, fps=12.5), tiny_tokenizer()
    ).save_pretrained(tmp_path)
    video = make_video(tmp_path / "clip.mp4")
    translator = SignTranslator.from_pretrained(tmp_path, device="cpu")
    inputs = translator.processor(videos=str(video), return_tensors="pt")
    tokens = translator.engine.model.generate(**inputs, max_new_tokens=8)  # type: ignore[attr-defined]
    expected = translator.processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()
    assert inputs["pixel_values"].shape == (1, 25, 3, 16, 16)
    assert translator(video, max_new_tokens=8).text == translator(video.read_bytes(), max_new_tokens=8).text == expected
    assert translator(np.zeros((20, 30, 3), np.uint8)).text  # a still picture is a clip of one frame


def test_config_alone_builds_the_same_model():
    fields = {"model_type": "slt_video_encoder", "backbone_config": BACKBONE.to_dict(), "window_stride": 4}
    config = SignToTextConfig(encoder_config=fields, text_config=T5)
    model = SignToTextForConditionalGeneration(config)
    assert model.main_input_name == "pixel_values" and model.encoder.config.window_stride == 4
