"""From a TensorRT-LLM checkpoint back to transformers' weights: what proves that nothing was lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def rebuild_state(folder: Path, config: Any) -> dict[str, Any]:
    """The weights of both halves, by transformers' names."""
    from safetensors.torch import load_file

    state: dict[str, Any] = {}
    for half in ("encoder", "decoder"):
        weights = load_file(folder / half / "rank0.safetensors")
        state["shared.weight"] = state[f"{half}.embed_tokens.weight"] = weights["transformer.vocab_embedding.weight"]
        state[f"{half}.final_layer_norm.weight"] = weights["transformer.ln_f.weight"]
        layers = config.num_layers if half == "encoder" else config.num_decoder_layers
        for index in range(layers):
            state |= rebuild_layer(weights, half, index, config)
    state["lm_head.weight"] = weights["lm_head.weight"]
    return state


def rebuild_layer(weights: dict[str, Any], half: str, index: int, config: Any) -> dict[str, Any]:
    ours, theirs = f"transformer.layers.{index}", f"{half}.block.{index}.layer"
    attention = "attention" if half == "encoder" else "self_attention"
    parts = [(0, "SelfAttention", attention)]
    parts += [(1, "EncDecAttention", "cross_attention")] if half == "decoder" else []
    state = {}
    for place, name, own in parts:
        for letter, weight in zip("qkv", weights[f"{ours}.{own}.qkv.weight"].chunk(3), strict=True):
            state[f"{theirs}.{place}.{name}.{letter}.weight"] = weight
        state[f"{theirs}.{place}.{name}.o.weight"] = weights[f"{ours}.{own}.dense.weight"]
        state[f"{theirs}.{place}.layer_norm.weight"] = weights[f"{ours}.{own}_layernorm.weight"]
    if index == 0 or config.model_type == "umt5":
        table = weights[f"{ours}.{attention}.rel_attn_table"].T
        state[f"{theirs}.0.SelfAttention.relative_attention_bias.weight"] = table
    last = f"{theirs}.{len(parts)}"
    state[f"{last}.layer_norm.weight"] = weights[f"{ours}.mlp_layernorm.weight"]
    gated = f"{ours}.mlp.gate.weight" in weights
    for name, own in {"wo": "proj", "wi_0" if gated else "wi": "fc", **({"wi_1": "gate"} if gated else {})}.items():
        state[f"{last}.DenseReluDense.{name}.weight"] = weights[f"{ours}.mlp.{own}.weight"]
    return state
