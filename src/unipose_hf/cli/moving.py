# SPDX-License-Identifier: Apache-2.0
"""Command for motions: motion."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .checks import check_target
from .reading import Facing, JointMap, Person, PoseFile, Up, reading

Every = Annotated[int, typer.Option(min=1, help="Take every N-th frame.")]


class Names(StrEnum):
    """Joint names of a written skeleton."""

    smpl = "smpl"
    mixamo = "mixamo"


@app.command()
def motion(
    file: PoseFile,
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="Result: .glb, .bvh, .npz, .gif or .mp4.", show_default=False)
    ],
    every: Every = 1,
    frame_rate: Annotated[
        float | None,
        typer.Option(min=0.01, help="Frames per second of a file that does not say it.", show_default="30"),
    ] = None,
    on_floor: Annotated[
        bool, typer.Option("--on-floor", help="Put the lowest point of the motion at height 0.")
    ] = False,
    names: Annotated[Names, typer.Option(help="Joint names in .glb and .bvh.")] = Names.smpl,
    up: Up = None,
    facing: Facing = None,
    joint_map: JointMap = None,
    person: Person = None,
) -> None:
    """Convert a motion to an animated .glb, .bvh, AMASS-style .npz, or a .gif or .mp4 of the body."""
    from ..motion.film_files import FILMS
    from ..motion.motion import SUFFIXES, Motion

    if output.suffix.lower() not in (*SUFFIXES, *FILMS):
        raise ValueError(
            f"The output is {str(output)!r}; a motion is saved as one of {', '.join((*SUFFIXES, *FILMS))}."
        )
    check_target(output, "OUTPUT")
    moved = Motion.from_file(file, frame_rate, **reading(up, facing, joint_map, person))[::every]
    if output.suffix.lower() in FILMS:
        moved.render(output)
    else:
        moved.save(output, on_floor=on_floor, names=names.value)
    typer.echo(f"{output} ({len(moved)} frames, {moved.duration:.1f} seconds)")
