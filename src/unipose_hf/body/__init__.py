# SPDX-License-Identifier: Apache-2.0
"""The body: its 22-joint skeleton, forward kinematics, the bundled mesh and the door for SMPL-family files."""

from .body_model import BodyModel, BodyOutput, load_body
from .joints import JOINT_NAMES, MIRROR, NUM_JOINTS, PARENTS
from .kinematics import forward_kinematics, mirror_pose, remove_yaw

__all__ = [
    "JOINT_NAMES",
    "MIRROR",
    "NUM_JOINTS",
    "PARENTS",
    "BodyModel",
    "BodyOutput",
    "forward_kinematics",
    "load_body",
    "mirror_pose",
    "remove_yaw",
]
