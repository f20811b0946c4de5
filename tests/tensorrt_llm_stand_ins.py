"""Stand-ins for the modules of TensorRT-LLM that our model is made of: their interface of 2026, in plain torch.

Attention here is exact and without a cache; requests lie in a row, as in the backend.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn


@dataclass
class Metadata:
    """Lengths of the requests, and of what they attend to."""

    seq_lens: torch.Tensor
    seq_lens_kv: torch.Tensor | None = None
    kv_cache_manager: Any = None


@dataclass
class ModelConfig:
    pretrained_config: Any
    mapping: Any = None


class Linear(nn.Linear):
    """Loads one weight, or several that it fuses."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, bias=False)

    def load_weights(self, weights: list[dict[str, torch.Tensor]]) -> None:
        self.weight.data.copy_(torch.cat([each["weight"] for each in weights]))


class Embedding(nn.Embedding):
    def __init__(self, size: int, width: int, **kwargs: Any):
        super().__init__(size, width)


class LMHead(Linear):
    def __init__(self, size: int, width: int, **kwargs: Any):
        super().__init__(width, size)


class RMSNorm(nn.RMSNorm):
    def __init__(self, hidden_size: int, eps: float, dtype: Any = None):
        super().__init__(hidden_size, eps=eps)


class LogitsProcessor:
    def forward(self, hidden: torch.Tensor, head: Any, metadata: Any, context_logits: bool) -> torch.Tensor:
        return head(hidden)


class T5RelativePositionBias(nn.Module):
    def __init__(self, num_buckets: int, num_heads: int, max_distance: int, is_decoder: bool, dtype: Any = None):
        super().__init__()
        self.num_buckets, self.max_distance = num_buckets, max_distance
        self.relative_attention_bias = nn.Embedding(num_buckets, num_heads)

    def forward(self, queries: int, keys: int, device: Any) -> torch.Tensor:
        """(1, heads, queries, keys) of a decoder"""
        from transformers.models.t5.modeling_t5 import T5Attention

        distance = torch.arange(keys)[None] - torch.arange(queries)[:, None]
        buckets = T5Attention._relative_position_bucket(distance, False, self.num_buckets, self.max_distance)
        return self.relative_attention_bias(buckets).permute(2, 0, 1)[None]


class SelfAttention(nn.Module):
    def __init__(self, config: Any):
        super().__init__()
        self.heads, inner = config.num_heads, config.num_heads * config.d_kv
        self.qkv_proj, self.o_proj = Linear(config.d_model, 3 * inner), Linear(inner, config.d_model)

    def forward(self, hidden: torch.Tensor, metadata: Metadata, bias: torch.Tensor) -> torch.Tensor:
        rows = [row.chunk(3, -1) for row in self.qkv_proj(hidden).split(metadata.seq_lens.tolist())]
        return self.o_proj(torch.cat([attend(q, k, v, self.heads, bias[0], causal=True) for q, k, v in rows]))


class CrossAttention(nn.Module):
    def __init__(self, config: Any):
        super().__init__()
        self.heads, inner = config.num_heads, config.num_heads * config.d_kv
        self.q_proj, self.k_proj, self.v_proj = (Linear(config.d_model, inner) for _ in range(3))
        self.o_proj = Linear(inner, config.d_model)

    def forward(self, hidden: torch.Tensor, states: torch.Tensor, own: Metadata, other: Metadata) -> torch.Tensor:
        assert other.seq_lens_kv is not None
        queries = self.q_proj(hidden).split(own.seq_lens.tolist())
        lengths = other.seq_lens_kv.tolist()
        keys, values = (layer(states).split(lengths) for layer in (self.k_proj, self.v_proj))
        return self.o_proj(torch.cat([attend(*row, self.heads) for row in zip(queries, keys, values, strict=True)]))


def attend(query: Any, key: Any, value: Any, heads: int, bias: Any = None, causal: bool = False) -> torch.Tensor:
    """(Q, D), (K, D), (K, D) of one request -> (Q, D), without T5's missing scale."""
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(0, 1) for part in (query, key, value))
    scores = query @ key.transpose(1, 2)
    if bias is not None:
        scores = scores + bias[:, : scores.shape[1], : scores.shape[2]]
    if causal:
        scores = scores + torch.full(scores.shape[1:], float("-inf")).triu(1)
    return (scores.softmax(-1) @ value).transpose(0, 1).flatten(1)


class MLP(nn.Module):
    def __init__(self, config: Any):
        super().__init__()
        from transformers.activations import ACT2FN

        self.act, self.gated = ACT2FN[config.dense_act_fn], config.is_gated_act
        if self.gated:
            self.gate_up_proj = Linear(config.d_model, 2 * config.d_ff)
        else:
            self.up_proj = Linear(config.d_model, config.d_ff)
        self.down_proj = Linear(config.d_ff, config.d_model)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if not self.gated:
            return self.down_proj(self.act(self.up_proj(hidden)))
        gate, up = self.gate_up_proj(hidden).chunk(2, -1)
        return self.down_proj(self.act(gate) * up)


class T5DecoderLayer(nn.Module):
    def __init__(self, model_config: ModelConfig, layer_idx: int):
        super().__init__()
        config = model_config.pretrained_config
        self.self_attn, self.cross_attn, self.mlp = SelfAttention(config), CrossAttention(config), MLP(config)
        for name in ("input_layernorm", "post_attention_layernorm", "cross_attn_layernorm"):
            setattr(self, name, RMSNorm(config.d_model, config.layer_norm_epsilon))

    def forward(
        self, position_ids: Any, hidden_states: Any, attn_metadata: Any, encoder_hidden_states: Any,
        cross_attn_metadata: Any, skip_cross_kv_projection: bool, position_bias: Any,
    ) -> torch.Tensor:  # fmt: skip
        hidden = hidden_states
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), attn_metadata, position_bias)
        read = self.post_attention_layernorm(hidden)
        hidden = hidden + self.cross_attn(read, encoder_hidden_states, attn_metadata, cross_attn_metadata)
        return hidden + self.mlp(self.cross_attn_layernorm(hidden))


class PostInitCaller(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made.__post_init__()
        return made


@dataclass
class Registry:
    """What was registered under which name."""

    models: dict[str, Any] = field(default_factory=dict)
    processors: dict[str, Any] = field(default_factory=dict)

    def model(self, name: str) -> Any:
        return lambda cls: self.models.setdefault(name, cls)

    def processor(self, processor: Any, model_type: str, placeholder_metadata: Any) -> Any:
        self.processors[model_type] = processor
        return lambda cls: cls


def install(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Let `import tensorrt_llm` find the stand-ins."""
    registry = Registry()
    modules: dict[str, dict[str, Any]] = {
        "inputs": {
            "InputProcessor": object, "register_input_processor": registry.processor,
            "MultimodalPlaceholderMetadata": dict,
        },
        "_torch.models.modeling_t5": {
            "T5DecoderLayer": T5DecoderLayer, "T5RelativePositionBias": T5RelativePositionBias,
        },
        "_torch.models.modeling_utils": {"PostInitCaller": PostInitCaller, "register_auto_model": registry.model},
        "_torch.modules.embedding": {"Embedding": Embedding, "LMHead": LMHead},
        "_torch.modules.linear": {"TensorParallelMode": type("TensorParallelMode", (), {"COLUMN": 0})},
        "_torch.modules.logits_processor": {"LogitsProcessor": LogitsProcessor},
        "_torch.modules.rms_norm": {"RMSNorm": RMSNorm},
        "": {}, "_torch": {}, "_torch.models": {}, "_torch.modules": {},
    }  # fmt: skip
    for name, content in modules.items():
        path = f"tensorrt_llm.{name}".rstrip(".")
        module = ModuleType(path)
        module.__path__ = []
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, path, module)
    return registry
