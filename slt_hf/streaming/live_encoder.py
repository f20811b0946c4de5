"""A chunked encoder over an utterance while it is signed: each chunk is computed once, the state is bounded.

# T frames, V landmarks, C coordinates, S steps, D encoder width
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np

from slt_hf.engines import Hypothesis, TorchGenerator
from slt_hf.errors import ClipError
from slt_hf.processing.hand_geometry import mirrored, signs_with_left
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_normalization import SignerFrame, measure_frame
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip


class LiveEncoder:
    """Guesses what an utterance says so far.

    Where the signer stands and which hand signs are measured once, on the first chunk: a guess may be wrong about
    them, what an utterance says in the end never is, since that is read from all of it.

    Args:
        engine: of a `SignToTextForConditionalGeneration` with a chunked encoder.
        settings: of the checkpoint's processor.
    """

    def __init__(self, engine: TorchGenerator, settings: PoseSettings):
        self.engine, self.model, self.settings = engine, engine.model, settings
        self.chunk_frames: int = self.model.config.encoder_config.chunk_frames
        self.forget()

    def forget(self) -> None:
        """The utterance is over."""
        self.frame: SignerFrame | None = None
        self.left_handed = False
        self.encoder_state: dict[str, Any] | None = None
        self.states: list[Any] = []  # (1, S, D) of each chunk
        self.read: list[int] = []  # glosses of the last guess, by the CTC head

    @property
    def frames_read(self) -> int:
        return len(self.states) * self.chunk_frames

    def push(self, chunk: PoseClip) -> None:
        """Compute the next chunk.

        Args:
            chunk: the next `chunk_frames` frames of the utterance, at the model's frame rate.
        """
        if self.encoder_state is None:
            self._begin(chunk)
        self._encode(self._prepare(chunk))

    def guess(self) -> Hypothesis | None:
        """The text so far; None where nothing new was read since the last guess."""
        import torch

        states = torch.cat(self.states, 1)
        if self.model.config.ctc_vocab_size is not None:
            labels = torch.unique_consecutive(self.model.ctc_head(states).argmax(-1)[0])
            read = [int(label) for label in labels if label]
            if read == self.read:
                return None
            self.read = read
            if not read:
                return None
        mask = torch.ones(states.shape[:2], dtype=torch.long)
        with torch.inference_mode():
            memory = self.model.encode(sign_states=states, sign_mask=mask)
        return self.engine.generate_from(memory)[0]

    def _begin(self, clip: PoseClip) -> None:
        self.encoder_state = self.model.encoder.initial_state()
        self.frame = measure_frame(clip, self.settings.normalization)
        self.left_handed = bool(
            self.settings.signing_hand and signs_with_left(clip.points, clip.confidence, clip.layout)
        )

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
            config = self.model.config.encoder_config
            return np.zeros((1, self.chunk_frames, config.num_landmarks, config.num_coordinates), np.float32)

    def _encode(self, values: np.ndarray) -> None:
        import torch

        assert self.encoder_state is not None
        with torch.inference_mode():
            output, self.encoder_state = self.model.encoder.stream(torch.from_numpy(values), self.encoder_state)
        self.states.append(output.last_hidden_state)

    def state(self) -> dict[str, Any]:
        encoder = self.encoder_state and {name: tensor.numpy() for name, tensor in self.encoder_state.items()}
        return {
            "frame": self.frame and dataclasses.asdict(self.frame),
            "left_handed": self.left_handed,
            "encoder": encoder,
            "states": [states.numpy() for states in self.states],
            "read": list(self.read),
        }

    def restore(self, state: dict[str, Any]) -> None:
        import torch

        self.frame = state["frame"] and SignerFrame(**state["frame"])
        self.left_handed, self.read = state["left_handed"], list(state["read"])
        encoder = state["encoder"]
        self.encoder_state = encoder and {name: torch.from_numpy(array.copy()) for name, array in encoder.items()}
        self.states = [torch.from_numpy(array.copy()) for array in state["states"]]


def live_encoder(engine: Any, settings: PoseSettings) -> LiveEncoder | None:
    """For checkpoints that can be read as they are signed; None for the others, which are read when hands go down."""
    if not isinstance(engine, TorchGenerator):
        return None
    if getattr(engine.model.config.encoder_config, "chunk_frames", None) is None:  # video encoders have no such field
        return None
    return LiveEncoder(engine, settings)
