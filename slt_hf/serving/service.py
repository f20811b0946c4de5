"""The service: models by name, clips in, text or labels out. Knows no protocol."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slt_hf.checkpoint import architecture_of, find_checkpoint
from slt_hf.errors import ClipError, SignDataError
from slt_hf.pipeline import Classification, SignClassifier, SignTranslator, Translation
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_inputs import to_clip
from slt_hf.serving.batching import Batcher
from slt_hf.serving.errors import UnknownModelError
from slt_hf.serving.settings import ServerSettings

CLASSIFIERS = ("PoseEncoderForSignClassification",)
TRANSLATORS = ("SignToTextForConditionalGeneration", "PoseEncoderForCTC")


@dataclass
class Served:
    """A loaded model and the queue before it."""

    name: str
    model: Any
    batcher: Batcher

    @property
    def translates(self) -> bool:
        return isinstance(self.model, SignTranslator)


class SignService:
    """Models are loaded at the start and never again: no request can load or unload one.

    Args:
        models: name -> folder or Hub repository; None is the bundled checkpoint.
        settings: bounds.
    """

    def __init__(
        self, models: Mapping[str, str | os.PathLike | None], settings: ServerSettings, device: str | None = None
    ):
        self.settings = settings
        self.served = {name: self._load(name, source, device) for name, source in models.items()}
        self.default = next(iter(self.served), "")

    def _load(self, name: str, source: str | os.PathLike | None, device: str | None) -> Served:
        folder = find_checkpoint(source)
        classifies = architecture_of(folder, CLASSIFIERS + TRANSLATORS) in CLASSIFIERS
        model: Any = (SignClassifier if classifies else SignTranslator).from_pretrained(folder, device=device)
        settings = self.settings
        batcher = Batcher(
            lambda clips: compute(model, clips), settings.batch_size, settings.batch_wait_ms, settings.queue_size
        )
        return Served(name, model, batcher)

    def start(self) -> None:
        for served in self.served.values():
            served.batcher.start()

    async def stop(self) -> None:
        """Answer what was asked already."""
        for served in self.served.values():
            await served.batcher.stop()

    def find(self, name: str | None) -> Served:
        """A model by name; the first one served without a name.

        Raises:
            UnknownModelError: if it is not served.
        """
        found = self.served.get(name or self.default)
        if found is None:
            raise UnknownModelError(f"expected a model among {', '.join(self.served)}, found {name}; name one of these")
        return found

    async def read(self, clip: PoseClip, name: str | None = None) -> Translation | Classification:
        """What one clip says or shows.

        Raises:
            SignDataError: if the clip cannot be read, is too long, or too many wait.
        """
        served = self.find(name)
        longest = self.settings.max_clip_seconds
        if clip.duration_ms > 1000 * longest:
            raise ClipError(
                f"expected a clip of at most {longest:g} s, found {clip.duration_ms / 1000:.1f}; "
                "cut it, or send the parts as a stream"
            )
        return await served.batcher.submit(clip)

    async def read_all(self, clips: Sequence[PoseClip], name: str | None = None) -> list[Any]:
        """What each clip of one request says, waiting together; the first refusal is the request's."""
        found = await asyncio.gather(*(self.read(clip, name) for clip in clips), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return found


def clip_of(body: bytes) -> PoseClip:
    """The clip in an upload: bytes of a `.pose` file, never a path or an address.

    Raises:
        SignDataError: if it is something else.
    """
    return to_clip(body)


def compute(model: Any, clips: Sequence[PoseClip]) -> list[Any]:
    """Results of a batch; a clip that cannot be read spoils nobody else's."""
    try:
        return list(model(list(clips), batch_size=len(clips)))
    except SignDataError:
        return [alone(model, clip) for clip in clips]


def alone(model: Any, clip: PoseClip) -> Any:
    try:
        return model(clip)
    except SignDataError as error:
        return error
