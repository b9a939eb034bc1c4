# SPDX-License-Identifier: Apache-2.0
"""Options for reading pose files of other programs, for information that such a file may lack."""

from pathlib import Path
from typing import Annotated

import typer

FILES = ".npz, .bvh, .json, .glb, .pkl or .pt"

PoseFile = Annotated[Path, typer.Argument(metavar="FILE", help=f"A file: {FILES}.", show_default=False)]
Frame = Annotated[int, typer.Option(help="Index of the frame.")]
Up = Annotated[
    str | None,
    typer.Option(
        "--up",
        help="Axis of the file's world that points up: y, z, -y (camera frame) ...; detected by default.",
        show_default=False,
    ),
]
Facing = Annotated[
    str | None,
    typer.Option(
        "--facing", help="Axis of the file's world that points towards the viewer, such as z.", show_default=False
    ),
]
JointMap = Annotated[
    Path | None,
    typer.Option(
        "--joint-map",
        help='JSON file for joints with unknown names: {"left_hip": "name in the .bvh file"}.',
        show_default=False,
    ),
]
Person = Annotated[
    str | None, typer.Option("--person", help="Which of several people in the file.", show_default=False)
]


def reading(up: str | None, facing: str | None, joint_map: Path | None, person: str | None) -> dict:
    """The keyword arguments of `read_poses`."""
    if joint_map is not None:
        from unipose_hf.data.formats.bvh_names import read_joint_map

        joint_map = read_joint_map(joint_map)
    return {"up": up, "facing": facing, "joint_map": joint_map, "person": person}
