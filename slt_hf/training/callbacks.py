"""What happens beside training: predictions written at every evaluation, the model card at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from slt_hf.data.tables import write_table


class PredictionsCallback(TrainerCallback):
    """Writes what the model said at each evaluation: `predictions/step-000100.csv` with id, reference and hypothesis.

    Args:
        ids: of the evaluation samples, in their order.
        references: raw text.
        hypotheses: returns those of the last evaluation.
        ending: `.csv`, `.tsv`, `.jsonl` or `.parquet`.
    """

    def __init__(
        self, ids: list[str], references: list[str], hypotheses: Callable[[], list[str]], ending: str = ".csv"
    ) -> None:
        self.ids, self.references, self.hypotheses, self.ending = ids, references, hypotheses, ending

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not self.hypotheses():
            return
        folder = Path(args.output_dir) / "predictions"
        folder.mkdir(parents=True, exist_ok=True)
        columns = ("id", "reference", "hypothesis")
        rows = [
            dict(zip(columns, row, strict=True))
            for row in zip(self.ids, self.references, self.hypotheses(), strict=True)
        ]
        write_table(rows, folder / f"step-{state.global_step:06d}{self.ending}", columns)


class ModelCardCallback(TrainerCallback):
    """Writes the facts of the model card when training ends: data, recipe, scores, hardware, commit.

    Args:
        write: called with the output folder, the scores of the weights that are kept, by their names without `eval_`,
            and the Trainer's state.
    """

    def __init__(self, write: Callable[[Path, dict[str, float], Any], None]) -> None:
        self.write = write

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.write(Path(args.output_dir), scores_of_kept(args, state), state)


def scores_of_kept(args: Any, state: Any) -> dict[str, float]:
    """Of the best evaluation where its checkpoint is loaded at the end, else of the last one; empty without any."""
    evaluations = [entry for entry in state.log_history if any(name.startswith("eval_") for name in entry)]
    if args.load_best_model_at_end and state.best_global_step:
        evaluations = [entry for entry in evaluations if entry["step"] == state.best_global_step]
    found = evaluations[-1] if evaluations else {}
    return {name.removeprefix("eval_"): value for name, value in found.items() if name.startswith("eval_")}
