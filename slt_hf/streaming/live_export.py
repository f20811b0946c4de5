"""Guesses from an export's graphs while the person signs: `LiveEncoder` and `LiveDecoder` in arrays, without torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from slt_hf.export.engines import OnnxGenerator, OnnxStreamEncoder
from slt_hf.export.logits_rules import log_softmax
from slt_hf.processing.pose_transforms import PoseSettings
from slt_hf.streaming.live_decoder import LiveDecoder
from slt_hf.streaming.live_encoder import LiveEncoder


class ExportLiveDecoder(LiveDecoder):
    """Each pass goes through the decoder's graph with an empty cache."""

    def __init__(self, engine: OnnxGenerator):
        self.engine, self.graph = engine, None
        settings = engine.defaults
        self.start, self.filler = settings["decoder_start_token_id"], settings["pad_token_id"]
        self.first = settings.get("forced_bos_token_id")
        ends = settings.get("eos_token_id")
        self.ends = {ends} if isinstance(ends, int) else set(ends or ())
        self.forget()

    def _log_probs(self, fed: list[int]) -> np.ndarray:
        return log_softmax(self.engine.score(self.memory, np.array([fed], np.int64))[0])

    def _bring(self, memory: dict[str, np.ndarray]) -> Any:
        return memory


class ExportLiveEncoder(LiveEncoder):
    """Chunks go through the stream's graph in one piece; the bridge's graph makes of them what the decoder reads.

    Args:
        engine: of an export that has them.
        stream: its stream encoder.
    """

    def __init__(self, engine: OnnxGenerator, stream: OnnxStreamEncoder, settings: PoseSettings):
        self.engine, self.stream, self.settings = engine, stream, settings
        self.chunk_frames, self.pieces = stream.chunk_frames, 1
        self.shape = (1, *stream.graph.inputs["pose_values"].shape[1:])
        self.decoder = ExportLiveDecoder(engine)
        self.forget()

    def _initial_state(self) -> dict[str, Any]:
        return self.stream.initial_state()

    def _piece(self, index: int, given: np.ndarray) -> dict[str, np.ndarray]:
        assert self.encoder_state is not None
        found = self.stream.run(given, np.ones(given.shape[:2], np.int64), self.encoder_state)
        self.encoder_state = {name: found[f"new_{name}"] for name in self.encoder_state}
        return found

    def _take(self, found: dict[str, np.ndarray]) -> None:
        self.states.append(found["last_hidden_state"])
        for own, name in ((self.labels, "labels"), (self.certainty, "certainty")):  # exports of old have no certainty
            own.extend(found[name][0].tolist() if name in found else [])

    def _memory(self) -> Any:
        states = np.concatenate(self.states, 1)
        return self.stream.bridge(states, np.ones(states.shape[:2], np.int64))

    def _bring(self, array: np.ndarray) -> Any:
        return array


def live_export(engine: Any, settings: PoseSettings) -> LiveEncoder | None:
    """For exports of translators that stream; None for others, and for engines of another kind."""
    stream = engine.stream if isinstance(engine, OnnxGenerator) else None
    return None if stream is None else ExportLiveEncoder(engine, stream, settings)
