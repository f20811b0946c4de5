"""The graphs of each kind of model: plain modules that take and give named tensors, with inputs to trace them by.

# B clips, T frames, S encoder steps, P prompt tokens, R decoder rows, Q new tokens, N tokens so far, V vocabulary

Samples have sizes that differ from each other and from one, and axes that may change are declared: `torch.export`
refuses to freeze a declared axis, so none can be frozen unseen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from slt_hf.errors import ExportError
from slt_hf.export.graph_spec import CLIPS, GraphSpec
from slt_hf.export.video_graphs import classifier_spec, window_spec

TOKENS, PAST, PROMPT = 2, 3, 5
STATE_AXIS = {"past_keys": 1, "past_values": 1, "past_convolutions": 1}  # batch axis of a stream's state, else 0


class EncoderGraph(nn.Module):
    """Everything before the decoder's first token: encoder states, and their keys and values for cross-attention."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        encoded = self.model.encode(**inputs)
        states, mask = encoded.last_hidden_state, encoded.attention_mask
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        # one token through the decoder fills the cache whatever the text model is; the token's own path leads to no
        # output and is dropped from the graph
        self.model.text_model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask,
            decoder_input_ids=torch.full_like(mask[:, :1], self.model.generation_config.decoder_start_token_id),
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
        found = {"last_hidden_state": states, "memory_mask": mask}
        for index, layer in enumerate(cache.cross_attention_cache.layers):
            found |= {f"cross_key_{index}": layer.keys, f"cross_value_{index}": layer.values}
        return found


class DecoderGraph(nn.Module):
    """New tokens to logits, with the cache as inputs and outputs. `rows` says which row of the cache each row
    continues, so that beams change places without leaving the device."""

    def __init__(self, text_model: Any, num_layers: int):
        super().__init__()
        self.text_model, self.num_layers = text_model, num_layers

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        for index in range(self.num_layers):
            past = (inputs[f"past_{kind}_{index}"].index_select(0, inputs["rows"]) for kind in ("key", "value"))
            cache.self_attention_cache.update(*past, index)
            cache.cross_attention_cache.update(inputs[f"cross_key_{index}"], inputs[f"cross_value_{index}"], index)
            cache.is_updated[index] = True  # cross-attention reads these instead of projecting encoder states
        mask = inputs["memory_mask"]
        output = self.text_model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._unread_states(mask)),
            attention_mask=mask,
            decoder_input_ids=inputs["decoder_input_ids"],
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
        found = {"logits": output.logits}
        for index, layer in enumerate(cache.self_attention_cache.layers):
            found |= {f"present_key_{index}": layer.keys, f"present_value_{index}": layer.values}
        return found

    def _unread_states(self, mask: torch.Tensor) -> torch.Tensor:
        """Encoder states of the right length that nobody reads."""
        return torch.zeros(*mask.shape, 1, device=mask.device)


class BridgeGraph(EncoderGraph):
    """From states of a streamed or windowed encoder to what the decoder reads."""


class StreamGraph(nn.Module):
    """One chunk of a stream, with the state as inputs and outputs of fixed size."""

    def __init__(self, encoder: Any, ctc_head: Any = None):
        super().__init__()
        self.encoder, self.ctc_head = encoder, ctc_head

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        state = {name: value for name, value in inputs.items() if name not in ("pose_values", "attention_mask")}
        output, new = self.encoder.stream_chunk(inputs["pose_values"], state, inputs["attention_mask"].bool())
        found = {"last_hidden_state": output.last_hidden_state, "output_mask": output.attention_mask}
        if self.ctc_head is not None:  # by which a live translator knows that there is something new to guess
            probabilities = self.ctc_head(output.last_hidden_state).softmax(-1)
            found |= {"labels": probabilities.argmax(-1), "certainty": probabilities.amax(-1)}
        return found | {f"new_{name}": value for name, value in new.items()}


class HeadGraph(nn.Module):
    """A model with a head of its own: its tensors by the names given."""

    def __init__(self, model: Any, outputs: dict[str, str]):
        super().__init__()
        self.model, self.outputs = model, outputs

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        output = self.model(**inputs)
        return {name: output[own] for name, own in self.outputs.items()}


class FeatureGraph(nn.Module):
    """One side of a dual encoder: unit vectors."""

    def __init__(self, model: Any, method: str):
        super().__init__()
        self.model, self.method = model, method

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"embeds": getattr(self.model, self.method)(**inputs)}


def graph_specs(model: Any, prompted: bool = False) -> list[GraphSpec]:
    """The graphs of a model.

    Args:
        prompted: whether its processor puts words before the signing.

    Raises:
        ExportError: for a model that has no graphs yet.
    """
    builders = {
        "SignToTextForConditionalGeneration": lambda: translation_specs(model, prompted),
        "PoseEncoderForCTC": lambda: [head_spec(model, "logits", output_mask="attention_mask")],
        "PoseEncoderForSignClassification": lambda: [head_spec(model, "logits", "embeddings")],
        "SignTextDualEncoderModel": lambda: dual_specs(model),
        "PoseEncoderModel": lambda: [head_spec(model, "last_hidden_state", output_mask="attention_mask")],
        "VideoEncoderModel": lambda: [window_spec(model)],
        "VideoMAEForVideoClassification": lambda: [classifier_spec(model)],
        "I3DForVideoClassification": lambda: [classifier_spec(model)],
    }
    name = type(model).__name__
    if name not in builders:
        raise ExportError(f"expected a model among {', '.join(builders)}, found {name}; run it with PyTorch")
    return builders[name]() + stream_specs(model)


def sample_poses(config: Any, frames: int = 150) -> tuple[dict[str, torch.Tensor], dict[str, dict[int, str]]]:
    """Two clips, longer than an attention window, so that both its blocks and its borders are traced."""
    frames = max(frames, 2 * config.attention_window * config.stride + 3)
    poses = torch.rand(CLIPS, frames, config.num_landmarks, config.num_coordinates)
    mask = torch.ones(CLIPS, frames, dtype=torch.long)
    mask[1, frames // 2 :] = 0
    axes = {0: "batch", 1: "frames"}
    return {"pose_values": poses, "attention_mask": mask}, {"pose_values": dict(axes), "attention_mask": dict(axes)}


def sample_prompt() -> tuple[dict[str, torch.Tensor], dict[str, dict[int, str]]]:
    ids = torch.randint(3, 10, (CLIPS, PROMPT))
    axes = {0: "batch", 1: "prompt"}
    return (
        {"prompt_input_ids": ids, "prompt_attention_mask": torch.ones_like(ids)},
        {"prompt_input_ids": dict(axes), "prompt_attention_mask": dict(axes)},
    )


def translation_specs(model: Any, prompted: bool) -> list[GraphSpec]:
    config = model.config.encoder_config
    if config.model_type == "slt_video_encoder":
        bridge = bridge_spec(model, prompted)
        with torch.inference_mode():
            memory = bridge.module(**bridge.inputs)
        return [window_spec(model.encoder), bridge, decoder_spec(model, memory)]
    check_poses(config)
    inputs, axes = sample_poses(config)
    prompt, prompt_axes = sample_prompt() if prompted else ({}, {})
    encoder = EncoderGraph(model)
    with torch.inference_mode():
        memory = encoder(**inputs, **prompt)
    return [
        GraphSpec("encoder", encoder, inputs | prompt, axes | prompt_axes),
        decoder_spec(model, memory),
    ]


def check_poses(config: Any) -> None:
    """Raises:
    ExportError: for an encoder that reads something else than poses.
    """
    if config.model_type != "slt_pose_encoder":
        raise ExportError(
            f"expected an encoder of poses, or a VideoMAE with a text model, found {config.model_type}; run it with "
            "PyTorch"
        )


def decoder_spec(model: Any, memory: dict[str, torch.Tensor]) -> GraphSpec:
    # random poses say nothing, of which ctc_compression leaves one step; an axis traced at 1 is frozen
    cross = {name: torch.cat([value] * 3, 2) for name, value in memory.items() if name.startswith("cross_")}
    layers = len(cross) // 2
    past: dict[str, torch.Tensor] = {}
    for index in range(layers):
        # self-attention need not be shaped as cross-attention is, but for its steps it is in every known text model
        _, heads, _, width = cross[f"cross_key_{index}"].shape
        past |= {f"past_{kind}_{index}": torch.randn(CLIPS, heads, PAST, width) for kind in ("key", "value")}
    inputs = {
        "decoder_input_ids": torch.randint(3, 10, (CLIPS, TOKENS)),
        "memory_mask": torch.cat([memory["memory_mask"]] * 3, 1),
        "rows": torch.tensor([1, 0]),
    }
    axes = {
        "decoder_input_ids": {0: "rows", 1: "new_tokens"},
        "memory_mask": {0: "rows", 1: "steps"},
        "rows": {0: "rows"},
    }
    axes |= {name: {0: "rows", 2: "steps"} for name in cross} | {name: {0: "past_rows", 2: "past"} for name in past}
    return GraphSpec("decoder", DecoderGraph(model.text_model, layers), inputs | past | cross, axes)


def head_spec(model: Any, *outputs: str, **renamed: str) -> GraphSpec:
    """Outputs of the model by their own names, or by others: an output cannot be called as an input is."""
    inputs, axes = sample_poses(model.config)
    return GraphSpec("encoder", HeadGraph(model, {name: name for name in outputs} | renamed), inputs, axes)


def dual_specs(model: Any) -> list[GraphSpec]:
    check_poses(model.config.encoder_config)
    inputs, axes = sample_poses(model.config.encoder_config)
    ids = torch.randint(3, 10, (CLIPS, 7))
    text = {"input_ids": ids, "text_attention_mask": torch.ones_like(ids)}
    text_axes = {name: {0: "batch", 1: "tokens"} for name in text}
    return [
        GraphSpec("encoder", FeatureGraph(model, "get_sign_features"), inputs, axes),
        GraphSpec("text", FeatureGraph(model, "get_text_features"), text, text_axes),
    ]


def stream_specs(model: Any) -> list[GraphSpec]:
    """For an encoder that can stream: one chunk, and the way from streamed states to the decoder."""
    encoder = getattr(model, "encoder", model)  # a bare encoder is one itself
    chunk = getattr(encoder.config, "chunk_frames", None)  # other encoders have no such field
    if chunk is None:
        return []
    inputs, _ = sample_poses(encoder.config)
    # chunks after the first, so that the state is one that has seen something
    _, state = encoder.stream(inputs["pose_values"][:, :chunk], encoder.initial_state(CLIPS))
    axes = {"pose_values": {0: "batch"}, "attention_mask": {0: "batch"}}
    axes |= {name: {STATE_AXIS.get(name, 0): "batch"} for name in state}
    piece = {name: value[:, chunk : 2 * chunk].clone() for name, value in inputs.items()}
    state = {name: value.detach().clone() for name, value in state.items()}
    if type(model).__name__ != "SignToTextForConditionalGeneration":
        return [GraphSpec("stream", StreamGraph(encoder), piece | state, axes)]
    head = None if model.config.ctc_vocab_size is None else model.ctc_head
    return [GraphSpec("stream", StreamGraph(encoder, head), piece | state, axes), bridge_spec(model)]


def bridge_spec(model: Any, prompted: bool = False, steps: int = 90) -> GraphSpec:
    states = torch.randn(CLIPS, steps, model.config.encoder_config.hidden_size)
    mask = torch.ones(CLIPS, steps, dtype=torch.long)
    mask[1, steps // 2 :] = 0
    axes = {name: {0: "batch", 1: "steps"} for name in ("sign_states", "sign_mask")}
    prompt, prompt_axes = sample_prompt() if prompted else ({}, {})
    inputs = {"sign_states": states, "sign_mask": mask} | prompt
    return GraphSpec("bridge", BridgeGraph(model), inputs, axes | prompt_axes)
