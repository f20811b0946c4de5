"""The text model as a TensorRT-LLM checkpoint for releases up to 1.2: `encoder/` and `decoder/`, each `config.json` and
`rank0.safetensors`, which that release's `trtllm-build` makes engines of (`--context_fmha disable`).

T5, mT5 and UMT5. The stock converter copies the first layer's position table to every layer, which is wrong for UMT5:
here each layer keeps its own, with `use_implicit_relative_attention`, without which the decoder reads one for all.
The sign encoder is not in it: its projected features go in as `prompt_embedding_table`, or as `encoder_output`.

Releases from 1.3 on have no engines. For their PyTorch backend `pytorch/` holds the decoder by transformers' names,
with `sign_text_decoder.py`, which the backend loads it by.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from slt_hf.errors import ExportError

FAMILIES = ("t5", "mt5", "umt5")
LAST_RELEASE = "1.2.1"  # 1.3 has no engines any more: it runs the model by its PyTorch code
NOTICE = f"""`encoder/` and `decoder/` are for TensorRT-LLM up to {LAST_RELEASE}. They were not built and not run: \
what was tested is that the weights of the transformers model come back from them bit by bit.

`pytorch/` is for the PyTorch backend of 1.3 and later: `import sign_text_decoder` before the `LLM` is made. It was \
not run either: its forward pass was held against transformers' with stand-ins for TensorRT-LLM's modules.

Neither holds the sign encoder. Its states, `last_hidden_state` of `encoder.onnx`, come from the ONNX export."""
RMS_NORM, PRE_NORM, GATED_MLP, MLP = 1, 0, 1, 0  # TensorRT-LLM's LayerNormType, LayerNormPositionType, MLPType


def write_checkpoint(model: Any, folder: Path) -> None:
    """Write both halves of a translator's text model.

    Raises:
        ExportError: for a text model of another family.
    """
    text = getattr(model, "text_model", None)  # a recogniser or classifier has none
    family = getattr(getattr(text, "config", None), "model_type", "none")
    if family not in FAMILIES:
        raise ExportError(
            f"expected a text model among {', '.join(FAMILIES)}, found {family}; run it with TensorRT-LLM 1.3's "
            "PyTorch backend, which has BART and mBART, or export to onnx"
        )
    from safetensors.torch import save_file

    for half in ("encoder", "decoder"):
        target = folder / half
        target.mkdir(parents=True)
        save_file(half_weights(text, half), target / "rank0.safetensors")
        (target / "config.json").write_text(json.dumps(half_config(text, half), indent=2) + "\n", encoding="utf-8")


def write_decoder(model: Any, source: Path, folder: Path) -> None:
    """Write what TensorRT-LLM's PyTorch backend loads: config, decoder weights, tokenizer and the code of the model."""
    from safetensors.torch import save_file

    text = model.text_model
    folder.mkdir(parents=True)
    values = text.config.to_dict() | {
        "architectures": ["SignTextDecoder"], "rescale_before_lm_head": rescales(text), "torch_dtype": "float32",
        "decoder_start_token_id": model.generation_config.decoder_start_token_id,
        "is_gated_act": text.config.is_gated_act, "dense_act_fn": text.config.dense_act_fn,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(values, indent=2, default=str) + "\n", encoding="utf-8")
    save_file(decoder_state(text), folder / "model.safetensors", {"format": "pt"})
    shutil.copyfile(Path(__file__).with_name("sign_text_decoder.py"), folder / "sign_text_decoder.py")
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def decoder_state(text: Any) -> dict[str, Any]:
    """What the decoder needs, by transformers' names; tied weights as copies, which safetensors asks for."""
    named = {"shared.weight": text.get_input_embeddings().weight, "lm_head.weight": text.get_output_embeddings().weight}
    named |= {f"decoder.{name}": each for name, each in text.get_decoder().state_dict().items() if "embed" not in name}
    return {name: tensor.detach().contiguous().clone() for name, tensor in named.items()}


def half_config(text: Any, half: str) -> dict[str, Any]:
    """`config.json` of the encoder or the decoder."""
    config, gated = text.config, text.config.is_gated_act
    values: dict[str, Any] = {
        "architecture": "EncoderModel" if half == "encoder" else "DecoderModel",
        "model_type": "t5",  # the name of the family in TensorRT-LLM
        "dtype": "float32", "logits_dtype": "float32",
        "num_hidden_layers": config.num_layers if half == "encoder" else config.num_decoder_layers,
        "num_attention_heads": config.num_heads, "num_key_value_heads": config.num_heads,
        "head_size": config.d_kv, "hidden_size": config.d_model, "intermediate_size": config.d_ff,
        "ffn_hidden_size": config.d_ff, "vocab_size": config.vocab_size,
        "hidden_act": config.dense_act_fn, "gated_act": gated, "mlp_type": GATED_MLP if gated else MLP,
        "norm_epsilon": config.layer_norm_epsilon, "layernorm_type": RMS_NORM, "layernorm_position": PRE_NORM,
        "q_scaling": config.d_kv**-0.5,  # undoes the division by the root of the head's size, which T5 does not have
        "position_embedding_type": "relative", "relative_attention": True,
        "num_buckets": config.relative_attention_num_buckets, "max_distance": config.relative_attention_max_distance,
        "use_implicit_relative_attention": True,
        "has_position_embedding": False, "has_token_type_embedding": False, "has_embedding_layernorm": False,
        "has_embedding_scale": False, "has_attention_qkvo_bias": False, "has_mlp_bias": False,
        "has_model_final_layernorm": True, "use_prompt_tuning": half == "encoder",
        "mapping": {"world_size": 1, "tp_size": 1, "pp_size": 1},
    }  # fmt: skip
    if half == "decoder":
        values |= {
            "has_lm_head_bias": False, "skip_cross_kv": False,
            "rescale_before_lm_head": rescales(text),
            "encoder_hidden_size": config.d_model, "encoder_num_heads": config.num_heads,
            "encoder_head_size": config.d_kv,
        }  # fmt: skip
    return values


def rescales(text: Any) -> bool:
    """Whether logits are scaled by d_model^-0.5: those of a tied head are, and only those."""
    flag = getattr(text.config, "scale_decoder_outputs", None)  # T5's own word for it; UMT5 has none
    return bool(text.config.tie_word_embeddings if flag is None else flag)


def half_weights(text: Any, half: str) -> dict[str, Any]:
    """Tensors of the encoder or the decoder by TensorRT-LLM's names."""
    import torch

    stack = text.get_encoder() if half == "encoder" else text.get_decoder()
    attention = "attention" if half == "encoder" else "self_attention"
    weights = {"transformer.vocab_embedding.weight": text.get_input_embeddings().weight}
    table = None
    for index, block in enumerate(stack.block):
        prefix = f"transformer.layers.{index}"
        own, feed_forward = block.layer[0], block.layer[-1]
        if own.SelfAttention.has_relative_attention_bias:
            table = own.SelfAttention.relative_attention_bias.weight  # T5 has one, in its first layer
        assert table is not None
        weights |= attention_weights(f"{prefix}.{attention}", own.SelfAttention, own.layer_norm)
        weights[f"{prefix}.{attention}.rel_attn_table"] = table.T
        if half == "decoder":
            cross = block.layer[1]
            weights |= attention_weights(f"{prefix}.cross_attention", cross.EncDecAttention, cross.layer_norm)
        weights |= feed_forward_weights(prefix, feed_forward)
    weights["transformer.ln_f.weight"] = stack.final_layer_norm.weight
    if half == "decoder":
        weights["lm_head.weight"] = text.get_output_embeddings().weight
    # copies, since safetensors refuses tensors that share memory
    return {name: tensor.detach().to(torch.float32).contiguous().clone() for name, tensor in weights.items()}


def attention_weights(prefix: str, module: Any, norm: Any) -> dict[str, Any]:
    import torch

    return {
        f"{prefix}.qkv.weight": torch.cat([module.q.weight, module.k.weight, module.v.weight]),
        f"{prefix}.dense.weight": module.o.weight,
        f"{prefix}_layernorm.weight": norm.weight,
    }


def feed_forward_weights(prefix: str, layer: Any) -> dict[str, Any]:
    names = dict(layer.DenseReluDense.named_parameters())
    own = {"proj": "wo"} | ({"fc": "wi"} if "wi.weight" in names else {"fc": "wi_0", "gate": "wi_1"})
    weights = {f"{prefix}.mlp.{name}.weight": names[f"{theirs}.weight"] for name, theirs in own.items()}
    return weights | {f"{prefix}.mlp_layernorm.weight": layer.layer_norm.weight}
