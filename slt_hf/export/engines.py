"""Engines over exported graphs: the same methods as those over PyTorch in `slt_hf/engines.py`, and no torch.

# B clips, T frames, S encoder steps, R rows of the decoder (clips times beams), V vocabulary
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.checkpoint import read_json
from slt_hf.ctc import sequence_log_probability
from slt_hf.engines import (
    BEAMS_WITH_LANGUAGE_MODEL,
    MAX_NEW_TOKENS,
    Hypothesis,
    ctc_hypothesis,
    decoder_inputs,
    summed_log_probabilities,
)
from slt_hf.errors import ExportError
from slt_hf.export.decoding import generate_tokens
from slt_hf.export.folder import ExportFolder
from slt_hf.export.generation_options import GenerationOptions
from slt_hf.export.logits_rules import log_softmax
from slt_hf.export.providers import open_session, provider_for
from slt_hf.export.windows import encoder_of
from slt_hf.label_ngrams import LabelNgrams

PRECISIONS = (None, "auto", "float32")


class OnnxGraph:
    """One graph on one device: arrays in, arrays out, by name."""

    def __init__(self, export: ExportFolder, name: str, device: str | None = None):
        self.session = open_session(export, name, device)
        self.inputs = {each.name: each for each in self.session.get_inputs()}
        self.outputs = [each.name for each in self.session.get_outputs()]

    def __call__(self, **inputs: Any) -> dict[str, np.ndarray]:
        feed = {name: np.ascontiguousarray(value) for name, value in inputs.items() if name in self.inputs}
        return dict(zip(self.outputs, self.session.run(None, feed), strict=True))


class Decoder:
    """The decoder of one batch: its cache stays where ONNX Runtime computes, whatever device that is.

    Args:
        memory: what the encoder graph gave, (B, ...) each.
        beams: rows for each clip.
    """

    def __init__(self, graph: OnnxGraph, memory: Mapping[str, np.ndarray], beams: int, device: tuple[str, int]):
        import onnxruntime

        self.session, self.device = graph.session, device
        self.make = lambda array: onnxruntime.OrtValue.ortvalue_from_numpy(array, *device)
        read = {name: value for name, value in memory.items() if name in graph.inputs}
        self.fixed = {
            name: self.make(trimmed(name, np.repeat(value, beams, axis=0), memory)) for name, value in read.items()
        }
        self.size = len(memory["memory_mask"]) * beams
        self.past = {
            name: self.make(np.zeros((self.size, entry.shape[1], 0, entry.shape[3]), np.float32))
            for name, entry in graph.inputs.items()
            if name.startswith("past_")
        }
        self.rows = self.make(np.arange(self.size))
        self.outputs = graph.outputs

    def step(self, tokens: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """Last tokens (R,), the row that each row continues (R,) or None for its own -> logits (R, V)"""
        return self.run(tokens[:, None], rows)[:, -1]

    def run(self, tokens: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """New tokens (R, Q) -> logits (R, Q, V)"""
        binding = self.session.io_binding()
        for name, value in (self.fixed | self.past).items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_cpu_input("decoder_input_ids", np.ascontiguousarray(tokens))
        binding.bind_ortvalue_input("rows", self.rows if rows is None else self.make(rows))
        for name in self.outputs:
            binding.bind_output(name, *(("cpu",) if name == "logits" else self.device))
        self.session.run_with_iobinding(binding)
        found = dict(zip(self.outputs, binding.get_outputs(), strict=True))
        self.past = {name: found[name.replace("past_", "present_")] for name in self.past}
        return found["logits"].numpy()


def trimmed(name: str, value: np.ndarray, memory: Mapping[str, np.ndarray]) -> np.ndarray:
    """Without the steps that no clip of the batch uses: a graph has as many as the clip could need."""
    used = np.flatnonzero(memory["memory_mask"].any(0))
    stop = int(used.max(initial=0)) + 1
    return np.ascontiguousarray(value[:, :stop] if name == "memory_mask" else value[:, :, :stop])


class OnnxGenerator:
    """`generate` over an encoder graph and a decoder graph with cache."""

    encoder: Any  # arrays in, arrays out, by name: an `OnnxGraph`, windows of a video, or a server's
    decoder: Any

    def __init__(self, export: ExportFolder, device: str | None = None):
        name, _ = provider_for(device)
        index = int(device.partition(":")[2] or 0) if device else 0
        self.device = ("cuda", index) if name in ("cuda", "tensorrt") else ("cpu", 0)
        self.export, self.asked = export, device
        self.encoder = encoder_of(lambda name: OnnxGraph(export, name, device), export.manifest)
        self.decoder = OnnxGraph(export, "decoder", device)
        self.defaults = read_json(export.path, "generation_config.json")

    def encode(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return self.encoder(**inputs)

    @cached_property
    def stream(self) -> OnnxStreamEncoder | None:
        """What reads clips as they are signed; all streams of an engine share it. None where the model cannot."""
        if not {"stream", "bridge"} <= set(self.export.graphs):
            return None
        return OnnxStreamEncoder(self.export, self.asked)

    def begin(self, memory: Mapping[str, np.ndarray], beams: int) -> Any:
        """The decoder of a batch that was encoded, with so many rows for each clip."""
        return Decoder(self.decoder, memory, beams, self.device)

    def generate(self, inputs: Mapping[str, Any], **options: Any) -> list[Hypothesis]:
        inputs = dict(inputs)
        forced = inputs.pop("forced_bos_token_id", None)
        if forced is not None:
            options = {"forced_bos_token_id": int(forced)} | options
        return self.generate_from(self.encode(inputs), **options)

    def score(self, memory: Mapping[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
        """Logits of sentences that are given whole, (B, L) -> (B, L, V)."""
        return self.begin(memory, 1).run(tokens, None)

    def log_probabilities(self, inputs: Mapping[str, Any], sentences: Sequence[list[int]]) -> list[float]:
        start, pad = self.defaults["decoder_start_token_id"], self.defaults["pad_token_id"]
        memory = self.encode({name: value for name, value in inputs.items() if name != "forced_bos_token_id"})
        logits = self.score(memory, decoder_inputs(sentences, start, pad))
        return summed_log_probabilities(log_softmax(logits), sentences)

    def generate_from(self, memory: Mapping[str, np.ndarray], **options: Any) -> list[Hypothesis]:
        """Sentences from what the encoder graph gave."""
        length = self.defaults.get("max_new_tokens") or MAX_NEW_TOKENS
        chosen = GenerationOptions.read(self.defaults | {"max_new_tokens": length}, options)
        decoder = self.begin(memory, chosen.num_beams)
        return generate_tokens(decoder.step, len(memory["memory_mask"]), chosen)


class OnnxCTC:
    """CTC decoding over an exported recogniser; arguments as of `TorchCTC`."""

    def __init__(self, export: ExportFolder, device: str | None = None):
        self.graph = OnnxGraph(export, "encoder", device)
        self.language_model = LabelNgrams.load(export.path)
        self.blank = read_json(export.path, "config.json").get("pad_token_id") or 0

    def generate(self, inputs: Mapping[str, Any], num_beams: int | None = None) -> list[Hypothesis]:
        if num_beams is None:
            num_beams = 1 if self.language_model is None else BEAMS_WITH_LANGUAGE_MODEL
        return [ctc_hypothesis(steps, self.blank, num_beams, self.language_model) for steps in self._steps(inputs)]

    def log_probabilities(self, inputs: Mapping[str, Any], sentences: Sequence[list[int]]) -> list[float]:
        pairs = zip(self._steps(inputs), sentences, strict=True)
        return [sequence_log_probability(steps, labels, self.blank) for steps, labels in pairs]

    def _steps(self, inputs: Mapping[str, Any]) -> list[np.ndarray]:
        """Log-probabilities of each clip's own steps, (S, V)."""
        output = self.graph(**inputs)
        lengths = output["output_mask"].sum(-1).tolist()
        return [log_softmax(scores[:length]) for scores, length in zip(output["logits"], lengths, strict=True)]


class OnnxClassifier:
    """Softmax over an exported classifier."""

    def __init__(self, export: ExportFolder, device: str | None = None):
        self.graph = OnnxGraph(export, "encoder", device)

    def classify(self, inputs: Mapping[str, Any]) -> np.ndarray:
        return np.exp(log_softmax(self.graph(**inputs)["logits"]))


class OnnxDualEncoder:
    """Unit vectors of clips and of texts, from an exported dual encoder."""

    def __init__(self, export: ExportFolder, device: str | None = None):
        self.sign, self.text = (OnnxGraph(export, part, device) for part in ("encoder", "text"))

    def sign_features(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Model inputs of B clips -> (B, P)"""
        return self.sign(**inputs)["embeds"]

    def text_features(self, input_ids: np.ndarray, text_attention_mask: np.ndarray) -> np.ndarray:
        """Tokens and mask (N, L) -> (N, P)"""
        return self.text(input_ids=input_ids, text_attention_mask=text_attention_mask)["embeds"]


class OnnxStreamEncoder:
    """A streaming encoder whose state goes in and comes out, as `PoseEncoderModel.stream` has it, in arrays."""

    def __init__(self, export: ExportFolder, device: str | None = None):
        self.graph = OnnxGraph(export, "stream", device)
        self.to_memory = OnnxGraph(export, "bridge", device) if "bridge" in export.graphs else None
        self.chunk_frames = int(self.graph.inputs["pose_values"].shape[1])

    def initial_state(self, batch_size: int = 1) -> dict[str, np.ndarray]:
        """The state of a stream that has not begun."""
        kinds = {"tensor(float)": np.float32, "tensor(bool)": np.bool_}
        return {
            name: np.zeros([size if isinstance(size, int) else batch_size for size in entry.shape], kinds[entry.type])
            for name, entry in self.graph.inputs.items()
            if name not in ("pose_values", "attention_mask")
        }

    def chunk(
        self, pose_values: np.ndarray, attention_mask: np.ndarray, state: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """The next `chunk_frames` frames (B, chunk, V, C) -> steps (B, S, D), their mask (B, S), the state after them.

        At the end of a clip the last chunk is padded and the padding masked.
        """
        found = self.run(pose_values, attention_mask, state)
        return found["last_hidden_state"], found["output_mask"], {name: found[f"new_{name}"] for name in state}

    def run(
        self, pose_values: np.ndarray, attention_mask: np.ndarray, state: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Next frames to all that the graph gives; with a CTC head also `labels` and `certainty` of steps, (B, S)."""
        return self.graph(pose_values=pose_values, attention_mask=attention_mask, **state)

    def encode(self, pose_values: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A whole clip, chunk by chunk: steps and mask; its end is padded to a whole chunk."""
        short = -pose_values.shape[1] % self.chunk_frames
        pose_values = np.pad(pose_values, ((0, 0), (0, short), (0, 0), (0, 0)))
        attention_mask = np.pad(attention_mask, ((0, 0), (0, short)))
        state, steps, masks = self.initial_state(len(pose_values)), [], []
        for start in range(0, pose_values.shape[1], self.chunk_frames):
            part = slice(start, start + self.chunk_frames)
            own, mask, state = self.chunk(pose_values[:, part], attention_mask[:, part], state)
            steps.append(own)
            masks.append(mask)
        return np.concatenate(steps, 1), np.concatenate(masks, 1)

    def bridge(self, states: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
        """Streamed steps -> what `OnnxGenerator.generate_from` reads.

        Raises:
            ExportError: if the export has no text model behind its encoder.
        """
        if self.to_memory is None:
            raise ExportError("expected an export of a translator, found one without a decoder; use its states")
        return self.to_memory(sign_states=states, sign_mask=mask)


TEXT_ENGINES = {"SignToTextForConditionalGeneration": OnnxGenerator, "PoseEncoderForCTC": OnnxCTC}
LABEL_ENGINES = dict.fromkeys(
    ("PoseEncoderForSignClassification", "VideoMAEForVideoClassification", "I3DForVideoClassification"), OnnxClassifier
)


def open_engine(folder: Path, engines: Mapping[str, Any], device: str | None, dtype: Any = None) -> Any:
    """The engine for an export's architecture.

    Raises:
        ExportError: if the export is damaged, or is of another kind, or a precision is asked that it does not have.
    """
    export = ExportFolder.open(folder)
    target = export.manifest.get("target", "onnx")
    if target != "onnx":
        raise ExportError(f"{folder}: expected graphs for ONNX Runtime, found an export for {target}; run it there")
    if dtype not in PRECISIONS:
        raise ExportError(f"an export has the precision it was written with, found dtype={dtype!r}; leave dtype out")
    architecture = export.manifest["architecture"]
    if architecture not in engines:
        raise ExportError(
            f"{folder}: expected an export of {' or '.join(engines)}, found {architecture}; use SignClassifier for "
            "classifiers and SignTranslator for the others"
        )
    return engines[architecture](export, device)


def open_classifier(
    folder: Path, device: str | None, dtype: Any = None
) -> tuple[OnnxClassifier, list[str], float | None]:
    """Engine, labels in the order of its probabilities, and the threshold below which a sign counts as unknown."""
    engine = open_engine(folder, LABEL_ENGINES, device, dtype)
    config = read_json(folder, "config.json")
    names = config["id2label"]
    return engine, [names[str(index)] for index in range(len(names))], config.get("unknown_threshold")
