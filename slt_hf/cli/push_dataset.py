"""`slt-hf push-dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def push_dataset(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `slt-hf prepare` wrote.")],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="organisation/name.")],
    private: Annotated[bool, typer.Option(help="Create the repository for its owners only.")] = False,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Publish prepared shards on the Hub, with their card and census, for plain datasets.load_dataset.

    HF_TOKEN comes from the environment or .env. Respect the licence of the recordings: --private where it forbids more.
    """
    from slt_hf.cli.output import print_json
    from slt_hf.data.publish import push_dataset_folder

    address = push_dataset_folder(folder, repo, private=private, message=message)
    if json:
        print_json(repo=repo, commit=address)
    else:
        print(address)
