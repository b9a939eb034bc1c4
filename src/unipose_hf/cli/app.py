# SPDX-License-Identifier: Apache-2.0
"""The application that all commands register with.

A user's mistake ends as one sentence on stderr and exit code 2. What only one command needs is imported inside it.
"""

from pathlib import Path
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


app = typer.Typer(
    cls=_Commands,
    help="Read, describe, compare, estimate, generate and edit 3D human poses.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Model = Annotated[
    Path | None, typer.Option("--model", help="Folder of another model than the bundled one.", show_default=False)
]
