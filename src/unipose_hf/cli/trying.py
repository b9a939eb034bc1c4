# SPDX-License-Identifier: Apache-2.0
"""Commands to see whether it works: demo, doctor."""

from pathlib import Path
from typing import Annotated

import typer

from .app import Model, app
from .checks import make_folder
from .loading import load


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures; made if missing.")] = Path("demo"),
    model: Model = None,
) -> None:
    """Run all seven tasks on a photograph and on motion capture, and leave pictures and meshes of them."""
    make_folder(out)
    loaded = load(model)
    from ..demo import run_demo

    run_demo(*loaded, out, say=typer.echo)


@app.command()
def doctor(
    data: Annotated[
        Path | None, typer.Option(help="Folder of data sets; tells which are there.", show_default=False)
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="A config.json or a model's folder; tells the memory it needs.", show_default=False),
    ] = None,
) -> None:
    """Tell what is installed, what works, and how to mend the rest. Exit code 0 if the main job works."""
    from ..doctor import examine, list_data

    if model is not None:
        from ..memory_plan import available_memory, plan_memory, read_config, say_plan

        say_plan(plan_memory(read_config(model)), available_memory(), typer.echo)
        typer.echo()
    if data is not None:
        list_data(data, typer.echo)
        typer.echo()
    raise typer.Exit(0 if examine(typer.echo) else 1)
