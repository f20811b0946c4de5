"""PoseProcessor: poses and text -> what a sign-to-text model trains on and generates from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .feature_extraction_pose import PoseFeatureExtractor
from .pose_errors import ClipError
from .pose_inputs import PoseInput, per_clip

IGNORED = -100  # labels that the loss skips


class PoseProcessor(ProcessorMixin):
    """PoseFeatureExtractor and tokenizer in one; saved in `processor_config.json` beside the weights.

    Args:
        feature_extractor: poses -> `pose_values`, `attention_mask`.
        tokenizer: of the text model.
        prompt: words put before the signing, such as "translate {sign_language} to {language}:"; filled per clip.
        language_codes: language of a sample -> the tokenizer's code, such as {"deu": "de_DE"}, for text models that are
            told the target language by the first token (mBART, M2M100, NLLB).

    Example:
        processor = PoseProcessor(PoseFeatureExtractor(), tokenizer)
        batch = processor(poses="hello.pose", text="Hello!", return_tensors="pt")   # also attention_mask, labels
        ids = model.generate(**processor(poses="hello.pose", return_tensors="pt"))
        processor.batch_decode(ids, skip_special_tokens=True)
    """

    feature_extractor: PoseFeatureExtractor

    def __init__(
        self,
        feature_extractor: PoseFeatureExtractor,
        tokenizer: Any,
        prompt: str | None = None,
        language_codes: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.prompt = prompt
        self.language_codes = dict(language_codes or {})
        super().__init__(feature_extractor, tokenizer, chat_template=kwargs.pop("chat_template", None))

    def __call__(  # type: ignore[override]
        self,
        poses: PoseInput | Sequence[PoseInput] | None = None,
        text: str | Sequence[str] | None = None,
        layout: str | Sequence[str] | None = None,
        fps: float | Sequence[float] | None = None,
        start_ms: float | Sequence[float | None] | None = None,
        end_ms: float | Sequence[float | None] | None = None,
        return_tensors: str | None = None,
        max_length: int | None = None,
        language: str | Sequence[str | None] | None = None,
        sign_language: str | Sequence[str | None] | None = None,
        video: Any = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Model input for one clip or a list of clips.

        Args:
            poses, layout, fps, start_ms, end_ms: see `PoseFeatureExtractor.__call__`.
            text: reference of each clip; gives `labels`, with pads as -100.
            return_tensors: "pt", "np" or None.
            max_length: cut labels to this many tokens; None cuts nothing.
            language, sign_language: of the text and of the signing, one for all clips or a list; they fill the prompt
                and choose the language that is written.
            video: what the poses were found in, for a checkpoint that looks at crops of the hands, too.

        Returns:
            `pose_values` (B, T, V, C), `attention_mask` (B, T), with crops `crop_values` (B, T, 2, 3, P, P) and
            `crop_mask` (B, T, 2); with text, `labels` (B, L); with a prompt,
            `prompt_input_ids` and `prompt_attention_mask` (B, P); with a language that has a code and without text,
            `forced_bos_token_id`, which `generate` takes.
        """
        if poses is None and text is None:
            raise ClipError("expected poses, text or both, found neither; pass poses=")
        data: dict[str, Any] = {}
        if poses is not None:
            shown = {} if video is None else {"video": video}
            data |= self.feature_extractor(poses, layout, fps, start_ms, end_ms, **shown, **kwargs)
        texts = None if text is None else [text] if isinstance(text, str) else list(text)
        count = len(data[self.model_input_names[0]]) if poses is not None else len(texts or ())
        if texts is not None and len(texts) != count:
            raise ClipError(
                f"expected one text for each of {count} clips, found {len(texts)}; make the lists equally long"
            )
        languages = per_clip(language, count, "language")
        if self.prompt is not None and poses is not None:
            data |= self._prompts(languages, per_clip(sign_language, count, "sign_language"))
        if texts is None and (codes := self.language_tokens(languages)):
            if len(set(codes)) > 1:
                found = ", ".join(sorted(set(map(str, languages))))
                raise ClipError(f"expected one language to write in a call, found {found}; call once for each")
            data["forced_bos_token_id"] = codes[0]
        if texts is not None:
            data["labels"] = self._labels(texts, max_length, languages)
        return BatchFeature(data, tensor_type=return_tensors)

    def language_tokens(self, languages: Sequence[str | None]) -> list[int]:
        """Id of each language's code, which the text model writes first; empty without codes, or if no clip names a
        language.

        Raises:
            ClipError: for a language without a code, or with one that the tokenizer does not have.
        """
        if not self.language_codes or not any(languages):
            return []
        for language in languages:
            if language not in self.language_codes:
                raise ClipError(
                    f"expected a language among {', '.join(self.language_codes)}, found {language}; "
                    "pass language= as one of them"
                )
        return [self._code_id(self.language_codes[str(language)]) for language in languages]

    def _code_id(self, code: str) -> int:
        if hasattr(self.tokenizer, "get_lang_token") and code in self.tokenizer.lang_code_to_token:
            code = self.tokenizer.get_lang_token(code)  # M2M100's code is `de`, its token `__de__`
        token = self.tokenizer.convert_tokens_to_ids(code)
        if token is None or token == self.tokenizer.unk_token_id:
            raise ClipError(
                f"expected a code in language_codes that {type(self.tokenizer).__name__} has, found {code!r}; "
                "write it as the tokenizer does"
            )
        return token

    def _prompts(self, languages: Sequence[str | None], sign_languages: Sequence[str | None]) -> dict[str, np.ndarray]:
        """Prompt tokens (B, P), padded on the left so that their distance to the signing is the same in every row."""
        assert self.prompt is not None
        named = zip(languages, sign_languages, strict=True)
        prompts = [
            self.prompt.format(language=own or "text", sign_language=signed or "sign language") for own, signed in named
        ]
        encoded = self.tokenizer(prompts, add_special_tokens=False)["input_ids"]
        ids = np.full((len(encoded), max(map(len, encoded))), self.tokenizer.pad_token_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(encoded):
            ids[row, ids.shape[1] - len(tokens) :], mask[row, ids.shape[1] - len(tokens) :] = tokens, 1
        return {"prompt_input_ids": ids, "prompt_attention_mask": mask}

    def _labels(self, texts: list[str], max_length: int | None, languages: Sequence[str | None]) -> np.ndarray:
        encoded: list[list[int]] = []
        options = {"max_length": max_length, "truncation": max_length is not None}
        for text, language in zip(texts, languages, strict=True):
            codes = [] if language is None else self.language_tokens([language])
            if codes:
                self.tokenizer.tgt_lang = self.language_codes[str(language)]
            ids = self.tokenizer(text_target=text, **options)["input_ids"]
            # mBART's, M2M100's and NLLB's put the code in; a model with another tokenizer must learn to write it, too
            encoded.append(ids if not codes or codes[0] in ids else [*codes, *ids])
        labels = np.full((len(encoded), max(map(len, encoded), default=0)), IGNORED, dtype=np.int64)
        for row, ids in enumerate(encoded):
            labels[row, : len(ids)] = ids
        return labels

    @property
    def model_input_names(self) -> list[str]:
        crops = self.feature_extractor.hand_crop_size is not None
        return ["pose_values", "attention_mask"] + ["crop_values", "crop_mask"] * crops


PoseProcessor.register_for_auto_class()
