"""StreamingTranslator: landmarks in as they are seen, text out while the person signs; neighbours do the rest."""

from __future__ import annotations

import math
import os
import warnings
from typing import Any

from slt_hf.pipeline import SignTranslator, Translation
from slt_hf.processing.pose_errors import ClipError
from slt_hf.streaming.agreement import Agreement
from slt_hf.streaming.events import StreamEvent, StreamPolicy
from slt_hf.streaming.live_encoder import live_encoder
from slt_hf.streaming.utterance_stream import UtteranceStream

LEAD_MS = 1000.0  # of an utterance before and after what it says: hands on their way, and the pause that ends it
NOTHING_READ: tuple[int, Translation | None] = (0, None)  # frames that were read, and what they say


class StreamingTranslator(UtteranceStream):
    """One stream of one person. Many streams share one loaded `SignTranslator`. NOT thread-safe.

    While hands are up, the chunked encoder computes every chunk once and the text model guesses whenever another sign
    was read; when they are down, the whole utterance is read the way `SignTranslator` reads a clip, and that is what
    stands. So what is committed at the end of an utterance is, to the letter, the offline translation of its frames.

    Args:
        translator: a loaded translator.
        layout: of the landmarks that are pushed.
        policy: fields of `StreamPolicy`.

    Example:
        ```python
        stream = StreamingTranslator(SignTranslator.from_pretrained(), layout="holistic_543")
        for points, time_ms in camera:
            for event in stream.push(points, time_ms):
                print(event.committed, event.tentative)
        ```
    """

    def __init__(self, translator: SignTranslator, layout: str = "holistic_543", **policy: Any):
        settings = translator.processor.feature_extractor.settings
        super().__init__(settings.fps, layout, StreamPolicy(**policy))
        self.translator = translator
        own = translator.calibration.abstain_below
        self.min_confidence = own if self.policy.min_confidence is None else self.policy.min_confidence
        slowest = translator.calibration.slowest_ms if self.policy.slowest_ms is None else self.policy.slowest_ms
        self.slowest_ms = math.inf if slowest is None else slowest
        self.live = live_encoder(translator.engine, settings)
        self.agreement = Agreement(self.policy)
        self.reading = NOTHING_READ  # within one pushed frame: no part of the state

    @classmethod
    def from_pretrained(
        cls,
        repo_or_dir: str | os.PathLike | None = None,
        layout: str = "holistic_543",
        device: str | None = None,
        **policy: Any,
    ) -> StreamingTranslator:
        """A stream with a checkpoint of its own; without a name, the bundled one."""
        return cls(SignTranslator.from_pretrained(repo_or_dir, device=device), layout, **policy)

    @property
    def state(self) -> dict[str, Any]:
        own = {"live": self.live and self.live.state(), "agreement": self.agreement.state()}
        return super().state | own

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        if self.live is not None:
            self.live.restore(state["live"])
        self.agreement.restore(state["agreement"])

    def _work(self) -> list[StreamEvent]:
        """One piece of the work on what is being signed: the next chunk, or a step towards a guess."""
        live = self.live
        if live is None:
            return []
        if len(self.utterance) >= live.frames_read + live.chunk_frames:
            live.push(self._clip(live.frames_read, live.frames_read + live.chunk_frames))
            return []
        guess = live.guess()
        if guess is None:
            return []
        confidence = self.translator.calibration(guess.confidence)
        text = self.translator.processor.batch_decode([guess.tokens], skip_special_tokens=True)[0].strip()
        if confidence >= self.min_confidence:
            self.agreement.take(text)
        return [self._event(self.agreement.committed, self.agreement.rest(text), False, confidence)]

    def _is_whole(self) -> bool:
        """Hands seem to go down: whether what was signed is read surely."""
        self.reading = (len(self.utterance), self._read())
        translation = self.reading[1]
        return translation is not None and translation.confidence >= self.policy.sure

    def _close(self) -> StreamEvent:
        """Read the whole utterance; words that stand already stay what they are."""
        frames, translation = self.reading
        if frames != len(self.utterance):
            translation = self._read()
        self.reading = NOTHING_READ
        text, confidence, grounding = self.agreement.committed, 0.0, None
        if translation is not None:
            confidence, grounding = translation.confidence, translation.grounding
            if text or (confidence >= self.min_confidence and self._is_signing(translation.text)):
                text = self.agreement.finish(translation.text)
        event = self._event(text, "", True, confidence, grounding)
        self.agreement = Agreement(self.policy)
        if self.live is not None:
            self.live.forget()
        return event

    def _is_signing(self, text: str) -> bool:
        """Whether the utterance was short enough for what it says."""
        return 1000 * len(self.utterance) / self.fps <= LEAD_MS + self.slowest_ms * len(text) or not text

    def _read(self) -> Translation | None:
        """The offline translation of the utterance; None where nobody is seen."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # said once when a file is read; here it would be said all day
                return self.translator(self._clip(), grounding=self.policy.grounding)
        except ClipError:
            return None
