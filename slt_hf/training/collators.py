"""Batches of each stage. All read, augment and process clips through `SignCollator`, as everything else does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import get_worker_info

from slt_hf.data.collator import SignCollator, as_mapping, filled
from slt_hf.errors import RecipeError


class TranslationCollator(SignCollator):
    """Clips and the text to write: prompt, target language and cut targets included.

    Args:
        max_target_tokens: most label tokens of a training sample; None cuts nothing.
        **kwargs: of `SignCollator`; `text_column` is `text` or `gloss`.
    """

    def __init__(self, processor: Any, max_target_tokens: int | None = None, **kwargs: Any) -> None:
        super().__init__(processor, **kwargs)
        self.max_target_tokens = max_target_tokens

    def __call__(self, rows: Sequence[Any]) -> dict[str, Any]:
        """`SignCollator`'s batch, with prompt tokens and each row's language code where the processor has them."""
        rows = [as_mapping(row) for row in rows]
        batch = self.processor(
            self.clips(rows),
            text=[filled(row, str(self.text_column)) for row in rows],
            language=[row.get("language") for row in rows],
            sign_language=[row.get("sign_language") for row in rows],
            max_length=self.max_target_tokens,
            return_tensors="pt",
        )
        if codes := self.processor.language_tokens([row.get("language") for row in rows]):
            batch["forced_bos_token_id"] = codes  # per row; the trainer hands them to `generate`
        return dict(batch)


class TextPairCollator(SignCollator):
    """Clips and their sentences as the text encoder reads them: `input_ids` (B, L), `text_attention_mask` (B, L)."""

    def __init__(self, processor: Any, max_target_tokens: int | None = None, **kwargs: Any) -> None:
        super().__init__(processor, **kwargs)
        self.max_target_tokens = max_target_tokens

    def __call__(self, rows: Sequence[Any]) -> dict[str, Any]:
        rows = [as_mapping(row) for row in rows]
        batch = dict(self.processor(self.clips(rows), return_tensors="pt"))
        tokens = self.processor.tokenizer(
            [filled(row, str(self.text_column)) for row in rows],
            padding=True,
            truncation=self.max_target_tokens is not None,
            max_length=self.max_target_tokens,
            return_tensors="pt",
        )
        return batch | {"input_ids": tokens["input_ids"], "text_attention_mask": tokens["attention_mask"]}


class VariantCollator(SignCollator):
    """Clips and their class, each clip in a fixed number of variants that are made once and kept in memory.

    Training small encoders for hundreds of epochs costs less than varying the clips anew in each of them.

    Args:
        variants: of each clip; epoch e shows variant e modulo this number. A kept variant takes 4 bytes a number:
            T * V * C of poses, T * 3 * H * W of frames (9.6 MB for 16 frames of 224 x 224).
        **kwargs: of `SignCollator`, whose processor is a feature extractor here.
    """

    def __init__(self, processor: Any, variants: int, **kwargs: Any) -> None:
        super().__init__(processor, **kwargs)
        self.variants = variants
        self.kept: dict[tuple[int, int], Any] = {}

    def __call__(self, rows: Sequence[Any]) -> dict[str, Any]:
        """`SignCollator`'s batch.

        Raises:
            RecipeError: in a worker of a DataLoader, which ends with its epoch and what it kept with it.
        """
        if get_worker_info() is not None:
            raise RecipeError(
                "variants_per_clip: expected no dataloader_num_workers, found some, and what they keep is lost with "
                "each epoch; set dataloader_num_workers to 0, or leave variants_per_clip out"
            )
        rows = [as_mapping(row) for row in rows]
        rows = [{**row, "epoch": (row.get("epoch") or 0) % self.variants} for row in rows]
        batch = dict(self.processor.pad([self._variant(row) for row in rows], return_tensors="pt"))
        return batch | {"labels": self._class_labels(rows)}

    def _variant(self, row: dict[str, Any]) -> Any:
        key = (row["index"], row["epoch"])
        if key not in self.kept:
            made = self.processor(self.clips([row]), padding=False)
            self.kept[key] = made[self.processor.model_input_names[0]][0]
        return self.kept[key]
