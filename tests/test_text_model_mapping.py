"""Every encoder-decoder of transformers' Seq2SeqLM mapping works as the text model, from a tiny config."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from transformers import CONFIG_MAPPING, AutoModelForSeq2SeqLM, PreTrainedConfig  # noqa: E402
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES  # noqa: E402

from slt_hf.modeling import PoseEncoderConfig, SignToTextConfig, SignToTextForConditionalGeneration  # noqa: E402

# NLLB is model type m2m_100. These run by default; the rest of the mapping is marked slow.
NAMED = ["t5", "umt5", "mt5", "bart", "mbart", "m2m_100", "pegasus", "encoder-decoder"]

CAUSAL = "a causal language model behind an audio encoder: no text encoder and no cross-attention to give signs to"
EXCEPTIONS = {
    "audioflamingo3": CAUSAL,
    "glmasr": CAUSAL,
    "granite_speech": CAUSAL,
    "granite_speech_plus": CAUSAL,
    "moss_transcribe_diarize": CAUSAL,
    "musicflamingo": CAUSAL,
    "nemo_speechlm": CAUSAL,
    "qwen2_audio": CAUSAL,
    "qwen3_asr": CAUSAL,
    "vibevoice_asr": CAUSAL,
    "voxtral": CAUSAL,
    "voxtral_realtime": CAUSAL,
}
# Text models whose own `generate` gives other tokens with a cache than without: FSMT's cache is not exact, and an
# expert's capacity in a mixture of experts depends on how many tokens are decoded at once.
CACHE_CHANGES_TOKENS_UPSTREAM = {"fsmt", "nllb-moe", "switch_transformers"}
GREEDY = {"max_new_tokens": 4, "do_sample": False, "num_beams": 1}
OTHERS = [name for name in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES if name not in {*NAMED, *EXCEPTIONS}]

# sizes by every name that a config of the mapping uses; a config takes those it has
SIZES = {
    "vocab_size": 64, "src_vocab_size": 64, "tgt_vocab_size": 64, "pad_token_id": 0,
    "d_model": 16, "hidden_size": 16, "d_kv": 8, "head_dim": 8, "d_ff": 32, "intermediate_size": 32,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_layers": 1, "num_hidden_layers": 1, "num_decoder_layers": 1,
    "num_encoder_layers": 1, "encoder_layers": 1, "decoder_layers": 1, "num_heads": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "num_encoder_attention_heads": 2, "num_decoder_attention_heads": 2, "max_position_embeddings": 64,
    "attention_window": 8, "block_size": 4, "num_random_blocks": 1, "num_experts": 2,
    "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1,
}  # fmt: skip
STACK = {
    "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 32, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "vocab_size": 64,
}  # fmt: skip
VISION = {**STACK, "image_size": 8, "patch_size": 4}
GPT2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 64}
NESTED = {
    "encoder-decoder": {
        "encoder": {"model_type": "bert", **STACK},
        "decoder": {**GPT2, "is_decoder": True, "add_cross_attention": True, "bos_token_id": 0, "eos_token_id": 1},
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
    },
    "t5gemma": {"encoder": STACK, "decoder": STACK, "vocab_size": 64},
    "t5gemma2": {
        "encoder": {"text_config": STACK, "vision_config": VISION},
        "decoder": STACK,
        "vocab_size": 64,
        "image_token_index": 60,
    },
}


def tiny_text_config(name: str) -> PreTrainedConfig:
    config_class = CONFIG_MAPPING[name]
    if name in NESTED:
        return config_class(**NESTED[name])
    default = config_class()
    sizes = {key: value for key, value in SIZES.items() if hasattr(default, key)}
    if name == "marian":
        sizes["decoder_start_token_id"] = 0  # its default lies beyond the tiny vocabulary
    if name == "prophetnet":
        del sizes["num_hidden_layers"]  # a sum of encoder and decoder layers there, and not to be set
    return config_class(**sizes)


def tiny_encoder_config() -> PoseEncoderConfig:
    return PoseEncoderConfig(
        num_landmarks=42, num_hidden_layers=1, hidden_size=16, num_attention_heads=2, intermediate_size=16,
        graph_hidden_size=8, point_hidden_size=4, part_hidden_size=8, dropout=0.0,
    )  # fmt: skip


def check_text_model(name: str, text_encoder: str, folder: Path):
    torch.manual_seed(0)
    config = SignToTextConfig(
        encoder_config=tiny_encoder_config(), text_config=tiny_text_config(name), text_encoder=text_encoder
    )
    model = SignToTextForConditionalGeneration(config)
    poses = {"pose_values": torch.rand(2, 10, 42, 3), "attention_mask": torch.ones(2, 10, dtype=torch.long)}
    poses["attention_mask"][1, 6:] = 0
    labels = torch.tensor([[7, 8, 9, 1], [10, 11, 1, -100]])

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(10):
        loss = model(**poses, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]

    model.eval()
    greedy = model.generate(**poses, **GREEDY)
    beams = model.generate(**poses, max_new_tokens=4, num_beams=2)
    assert greedy.shape[0] == beams.shape[0] == 2
    if name not in CACHE_CHANGES_TOKENS_UPSTREAM:
        assert torch.equal(greedy, model.generate(**poses, **GREEDY, use_cache=False))

    model.save_pretrained(folder)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(
            loaded(**poses, labels=labels).logits, model(**poses, labels=labels).logits, atol=1e-5, rtol=1e-5
        )
    assert torch.equal(greedy, loaded.generate(**poses, **GREEDY))


@pytest.mark.parametrize("name", NAMED)
def test_named_text_model_learns_generates_and_keeps_logits(name: str, tmp_path: Path):
    check_text_model(name, "use", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_text_model_learns_generates_and_keeps_logits(name: str, tmp_path: Path):
    check_text_model(name, "use", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED + OTHERS)
def test_text_model_works_without_its_encoder(name: str, tmp_path: Path):
    check_text_model(name, "skip", tmp_path)


def test_every_exception_of_the_mapping_is_not_an_encoder_decoder():
    assert set(EXCEPTIONS) <= set(MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
    assert not any(CONFIG_MAPPING[name]().is_encoder_decoder for name in EXCEPTIONS)
