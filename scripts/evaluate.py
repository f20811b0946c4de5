"""Score a checkpoint on a split, or outputs against references; the same numbers as `slt-hf evaluate`.

    accelerate launch scripts/evaluate.py --checkpoint FOLDER --data manifest.csv --split test --json report.json
    torchrun --nproc_per_node 2 scripts/evaluate.py …       # the clips are shared among the processes
    python scripts/evaluate.py evaluation.yaml --robustness true

A YAML file of settings may come first; the command line wins. `--help` lists the settings.
"""

from __future__ import annotations

from slt_hf.cli.script import run_script
from slt_hf.evaluation.run import EvaluationArguments, run_evaluation
from slt_hf.evaluation.tables import terminal_report
from slt_hf.training.arguments import help_from_docstrings, parse_recipe


def main() -> None:
    (arguments,) = parse_recipe((help_from_docstrings(EvaluationArguments),))
    report = run_evaluation(arguments)
    if report is not None:  # only the first process has one
        print(terminal_report(report))


if __name__ == "__main__":
    run_script(main)
