# SPDX-License-Identifier: Apache-2.0
"""Options of the commands that read poses from files of others, for what such a file does not tell."""

from pathlib import Path
from typing import Annotated

import typer

FILES = ".npz, .bvh, .json, .glb, .pkl or .pt"

PoseFile = Annotated[Path, typer.Argument(metavar="FILE", help=f"A file: {FILES}.", show_default=False)]
Frame = Annotated[int, typer.Option(help="Frame of the file.")]
Up = Annotated[
    str | None,
    typer.Option(
        "--up",
        help="Axis of the file's world that points up: y, z, -y (before a camera) ...; read off the file by default.",
        show_default=False,
    ),
]
Facing = Annotated[
    str | None,
    typer.Option("--facing", help="Axis of the file's world that points to the viewer, like z.", show_default=False),
]
JointMap = Annotated[
    Path | None,
    typer.Option(
        "--joint-map",
        help='JSON file of the joints that are not known by their names: {"left_hip": "name in the .bvh file"}.',
        show_default=False,
    ),
]
Person = Annotated[
    str | None, typer.Option("--person", help="Which of several people in the file.", show_default=False)
]


def reading(up: str | None, facing: str | None, joint_map: Path | None, person: str | None) -> dict:
    """What `read_poses` takes beside the file."""
    if joint_map is not None:
        from unipose_hf.data.formats.bvh_names import read_joint_map

        joint_map = read_joint_map(joint_map)
    return {"up": up, "facing": facing, "joint_map": joint_map, "person": person}
