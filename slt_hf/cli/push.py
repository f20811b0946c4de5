"""`slt-hf push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What save_pretrained wrote: model and processor.")],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="organisation/name.")],
    private: Annotated[bool, typer.Option(help="Create the repository for its owners only.")] = False,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Publish a checkpoint on the Hub: weights, processor, card, and the code to load it anywhere.

    The card is DIR/README.md; without one it is written from the configs and DIR/card.yaml (data, metrics, limits,
    licence). HF_TOKEN comes from the environment or .env.
    """
    from slt_hf.cli.output import print_json
    from slt_hf.hub import push_folder

    address = push_folder(folder, repo, private=private, message=message)
    if json:
        print_json(repo=repo, commit=address)
    else:
        print(address)
