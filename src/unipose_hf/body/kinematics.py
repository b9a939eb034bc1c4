# SPDX-License-Identifier: Apache-2.0
"""Forward kinematics and the two symmetries of a pose: left-right mirror and turn about the vertical axis.

Frame: right-handed, y up, z towards the viewer, metres; the body's left is +x and the identity pose is the T-pose.
"""

import roma
import torch
from torch import Tensor

from .joints import MIRROR, NUM_JOINTS, PARENTS


def _joints_by_depth() -> tuple[tuple[int, ...], ...]:
    depth = [0] * NUM_JOINTS
    for joint in range(1, NUM_JOINTS):
        depth[joint] = depth[PARENTS[joint]] + 1
    return tuple(tuple(j for j in range(NUM_JOINTS) if depth[j] == d) for d in range(max(depth) + 1))


# Joints of the same depth are processed together: 8 batched products instead of 21 single ones.
_LEVELS = _joints_by_depth()
_LEVEL_ORDER = [joint for level in _LEVELS for joint in level]
_JOINT_TO_ROW = [_LEVEL_ORDER.index(joint) for joint in range(NUM_JOINTS)]


def check_rotations(rotations: Tensor) -> None:
    """Raise `ValueError` unless `rotations` is a floating-point `(..., 22, 3, 3)` tensor."""
    if not torch.is_tensor(rotations) or not rotations.is_floating_point():
        found = rotations.dtype if torch.is_tensor(rotations) else type(rotations).__name__
        raise ValueError(f"rotations must be a floating-point torch tensor of shape (..., 22, 3, 3), found {found}.")
    if tuple(rotations.shape[-3:]) != (NUM_JOINTS, 3, 3):
        raise ValueError(
            f"rotations must have shape (..., {NUM_JOINTS}, 3, 3), found {tuple(rotations.shape)}; pass one local "
            "rotation matrix for each of the 22 SMPL body joints."
        )


def check_axis_angle(axis_angle: Tensor) -> None:
    """Raise `ValueError` unless `axis_angle` is a finite floating-point `(..., 22, 3)` tensor."""
    if not torch.is_tensor(axis_angle) or not axis_angle.is_floating_point():
        found = axis_angle.dtype if torch.is_tensor(axis_angle) else type(axis_angle).__name__
        raise ValueError(f"axis_angle must be a floating-point torch tensor of shape (..., 22, 3), found {found}.")
    if tuple(axis_angle.shape[-2:]) != (NUM_JOINTS, 3):
        raise ValueError(
            f"axis_angle must have shape (..., {NUM_JOINTS}, 3), found {tuple(axis_angle.shape)}; pass one local "
            "axis-angle vector (radians) for each of the 22 SMPL body joints."
        )
    if not torch.isfinite(axis_angle).all():
        raise ValueError("axis_angle holds NaN or infinite values; pass finite angles in radians.")


def forward_kinematics(rotations: Tensor, rest_joints: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the joint positions of a body from local rotations.

    Args:
        rotations: `(..., 22, 3, 3)` local rotation matrices, each relative to the joint's parent.
        rest_joints: `(22, 3)` or `(..., 22, 3)` joint positions in the T-pose, metres; broadcast against `rotations`.

    Returns:
        `joints (..., 22, 3)` in the frame of `rest_joints` (the pelvis keeps its rest position) and
        `global_rotations (..., 22, 3, 3)`, each joint's rotation in the world. Differentiable in both inputs.

    Raises:
        ValueError: a shape or dtype is wrong.
    """
    check_rotations(rotations)
    if tuple(rest_joints.shape[-2:]) != (NUM_JOINTS, 3):
        raise ValueError(f"rest_joints must have shape (..., {NUM_JOINTS}, 3), found {tuple(rest_joints.shape)}.")
    rest_joints = rest_joints.to(rotations)
    batch = torch.broadcast_shapes(rotations.shape[:-3], rest_joints.shape[:-2])
    rotations = rotations.expand(*batch, NUM_JOINTS, 3, 3)
    rest_joints = rest_joints.expand(*batch, NUM_JOINTS, 3)

    turned, placed = [rotations[..., :1, :, :]], [rest_joints[..., :1, :]]
    for depth, level in enumerate(_LEVELS[1:]):
        parents = [PARENTS[joint] for joint in level]
        rows = [_LEVELS[depth].index(parent) for parent in parents]
        joints = list(level)
        parent_turn = turned[-1][..., rows, :, :]
        bones = rest_joints[..., joints, :] - rest_joints[..., parents, :]
        turned.append(parent_turn @ rotations[..., joints, :, :])
        placed.append(placed[-1][..., rows, :] + (parent_turn @ bones[..., None])[..., 0])
    return torch.cat(placed, dim=-2)[..., _JOINT_TO_ROW, :], torch.cat(turned, dim=-3)[..., _JOINT_TO_ROW, :, :]


def mirror_pose(axis_angle: Tensor) -> Tensor:
    """Swap left and right: the pose reflected in the body's x = 0 plane.

    Args:
        axis_angle: `(..., 22, 3)` local axis-angle rotations, radians.

    Returns:
        `(..., 22, 3)`. On a left-right symmetric body its joints are the input's joints with x negated and sides
        swapped. Applying it twice gives the input back exactly.

    Raises:
        ValueError: wrong shape or dtype, or NaN.
    """
    check_axis_angle(axis_angle)
    # Reflection x -> -x keeps the x part of a rotation vector (a pseudo-vector) and negates the other two.
    return axis_angle[..., list(MIRROR), :] * axis_angle.new_tensor([1.0, -1.0, -1.0])


def remove_yaw(axis_angle: Tensor) -> Tensor:
    """Rotate the body about the vertical axis until its left-right axis has no depth, as captions and text tasks
    expect.

    The global orientation is decomposed as `Ry(c) Rz(b) Rx(a)` and `c` is set to zero; pitch `a` and roll `b` are
    kept. This is PoseScript's normalisation (Delmas et al. 2022) written in a y-up frame.

    Args:
        axis_angle: `(..., 22, 3)` local axis-angle rotations, radians; the first is the global orientation.

    Returns:
        `(..., 22, 3)`; only the first rotation differs from the input.

    Raises:
        ValueError: wrong shape or dtype, or NaN.
    """
    check_axis_angle(axis_angle)
    orientation = roma.rotvec_to_rotmat(axis_angle[..., 0, :])  # (..., 3, 3)
    left_x, left_z = orientation[..., 0, 0], orientation[..., 2, 0]  # direction of the body's left side
    length = torch.sqrt(left_x.square() + left_z.square())
    # A body lying on its side has a vertical left-right axis: any heading fits, so keep the current one.
    vertical = length < 1e-6
    length = torch.where(vertical, torch.ones_like(length), length)
    cos = torch.where(vertical, torch.ones_like(length), left_x / length)
    sin = torch.where(vertical, torch.zeros_like(length), -left_z / length)
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    # (..., 3, 3) = Ry(-c)
    unturn = torch.stack([cos, zero, -sin, zero, one, zero, sin, zero, cos], dim=-1).unflatten(-1, (3, 3))
    upright = roma.rotmat_to_rotvec(unturn @ orientation)
    return torch.cat([upright[..., None, :], axis_angle[..., 1:, :]], dim=-2)
