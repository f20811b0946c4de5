"""A sign translator's text decoder for TensorRT-LLM's PyTorch backend (1.3 and later), as an out-of-tree model.

    import sign_text_decoder                       # before the LLM is made; this file lies beside the weights
    llm = tensorrt_llm.LLM(FOLDER, backend="pytorch", attn_backend="TRTLLM",
                           kv_cache_config=KvCacheConfig(cross_kv_cache_fraction=0.5))
    llm.generate({"prompt": "", "multi_modal_data": {"audio": states}})

`states` (S, D) are what an export's `encoder.onnx` calls `last_hidden_state`, where its `memory_mask` is 1: signing is
encoded by ONNX Runtime, text is written here. The backend has T5, whose layers share one position table and whose
logits are always scaled; here each layer may have its own (UMT5), and an untied head is left as it is. Features reach
the decoder by the way that Whisper's do, whose modality is called audio.

It was not run: its forward pass is tested against transformers' with stand-ins for TensorRT-LLM's modules. It was
written after its source of 2026 and imports nothing of slt_hf.

# B requests, S encoder steps, N decoder tokens of all requests in a row, D width
"""

from typing import Any

import torch
from torch import nn

try:
    from tensorrt_llm._torch.models.modeling_t5 import T5DecoderLayer, T5RelativePositionBias
    from tensorrt_llm._torch.models.modeling_utils import PostInitCaller, register_auto_model
    from tensorrt_llm._torch.modules.embedding import Embedding, LMHead
    from tensorrt_llm._torch.modules.linear import TensorParallelMode
    from tensorrt_llm._torch.modules.logits_processor import LogitsProcessor
    from tensorrt_llm._torch.modules.rms_norm import RMSNorm
    from tensorrt_llm.inputs import InputProcessor, MultimodalPlaceholderMetadata, register_input_processor
except ImportError as error:
    raise ImportError(
        "this model runs inside TensorRT-LLM 1.3 or later, on a machine with an NVIDIA GPU: pip install tensorrt-llm; "
        "elsewhere run the ONNX export"
    ) from error

MAX_STEPS = 1024  # that a clip's features are padded to, since those of one batch are stacked


class SignFeatures(InputProcessor):
    """Encoder states of one clip -> what the engine's encoder step gets, and the decoder's first token."""

    requires_encoder_features = True  # a request without signing is refused when it comes

    def __init__(self, model_path: str, config: Any, tokenizer: Any, trust_remote_code: bool = False, **kwargs: Any):
        self.model_path, self.config, self.tokenizer = model_path, config, tokenizer
        self.multimodal_hashing_supported = False

    def get_vocab_size(self) -> None:
        return None

    def get_mm_token_ids(self) -> None:
        return None

    def get_mm_special_token_ids(self) -> None:
        return None

    def __call__(self, inputs: Any, sampling_params: Any) -> tuple[list[int], dict[str, Any]]:
        given = (inputs.get("multi_modal_data") or {}).get("audio")
        if given is None:
            raise ValueError("expected multi_modal_data['audio'] with the encoder's states (S, D), found none")
        states = torch.as_tensor(given[0] if isinstance(given, list) else given)
        if states.ndim != 2 or not 0 < len(states) <= MAX_STEPS or states.shape[1] != self.config.d_model:
            raise ValueError(
                f"expected states (S, {self.config.d_model}) of at most {MAX_STEPS} steps, found {tuple(states.shape)}"
                "; cut the clip into shorter ones, and give the steps of one clip without its padding"
            )
        padded = states.new_zeros(1, MAX_STEPS, states.shape[1])
        padded[0, : len(states)] = states
        features = {"encoder_input_features": padded, "encoder_output_len": len(states)}
        return [self.config.decoder_start_token_id], {"multimodal_data": {"audio": features}}


class PositionedDecoder(nn.Module):
    """Decoder layers, each with a position table: its own, or the first layer's."""

    def __init__(self, model_config: Any):
        super().__init__()
        config = model_config.pretrained_config
        self.layers = nn.ModuleList(
            [T5DecoderLayer(model_config, layer_idx=i) for i in range(config.num_decoder_layers)]
        )
        self.positions = nn.ModuleList(
            [
                T5RelativePositionBias(
                    num_buckets=config.relative_attention_num_buckets, num_heads=config.num_heads,
                    max_distance=config.relative_attention_max_distance, is_decoder=True, dtype=config.torch_dtype,
                )
                for _ in range(config.num_decoder_layers)
            ]
        )  # fmt: skip
        self.final_layernorm = RMSNorm(
            hidden_size=config.d_model, eps=config.layer_norm_epsilon, dtype=config.torch_dtype
        )

    def forward(self, hidden_states: torch.Tensor, attn_metadata: Any, **how: Any) -> torch.Tensor:
        """Embedded tokens (N, D) -> states (N, D)"""
        for layer, positions in zip(self.layers, self.positions, strict=True):
            hidden_states = layer(
                hidden_states=hidden_states, attn_metadata=attn_metadata,
                **bias_of(positions, attn_metadata, len(hidden_states), hidden_states.device), **how,
            )  # fmt: skip
        return self.final_layernorm(hidden_states)


def bias_of(positions: Any, attn_metadata: Any, tokens: int, device: torch.device) -> dict[str, Any]:
    """The table itself where the kernel looks it up beside its cache, and all biases where there is no cache."""
    if attn_metadata.kv_cache_manager is None:
        return {"position_bias": positions(tokens, tokens, device)}
    table = positions.relative_attention_bias.weight.transpose(0, 1)
    return {"relative_attention_bias": table, "relative_attention_max_distance": positions.max_distance}


@register_input_processor(
    SignFeatures,
    model_type="sign_text",
    placeholder_metadata=MultimodalPlaceholderMetadata(placeholder_map={"audio": ""}),
)
@register_auto_model("SignTextDecoder")
class SignTextDecoder(nn.Module, metaclass=PostInitCaller):
    """Encoder states in, logits out."""

    def __init__(self, model_config: Any):
        super().__init__()
        self.model_config = model_config
        config = self.config
        parallel = {"mapping": model_config.mapping, "tensor_parallel_mode": TensorParallelMode.COLUMN}
        sizes = (config.vocab_size, config.d_model)
        self.embedding = Embedding(*sizes, dtype=config.torch_dtype, gather_output=True, **parallel)
        self.decoder = PositionedDecoder(model_config)
        self.lm_head = LMHead(*sizes, dtype=config.torch_dtype, gather_output=True, reduce_output=False, **parallel)
        self.logits_processor = LogitsProcessor()

    def __post_init__(self) -> None:
        for module in self.modules():
            if callable(getattr(module, "create_weights", None)):  # only modules of TensorRT-LLM that hold weights
                module.create_weights()

    def __pp_init__(self) -> None:
        pass

    @property
    def config(self) -> Any:
        return self.model_config.pretrained_config

    def infer_max_seq_len(self) -> int:
        return MAX_STEPS

    def forward(
        self,
        attn_metadata: Any,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        encoder_attn_metadata: Any = None,
        cross_attn_metadata: Any = None,
        skip_cross_kv_projection: bool = False,
        return_context_logits: bool = False,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Tokens of all requests in a row, (N,), and features (B, MAX_STEPS, D) or states that were packed before."""
        if encoder_hidden_states is None and input_features is not None:
            lengths = encoder_attn_metadata.seq_lens.tolist()
            encoder_hidden_states = torch.cat(
                [row[:length] for row, length in zip(input_features, lengths, strict=True)]
            )
        hidden = self.decoder(
            self.embedding(input_ids), attn_metadata, position_ids=position_ids,
            encoder_hidden_states=encoder_hidden_states, cross_attn_metadata=cross_attn_metadata,
            skip_cross_kv_projection=skip_cross_kv_projection,
        )  # fmt: skip
        if self.config.rescale_before_lm_head:
            hidden = hidden * self.config.d_model**-0.5
        return self.logits_processor.forward(hidden, self.lm_head, attn_metadata, return_context_logits)

    def load_weights(self, weights: dict[str, torch.Tensor], **kwargs: Any) -> None:
        """Weights by transformers' names.

        Raises:
            ValueError: if a module with weights gets none.
        """
        found = module_weights(weights, self.config)
        for name, module in self.named_modules():
            own = dict(module.named_parameters(recurse=False))
            if not own:
                continue
            if name not in found:
                raise ValueError(f"expected weights for {name}, found none; export the checkpoint again")
            if hasattr(module, "load_weights"):  # TensorRT-LLM's fuse and shard them
                module.load_weights(weights=found[name])
            else:
                own["weight"].data.copy_(found[name][0]["weight"])


def module_weights(weights: dict[str, torch.Tensor], config: Any) -> dict[str, list[dict[str, torch.Tensor]]]:
    """Module -> its weights, several where the module fuses them."""
    named: dict[str, list[str]] = {
        "embedding": ["shared"], "lm_head": ["lm_head"], "decoder.final_layernorm": ["decoder.final_layer_norm"],
    }  # fmt: skip
    for index in range(config.num_decoder_layers):
        ours, theirs = f"decoder.layers.{index}", f"decoder.block.{index}.layer"
        table = f"{theirs}.0.SelfAttention.relative_attention_bias"
        if f"{table}.weight" not in weights:
            table = "decoder.block.0.layer.0.SelfAttention.relative_attention_bias"
        named[f"decoder.positions.{index}.relative_attention_bias"] = [table]
        named[f"{ours}.self_attn.qkv_proj"] = [f"{theirs}.0.SelfAttention.{letter}" for letter in "qkv"]
        named[f"{ours}.self_attn.o_proj"] = [f"{theirs}.0.SelfAttention.o"]
        named |= {f"{ours}.cross_attn.{letter}_proj": [f"{theirs}.1.EncDecAttention.{letter}"] for letter in "qkvo"}
        norms = ("input_layernorm", "post_attention_layernorm", "cross_attn_layernorm")
        named |= {f"{ours}.{norm}": [f"{theirs}.{place}.layer_norm"] for place, norm in enumerate(norms)}
        dense = f"{theirs}.2.DenseReluDense"
        if config.is_gated_act:
            named[f"{ours}.mlp.gate_up_proj"] = [f"{dense}.wi_0", f"{dense}.wi_1"]
        else:
            named[f"{ours}.mlp.up_proj"] = [f"{dense}.wi"]
        named[f"{ours}.mlp.down_proj"] = [f"{dense}.wo"]
    return {module: [{"weight": weights[f"{name}.weight"]} for name in names] for module, names in named.items()}
