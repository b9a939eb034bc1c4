# SPDX-License-Identifier: Apache-2.0
"""The axes of other programs' worlds, by name: "y", "z", "-y" ..."""

import torch

AXES = ("x", "y", "z", "-x", "-y", "-z")
# Where someone looks who faces the viewer, by the axis that points up, as programs with such axes have it: a y-up
# world like ours, a z-up one like Blender's or AMASS's, a camera of OpenCV (y down).
_FACING = {"y": "z", "z": "-y", "-y": "-z", "-z": "y"}


def axis_vector(axis: str) -> torch.Tensor:
    """The (3,) float64 direction of an axis."""
    vector = torch.zeros(3, dtype=torch.float64)
    vector["xyz".index(axis[-1])] = -1.0 if axis.startswith("-") else 1.0
    return vector


def nearest_axis(direction: torch.Tensor) -> str:
    """The axis that a (3,) direction is nearest to."""
    k = int(direction.abs().argmax())
    return ("-" if direction[k] < 0 else "") + "xyz"[k]


def world_turn(up: str, facing: str | None = None) -> torch.Tensor:
    """The (3, 3) float64 rotation from another world into ours (y up, z to the viewer).

    Args:
        up: the axis of that world that points up.
        facing: its axis that points to the viewer; by default the usual one of such worlds.

    Raises:
        ValueError: no such axis, or the two are not square to each other.
    """
    for name, axis in (("up", up), ("facing", facing)):
        if axis is not None and axis not in AXES:
            raise ValueError(f"{name} is {axis!r}; expected an axis: {', '.join(AXES)}.")
    if facing is None and up not in _FACING:
        raise ValueError(f"up is {up!r}, and worlds with that axis have no usual front; say the axis by facing, too.")
    facing = facing or _FACING[up]
    if facing[-1] == up[-1]:
        raise ValueError(f"up is {up!r} and facing is {facing!r}; expected two axes square to each other.")
    y, z = axis_vector(up), axis_vector(facing)
    return torch.stack([torch.linalg.cross(y, z), y, z])
