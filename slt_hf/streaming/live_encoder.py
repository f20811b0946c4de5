"""A chunked encoder over an utterance while it is signed: each chunk is computed once, the state is bounded.

# T frames, V landmarks, C coordinates, S steps, D encoder width
"""

from __future__ import annotations

import dataclasses
import warnings
from itertools import groupby
from typing import Any

import numpy as np

from slt_hf.engines import Hypothesis, TorchGenerator
from slt_hf.errors import ClipError
from slt_hf.processing.hand_geometry import mirrored, signs_with_left
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_normalization import SignerFrame, measure_frame
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip
from slt_hf.streaming.live_decoder import LiveDecoder, array_of, tensor_of
from slt_hf.streaming.sentence_end import step_between


class LiveEncoder:
    """Guesses what an utterance says so far.

    Where the signer stands and which hand signs are measured once, on the first chunk: a guess may be wrong about
    them, what an utterance says in the end never is, since that is read from all of it. The work is done in small
    pieces, of which a stream does two for each frame that comes: a third of a chunk, a look at what it says, a pass of
    the text model.

    Args:
        engine: of a `SignToTextForConditionalGeneration` with a chunked encoder.
        settings: of the checkpoint's processor.
    """

    def __init__(self, engine: Any, settings: PoseSettings):
        self.engine, self.model, self.settings = engine, engine.model, settings
        config = self.model.config.encoder_config
        self.chunk_frames: int = config.chunk_frames
        self.shape = (1, self.chunk_frames, config.num_landmarks, config.num_coordinates)
        self.chunk = engine.chunk  # traced once for all streams of an engine
        self.pieces: int = self.chunk.pieces
        engine.quicken()
        self.decoder = LiveDecoder(self.model, engine.graph)
        self.forget()

    def forget(self) -> None:
        """The utterance is over."""
        self.frame: SignerFrame | None = None
        self.left_handed = False
        self.encoder_state: dict[str, Any] | None = None
        self.done = 0  # pieces of the chunk that is under way
        self.given: Any = None  # what its next piece takes; None while there is no such chunk
        self.states: list[Any] = []  # (1, S, D) of each chunk
        self.labels: list[int] = []  # of all steps, by the CTC head where there is one
        self.certainty: list[float] = []  # probabilities of those labels, where they are known
        self.read: list[int] = []  # glosses that were looked at last, by the CTC head
        self.looked = 0  # chunks that were looked at
        self.decoder.forget()

    @property
    def frames_read(self) -> int:
        return len(self.states) * self.chunk_frames

    def push(self, chunk: PoseClip) -> None:
        """The first piece of the next chunk; `guess` does the others.

        Args:
            chunk: the next `chunk_frames` frames of the utterance, at the model's frame rate, while none is under way.
        """
        if self.encoder_state is None:
            self._begin(chunk)
        self.done, self.given = 0, self._prepare(chunk)
        self._go_on()

    def finish_chunk(self) -> None:
        """All that is left of the chunk that is under way."""
        while self.given is not None:
            self._go_on()

    def guess(self) -> Hypothesis | None:
        """The next piece of work; the text so far, whenever one has become ready."""
        if self.given is not None:
            self._go_on()
            return None
        if self.looked < len(self.states):
            self.looked = len(self.states)
            if self._reads_more():
                self.decoder.begin(self._memory())
                return None
        return None if self.decoder.memory is None else self.decoder.step()

    def _go_on(self) -> None:
        """The next piece of the chunk that is under way."""
        self.given = self._piece(self.done, self.given)
        self.done += 1
        if self.done == self.pieces:
            self._take(self.given)
            self.given = None

    def _reads_more(self) -> bool:
        """Whether the newest chunks say something that was not read before. Without a CTC head they may."""
        labels = self._labels()
        if labels is None:
            return True
        before, self.read = self.read, labels
        return self.read not in ([], before)

    @property
    def signs(self) -> int | None:
        """How many signs, or letters, were read so far; None where that is not known."""
        labels = self._labels()
        return None if labels is None else len(labels)

    @property
    def certainty_of_signs(self) -> float | None:
        """Probability of the least certain sign, where each is most certain; None where that is not known."""
        if not self.certainty:
            return None
        runs = groupby(zip(self.labels, self.certainty, strict=True), key=lambda step: step[0])
        return min((max(each for _, each in steps) for label, steps in runs if label), default=0.0)

    def frame_between(self, signs: int) -> int | None:
        """Frame of the utterance half-way from the end of so many signs to the beginning of the next."""
        step = step_between(self.labels, signs)
        return None if step is None else step * self.frames_read // len(self.labels)

    def steps_from(self, frame: int) -> tuple[list[int], list[float]]:
        """Labels from a frame of the utterance on, and how certain they are."""
        first = frame * len(self.labels) // max(1, self.frames_read)
        return self.labels[first:], self.certainty[first:]

    def _labels(self) -> list[int] | None:
        """Glosses that were signed so far; None without a CTC head."""
        return [label for label, _ in groupby(self.labels) if label] if self.labels else None

    def _memory(self) -> Any:
        import torch

        states = torch.cat(self.states, 1)
        if self.engine.graph is not None:
            return self.engine.graph.memory(states)
        mask = torch.ones(states.shape[:2], dtype=torch.long, device=states.device)
        with torch.inference_mode():
            return self.model.encode(sign_states=states, sign_mask=mask)

    def _begin(self, clip: PoseClip) -> None:
        self.encoder_state = self._initial_state()
        self.frame = measure_frame(clip, self.settings.normalization)
        self.left_handed = bool(
            self.settings.signing_hand and signs_with_left(clip.points, clip.confidence, clip.layout)
        )

    def _initial_state(self) -> dict[str, Any]:
        return self.chunk.initial_state()

    def _prepare(self, chunk: PoseClip) -> np.ndarray:
        """Model input (1, chunk, V, C); all zero where nobody is seen."""
        frame = self.frame
        if self.left_handed:
            points, confidence = mirrored(chunk.points, chunk.confidence, chunk.layout)
            chunk = dataclasses.replace(chunk, points=points, confidence=confidence)
            frame = frame and dataclasses.replace(frame, centre=(-frame.centre[0], frame.centre[1]))
        settings = dataclasses.replace(self.settings, signing_hand=None, max_frames=None)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return prepare_clip(chunk, settings, frame)[None]
        except ClipError:
            return np.zeros(self.shape, np.float32)

    def _piece(self, index: int, given: Any) -> Any:
        """Model input, or what the piece before gave -> what the next one takes; of the last, the chunk's states."""
        import torch

        assert self.encoder_state is not None
        if index == 0:
            given = torch.from_numpy(given).to(self.model.device, self.model.dtype)
        given, self.encoder_state = self.chunk.piece(index, given, self.encoder_state)
        return given

    def _take(self, states: Any) -> None:
        """What a whole chunk says, (1, S, D)."""
        import torch

        self.states.append(states)
        if self.model.config.ctc_vocab_size is not None:
            with torch.inference_mode():
                certainty, labels = self.model.ctc_head(states)[0].float().softmax(-1).max(-1)
            self.labels += labels.tolist()
            self.certainty += certainty.tolist()

    def state(self) -> dict[str, Any]:
        encoder = self.encoder_state and {name: array_of(each) for name, each in self.encoder_state.items()}
        return {
            "frame": self.frame and dataclasses.asdict(self.frame),
            "left_handed": self.left_handed,
            "encoder": encoder,
            "done": self.done,
            "given": None if self.given is None else array_of(self.given),
            "states": [array_of(states) for states in self.states],
            "labels": list(self.labels),
            "certainty": list(self.certainty),
            "read": list(self.read),
            "looked": self.looked,
            "decoding": self.decoder.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.frame = state["frame"] and SignerFrame(**state["frame"])
        self.left_handed = state["left_handed"]
        self.labels, self.certainty, self.read = (list(state[name]) for name in ("labels", "certainty", "read"))
        encoder = state["encoder"]
        self.encoder_state = encoder and {name: self._bring(array) for name, array in encoder.items()}
        self.done, given = state["done"], state["given"]
        self.given = None if given is None else self._bring(given)
        self.states = [self._bring(array) for array in state["states"]]
        self.looked = state["looked"]
        self.decoder.restore(state["decoding"])

    def _bring(self, array: np.ndarray) -> Any:
        return tensor_of(array, self.model)


def live_encoder(engine: Any, settings: PoseSettings) -> LiveEncoder | None:
    """For checkpoints that can be read as they are signed; None for the others, which are read when hands go down."""
    if not isinstance(engine, TorchGenerator):
        from slt_hf.streaming.live_export import live_export  # a graph's engine; without torch

        return live_export(engine, settings)
    if getattr(engine.model.config.encoder_config, "chunk_frames", None) is None:  # video encoders have no such field
        return None
    return LiveEncoder(engine, settings)
