"""StreamingTranslator: landmarks in as they are seen, text out while the person signs; neighbours do the rest."""

from __future__ import annotations

import os
import warnings
from typing import Any

from slt_hf.pipeline import SignTranslator, Translation
from slt_hf.processing.pose_errors import ClipError
from slt_hf.streaming.agreement import Agreement
from slt_hf.streaming.events import StreamEvent, StreamPolicy
from slt_hf.streaming.live_encoder import live_encoder
from slt_hf.streaming.sentence_end import Guess, SentenceEnd
from slt_hf.streaming.silence import Silence
from slt_hf.streaming.utterance_stream import UtteranceStream, pose_settings

PIECES = 2  # of the work on an utterance, for one frame that is pushed
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
        settings = pose_settings(translator)
        super().__init__(settings.fps, layout, StreamPolicy(**policy))
        self.translator = translator
        self.silence = Silence.of(self.policy, translator.calibration)
        self.live = live_encoder(translator.engine, settings)
        self.agreement = Agreement(self.policy)
        self.sentence = SentenceEnd(self.policy.split_above)
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
        return super().state | own | {"sentence": self.sentence.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        if self.live is not None:
            self.live.restore(state["live"])
        self.agreement.restore(state["agreement"])
        self.sentence.restore(state["sentence"])

    def _work(self) -> list[StreamEvent]:
        return [event for _ in range(PIECES) for event in self._piece()]

    def _piece(self) -> list[StreamEvent]:
        """One piece of the work on what is being signed: the next piece of a chunk, or a step towards a guess."""
        live = self.live
        if live is None:
            return []
        if live.given is None and len(self.utterance) >= live.frames_read + live.chunk_frames:
            live.push(self._clip(live.frames_read, live.frames_read + live.chunk_frames))
            return []
        guess = live.guess()
        if guess is None:
            return []
        confidence = self.translator.calibration(guess.confidence)
        text = self.translator.processor.batch_decode([guess.tokens], skip_special_tokens=True)[0].strip()
        said = self._is_said(text, confidence)
        if said:
            self.agreement.take(text)
        rest = self.agreement.rest(text) if said else ""
        events = [self._event(self.agreement.committed, rest, False, confidence)]
        return events + self._sentence_over(Guess(text, confidence, len(live.read)))

    def _sentence_over(self, guess: Guess) -> list[StreamEvent]:
        """The sentence that ended with hands up, if one did, and its frames alone are read as it was guessed."""
        over = self.sentence.take(guess)
        frame = None if over is None or self.live is None else self.live.frame_between(over.signs)
        if over is None or frame is None:
            return []
        translation = self._read(frame)
        if translation is None or translation.text != over.text or translation.confidence < self.policy.sure:
            self.sentence.refuse()  # the same frames will say the same behind the next guess
            return []
        self.reading = (frame, translation)
        return [self._end_before(frame)]

    def _split(self) -> list[StreamEvent]:
        """What says nothing as one may be two sentences that are read surely."""
        whole, live = self._whole(), self.live
        if whole is None or live is None or self._is_said(whole.text, whole.confidence):
            return []
        guess, surely = self.sentence.whole, max(self.policy.sure, self.silence.min_confidence)
        frame = None if guess is None else live.frame_between(guess.signs)
        if guess is None or frame is None or len(self.agreement.words) > len(guess.text.split()):
            return []
        parts = [self._read(frame), self._read(start=frame)]
        if any(part is None or part.confidence < surely for part in parts):
            return []
        return [self._end_first(frame, *parts)]

    def _end_first(self, frame: int, first: Translation | None, second: Translation | None) -> StreamEvent:
        assert self.live is not None
        steps = self.live.steps_from(frame)
        self.reading = (frame, first)
        event = self._end_before(frame)
        self.reading = (len(self.utterance), second)
        self.live.labels, self.live.certainty = steps  # nothing more is read; which signs the rest has is known
        return event

    def _whole(self) -> Translation | None:
        """The reading of the whole utterance, made once."""
        if self.reading[0] != len(self.utterance):
            if self.live is not None:
                self.live.finish_chunk()  # how many signs were read is asked next
            self.reading = (len(self.utterance), self._read())
        return self.reading[1]

    def _is_whole(self) -> bool:
        """Hands seem to go down: whether what was signed is read surely."""
        translation = self._whole()
        return translation is not None and translation.confidence >= self.policy.sure

    def _close(self) -> StreamEvent:
        """Read the whole utterance; words that stand already stay what they are."""
        translation = self._whole()
        self.reading = NOTHING_READ
        text, confidence, grounding = self.agreement.committed, 0.0, None
        if translation is not None:
            confidence, grounding = translation.confidence, translation.grounding
            if text or self._is_said(translation.text, confidence):
                text = self.agreement.finish(translation.text)
        event = self._event(text, "", True, confidence, grounding)
        self.agreement = Agreement(self.policy)
        self.sentence.forget()
        if self.live is not None:
            self.live.forget()
        return event

    def _is_said(self, text: str, confidence: float) -> bool:
        duration_ms = 1000 * len(self.utterance) / self.fps
        signs, certainty = (None, None) if self.live is None else (self.live.signs, self.live.certainty_of_signs)
        return self.silence.says(text, confidence, duration_ms, signs, certainty)

    def _read(self, stop: int | None = None, start: int = 0) -> Translation | None:
        """The offline translation of the utterance, or of some of its frames; None where nobody is seen."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # said once when a file is read; here it would be said all day
                return self.translator(self._clip(start, stop), grounding=self.policy.grounding)
        except ClipError:
            return None
