"""The text model of a loaded translator as traced graphs: the same numbers, for half of the time or less.

A small text model spends most of a step between its operations. With the cache as tensors that go in and come out, one
graph serves a beam search, step by step, and a live guess, all its tokens at once.

# B clips, S steps that the decoder attends to, W beams, R = B W decoder rows, Q new tokens, V vocabulary
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache, EncoderDecoderCache

from slt_hf.engines import MAX_NEW_TOKENS, Hypothesis
from slt_hf.errors import RecipeError
from slt_hf.export.decoding import generate_tokens
from slt_hf.export.generation_options import GenerationOptions
from slt_hf.export.graphs import DecoderGraph, decoder_spec
from slt_hf.modeling.modeling_pose_encoder import PoseEncoderModel
from slt_hf.modeling.modeling_sign_to_text import SignEncoderOutput
from slt_hf.streaming.chunk_graph import traced
from slt_hf.streaming.clip_graph import ClipGraph, Encoder

TOLERANCE = 1e-3  # of logits, between a graph and its model; a graph further away is not used
TRIED = ((1, 7, 0, 9), (2, 1, 4, 3), (4, 1, 1, 1))  # R, Q, tokens before them, S: not what it was traced with
WARMUP = 3  # runs in which torch still optimises: no camera shall wait for them


class ByPosition(nn.Module):
    """A graph of named tensors, as tracing has it: tensors in a row."""

    def __init__(self, module: nn.Module, names: list[str]):
        super().__init__()
        self.module, self.names = module, names

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.module(**dict(zip(self.names, tensors, strict=True))).values())


class CrossGraph(nn.Module):
    """What the decoder attends to -> its keys and values in each layer."""

    def __init__(self, text_model: Any, start: int):
        super().__init__()
        self.text_model, self.start = text_model, start

    def forward(self, last_hidden_state: torch.Tensor, memory_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.text_model(  # one token fills the cache, whatever the text model is; its own way is dropped from the graph
            encoder_outputs=(last_hidden_state,),
            attention_mask=memory_mask,
            decoder_input_ids=torch.full_like(memory_mask[:, :1], self.start),
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
        layers = enumerate(cache.cross_attention_cache.layers)
        return {f"cross_{kind}_{i}": getattr(layer, f"{kind}s") for i, layer in layers for kind in ("key", "value")}


class EncoderGraph(nn.Module):
    """The text model's own encoder."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.model.encode_text(features, mask)


class TextGraph:
    """Graphs of one model, for all its streams and clips; they hold the model's own weights.

    Args:
        model: a `SignToTextForConditionalGeneration` on the CPU.
    """

    def __init__(self, model: Any):
        self.model = model
        states, mask = torch.randn(2, 5, model.projector.linear.out_features), padded(2, 5)
        cross = CrossGraph(model.text_model, model.generation_config.decoder_start_token_id)
        self.plain_cross = ByPosition(cross, ["last_hidden_state", "memory_mask"])
        self.cross = traced(self.plain_cross, (states, mask))
        self.encoder = EncoderGraph(model) if model.config.text_encoder == "use" else None
        self.encode = self.encoder and traced(self.encoder, (states, mask))
        poses = isinstance(model.encoder, PoseEncoderModel)
        self.clip = ClipGraph(Encoder(model.encoder), model.encoder.config) if poses else None
        self.spec = decoder_spec(model, cross(states, mask) | {"memory_mask": mask})
        self.plain = ByPosition(DecoderGraph(model.text_model, self.spec.module.num_layers), list(self.spec.inputs))
        self.decode = traced(self.plain, tuple(self.spec.inputs.values()))

    def agrees(self) -> bool:
        """Whether the graphs give the model's numbers for other sizes than they were traced with."""
        pairs = []
        for rows, new, past, steps in (*TRIED, *TRIED[:1] * WARMUP):
            given = self._inputs(rows, new, past, steps)
            pairs.append((self.decode(*given)[0], self.plain(*given)[0]))
            read = (torch.randn(rows, steps, self.model.projector.linear.out_features), given[1])
            pairs += zip(self.cross(*read), self.plain_cross(*read), strict=True)
            if self.encode is not None and self.encoder is not None:
                pairs.append((self.encode(*read), self.encoder(*read)))
        if self.clip is not None and not self.clip.agrees():
            self.clip = None  # the text model's graphs are none the worse
        return all(bool((graph - plain).abs().max() < TOLERANCE) for graph, plain in pairs)

    def _inputs(self, rows: int, new: int, past: int, steps: int) -> tuple[torch.Tensor, ...]:
        sizes = {"rows": rows, "past_rows": rows, "new_tokens": new, "past": past, "steps": steps}
        tensors = {}
        for name, sample in self.spec.inputs.items():
            named = self.spec.axes[name]
            shape = [sizes[named[axis]] if axis in named else size for axis, size in enumerate(sample.shape)]
            tensors[name] = torch.randn(shape) if sample.is_floating_point() else torch.ones(shape, dtype=torch.long)
        return tuple((tensors | {"rows": torch.arange(rows), "memory_mask": padded(rows, steps)}).values())

    def memory(self, states: torch.Tensor, mask: torch.Tensor | None = None) -> Any:
        """What `model.encode(sign_states=states, sign_mask=mask)` gives; without a mask all are real."""
        with torch.inference_mode():
            mask = torch.ones(states.shape[:2], dtype=torch.long) if mask is None else mask
            features, read = self.model.text_features(states, mask)
            if self.encode is not None:
                self.model.check_steps(features)
                features = self.encode(features, read)
        return SignEncoderOutput(
            last_hidden_state=features, attention_mask=read, encoder_states=states, encoder_mask=mask
        )

    def begin(self, memory: Any, beams: int = 1) -> Reading:
        """Read what `model.encode` gave."""
        with torch.inference_mode():
            given = (memory["last_hidden_state"], memory["attention_mask"])
            given = tuple(each.repeat_interleave(beams, 0) if beams > 1 else each for each in given)
            empty = [
                sample.new_zeros(len(given[0]), sample.shape[1], 0, sample.shape[3])
                for name, sample in self.spec.inputs.items()
                if name.startswith("past_")
            ]
            return Reading(self.decode, given[1], list(self.cross(*given)), empty)

    def generate(self, inputs: dict[str, Any], options: dict[str, Any]) -> list[Hypothesis] | None:
        """What `model.generate` finds; None for options that are carried out by it alone.

        Args:
            inputs: of the model, or its `encoder_outputs`.
            options: over those of the checkpoint.
        """
        chosen = self._options(options | {n: int(v) for n, v in inputs.items() if n == "forced_bos_token_id"})
        if chosen is None:
            return None
        named = {name: value for name, value in inputs.items() if name != "forced_bos_token_id"}
        memory = named["encoder_outputs"] if "encoder_outputs" in named else self._encoded(named)
        reading = self.begin(memory, chosen.num_beams)
        return generate_tokens(reading.step, len(memory["attention_mask"]), chosen)

    def _encoded(self, inputs: dict[str, Any]) -> Any:
        """What `model.encode` gives."""
        if self.clip is not None and set(inputs) == {"pose_values", "attention_mask"}:  # no crops, no prompt
            states, mask = self.clip(inputs["pose_values"], inputs["attention_mask"])
            return self.memory(states, mask)
        with torch.inference_mode():
            return self.model.encode(**inputs)

    def _options(self, asked: dict[str, Any]) -> GenerationOptions | None:
        own = {name: value for name, value in vars(self.model.generation_config).items() if not name.startswith("_")}
        try:
            chosen = GenerationOptions.read({"max_new_tokens": MAX_NEW_TOKENS} | own, asked)
        except RecipeError:
            return None
        return None if chosen.do_sample else chosen  # torch's random numbers cannot be had in numpy


class Reading:
    """The decoder over one batch: its cache, and what it attends to."""

    def __init__(self, decode: Any, mask: torch.Tensor, cross: list[torch.Tensor], empty: list[torch.Tensor]):
        self.decode, self.mask, self.cross, self.empty, self.past = decode, mask, cross, empty, empty
        self.rows = torch.arange(len(mask))

    def step(self, tokens: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """Last tokens (R,), the row that each row continues (R,) or None for its own -> logits (R, V)"""
        chosen = self.rows if rows is None else torch.from_numpy(rows)
        with torch.inference_mode():
            last = torch.from_numpy(tokens)[:, None]
            logits, *self.past = self.decode(last, self.mask, chosen, *self.past, *self.cross)
        return logits[:, -1].numpy()

    def score(self, tokens: torch.Tensor) -> torch.Tensor:
        """Sentences that are given whole, (R, Q) -> logits (R, Q, V)"""
        with torch.inference_mode():
            return self.decode(tokens, self.mask, self.rows, *self.empty, *self.cross)[0]


def padded(rows: int, steps: int) -> torch.Tensor:
    """A mask (R, S) whose last row is shorter: one that masks nothing might be left out of a graph."""
    mask = torch.ones(rows, steps, dtype=torch.long)
    mask[-1, (steps + 1) // 2 :] = 0
    return mask


def trace_text(model: Any) -> TextGraph | None:
    """None where a graph would not do: on a GPU, in half precision, and for text models that cannot be traced."""
    if model.device.type != "cpu" or model.dtype != torch.float32:
        return None
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):  # a seed means the same with graphs as without
            graph = TextGraph(model.eval())
            return graph if graph.agrees() else None
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):  # whatever a text model of others does
        return None
