# SPDX-License-Identifier: Apache-2.0
"""How far the widget lets joints turn."""

import functools

import roma
import torch
from torch import Tensor

from ..body import JOINT_NAMES
from ..data.language import angles_to_axis_angle, load_language_bank
from ..data.open_poses import load_open_poses
from ..data.synthesis.joint_limits import BONE_AXIS, measure_limits

_HIPS = [JOINT_NAMES.index("left_hip"), JOINT_NAMES.index("right_hip")]


@functools.cache
def pose_limits() -> Tensor:
    """`(2, 22, 3)`: low and high, swing-twist coordinates in radians as in `data/synthesis/joint_limits.py`.

    Measured on the open poses and the named ones, which reach further (yoga, dance, gymnastics), with the anatomical
    limits of elbows, knees and ankles. The hips' twist is that of the open poses: in the named ones it also stands
    for a thigh that is lifted far to the side. The pelvis has no limits.
    """
    real = roma.rotvec_to_rotmat(load_open_poses("all").axis_angle)
    named = roma.rotvec_to_rotmat(angles_to_axis_angle(load_language_bank().named_angles))
    limits = measure_limits(torch.cat([real, named]))
    limits[:, _HIPS, 1] = measure_limits(real)[:, _HIPS, 1]
    return limits


def for_browser() -> dict[str, list]:
    """`axes`: the bone axis of each joint; `low` and `high`: degrees, None for a joint without limits."""
    low, high = (
        [None if joint == 0 else [round(float(x), 1) for x in row] for joint, row in enumerate(side)]
        for side in pose_limits().rad2deg()
    )
    return {"axes": list(BONE_AXIS), "low": low, "high": high}
