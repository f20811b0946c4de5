"""What a pushed frame costs: small pieces of the work, never all, and a stream that can be saved between any two."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from test_export_streaming import tiny_settings, translator
from tiny_checkpoints import SIZES

from slt_hf.engines import TorchGenerator
from slt_hf.modeling import PoseEncoderConfig, PoseEncoderModel
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.streaming.chunk_graph import ChunkGraph
from slt_hf.streaming.live_encoder import LiveEncoder
from slt_hf.synthesis.synthesizer import synthesize


@pytest.mark.parametrize(("layers", "attention"), [(1, "eager"), (3, "sdpa")])
def test_the_pieces_of_a_chunk_are_what_the_encoder_computes(layers: int, attention: str):
    torch.manual_seed(0)
    sizes = SIZES | {"num_hidden_layers": layers}
    config = PoseEncoderConfig(**sizes, chunk_frames=8, attention_window=8, conv_kernel_size=5)
    config._attn_implementation = attention
    encoder = PoseEncoderModel(config)
    chunk, values = ChunkGraph(encoder.eval()), torch.rand(1, 40, 85, 3)
    with torch.inference_mode():
        whole = encoder.stream(values, encoder.initial_state())[0].last_hidden_state
    state, states = chunk.initial_state(), []
    for part in values.split(8, dim=1):
        given = part
        for piece in range(chunk.pieces):
            given, state = chunk.piece(piece, given, state)
        states.append(given)
    assert chunk.pieces == 1 + (layers + 1) // 2
    torch.testing.assert_close(torch.cat(states, 1), whole, atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def engine() -> TorchGenerator:
    return TorchGenerator(translator(ctc_vocab_size=7))


def pieces_of(live: LiveEncoder, clip: PoseClip, moved: bool) -> list[Any]:
    """What each piece of the work on a clip gives; `moved` lets another stream go on after each."""
    found: list[Any] = []
    for start in range(0, 48, 8):
        part = slice(start, start + 8)
        live.push(PoseClip(clip.points[part], clip.confidence[part], clip.layout, clip.fps))
        for _ in range(8):
            if moved:
                state = live.state()
                live.forget()
                live.restore(state)
            guess = live.guess()
            found.append(guess and (guess.tokens, round(guess.log_probability, 4), live.signs))
    return found


def test_an_encoder_goes_on_from_its_state_between_any_two_pieces(
    engine: TorchGenerator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("slt_hf.streaming.live_decoder.LONGEST", 3)  # random weights never agree with themselves
    stays, moves, clip = *(LiveEncoder(engine, tiny_settings()) for _ in range(2)), synthesize("Where is the school?")
    guesses = pieces_of(stays, clip, moved=False)
    assert pieces_of(moves, clip, moved=True) == guesses and sum(guess is not None for guess in guesses) > 2


def test_an_utterance_that_ends_within_a_chunk_knows_the_signs_of_it(engine: TorchGenerator):
    """Counted when hands go down, as if the chunk had been computed at once."""
    at_once, in_pieces = (LiveEncoder(engine, tiny_settings()) for _ in range(2))
    clip = synthesize("Where is the school?")
    part = dataclasses.replace(clip, points=clip.points[:8], confidence=clip.confidence[:8])
    for live in (at_once, in_pieces):
        live.push(part)
    while at_once.given is not None:
        at_once.guess()
    assert in_pieces.signs is None
    in_pieces.finish_chunk()
    assert in_pieces.signs == at_once.signs and np.array_equal(in_pieces.labels, at_once.labels)
