# SPDX-License-Identifier: Apache-2.0
"""The body: its 22-joint skeleton, forward kinematics, the bundled mesh and a loader for SMPL-family files."""

from .body_model import BodyModel, BodyOutput, load_body
from .joints import JOINT_NAMES, LIMBS, MIRROR, NUM_JOINTS, PARENTS, TRUNK
from .kinematics import forward_kinematics, mirror_pose, remove_yaw

__all__ = [
    "JOINT_NAMES",
    "LIMBS",
    "MIRROR",
    "NUM_JOINTS",
    "PARENTS",
    "TRUNK",
    "BodyModel",
    "BodyOutput",
    "forward_kinematics",
    "load_body",
    "mirror_pose",
    "remove_yaw",
]
