# SPDX-License-Identifier: Apache-2.0
"""Rotation conversions, and rotations between the frames of programs. A Hub repository has only torch for these.

Names are `from_to`; every function takes any number of leading batch dimensions. The 6D representation (Zhou et al.,
CVPR 2019) here is the first two *rows* of the matrix, as in the published UniPose tokenizer.
"""

import torch
import torch.nn.functional as F

# Coordinate axes of other programs, by name.
AXES = ("x", "y", "z", "-x", "-y", "-z")
# The usual axis towards the viewer for each axis that points up: a y-up world like ours, a z-up one like Blender's or
# AMASS's, an OpenCV camera (y down).
_FACING = {"y": "z", "z": "-y", "-y": "-z", "-z": "y"}


def axis_angle_to_matrix(axis_angle: torch.Tensor) -> torch.Tensor:
    """Rotation vectors (..., 3) in radians -> matrices (..., 3, 3), by Rodrigues' formula; smooth at zero."""
    squared = axis_angle.square().sum(-1, keepdim=True)
    small = squared < 1e-8
    safe = torch.where(small, torch.ones_like(squared), squared)  # keeps the gradient of the unused branch finite
    angle = safe.sqrt()
    sine_over_angle = torch.where(small, 1 - squared / 6, angle.sin() / angle)[..., None]
    versine_over_square = torch.where(small, 0.5 - squared / 24, (1 - angle.cos()) / safe)[..., None]
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + sine_over_angle * cross + versine_over_square * (cross @ cross)


def matrix_to_axis_angle(matrix: torch.Tensor) -> torch.Tensor:
    """Matrices (..., 3, 3) -> rotation vectors (..., 3) with angle in [0, pi], also correct at an angle of exactly pi.

    Converts to a quaternion, largest component first (Shepperd 1978), which avoids dividing by a small number.
    """
    m = matrix.flatten(-2)
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = m.unbind(-1)
    # rows: the quaternion (w, x, y, z) scaled by 4w, 4x, 4y and 4z
    candidates = torch.stack(
        [
            torch.stack([1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01], -1),
            torch.stack([m21 - m12, 1 + m00 - m11 - m22, m10 + m01, m02 + m20], -1),
            torch.stack([m02 - m20, m10 + m01, 1 - m00 + m11 - m22, m21 + m12], -1),
            torch.stack([m10 - m01, m02 + m20, m21 + m12, 1 - m00 - m11 + m22], -1),
        ],
        -2,
    )  # (..., 4, 4)
    best = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)
    quaternion = candidates.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    quaternion = F.normalize(quaternion, dim=-1)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    w, xyz = quaternion[..., :1], quaternion[..., 1:]
    squared = xyz.square().sum(-1, keepdim=True)
    small = squared < 1e-12
    sine = torch.where(small, torch.ones_like(squared), squared).sqrt()
    scale = torch.where(small, 2 / w.clamp_min(0.5), 2 * torch.atan2(sine, w) / sine)
    return xyz * scale


def matrix_to_rotation_6d(matrix: torch.Tensor) -> torch.Tensor:
    """Matrices (..., 3, 3) -> their first two rows, (..., 6)."""
    return matrix[..., :2, :].flatten(-2)


def rotation_6d_to_matrix(rotation_6d: torch.Tensor) -> torch.Tensor:
    """Any (..., 6) -> rotation matrices (..., 3, 3) with rows from Gram-Schmidt on the two 3-vectors."""
    first, second = rotation_6d[..., :3], rotation_6d[..., 3:]
    row0 = F.normalize(first, dim=-1)
    row1 = F.normalize(second - (row0 * second).sum(-1, keepdim=True) * row0, dim=-1)
    return torch.stack([row0, row1, torch.linalg.cross(row0, row1)], -2)


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
