# SPDX-License-Identifier: Apache-2.0
"""Coordinate axes of other programs, by name: "y", "z", "-y" ..."""

import torch

AXES = ("x", "y", "z", "-x", "-y", "-z")
# The usual axis towards the viewer for each axis that points up: a y-up world like ours, a z-up one like Blender's or
# AMASS's, an OpenCV camera (y down).
_FACING = {"y": "z", "z": "-y", "-y": "-z", "-z": "y"}


def axis_vector(axis: str) -> torch.Tensor:
    """The (3,) float64 direction of an axis."""
    vector = torch.zeros(3, dtype=torch.float64)
    vector["xyz".index(axis[-1])] = -1.0 if axis.startswith("-") else 1.0
    return vector


def nearest_axis(direction: torch.Tensor) -> str:
    """The axis nearest to a (3,) direction."""
    k = int(direction.abs().argmax())
    return ("-" if direction[k] < 0 else "") + "xyz"[k]


def world_turn(up: str, facing: str | None = None) -> torch.Tensor:
    """The (3, 3) float64 rotation from another world into our frame (y up, z towards the viewer).

    Args:
        up: the axis of that world that points up.
        facing: the axis of that world that points towards the viewer; by default the usual one for `up`.

    Raises:
        ValueError: unknown axis, or the two axes are not perpendicular.
    """
    for name, axis in (("up", up), ("facing", facing)):
        if axis is not None and axis not in AXES:
            raise ValueError(f"{name} is {axis!r}; expected an axis: {', '.join(AXES)}.")
    if facing is None and up not in _FACING:
        raise ValueError(f"up is {up!r}, for which there is no usual front; set facing too.")
    facing = facing or _FACING[up]
    if facing[-1] == up[-1]:
        raise ValueError(f"up is {up!r} and facing is {facing!r}; expected two perpendicular axes.")
    y, z = axis_vector(up), axis_vector(facing)
    return torch.stack([torch.linalg.cross(y, z), y, z])
