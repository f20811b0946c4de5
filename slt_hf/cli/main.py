"""`slt-hf`: one line per command; each lives in the module of its name and imports what is heavy inside its function."""

from __future__ import annotations

import sys

import typer

app = typer.Typer(
    name="slt-hf",
    help="Sign language translation and recognition, native to the Hugging Face Hub.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich alone would take longer to import than everything else here
)

# Each command registers here, e.g.  from slt_hf.cli.demo import demo; app.command("demo")(demo)


def main() -> None:
    """Run the command line; an error of ours becomes one line on stderr and exit code 2."""
    from slt_hf.errors import SignDataError

    try:
        app()
    except SignDataError as error:
        print(f"slt-hf: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
