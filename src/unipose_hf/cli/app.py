# SPDX-License-Identifier: Apache-2.0
"""The Typer application that all commands register with.

User mistakes give one sentence on stderr and exit code 2. Imports needed by only one command are inside it.
"""

from enum import StrEnum
from typing import Annotated

import typer
from typer.core import TyperGroup

# The base class of typer's usage errors; its module depends on typer's version.
UsageError = typer.BadParameter.__base__


class _Commands(TyperGroup):
    """Commands that report expected errors in one sentence each."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # as in `unipose ... | head`; typer exits quietly
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


def _print_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"unipose-hf {__version__}")
        raise typer.Exit


@app.callback()
def unipose(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Read, describe, compare, estimate, generate and edit 3D human poses."""


class By(StrEnum):
    """The source of texts: the language model, or measurements of the poses."""

    model = "model"
    measure = "measure"


class Style(StrEnum):
    """The style of texts: plain English, short or full, or statements of measured relations."""

    short = "short"
    full = "full"
    measured = "measured"


Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="FOLDER|USER/NAME",
        help="Model to use instead of the bundled one: a folder or a Hub name.",
        show_default=False,
    ),
]
