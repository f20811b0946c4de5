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
    """Writes the model card when training ends, from what was run: data, recipe, scores, hardware, commit.

    Args:
        write: called with the output folder and the scores of the last evaluation.
    """

    def __init__(self, write: Callable[[Path, dict[str, float]], Any]) -> None:
        self.write = write
        self.scores: dict[str, float] = {}

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        self.scores = dict(metrics or {})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.write(Path(args.output_dir), self.scores)
