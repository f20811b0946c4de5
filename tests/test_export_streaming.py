"""A live stream over an export guesses what a live stream over PyTorch guesses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_checkpoints import SIZES, WORDS, tiny_processor

from slt_hf.engines import TorchGenerator
from slt_hf.export.engines import OnnxGenerator
from slt_hf.export.graphs import DecoderGraph, EncoderGraph, StreamGraph
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.streaming.live_encoder import LiveEncoder
from slt_hf.streaming.live_export import ExportLiveEncoder, live_export
from slt_hf.synthesis.synthesizer import synthesize


def translator(**config: Any) -> Any:
    from transformers import T5Config

    from slt_hf.modeling import PoseEncoderConfig, SignToTextConfig, SignToTextForConditionalGeneration

    torch.manual_seed(0)
    text = T5Config(
        vocab_size=3 + len(WORDS), d_model=32, d_kv=8, num_heads=2, d_ff=32, num_layers=1, num_decoder_layers=1,
        decoder_start_token_id=0, initializer_factor=3.0,
    )  # fmt: skip
    encoder = PoseEncoderConfig(**SIZES, chunk_frames=8, attention_window=8, conv_kernel_size=5)
    model = SignToTextForConditionalGeneration(
        SignToTextConfig(encoder_config=encoder.to_dict(), text_config=text.to_dict(), text_encoder="skip", **config)
    )
    if model.config.ctc_vocab_size is not None:
        torch.nn.init.normal_(model.ctc_head.weight, std=1.0)  # so that labels differ
    return model.eval()


def tiny_settings() -> Any:
    return tiny_processor().feature_extractor.settings


def untraced(module: Any) -> Any:
    """A graph's module as a graph: arrays in, arrays out."""

    def run(**inputs: Any) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            found = module(**{name: torch.as_tensor(value) for name, value in inputs.items()})
        return {name: tensor.numpy() for name, tensor in found.items()}

    return run


class UntracedStream:
    """`OnnxStreamEncoder` before its graphs are traced."""

    def __init__(self, model: Any):
        self.encoder, self.chunk_frames = model.encoder, model.config.encoder_config.chunk_frames
        head = None if model.config.ctc_vocab_size is None else model.ctc_head
        self.chunk, self.to_memory = untraced(StreamGraph(model.encoder, head)), untraced(EncoderGraph(model))
        self.graph = self
        self.inputs = {"pose_values": np.zeros((1, 8, 85, 3))}

    def initial_state(self) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in self.encoder.initial_state().items()}

    def run(self, values: np.ndarray, mask: np.ndarray, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.chunk(pose_values=values, attention_mask=mask, **state)

    def bridge(self, states: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
        return self.to_memory(sign_states=states, sign_mask=mask)


class UntracedGenerator(OnnxGenerator):
    """`OnnxGenerator` before its decoder is traced."""

    def __init__(self, model: Any):
        self.decoder = untraced(DecoderGraph(model.text_model, 1))
        self.defaults = model.generation_config.to_dict()

    def score(self, memory: Any, tokens: np.ndarray) -> np.ndarray:
        past = {f"past_{kind}_0": np.zeros((1, 2, 0, 8), np.float32) for kind in ("key", "value")}
        cross = {name: value for name, value in memory.items() if name.startswith("cross_")}
        mask = memory["memory_mask"]
        return self.decoder(decoder_input_ids=tokens, memory_mask=mask, rows=np.arange(1), **past, **cross)["logits"]


def guesses(live: LiveEncoder, clip: PoseClip, moved: bool = False) -> list[tuple[list[int], float]]:
    """All guesses while a clip is signed; `moved` lets another stream go on in the middle."""
    found = []
    for start in range(0, len(clip.points) - 7, 8):
        part = slice(start, start + 8)
        live.push(PoseClip(clip.points[part], clip.confidence[part], clip.layout, clip.fps))
        if moved and start == 24:
            state = live.state()
            live.forget()
            live.restore(state)
        hypotheses = [live.guess() for _ in range(8)]
        found += [(each.tokens, each.log_probability) for each in hypotheses if each is not None]
    return found


def test_guesses_of_an_export_are_those_of_pytorch():
    model = translator(ctc_vocab_size=7, ctc_compression=True)
    settings = tiny_settings()
    clip = synthesize("Where is the school?")
    theirs = guesses(LiveEncoder(TorchGenerator(model), settings), clip)
    stream: Any = UntracedStream(model)
    for moved in (False, True):
        ours = guesses(ExportLiveEncoder(UntracedGenerator(model), stream, settings), clip, moved)
        assert [tokens for tokens, _ in ours] == [tokens for tokens, _ in theirs] and len(ours) > 2
        assert [score for _, score in ours] == pytest.approx([score for _, score in theirs], abs=1e-3)


def test_without_a_ctc_head_every_chunk_may_say_something_new():
    model = translator()
    stream: Any = UntracedStream(model)
    live = ExportLiveEncoder(UntracedGenerator(model), stream, tiny_settings())
    clip = synthesize("Where is the school?")
    live.push(PoseClip(clip.points[:8], clip.confidence[:8], clip.layout, clip.fps))
    assert live._labels() is None and live._reads_more()


def test_engines_that_cannot_stream_are_read_when_hands_go_down():
    assert live_export(object(), tiny_settings()) is None
