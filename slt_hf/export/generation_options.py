"""Options of `generate` for exported graphs: those of transformers, as far as they are carried out here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slt_hf.engines import MAX_NEW_TOKENS
from slt_hf.errors import RecipeError

# options that change nothing about which tokens come out, or that the loop here always does
WITHOUT_EFFECT = {
    "bos_token_id", "cache_implementation", "max_length", "output_attentions", "output_hidden_states", "output_logits",
    "output_scores", "return_dict_in_generate", "transformers_version", "use_cache", "_from_model_config",
}  # fmt: skip
# options that are not carried out, at the values that switch them off: older checkpoints name them all
SWITCHED_OFF = {
    "begin_suppress_tokens": [], "diversity_penalty": 0.0, "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "num_beam_groups": 1,
    "remove_invalid_values": False, "renormalize_logits": False, "typical_p": 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class GenerationOptions:
    """Meaning and defaults as in transformers' `GenerationConfig`.

    Attributes:
        seed: of sampling; torch's own random numbers cannot be had here, so samples differ from PyTorch's.
    """

    num_beams: int = 1
    do_sample: bool = False
    max_new_tokens: int = MAX_NEW_TOKENS
    min_new_tokens: int = 0
    min_length: int = 0
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | list[int] | None = None
    suppress_tokens: list[int] | None = None
    num_return_sequences: int = 1
    decoder_start_token_id: int = 0
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    seed: int | None = None

    @classmethod
    def read(cls, checkpoint: Mapping[str, Any], asked: Mapping[str, Any]) -> GenerationOptions:
        """Options of a call over those of the checkpoint's `generation_config.json`.

        Raises:
            RecipeError: for an option that exported graphs do not carry out.
        """
        merged = {name: value for name, value in {**checkpoint, **asked}.items() if value is not None}
        known = {field.name for field in dataclasses.fields(cls)}
        off = {name for name, value in SWITCHED_OFF.items() if name in merged and merged[name] == value}
        unknown = sorted(set(merged) - known - WITHOUT_EFFECT - off)
        if unknown:
            raise RecipeError(
                f"expected options among {', '.join(sorted(known))}, found {', '.join(unknown)}; leave them out, or "
                "run the checkpoint with PyTorch"
            )
        options = cls(**{name: value for name, value in merged.items() if name in known})
        options.check()
        return options

    def check(self) -> None:
        if self.num_return_sequences != 1:
            raise RecipeError("a translator returns one sentence for each clip; use PyTorch's model.generate for more")
        for name, least in (("num_beams", 1), ("max_new_tokens", 1), ("temperature", 1e-9), ("top_p", 1e-9)):
            if not getattr(self, name) >= least:
                raise RecipeError(f"{name} must be at least {least:g}, found {getattr(self, name)}; correct the option")

    @property
    def ends(self) -> list[int]:
        """Tokens that end a sentence."""
        return listed(self.eos_token_id)

    @property
    def padding(self) -> int:
        """What stands behind the end of a sentence."""
        return self.pad_token_id if self.pad_token_id is not None else (self.ends or [0])[0]


def listed(tokens: int | list[int] | None) -> list[int]:
    if tokens is None:
        return []
    return [tokens] if isinstance(tokens, int) else list(tokens)
