"""`slt-hf check-model`: what fits, how wide it is, and memory by a formula that is held against real tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    BertConfig,
    EncoderDecoderConfig,
    GPT2Config,
    M2M100Config,
    T5Config,
    UMT5Config,
    ViTConfig,
)
from typer.testing import CliRunner

from slt_hf.check_model import ADAPTER_BYTES, ENCODER_BYTES, ModelFit, check_model
from slt_hf.cli.main import app
from slt_hf.errors import CheckpointError, HubError

SMALL: dict[str, Any] = {"d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 96}
SMALL |= {"decoder_ffn_dim": 96, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "vocab_size": 100}
T5 = T5Config(d_model=64, d_kv=16, d_ff=96, num_layers=2, num_heads=4, vocab_size=100)
HALVES: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 100}
CONFIGS = {
    "t5": T5,
    "umt5": UMT5Config(
        **{k: getattr(T5, k) for k in ("d_model", "d_kv", "d_ff", "num_layers", "num_heads", "vocab_size")}
    ),
    "bart": BartConfig(**SMALL, max_position_embeddings=128),
    "m2m_100": M2M100Config(**SMALL),
    "encoder-decoder": EncoderDecoderConfig.from_encoder_decoder_configs(
        BertConfig(**HALVES, intermediate_size=96), GPT2Config(n_embd=64, n_layer=1, n_head=4, vocab_size=100)
    ),
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    for name, config in CONFIGS.items():
        config.save_pretrained(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", CONFIGS)
def test_seq2seq_models_fit_with_the_width_and_parameters_they_have(saved: Path, name: str):
    fit = check_model(str(saved / name))
    model = AutoModelForSeq2SeqLM.from_config(CONFIGS[name])
    assert fit.fits and fit.model_type == name and fit.width == 64 and fit.vocabulary == 100
    assert fit.parameters == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    ("config", "reason"),
    [(GPT2Config(), "decoder_model"), (ViTConfig(), "not in transformers' sequence-to-sequence mapping")],
)
def test_other_models_do_not_fit_and_the_reason_says_what_would(tmp_path: Path, config: Any, reason: str):
    config.save_pretrained(tmp_path)
    fit = check_model(str(tmp_path))
    assert not fit.fits and reason in fit.reasons[0]


def test_two_halves_are_joined_into_one_model(tmp_path: Path):
    CONFIGS["encoder-decoder"].encoder.save_pretrained(tmp_path / "bert")
    CONFIGS["encoder-decoder"].decoder.save_pretrained(tmp_path / "gpt2")
    fit = check_model(str(tmp_path / "bert"), decoder=str(tmp_path / "gpt2"))
    whole = AutoModelForSeq2SeqLM.from_config(CONFIGS["encoder-decoder"])
    assert fit.fits and fit.parameters == sum(weight.numel() for weight in whole.parameters())


def without_encoder(fit: ModelFit, precision: str, way: str, each: float = ENCODER_BYTES) -> float:
    """Bytes of the text model alone."""
    value = fit.memory[precision][way]
    assert value is not None
    return value - fit.encoder_parameters * each


def test_memory_formula_equals_what_tensors_take_after_a_step(saved: Path):
    fit = check_model(str(saved / "t5"))
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        model = AutoModelForSeq2SeqLM.from_config(T5).to(dtype)
        weights = sum(weight.nbytes for weight in model.parameters())
        assert without_encoder(fit, precision, "use", 4.0) == weights
        optimizer = torch.optim.AdamW(model.parameters())
        tokens = torch.ones(1, 4, dtype=torch.long)
        model(input_ids=tokens, decoder_input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        gradients = sum(weight.grad.nbytes for weight in model.parameters() if weight.grad is not None)
        moments = sum(t.nbytes for state in optimizer.state.values() for t in state.values() if t.ndim)
        assert without_encoder(fit, precision, "train") == weights + gradients + moments


def test_fewer_bits_take_less_memory_and_train_through_lora_only(saved: Path):
    fit = check_model(str(saved / "t5"))
    sizes = [fit.memory[precision]["use"] or 0.0 for precision in ("fp32", "bf16", "8bit", "4bit")]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    assert fit.memory["8bit"]["train"] is None and fit.memory["4bit"]["lora"] is not None
    rest = fit.parameters - fit.linear_parameters
    assert without_encoder(fit, "8bit", "use", 4.0) == fit.linear_parameters + 2 * rest


def test_adapter_parameters_are_those_peft_makes(saved: Path):
    from peft import LoraConfig, get_peft_model

    for name in ("t5", "bart", "m2m_100"):
        fit = check_model(str(saved / name), lora_r=4)
        model = AutoModelForSeq2SeqLM.from_config(CONFIGS[name])
        targets = fit.lora_targets if fit.lora_targets != ["all-linear"] else "all-linear"
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules=targets))
        trained = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
        assert fit.adapter_parameters == trained, name
        lora = without_encoder(fit, "fp32", "lora")
        assert lora == without_encoder(fit, "fp32", "use", 4.0) + ADAPTER_BYTES * trained


def test_our_part_is_counted_as_the_joined_model_has_it(saved: Path):
    from slt_hf.modeling import PoseEncoderConfig, SignToTextConfig, SignToTextForConditionalGeneration

    joined = SignToTextForConditionalGeneration(SignToTextConfig(encoder_config=PoseEncoderConfig(), text_config=T5))
    ours = sum(w.numel() for w in joined.parameters()) - sum(w.numel() for w in joined.text_model.parameters())
    assert check_model(str(saved / "t5")).encoder_parameters == ours


def test_limits_start_tokens_and_notes(saved: Path):
    bart, t5, m2m = (check_model(str(saved / name)) for name in ("bart", "t5", "m2m_100"))
    assert (bart.longest_input, bart.longest_output) == (128, 128) and "10 s of signing" in bart.notes[0]
    assert (t5.longest_input, t5.decoder_start_token_id) == (None, 0) and "fp16" in t5.notes[0]
    assert any("language_codes" in note for note in m2m.notes)


def test_longer_clips_take_more_activations(saved: Path):
    short, long = (check_model(str(saved / "t5"), frames=frames) for frames in (64, 512))
    assert long.activations > 4 * short.activations


def test_what_cannot_be_read_is_a_typed_error(tmp_path: Path):
    with pytest.raises(HubError, match="check the name and the network"):
        check_model("nobody/no-such-model")
    (tmp_path / "config.json").write_text('{"model_type": "made_up"}')
    with pytest.raises(CheckpointError, match="transformers knows"):
        check_model(str(tmp_path))


def test_the_command_says_it_in_words_and_in_json(saved: Path):
    told = CliRunner().invoke(app, ["check-model", str(saved / "t5"), "--lora-r", "8"])
    assert told.exit_code == 0 and "fits: T5ForConditionalGeneration, width 64" in told.stdout and "4bit" in told.stdout
    printed = CliRunner().invoke(app, ["check-model", str(saved / "t5"), "--json"])
    assert json.loads(printed.stdout)["width"] == 64
    GPT2Config().save_pretrained(saved / "gpt2")
    refused = CliRunner().invoke(app, ["check-model", str(saved / "gpt2")])
    assert refused.exit_code == 1 and "does not fit" in refused.stdout
