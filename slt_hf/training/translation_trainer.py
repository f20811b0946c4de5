"""Translation stage: poses to text or glosses, with an attention decoder or a CTC head.

References are always the raw text column of the evaluation data, never decoded label ids: a tokenizer that cannot
write a character would delete it from the reference as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import EvalPrediction, LogitsProcessor, Seq2SeqTrainer

from slt_hf.training.sign_trainer import SignTrainerMixin

DEV_METRICS = ("bleu_4", "chrf", "wer", "cer", "exact_match")


class SignTranslationTrainer(SignTrainerMixin, Seq2SeqTrainer):
    """Trains `SignToTextForConditionalGeneration` (generates at evaluation) or `PoseEncoderForCTC` (best path)."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The model's own loss. Label smoothing withholds the labels, so the decoder's input is made here."""
        inputs = {name: value for name, value in inputs.items() if name != "forced_bos_token_id"}
        if self.label_smoother is not None and "labels" in inputs and "decoder_input_ids" not in inputs:
            unwrapped = self.accelerator.unwrap_model(model)
            decoder_input_ids = unwrapped.prepare_decoder_input_ids_from_labels(inputs["labels"])
            inputs = {**inputs, "decoder_input_ids": decoder_input_ids}
        return super().compute_loss(model, inputs, *args, **kwargs)

    def prediction_step(
        self,
        model: Any,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
        **kw: Any,
    ) -> tuple[Any, Any, Any]:
        """Loss, predicted token ids (B, L) and label ids."""
        codes = inputs.pop("forced_bos_token_id", None)
        if self.accelerator.unwrap_model(model).can_generate():
            self._gen_kwargs.pop("logits_processor", None)  # of the batch before, whose rows named their languages
            if codes is not None:
                self._gen_kwargs["logits_processor"] = [ForcedLanguage(codes)]
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys, **kw)
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            outputs = model(**inputs)
        if prediction_loss_only:
            return outputs.loss, None, None
        return outputs.loss, outputs.logits.argmax(-1), inputs.get("labels")

    def _pad_tensors_to_max_len(self, tensor: torch.Tensor, max_length: int) -> torch.Tensor:
        """Rows of equal length over batches. The padding token is the text model's; the generation config knows it."""
        pad = self.accelerator.unwrap_model(self.model).generation_config.pad_token_id
        return torch.nn.functional.pad(tensor, (0, max_length - tensor.shape[1]), value=pad)


class ForcedLanguage(LogitsProcessor):
    """Writes each row's own language code first, so that one batch may hold several target languages.

    Args:
        codes: token id per row of the batch; beams of a row share its code.
    """

    def __init__(self, codes: list[int]) -> None:
        self.codes = torch.tensor(codes)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[1] != 1:
            return scores
        codes = self.codes.to(scores.device).repeat_interleave(len(scores) // len(self.codes))
        return torch.full_like(scores, -torch.inf).scatter(1, codes[:, None], 0.0)


class TextDecoder:
    """Token ids (N, L) to texts: special tokens and padding dropped; CTC paths collapsed first.

    Args:
        tokenizer: the processor's.
        blank: id of the CTC blank; None where an attention decoder wrote the ids.
    """

    def __init__(self, tokenizer: Any, blank: int | None = None) -> None:
        self.tokenizer = tokenizer
        self.blank = blank

    def __call__(self, ids: np.ndarray) -> list[str]:
        ids = np.where(ids < 0, self.tokenizer.pad_token_id, ids)
        rows: Any = ids if self.blank is None else [collapse(row, self.blank) for row in ids]
        return [text.strip() for text in self.tokenizer.batch_decode(rows, skip_special_tokens=True)]


def collapse(path: np.ndarray, blank: int) -> list[int]:
    """A CTC path (T,) to its labels: repeats merged, blanks removed (Graves 2006)."""
    changed = np.concatenate([[True], path[1:] != path[:-1]])
    return [int(token) for token in path[changed] if token != blank]


class TranslationMetrics:
    """`compute_metrics` for a Trainer: scores against raw references, over all and per language.

    Args:
        decode: token ids to texts.
        references: raw text per sample, in the dataset's order.
        languages: per sample; with more than one, scores are also given per language.
        score: hypotheses and references to named scores.
    """

    def __init__(
        self,
        decode: Callable[[np.ndarray], list[str]],
        references: list[str],
        languages: list[str | None] | None = None,
        score: Callable[[list[str], list[str]], dict[str, float]] | None = None,
    ) -> None:
        self.decode = decode
        self.references = references
        self.languages = languages or [None] * len(references)
        self.score = score or translation_scores
        self.hypotheses: list[str] = []

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        # ranks see equally many samples: what was repeated to make that so stands at the end
        self.hypotheses = self.decode(np.asarray(prediction.predictions))[: len(self.references)]
        scores = self.score(self.hypotheses, self.references)
        names = sorted({language for language in self.languages if language is not None})
        if len(names) > 1:
            for name in names:
                rows = [row for row, language in enumerate(self.languages) if language == name]
                part = self.score([self.hypotheses[r] for r in rows], [self.references[r] for r in rows])
                scores.update({f"{name}_{metric}": value for metric, value in part.items()})
        return scores


def translation_scores(hypotheses: list[str], references: list[str]) -> dict[str, float]:
    """Scores that choose a checkpoint; `slt-hf evaluate` gives the full report."""
    from slt_hf.evaluation.text_metrics import score_text

    return score_text(hypotheses, references, names=DEV_METRICS)
