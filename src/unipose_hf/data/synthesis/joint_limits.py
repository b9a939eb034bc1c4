# SPDX-License-Identifier: Apache-2.0
"""Joint limits, measured on real poses, and from anatomy where the clips are not sufficient.

Limits are in swing-twist coordinates: a rotation is a twist about the bone followed by a swing of the bone. The three
numbers are in axis order (x, y, z): the bone's own axis has the twist, the two others the swing's rotation vector.
Left and right have mirrored limits.
"""

import math

import roma
import torch
from torch import Tensor

from unipose_hf.body import JOINT_NAMES, MIRROR

# The axis along the bone that each joint rotates: x in the arms, y elsewhere. The root has no limits.
BONE_AXIS = tuple(0 if name.split("_")[-1] in ("collar", "shoulder", "elbow", "wrist") else 1 for name in JOINT_NAMES)

# Limits from anatomy, where a few clips are not enough: degrees, (low, high) about x, y, z on the left side; None =
# from the data.
_ANATOMY = {
    "head": ((-45.0, 30.0), None, None),
    "left_shoulder": (None, None, (-95.0, 100.0)),  # z lifts the arm sideways
    "left_elbow": ((-60.0, 55.0), (-148.0, 3.0), (-10.0, 10.0)),  # bends the forearm forward; x turns the hand
    "left_knee": ((-3.0, 150.0), (-20.0, 20.0), (-8.0, 8.0)),
    "left_ankle": ((-50.0, 42.0), (-30.0, 38.0), (-25.0, 30.0)),
}


def swing_twist(rotations: Tensor) -> Tensor:
    """Local rotations `(..., 22, 3, 3)` -> swing-twist coordinates `(..., 22, 3)`, radians."""
    quaternion = roma.rotmat_to_unitquat(rotations)  # (..., 22, 4), w last
    bone = _bone_mask(rotations)
    twist = torch.cat([quaternion[..., :3] * bone, quaternion[..., 3:]], dim=-1)
    length = twist.norm(dim=-1, keepdim=True)
    # The twist of a 180-degree swing is undefined.
    identity = twist.new_tensor([0.0, 0.0, 0.0, 1.0])
    twist = torch.where(length > 1e-6, twist / length.clamp_min(1e-6), identity)
    swing = roma.quat_product(quaternion, roma.quat_conjugation(twist))
    return roma.unitquat_to_rotvec(swing) * (1 - bone) + roma.unitquat_to_rotvec(twist) * bone


def from_swing_twist(coordinates: Tensor) -> Tensor:
    """The inverse of `swing_twist`: `(..., 22, 3)` -> `(..., 22, 3, 3)`."""
    bone = _bone_mask(coordinates)
    return roma.rotvec_to_rotmat(coordinates * (1 - bone)) @ roma.rotvec_to_rotmat(coordinates * bone)


def measure_limits(rotations: Tensor, outliers: float = 0.003, margin: float = math.radians(4.0)) -> Tensor:
    """Limits of the joints in real poses.

    Args:
        rotations: `(N, 22, 3, 3)` local rotations; mirrored poses are added here.
        outliers: share of the poses beyond each limit that is treated as outliers.
        margin: radians added to both sides, because a few clips do not reach every limit.

    Returns:
        `(2, 22, 3)`: low and high, swing-twist coordinates in radians. The root's are infinite.
    """
    values = swing_twist(rotations)
    values = torch.cat([values, mirror_coordinates(values)])
    low = values.quantile(outliers, dim=0) - margin
    high = values.quantile(1 - outliers, dim=0) + margin
    limits = torch.stack([low, high])
    for name, axes in _ANATOMY.items():
        joint = JOINT_NAMES.index(name)
        for axis, fixed in enumerate(axes):
            if fixed is not None:
                limits[:, joint, axis] = torch.deg2rad(limits.new_tensor(fixed))
        if MIRROR[joint] != joint:
            limits[:, MIRROR[joint]] = mirror_coordinates(limits)[:, MIRROR[joint]].sort(dim=0).values
    limits[0, 0], limits[1, 0] = -math.inf, math.inf
    return limits


def clamp_to_limits(rotations: Tensor, limits: Tensor) -> Tensor:
    """Local rotations `(..., 22, 3, 3)` with every joint inside `limits (2, 22, 3)`."""
    return from_swing_twist(swing_twist(rotations).clamp(limits[0], limits[1]))


def mirror_coordinates(coordinates: Tensor) -> Tensor:
    """Swing-twist coordinates `(..., 22, 3)` of the mirrored pose."""
    return coordinates[..., list(MIRROR), :] * coordinates.new_tensor([1.0, -1.0, -1.0])


def _bone_mask(like: Tensor) -> Tensor:
    """`(22, 3)`: 1 on each joint's bone axis, 0 elsewhere."""
    return torch.nn.functional.one_hot(torch.tensor(BONE_AXIS), 3).to(like)
