"""`slt-hf`: each command lives in the module of its name and imports what is heavy inside its function."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from slt_hf.cli.check_model import check_model
from slt_hf.cli.client import client
from slt_hf.cli.convert_i3d import convert_i3d
from slt_hf.cli.decode_clips import decode_clips
from slt_hf.cli.demo import demo
from slt_hf.cli.draw import draw
from slt_hf.cli.env import env
from slt_hf.cli.evaluate import evaluate
from slt_hf.cli.explain import explain
from slt_hf.cli.export import export
from slt_hf.cli.extract import extract
from slt_hf.cli.info import info
from slt_hf.cli.inspect import inspect
from slt_hf.cli.manifest import manifest
from slt_hf.cli.prepare import prepare
from slt_hf.cli.push import push
from slt_hf.cli.push_dataset import push_dataset
from slt_hf.cli.push_space import push_space
from slt_hf.cli.serve import serve
from slt_hf.cli.translate import translate
from slt_hf.cli.view import view

app = typer.Typer(
    name="slt-hf",
    help="Sign language translation and recognition, native to the Hugging Face Hub.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich alone would take longer to import than everything else here
)

# In the order of `slt-hf --help`, each with its line there; the docstring says the rest.
COMMANDS: dict[Callable[..., None], str] = {
    demo: "Sign a sentence, draw it, and read it back.",
    translate: "Clips to text: pose files, videos, folders.",
    evaluate: "Score outputs, or a checkpoint on a split.",
    explain: "Draw what an answer rests on.",
    info: "What a clip or a checkpoint is.",
    draw: "Skeletons as a sheet or an animation.",
    view: "Look at keypoints in the browser.",
    env: "Versions, devices, and what is missing for what.",
    manifest: "A corpus' annotations to manifest rows.",
    extract: "Videos to pose files.",
    prepare: "A manifest to shards to train from.",
    decode_clips: "Clips of videos, cut once and small.",
    inspect: "Counts, lengths and gaps of a dataset.",
    check_model: "Whether a text model can write for signing.",
    convert_i3d: "A checkpoint from public I3D weights.",
    push: "Publish a checkpoint on the Hub.",
    push_dataset: "Publish shards on the Hub.",
    push_space: "Publish a Space that translates.",
    export: "Graphs that run without PyTorch.",
    serve: "A page with a camera, REST, gRPC, live streams.",
    client: "Ask a server for translations.",
}
for command, line in COMMANDS.items():
    app.command(command.__name__.replace("_", "-"), short_help=line)(command)


def show_version(wanted: bool) -> None:
    if wanted:
        from slt_hf import __version__

        print(f"slt_hf {__version__}")
        raise typer.Exit


@app.callback()
def slt_hf(
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Sign language translation and recognition, native to the Hugging Face Hub."""


def main() -> None:
    """Run the command line; an error of ours, or a missing package, is one line on stderr and exit code 2."""
    from slt_hf.errors import SignDataError

    warnings.showwarning = show_warning
    try:
        app()
    except SignDataError as error:
        fail(" ".join(str(error).split()))
    except OSError as error:  # of reading and writing the files named; one without a file is a fault of ours
        if error.filename is None:
            raise
        fail(f"{error.filename}: expected to read or write there, found: {error.strerror}; name another path")
    except ModuleNotFoundError as error:
        from slt_hf.environment import remedy_for

        remedy = remedy_for(error.name or "", next(iter(sys.argv[1:]), None))
        if remedy is None:
            raise
        fail(f"this needs {error.name}, which is not installed here; {remedy}")


def show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Our own warnings, each in one line; those of libraries are for programmers."""
    if category.__module__.startswith("slt_hf"):
        print(f"slt-hf: warning: {' '.join(str(message).split())}", file=sys.stderr)


def fail(message: str) -> NoReturn:
    print(f"slt-hf: error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
