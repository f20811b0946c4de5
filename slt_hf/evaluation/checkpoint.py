"""Predictions of a checkpoint on a split, through the same call that users make; then the same report as for files.

A row that cannot be read or translated is an empty prediction with its reason, never dropped and never zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slt_hf.errors import EvaluationError, SignDataError
from slt_hf.evaluation.bootstrap import SEED
from slt_hf.evaluation.predictions import LABEL_COLUMNS, REFERENCE_COLUMNS, Predictions
from slt_hf.evaluation.robustness import Disturbance

CLIP_COLUMNS = frozenset(
    "clip pose confidence video num_frames num_landmarks num_coordinates layout fps width height num_people offset "
    "scale start_ms end_ms index epoch bbox checksum extras hands".split()
)
LANGUAGES = ("language", "sign_language")
TOP_K = 10  # ranked labels kept, as far as R@10 needs


@dataclass(frozen=True)
class Output:
    """What a checkpoint made of one row."""

    text: str = ""
    labels: list[str] | None = None
    confidence: float | None = None
    grounding: float | None = None
    truncated: bool | None = None
    failure: str | None = None


@dataclass
class Checkpoint:
    """A translator or classifier, and what evaluation wants to know of it.

    Attributes:
        model: `SignTranslator` or `SignClassifier`.
        options: of the call, such as num_beams.
        end_of_text: token ids that end a sentence; an output without one was cut at the token limit. None if the model
            does not write token by token.
    """

    model: Any
    classifies: bool
    options: dict[str, Any] = field(default_factory=dict)
    end_of_text: frozenset[int] | None = None

    @property
    def wants_languages(self) -> bool:
        """Whether what is written depends on the languages that a row names: by a prompt, or by a first token."""
        processor = self.model.processor
        return not self.classifies and bool(processor.prompt or processor.language_codes)

    @property
    def sees_frames(self) -> bool:
        """Whether it reads videos rather than poses."""
        return self.model.processor.model_input_names[0] == "pixel_values"

    @property
    def makes_crops(self) -> bool:
        """Whether it looks at crops of the hands beside the poses."""
        from slt_hf.pipeline import makes_crops

        return makes_crops(self.model.processor)

    def __call__(self, clips: Sequence[Any], **languages: str | None) -> list[Output]:
        """One output per clip; `language` and `sign_language` where `wants_languages`.

        Raises:
            SignDataError: if one of the clips cannot be processed.
        """
        if self.classifies:
            found = self.model(list(clips), top_k=TOP_K, batch_size=len(clips), **self.options)
            return [Output(answer.label, [label for label, _ in answer.labels], answer.confidence) for answer in found]
        recorder = EndRecorder(self.model.engine, self.end_of_text)
        found = type(self.model)(self.model.processor, recorder, self.model.calibration)(
            list(clips), batch_size=len(clips), **self.options, **languages
        )
        return [
            Output(answer.text, None, answer.confidence, answer.grounding, cut)
            for answer, cut in zip(found, recorder.truncated, strict=True)
        ]


class EndRecorder:
    """A text engine that notes which outputs came to an end by themselves."""

    def __init__(self, engine: Any, end_of_text: frozenset[int] | None) -> None:
        self.engine = engine
        self.end_of_text = end_of_text
        self.truncated: list[bool | None] = []

    def generate(self, inputs: Mapping[str, Any], **options: Any) -> Any:
        found = self.engine.generate(inputs, **options)
        ends = self.end_of_text
        self.truncated = [None if ends is None else not ends & set(hypothesis.tokens[-1:]) for hypothesis in found]
        return found

    def log_probabilities(self, inputs: Mapping[str, Any], sentences: Sequence[list[int]]) -> list[float]:
        return self.engine.log_probabilities(inputs, sentences)


def load_checkpoint(
    name: str | None, revision: str | None = None, device: str | None = None, **options: Any
) -> Checkpoint:
    """A checkpoint by folder or Hub id, the bundled one for None; its architecture says which task it is for."""
    from slt_hf.checkpoint import find_checkpoint, read_json
    from slt_hf.pipeline import SignClassifier, SignTranslator
    from slt_hf.vlm.checkpoint import ends_of, is_vlm

    folder = find_checkpoint(name, revision)
    if is_vlm(folder):
        translator = SignTranslator.from_pretrained(folder, device=device)
        engine: Any = translator.engine
        return Checkpoint(translator, False, options, ends_of(engine.model, translator.processor))
    architecture = (read_json(folder, "config.json").get("architectures") or [""])[0]
    if architecture.endswith(("ForSignClassification", "ForVideoClassification")):
        return Checkpoint(SignClassifier.from_pretrained(folder, device=device), classifies=True)
    translator = SignTranslator.from_pretrained(folder, device=device)
    if architecture.endswith("ForCTC"):
        return Checkpoint(translator, classifies=False, options=options)
    return Checkpoint(translator, False, options, frozenset({translator.processor.tokenizer.eos_token_id}))


def predict(
    checkpoint: Checkpoint,
    rows: Sequence[Mapping[str, Any]],
    places: Iterable[int] | None = None,
    disturbance: Disturbance | None = None,
    batch_size: int = 8,
    seed: int = SEED,
) -> list[tuple[int, Output]]:
    """Outputs by place in `rows`.

    Args:
        rows: manifest rows, shard rows or rows with a clip.
        places: only these rows: what one process of several does.
        disturbance: a condition of `robustness.CONDITIONS`; its noise depends on seed and place alone.

    Raises:
        EvaluationError: for a disturbance of a checkpoint that sees frames, since it changes landmarks.
    """
    if disturbance is not None and checkpoint.sees_frames:
        raise EvaluationError(
            "expected a checkpoint that reads poses, since robustness is measured by disturbing landmarks, found one "
            "that sees frames; leave --robustness out"
        )
    outputs: dict[int, Output] = {}
    for batch, languages in batches(checkpoint, rows, range(len(rows)) if places is None else places, batch_size):
        clips: dict[int, Any] = {}
        for place in batch:
            try:
                clip = read_row(rows[place], checkpoint.sees_frames, checkpoint.makes_crops)
                clips[place] = clip if disturbance is None else disturbance(clip, np.random.default_rng((seed, place)))
            except SignDataError as error:
                outputs[place] = Output(failure=str(error))
        outputs |= dict(zip(clips, run(checkpoint, list(clips.values()), languages), strict=True))
    return sorted(outputs.items())


def read_row(row: Mapping[str, Any], frames: bool = False, crops: bool = False) -> Any:
    """The clip of a row, for a checkpoint that sees `frames` a VideoClip, for one that looks at `crops` of the hands
    with where those are to be seen; the poses of a row that has only a video are extracted here."""
    if frames:
        from slt_hf.data.collator import video_clip_of

        return video_clip_of(row)
    if row.get("pose") is None and row.get("clip") is None and row.get("video") is not None:
        from slt_hf.clips import load_clip

        return load_clip(row["video"], start_ms=row.get("start_ms"), end_ms=row.get("end_ms"))
    from slt_hf.data.collator import clip_of, with_hands_of  # imports pyarrow, which scoring two files must not need

    return with_hands_of(row, clip_of(row), needed=False) if crops else clip_of(row)


def run(checkpoint: Checkpoint, clips: Sequence[Any], languages: Mapping[str, str | None]) -> list[Output]:
    """All clips at once; if one of them is refused, one by one, so that only this one fails."""
    if not clips:
        return []
    try:
        return checkpoint(clips, **languages)
    except SignDataError as error:
        if len(clips) == 1:
            return [Output(failure=str(error))]
        return [output for clip in clips for output in run(checkpoint, [clip], languages)]


def batches(
    checkpoint: Checkpoint, rows: Sequence[Mapping[str, Any]], places: Iterable[int], size: int
) -> Iterator[tuple[list[int], dict[str, str | None]]]:
    """Places of rows that are computed together, with their languages where those matter: one pair to a batch."""
    groups: dict[tuple[str | None, ...], list[int]] = {}
    for place in places:
        key = tuple(rows[place].get(name) for name in LANGUAGES) if checkpoint.wants_languages else ()
        groups.setdefault(key, []).append(place)
    for key, members in groups.items():
        for start in range(0, len(members), size):
            yield members[start : start + size], dict(zip(LANGUAGES, key, strict=False))


def as_predictions(
    rows: Sequence[Mapping[str, Any]], outputs: Sequence[Output], classifies: bool, reference_column: str | None = None
) -> Predictions:
    """Outputs beside the raw references of their rows.

    Raises:
        EvaluationError: if the rows have no reference.
    """
    column = reference_column or find_reference(rows, classifies)
    if empty := [str(row.get("id", place)) for place, row in enumerate(rows) if row.get(column) in (None, "")]:
        raise EvaluationError(
            f"expected a reference in column {column!r} of every row, found none in {len(empty)} such as {empty[0]!r}; "
            "fill it, or name another column with --reference-column"
        )
    ids = [str(row.get("id", place)) for place, row in enumerate(rows)]
    failures = {item: output.failure for item, output in zip(ids, outputs, strict=True) if output.failure is not None}
    flags = [output.truncated for output in outputs]
    names = [name for name in rows[0] if name not in CLIP_COLUMNS | {"id", column}]
    names = [name for name in names if any(row.get(name) not in (None, "") for row in rows)]
    return Predictions(
        ids=ids,
        references=[str(row[column]) for row in rows],
        hypotheses=[output.text for output in outputs],
        ranked=[output.labels or [] for output in outputs] if classifies else None,
        confidences=[output.confidence for output in outputs],
        groundings=[output.grounding for output in outputs] if any(o.grounding is not None for o in outputs) else [],
        truncated=flags if any(flag is not None for flag in flags) else [],
        columns={name: [row.get(name) for row in rows] for name in names},
        missing=list(failures),
        failures=failures,
    )


def find_reference(rows: Sequence[Mapping[str, Any]], classifies: bool) -> str:
    """The first usual column that says something in the first row."""
    usual = LABEL_COLUMNS if classifies else REFERENCE_COLUMNS
    found = next((name for name in usual if rows and rows[0].get(name) not in (None, "")), None)
    if found is None:
        raise EvaluationError(
            f"expected a reference column such as {', '.join(usual[:3])}, found "
            f"{', '.join(rows[0]) if rows else 'no row'}; name it with --reference-column"
        )
    return found
