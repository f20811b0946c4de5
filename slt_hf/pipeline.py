"""Clips in, text or signs out: the same call whatever the checkpoint is and whatever computes it.

SignTranslator.from_pretrained()("hello.pose").text
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from slt_hf.checkpoint import (
    architecture_of,
    bundled_checkpoint,
    find_checkpoint,
    is_export,
    load_model,
    load_processor,
    read_json,
)
from slt_hf.confidence import Calibration
from slt_hf.engines import Hypothesis, LabelEngine, TextEngine, TorchClassifier, TorchCTC, TorchGenerator
from slt_hf.errors import ClipError, RecipeError
from slt_hf.label_ngrams import LabelNgrams
from slt_hf.processing.pose_inputs import per_clip
from slt_hf.vlm.checkpoint import is_vlm, load_vlm

if TYPE_CHECKING:
    from pathlib import Path

    import torch

__all__ = ["Classification", "SignClassifier", "SignTranslator", "Translation", "bundled_checkpoint"]


NO_CROPS = (
    "expected clips alone, as this checkpoint looks at no crops of hands, found a video beside them; leave it out"
)
# architecture of isolated signs -> the module that defines it
CLASSIFIERS = {
    "PoseEncoderForSignClassification": "slt_hf.modeling",
    "VideoMAEForVideoClassification": "transformers",
    "I3DForVideoClassification": "slt_hf.modeling",
}


@dataclass(frozen=True)
class Translation:
    """What one clip says.

    Attributes:
        text: the translation, or the glosses of a recognition checkpoint.
        confidence: share of such answers that are right, where the checkpoint has a calibration (`confidence.py`);
            else the geometric mean of the output tokens' probabilities. In [0, 1].
        timings: milliseconds spent on reading the clip, processing it, and in the model; a clip that was computed in a
            batch carries its share of the batch.
        grounding: how much of that mean probability is lost when nobody is seen in the clip, in [0, 1]: near 0 where
            the text owes nothing to the signing (arxiv:2510.18439). None unless it was asked for.
    """

    text: str
    confidence: float
    timings: dict[str, float] = field(default_factory=dict)
    grounding: float | None = None

    @property
    def milliseconds(self) -> float:
        return sum(self.timings.values())


@dataclass(frozen=True)
class Classification:
    """Which sign one clip shows.

    Attributes:
        labels: (label, probability), best first.
        timings: as of a `Translation`.
        known: False where the best probability is below the checkpoint's own threshold for signs it has never seen.
    """

    labels: list[tuple[str, float]]
    timings: dict[str, float] = field(default_factory=dict)
    known: bool = True

    @property
    def label(self) -> str:
        return self.labels[0][0]

    @property
    def confidence(self) -> float:
        return self.labels[0][1]

    @property
    def milliseconds(self) -> float:
        return sum(self.timings.values())


@dataclass(frozen=True)
class Prepared:
    """Model inputs of a batch of clips, and the milliseconds it took to read and to process them."""

    inputs: dict[str, Any]
    timings: dict[str, float]
    size: int


class Preparer:
    """Clips of any kind to model inputs, with the checkpoint's own processor."""

    def __init__(self, processor: Any):
        self.processor = processor
        self.reads_video = reads_video(processor)
        self.makes_crops = makes_crops(processor)

    def __call__(
        self,
        clips: Any,
        batch_size: int,
        languages: Mapping[str, str | None] | None = None,
        video: Any = None,
        **how: Any,
    ) -> Iterator[Prepared]:
        """Batches in the order of the clips.

        Args:
            clips: one clip or a list: path, bytes, PoseClip, pose-format Pose, or array with `layout=` and `fps=`; for
                a checkpoint that reads frames path, bytes, picture, or array (T, H, W, 3).
            languages: `language` and `sign_language` for the processor, of all clips.
            video: what the poses were found in, for a checkpoint that looks at crops of the hands; a list for a list.
            how: layout, fps, start_ms, end_ms.
        """
        if batch_size < 1:
            raise RecipeError(f"batch_size: expected 1 clip or more, found {batch_size}; correct it")
        clips = clips if is_list_of_clips(clips) else [clips]
        pairs = list(zip(clips, per_clip(video, len(clips), "video"), strict=True))
        for start in range(0, len(clips), batch_size):
            yield self._prepare(pairs[start : start + batch_size], languages or {}, **how)

    def _prepare(self, clips: Sequence[tuple[Any, Any]], languages: Mapping[str, str | None], **how: Any) -> Prepared:
        started = time.perf_counter()
        read = [self._read(clip, video, **how) for clip, video in clips]
        read_at = time.perf_counter()
        inputs = self.processor(read, return_tensors="pt", **languages)
        timings = {"read": 1000 * (read_at - started), "process": 1000 * (time.perf_counter() - read_at)}
        return Prepared(dict(inputs), {name: value / len(clips) for name, value in timings.items()}, len(clips))

    def _read(self, clip: Any, video: Any = None, layout: str | None = None, **how: Any) -> Any:
        if video is not None and not self.makes_crops:
            raise ClipError(NO_CROPS)
        if self.reads_video:
            from slt_hf.processing.video_clip import to_video_clip

            return to_video_clip(clip, **how)
        from slt_hf.clips import load_clip

        return load_clip(clip, layout=layout, video=video, **how)


def nobody(inputs: Mapping[str, Any], main: str) -> dict[str, Any]:
    """The same model inputs with nobody in them."""
    return {**inputs, **{name: 0 * inputs[name] for name in (main, "crop_mask") if name in inputs}}


def makes_crops(processor: Any) -> bool:
    """Whether a checkpoint looks at crops of the hands beside poses."""
    return "crop_values" in processor.model_input_names


def reads_video(processor: Any) -> bool:
    """Whether a checkpoint sees frames rather than poses."""
    return processor.model_input_names[0] == "pixel_values"


class SignTranslator:
    """Translates clips.

    Example:
        ```python
        translator = SignTranslator.from_pretrained()
        translation = translator("hello.pose")
        print(translation.text, translation.confidence)
        ```
    """

    def __init__(self, processor: Any, engine: TextEngine, calibration: Calibration | None = None):
        self.processor = processor
        self.engine = engine
        self.calibration = calibration or Calibration()
        self.reads_video = reads_video(processor)

    @classmethod
    def from_pretrained(
        cls,
        repo_or_dir: str | os.PathLike | None = None,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: str | torch.dtype | None = None,
        quantization: str | None = None,
    ) -> SignTranslator:
        """Load a checkpoint; without an argument, the one that ships with the package.

        Args:
            repo_or_dir: folder that `save_pretrained` wrote, or Hub repository.
            revision: branch, tag or commit of the Hub repository.
            device: "cuda", "mps", "cpu"; the best one there is unless named.
            dtype: "float32", "bfloat16", …; the checkpoint's own unless named.
            quantization: "4bit" or "8bit", of vision-language models.

        Raises:
            CheckpointError: if there is no such checkpoint, or it does not load whole.
            HubError: if the Hub does not have it.
            RecipeError: if it cannot be quantised here.
        """
        folder = find_checkpoint(repo_or_dir, revision)
        if not is_export(folder) and is_vlm(folder):
            processor, model = load_vlm(folder, device, dtype, quantization)
            return cls(processor, TorchGenerator(model))
        if quantization is not None:
            raise RecipeError(
                f"quantization: expected a vision-language model for {quantization}, found another kind of checkpoint "
                f"in {folder}; leave it out"
            )
        engine = text_engine(folder, device, dtype)
        return cls(load_processor(folder), engine, Calibration.load(folder))

    def __call__(
        self,
        clips: Any,
        *,
        layout: str | None = None,
        fps: float | None = None,
        start_ms: float | None = None,
        end_ms: float | None = None,
        language: str | None = None,
        sign_language: str | None = None,
        video: Any = None,
        batch_size: int = 8,
        grounding: bool = False,
        **options: Any,
    ) -> Any:
        """Translate one clip or a list of clips.

        Args:
            clips: path, bytes, PoseClip, pose-format Pose, or array (T, V, C) with `layout=` and `fps=`; or a list.
            layout, fps: of clips that do not say so themselves.
            start_ms, end_ms: part of each clip to translate.
            language, sign_language: to write and signed in these, for checkpoints that were trained on several.
            video: what the poses were found in, from the same beginning, for a checkpoint that looks at crops of the
                hands, too; a list for a list of clips. A clip that is a video itself needs none.
            batch_size: clips computed together.
            grounding: measure too how much the text depends on the signing, with one more forward pass.
            options: of the engine, such as num_beams, max_new_tokens, do_sample.

        Returns:
            One Translation for one clip, a list for a list.
        """
        prepare = Preparer(self.processor)
        found: list[Translation] = []
        named = {"language": language, "sign_language": sign_language}
        languages = {name: value for name, value in named.items() if value is not None}
        how = {"layout": layout, "fps": fps, "start_ms": start_ms, "end_ms": end_ms}
        for batch in prepare(clips, batch_size, languages, video, **how):
            found += self._translate(batch, options, grounding)
        return found if is_list_of_clips(clips) else found[0]

    def _translate(self, batch: Prepared, options: dict[str, Any], grounding: bool) -> list[Translation]:
        started = time.perf_counter()
        hypotheses = self.engine.generate(batch.inputs, **options)
        tokens = [hypothesis.tokens for hypothesis in hypotheses]
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        grounded = self._grounding(batch, hypotheses) if grounding else [None] * batch.size
        timings = batch.timings | {"model": 1000 * (time.perf_counter() - started) / batch.size}
        scores = [self.calibration(hypothesis.confidence) for hypothesis in hypotheses]
        rows = zip(texts, scores, grounded, strict=True)
        return [Translation(text.strip(), score, timings, lost) for text, score, lost in rows]

    def _grounding(self, batch: Prepared, hypotheses: list[Hypothesis]) -> list[float]:
        """The same sentences for the same clips with nobody in them."""
        main = self.processor.model_input_names[0]
        sentences = [hypothesis.tokens for hypothesis in hypotheses]
        without = self.engine.log_probabilities(nobody(batch.inputs, main), sentences)
        return [hypothesis.grounding(each) for hypothesis, each in zip(hypotheses, without, strict=True)]


class SignClassifier:
    """Names the sign of a clip that shows one sign.

    Example:
        ```python
        classifier = SignClassifier.from_pretrained("org/isolated-signs")
        print(classifier("book.pose").label)  # or a video, for a checkpoint that sees frames
        ```
    """

    def __init__(self, processor: Any, engine: LabelEngine, labels: list[str], unknown_threshold: float | None = None):
        self.processor = processor
        self.engine = engine
        self.labels = labels
        self.unknown_threshold = unknown_threshold
        self.reads_video = reads_video(processor)

    @classmethod
    def from_pretrained(
        cls,
        repo_or_dir: str | os.PathLike,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> SignClassifier:
        """Load a classification checkpoint; arguments and errors as of `SignTranslator.from_pretrained`."""
        folder = find_checkpoint(repo_or_dir, revision)
        if is_export(folder):
            from slt_hf.export.engines import open_classifier

            return cls(load_processor(folder), *open_classifier(folder, device, dtype))
        name = architecture_of(folder, tuple(CLASSIFIERS))
        model = load_model(getattr(import_module(CLASSIFIERS[name]), name), folder, device, dtype)
        labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
        threshold = model.config.to_dict().get("unknown_threshold")
        return cls(load_processor(folder), TorchClassifier(model), labels, threshold)

    def __call__(
        self,
        clips: Any,
        *,
        top_k: int = 5,
        layout: str | None = None,
        fps: float | None = None,
        start_ms: float | None = None,
        end_ms: float | None = None,
        batch_size: int = 8,
    ) -> Any:
        """The `top_k` likeliest signs of one clip, or of each clip of a list; arguments as of `SignTranslator`."""
        prepare = Preparer(self.processor)
        found: list[Classification] = []
        for batch in prepare(clips, batch_size, layout=layout, fps=fps, start_ms=start_ms, end_ms=end_ms):
            found += self._classify(batch, top_k)
        return found if is_list_of_clips(clips) else found[0]

    def _classify(self, batch: Prepared, top_k: int) -> list[Classification]:
        started = time.perf_counter()
        probabilities = self.engine.classify(batch.inputs)
        timings = batch.timings | {"model": 1000 * (time.perf_counter() - started) / batch.size}
        best = (-probabilities).argsort(-1)[:, :top_k]
        threshold = self.unknown_threshold
        return [
            Classification(
                labels=[(self.labels[index], float(row[index])) for index in order],
                timings=timings,
                known=threshold is None or float(row.max()) >= threshold,
            )
            for row, order in zip(probabilities, best, strict=True)
        ]


def names_signs(folder: Path) -> bool:
    """Whether a checkpoint names isolated signs (`SignClassifier`) rather than writing text (`SignTranslator`)."""
    if not is_export(folder) and is_vlm(folder):
        return False  # of adapters there is no config
    return (read_json(folder, "config.json").get("architectures") or [""])[0] in CLASSIFIERS


def text_engine(folder: str | os.PathLike[str], device: str | None, dtype: Any) -> Any:
    """The engine that a checkpoint's architecture asks for: generation, or CTC decoding; an export has its own."""
    from pathlib import Path

    if is_export(Path(folder)):
        from slt_hf.export.engines import TEXT_ENGINES, open_engine

        return open_engine(Path(folder), TEXT_ENGINES, device, dtype)
    from slt_hf.modeling import modeling_pose_encoder, modeling_sign_to_text

    engines: dict[str, tuple[Any, Any]] = {
        "SignToTextForConditionalGeneration": (modeling_sign_to_text, TorchGenerator),
        "PoseEncoderForCTC": (modeling_pose_encoder, TorchCTC),
    }
    name = architecture_of(Path(folder), tuple(engines))
    module, engine = engines[name]
    model = load_model(getattr(module, name), Path(folder), device, dtype)
    if engine is TorchCTC:
        return engine(model, LabelNgrams.load(Path(folder)))
    return engine(model)


def is_list_of_clips(clips: Any) -> bool:
    """Several clips, rather than one: a list, or a column of `datasets`; an array is one clip.

    Raises:
        ClipError: if the list is empty.
    """
    if not isinstance(clips, Sequence) or isinstance(clips, str | bytes | bytearray | memoryview):
        return False
    if not clips:
        raise ClipError("expected at least one clip, found an empty list; give a path, bytes, a PoseClip or an array")
    return True
