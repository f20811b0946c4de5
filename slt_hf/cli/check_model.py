"""`slt-hf check-model`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slt_hf.check_model import ModelFit


def check_model(
    name: Annotated[str, typer.Argument(help="Hub id, folder, or config.json.")],
    lora_r: Annotated[int, typer.Option(help="Rank of LoRA adapters to count.")] = 16,
    frames: Annotated[int, typer.Option(help="Frames of a typical clip, for the estimate of activations.")] = 256,
    tokens: Annotated[int, typer.Option(help="Tokens of a typical text.")] = 64,
    decoder: Annotated[str | None, typer.Option(help="Causal model to join it with: BERT with GPT-2.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Whether a sequence-to-sequence model of the Hub can write the text, how wide it is, and what memory it takes.

    Reads the config alone; exit code 1 if it does not fit.
    """
    from slt_hf.check_model import check_model as check
    from slt_hf.cli.output import print_json

    fit = check(name, lora_r, frames, tokens, decoder)
    if json:
        print_json(**asdict(fit))
    else:
        print(told(fit))
    if not fit.fits:
        raise typer.Exit(1)


def told(fit: ModelFit) -> str:
    """The answer as a few lines and a table."""
    if not fit.fits:
        return f"{fit.name} ({fit.model_type}) does not fit: {'; '.join(fit.reasons)}"
    from slt_hf.check_model import WEIGHT_BYTES
    from slt_hf.evaluation.tables import text_table

    def gigabytes(value: float | None) -> str:
        return "-" if value is None else f"{value / 1e9:.2f} GB"

    limits = ", ".join(
        f"{what} {'without limit' if limit is None else f'up to {limit}'}"
        for what, limit in (("input", fit.longest_input), ("output", fit.longest_output))
    )
    lora = f"LoRA r={fit.lora_r} ({', '.join(fit.lora_targets)})"
    rows = [[name, *(gigabytes(fit.memory[name][way]) for way in ("use", "train", "lora"))] for name in WEIGHT_BYTES]
    lines = [
        f"{fit.name} fits: {fit.architecture}, width {fit.width}, {fit.parameters / 1e6:.1f} M parameters, "
        f"vocabulary {fit.vocabulary}",
        f"positions: {limits}; starts with token {fit.decoder_start_token_id}"
        + (f", then {fit.forced_bos_token_id}" if fit.forced_bos_token_id is not None else "")
        + (f"; {fit.language_codes} language codes" if fit.language_codes else ""),
        f"{lora}: {fit.adapter_parameters / 1e6:.2f} M parameters; our encoder and projector: "
        f"{fit.encoder_parameters / 1e6:.2f} M",
        "",
        text_table(["weights", "use", "train all", "train LoRA"], rows),
        "",
        f"and about {fit.activations / 1e6:.0f} MB of activations for each clip of a batch in training (bf16, rough)",
        *(f"note: {note}" for note in fit.notes),
    ]
    return "\n".join(lines)
