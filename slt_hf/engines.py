"""What computes: model inputs in, token sequences or label probabilities out, with PyTorch.

An engine for another runtime (an exported graph) is a class with the same one method; `SignTranslator` and
`SignClassifier` do not know which one they hold.

# B batch, L tokens, S steps, V vocabulary
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from slt_hf.ctc import beam_labels, greedy_labels, sequence_log_probability
from slt_hf.errors import RecipeError

if TYPE_CHECKING:
    from slt_hf.label_ngrams import LabelNgrams

BEAMS_WITH_LANGUAGE_MODEL = 12
MAX_NEW_TOKENS = 128  # where neither caller nor checkpoint says; transformers' own default of 20 cuts sentences short


@dataclass(frozen=True)
class Hypothesis:
    """One output of a model.

    Attributes:
        tokens: ids, without start and padding.
        log_probability: log P(tokens | clip), natural logarithm, the end of the sentence included where there is one.
        num_factors: how many token probabilities were multiplied into it.
    """

    tokens: list[int]
    log_probability: float
    num_factors: int

    @property
    def confidence(self) -> float:
        """Geometric mean of the token probabilities, in [0, 1]; the same for every engine."""
        return math.exp(min(0.0, self.log_probability) / max(1, self.num_factors))

    def grounding(self, masked_log_probability: float) -> float:
        """Share of the confidence that is lost when the signing is masked, in [0, 1].

        Args:
            masked_log_probability: of the same tokens, for the same clip with nobody in it.
        """
        lost = min(0.0, masked_log_probability - self.log_probability)
        return 1 - math.exp(lost / max(1, self.num_factors))


class TextEngine(Protocol):
    """Model inputs to one token sequence a clip."""

    def generate(self, inputs: Mapping[str, Any], **options: Any) -> list[Hypothesis]: ...

    def log_probabilities(self, inputs: Mapping[str, Any], sentences: Sequence[list[int]]) -> list[float]:
        """log P(tokens | clip) of sentences that are given, one a clip, as in `Hypothesis`."""
        ...


class LabelEngine(Protocol):
    """Model inputs to label probabilities, (B, labels)."""

    def classify(self, inputs: Mapping[str, Any]) -> np.ndarray: ...


class TorchGenerator:
    """`generate` of a sequence-to-sequence model; options are those of transformers' generate."""

    def __init__(self, model: Any):
        self.model = model.eval()
        self.graph: Any = None  # of the text decoder; see `quicken`
        self.was_traced = False  # where that came to nothing, the next stream shall not wait for it again

    def quicken(self) -> None:
        """For many clips or live ones: the text model as traced graphs, where there can be some. The same sentences,
        for half of what they cost (results/graph_speed.json); made in a second, with UMT5-small in ten."""
        if not self.was_traced:
            from slt_hf.streaming.text_graph import trace_text

            self.graph, self.was_traced = trace_text(self.model), True

    @cached_property
    def chunk(self) -> Any:
        """One chunk of the model's streaming encoder, for all its streams."""
        from slt_hf.streaming.chunk_graph import ChunkGraph

        return ChunkGraph(self.model.encoder)

    def generate(self, inputs: Mapping[str, Any], **options: Any) -> list[Hypothesis]:
        return self._run(to_device(inputs, self.model), options)

    def generate_from(self, memory: Any, **options: Any) -> list[Hypothesis]:
        """Sentences from what `model.encode` gave."""
        return self._run({"encoder_outputs": memory}, options)

    def log_probabilities(self, inputs: Mapping[str, Any], sentences: Sequence[list[int]]) -> list[float]:
        import torch

        settings = self.model.generation_config
        fed = decoder_inputs(sentences, settings.decoder_start_token_id, settings.pad_token_id)
        named = to_device({name: value for name, value in inputs.items() if name != "forced_bos_token_id"}, self.model)
        with torch.inference_mode():
            logits = self.model(**named, decoder_input_ids=torch.from_numpy(fed).to(self.model.device)).logits
        return summed_log_probabilities(logits.float().log_softmax(-1).cpu().numpy(), sentences)

    def _run(self, inputs: dict[str, Any], options: dict[str, Any]) -> list[Hypothesis]:
        import torch

        if (beams := options.get("num_beams")) is not None and beams < 1:
            raise RecipeError(f"num_beams: expected 1 (greedy) or more, found {beams}; correct it")
        found = self.graph and self.graph.generate(inputs, options)
        if found is not None:
            return found
        length = self.model.generation_config.max_new_tokens or MAX_NEW_TOKENS
        options = {"max_new_tokens": length} | options
        if options.get("num_return_sequences", 1) != 1:
            raise RecipeError("a translator returns one sentence for each clip; call model.generate for several")
        with torch.inference_mode():
            output = self.model.generate(**inputs, **options, return_dict_in_generate=True, output_logits=True)
        log_probs, tokens = chosen_log_probabilities(output)
        ends = self.model.generation_config.eos_token_id
        return [hypothesis_until_end(row, scores, ends) for row, scores in zip(tokens, log_probs, strict=True)]


class TorchCTC:
    """CTC decoding of a recognition model; `num_beams` above 1 searches, 1 takes the best label of each step.

    With a language model over labels beside the weights, a search is the default.
    """

    def __init__(self, model: Any, language_model: LabelNgrams | None = None):
        self.model = model.eval()
        self.language_model = language_model
        self.blank = model.config.pad_token_id or 0

    def generate(self, inputs: Mapping[str, Any], num_beams: int | None = None) -> list[Hypothesis]:
        if num_beams is None:
            num_beams = 1 if self.language_model is None else BEAMS_WITH_LANGUAGE_MODEL
        return [ctc_hypothesis(steps, self.blank, num_beams, self.language_model) for steps in self._steps(inputs)]

    def log_probabilities(self, inputs: Mapping[str, Any], sentences: Sequence[list[int]]) -> list[float]:
        pairs = zip(self._steps(inputs), sentences, strict=True)
        return [sequence_log_probability(steps, labels, self.blank) for steps, labels in pairs]

    def _steps(self, inputs: Mapping[str, Any]) -> list[np.ndarray]:
        """Log-probabilities of each clip's own steps, (S, V)."""
        import torch

        with torch.inference_mode():
            output = self.model(**to_device(inputs, self.model))
            log_probs = output.logits.float().log_softmax(-1).cpu().numpy()
        return [steps[:length] for steps, length in zip(log_probs, output.attention_mask.sum(-1).tolist(), strict=True)]


class TorchClassifier:
    """Softmax of a classification model."""

    def __init__(self, model: Any):
        self.model = model.eval()
        self.graph: Any = None  # see `quicken`
        self.was_traced = False

    def quicken(self) -> None:
        """For a live stream: the model as traced graphs, where there can be some; the same probabilities."""
        if not self.was_traced:
            from slt_hf.streaming.clip_graph import trace_labels

            self.graph, self.was_traced = trace_labels(self.model), True

    def classify(self, inputs: Mapping[str, Any]) -> np.ndarray:
        import torch

        if self.graph is not None and set(inputs) == {"pose_values", "attention_mask"}:
            return self.graph(inputs["pose_values"], inputs["attention_mask"])[0].numpy()
        with torch.inference_mode():
            logits = self.model(**to_device(inputs, self.model)).logits
        return logits.float().softmax(-1).cpu().numpy()


def ctc_hypothesis(
    log_probs: np.ndarray, blank: int, num_beams: int = 1, language_model: LabelNgrams | None = None
) -> Hypothesis:
    """Decode the steps of one clip, (S, V)."""
    search = num_beams > 1
    labels = greedy_labels(log_probs, blank)
    if search:
        labels = beam_labels(log_probs, blank, num_beams, language_model=language_model)
    return Hypothesis(labels, sequence_log_probability(log_probs, labels, blank), max(1, len(labels)))


def decoder_inputs(sentences: Sequence[list[int]], start: int, pad: int) -> np.ndarray:
    """What a decoder is fed to score given sentences: each behind the start, without its last token, (B, L)."""
    longest = max(map(len, sentences))
    return np.array([[start, *row[:-1], *[pad] * (longest - len(row))] for row in sentences], np.int64)


def summed_log_probabilities(log_probs: np.ndarray, sentences: Sequence[list[int]]) -> list[float]:
    """(B, L, V) for given sentences -> log P of each."""
    return [float(steps[np.arange(len(row)), row].sum()) for steps, row in zip(log_probs, sentences, strict=True)]


def hypothesis_until_end(tokens: list[int], log_probs: list[float], ends: int | list[int] | None) -> Hypothesis:
    """Keep a generated row up to and including its first end of sentence; what follows is padding."""
    stops = {ends} if isinstance(ends, int) else set(ends or ())
    length = next((place + 1 for place, token in enumerate(tokens) if token in stops), len(tokens))
    return Hypothesis(tokens[:length], sum(log_probs[:length]), length)


def chosen_log_probabilities(output: Any) -> tuple[list[list[float]], list[list[int]]]:
    """The model's own log-probability of every token that `generate` chose, whatever sampling or search chose it.

    Args:
        output: of `generate(..., return_dict_in_generate=True, output_logits=True)`.

    Returns:
        log-probabilities and tokens, (B, L) each, without the decoder's start.
    """
    import torch

    logits = torch.stack(output.logits).float().log_softmax(-1)  # (L, B * beams, V)
    beams = getattr(output, "beam_indices", None)  # only outputs of beam search have it
    rows = torch.arange(logits.shape[1], device=logits.device)[:, None] if beams is None else beams.clamp(min=0)
    length = len(logits) if beams is None else min(len(logits), beams.shape[1])
    start = output.sequences.shape[1] - (len(logits) if beams is None else beams.shape[1])
    tokens = output.sequences[:, start : start + length]
    steps = torch.arange(length, device=logits.device)[None]
    chosen = logits[steps, rows[:, :length], tokens]
    return chosen.tolist(), tokens.tolist()


def to_device(inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Tensors of the inputs, where and (for real numbers) as precise as the model is."""
    import torch

    device, dtype = model.device, model.dtype
    tensors = {name: torch.as_tensor(value) for name, value in inputs.items()}
    return {n: t.to(device, dtype) if t.is_floating_point() else t.to(device) for n, t in tensors.items()}
