"""`slt-hf push-space`."""

from __future__ import annotations

from typing import Annotated

import typer


def push_space(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="organisation/name of the Space.")],
    models: Annotated[
        str, typer.Option(help="What it offers: bundled, or repositories, separated by commas.")
    ] = "bundled",
    private: Annotated[bool, typer.Option(help="Create the Space for its owners only.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Publish a Space that translates uploads, recordings and synthetic examples. HF_TOKEN: environment or .env."""
    from slt_hf.cli.output import print_json
    from slt_hf.spaces_hub import push_space_folder

    address = push_space_folder(repo, models, private)
    if json:
        print_json(repo=repo, commit=address)
    else:
        print(address)
