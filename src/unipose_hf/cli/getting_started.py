# SPDX-License-Identifier: Apache-2.0
"""Commands to get started: sample, demo, doctor."""

from pathlib import Path
from typing import Annotated

import typer

from .app import Model, app
from .checks import make_folder
from .loading import find_folder, load


@app.command()
def sample(
    names: Annotated[list[str] | None, typer.Argument(help="Names of samples; without names, all are listed.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for the copies; created if missing.")] = Path("."),
) -> None:
    """Copy sample files: a photograph and a motion."""
    from .. import assets

    if not names:
        for name, about in assets.SAMPLES.items():
            typer.echo(f"{name}\t{about}")
        return
    make_folder(output)
    for name in names:
        typer.echo(assets.sample(name, output))


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for the pictures; created if missing.")] = Path("demo"),
    model: Model = None,
) -> None:
    """Run all seven tasks on a photograph and on motion capture, and write pictures and meshes."""
    make_folder(output)
    loaded = load(model)
    from .demo import run_demo

    run_demo(*loaded, output, log=typer.echo, plain=load(None, "text-to-pose") if model is None else None)


@app.command()
def doctor(
    data: Annotated[
        Path | None, typer.Option(help="Folder of data sets; lists which are present.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|FOLDER|USER/NAME",
            help="A model, or its config.json; shows the memory it needs.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show what is installed, what works, and how to fix the rest. Exit code 0 if the main job works."""
    from .doctor import examine, list_data

    if model is not None:
        from .memory_plan import available_memory, plan_memory, print_plan, read_config

        print_plan(plan_memory(read_config(find_folder(model, "*.json"))), available_memory(), typer.echo)
        typer.echo()
    if data is not None:
        list_data(data, typer.echo)
        typer.echo()
    raise typer.Exit(0 if examine(typer.echo) else 1)
