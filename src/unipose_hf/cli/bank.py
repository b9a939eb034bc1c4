# SPDX-License-Identifier: Apache-2.0
"""The command that shows the language bank: poses."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .checks import check_target


@app.command()
def poses(
    name: Annotated[str | None, typer.Argument(help="A pose to write with --output.", show_default=False)] = None,
    search: Annotated[str | None, typer.Option(help="Only poses with these words.", show_default=False)] = None,
    output: Annotated[
        Path | None, typer.Option(help="A .glb, .bvh, .npz, .obj, .json or .png file.", show_default=False)
    ] = None,
) -> None:
    """List the named poses with their aliases, one per line, or write one of them to a file.

    unipose poses --search kneel; unipose poses "warrior two" --output warrior.glb
    """
    from ..data.language import load_language_bank, named_pose, search_poses

    if name is not None:
        if output is None:
            raise ValueError(f"Set the output file for {name!r}: --output pose.glb.")
        check_target(output, "--output")
        pose = named_pose(name)
        pose.render(output) if output.suffix.lower() == ".png" else pose.save(output)
        typer.echo(str(output))
        return
    if output is not None:
        raise ValueError("--output writes a single pose; give its name: unipose poses NAME --output FILE.")
    found = load_language_bank().named if search is None else search_poses(search)
    if not found:
        raise ValueError(f"No pose matches {search!r}; `unipose poses` lists all.")
    for pose in found:
        typer.echo(f"{pose.name}\t{', '.join(pose.aliases[:4])}")
