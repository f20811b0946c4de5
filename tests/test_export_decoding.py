"""The numpy generation loop finds what transformers' generate finds, on the same scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from slt_hf.engines import chosen_log_probabilities, hypothesis_until_end
from slt_hf.errors import RecipeError
from slt_hf.export.decoding import generate_tokens
from slt_hf.export.generation_options import GenerationOptions

VOCABULARY, CLIPS = 30, 5
OPTIONS = [
    {},
    {"num_beams": 4},
    {"num_beams": 4, "length_penalty": 2.0},
    {"num_beams": 3, "length_penalty": -1.0, "early_stopping": True},
    {"num_beams": 4, "early_stopping": "never"},
    {"num_beams": 2, "no_repeat_ngram_size": 2, "repetition_penalty": 1.7},
    {"no_repeat_ngram_size": 1, "min_new_tokens": 6},
    {"forced_bos_token_id": 7, "forced_eos_token_id": 1, "num_beams": 3},
    {"suppress_tokens": [4, 9], "min_length": 5},
    {"eos_token_id": [1, 5, 8], "num_beams": 4},
    {"max_new_tokens": 1, "num_beams": 2},
]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=VOCABULARY, d_model=16, d_kv=8, num_heads=2, d_ff=16, num_layers=1, initializer_factor=4.0,
        decoder_start_token_id=0, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).eval()


@pytest.fixture(scope="module")
def memory() -> torch.Tensor:
    return torch.randn(CLIPS, 6, 16, generator=torch.Generator().manual_seed(1))


class Whole:
    """A step function that keeps no cache: it decodes each row's whole sentence again."""

    def __init__(self, model: Any, memory: torch.Tensor, beams: int):
        self.model, self.memory = model, memory.repeat_interleave(beams, 0)
        self.rows = np.zeros((len(self.memory), 0), np.int64)

    def __call__(self, tokens: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        self.rows = np.append(self.rows if rows is None else self.rows[rows], tokens[:, None], axis=1)
        with torch.inference_mode():
            encoded, rows = BaseModelOutput(self.memory), torch.from_numpy(self.rows)
            output = self.model(encoder_outputs=encoded, decoder_input_ids=rows)
        return output.logits[:, -1].numpy()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_tokens_and_probabilities_are_those_of_transformers(model: Any, memory: torch.Tensor, options: dict):
    options = {"max_new_tokens": 12} | options
    chosen = GenerationOptions.read({"eos_token_id": 1, "pad_token_id": 0, "decoder_start_token_id": 0}, options)
    found = generate_tokens(Whole(model, memory, chosen.num_beams), CLIPS, chosen)
    with torch.inference_mode():
        output = model.generate(
            encoder_outputs=BaseModelOutput(memory), **options, do_sample=False, return_dict_in_generate=True,
            output_logits=True,
        )  # fmt: skip
    log_probs, tokens = chosen_log_probabilities(output)
    expected = [hypothesis_until_end(*pair, chosen.ends) for pair in zip(tokens, log_probs, strict=True)]
    assert [each.tokens for each in found] == [each.tokens for each in expected]
    assert [each.confidence for each in found] == pytest.approx([each.confidence for each in expected], abs=1e-5)


@pytest.mark.parametrize("limits", [{}, {"top_k": 3}, {"top_p": 0.6}, {"temperature": 0.5}], ids=str)
def test_samples_come_as_often_as_their_probability_says(limits: dict):
    logits = np.log(np.array([0.02, 0.4, 0.3, 0.2, 0.08], np.float32))
    options = GenerationOptions.read({}, {"do_sample": True, "max_new_tokens": 1, "seed": 0} | limits)
    found = generate_tokens(lambda tokens, rows: np.tile(logits, (20000, 1)), 20000, options)
    share = np.bincount([each.tokens[0] for each in found], minlength=5) / 20000
    expected = np.exp(logits / limits.get("temperature", 1.0))
    if "top_k" in limits:
        expected[[0, 4]] = 0
    if "top_p" in limits:
        expected[[0, 3, 4]] = 0  # 0.4 + 0.3 make up 0.6
    np.testing.assert_allclose(share, expected / expected.sum(), atol=0.015)


def test_a_seed_gives_the_same_sample():
    random = np.random.default_rng(0)
    logits = random.normal(size=(4, 50)).astype(np.float32)

    def sample(seed: int) -> list[list[int]]:
        options = GenerationOptions.read({}, {"do_sample": True, "max_new_tokens": 8, "seed": seed})
        return [each.tokens for each in generate_tokens(lambda tokens, rows: logits, 4, options)]

    assert sample(1) == sample(1) != sample(2)


def test_options_that_a_checkpoint_switches_off_need_not_be_carried_out():
    old = {"typical_p": 1.0, "num_beam_groups": 1, "begin_suppress_tokens": [], "max_length": 20}
    assert GenerationOptions.read(old, {"num_beams": 2}) == GenerationOptions(num_beams=2)


def test_an_option_that_is_not_carried_out_is_refused():
    with pytest.raises(RecipeError, match="penalty_alpha"):
        GenerationOptions.read({}, {"penalty_alpha": 0.6})
    with pytest.raises(RecipeError, match="found typical_p"):
        GenerationOptions.read({"typical_p": 0.9, "num_beam_groups": 1}, {})
    with pytest.raises(RecipeError, match="num_beams must be at least 1, found 0"):
        GenerationOptions.read({}, {"num_beams": 0})
