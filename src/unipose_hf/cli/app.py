# SPDX-License-Identifier: Apache-2.0
"""The application that all commands register with.

A user's mistake ends as one sentence on stderr and exit code 2. What only one command needs is imported inside it.
"""

from enum import StrEnum
from typing import Annotated

import typer
from typer.core import TyperGroup

# The base of typer's complaints about a command line; where it lives depends on typer's version.
UsageError = typer.BadParameter.__base__


class _Commands(TyperGroup):
    """Commands whose foreseen errors are one sentence each."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # of `unipose ... | head`, which typer ends quietly
            raise
        except (ValueError, OSError, ImportError) as error:
            sentence = str(error)
            if isinstance(error, OSError) and error.strerror:
                sentence = f"{error.filename or 'A file'} cannot be read or written ({error.strerror})."
        except UsageError as error:
            sentence = error.format_message()
        typer.echo(f"unipose: {' '.join(sentence.split())}", err=True)
        raise typer.Exit(2)


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _say_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"unipose-hf {__version__}")
        raise typer.Exit


@app.callback()
def unipose(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """Read, describe, compare, estimate, generate and edit 3D human poses."""


class By(StrEnum):
    """Who finds the words: the language model, or measurements of the poses."""

    model = "model"
    measure = "measure"


Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="FOLDER|USER/NAME",
        help="Another model than the bundled one: a folder, or one of the Hub.",
        show_default=False,
    ),
]
