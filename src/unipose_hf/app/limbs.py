# SPDX-License-Identifier: Apache-2.0
"""The limbs as the page names them: which may move, and which a change has moved."""

from collections.abc import Collection, Sequence

import numpy as np
import roma
import torch

from ..body import JOINT_NAMES, LIMBS, TRUNK
from ..modeling.pose_unipose import Pose

HIPS = "hips"
PARTS: dict[str, tuple[int, ...]] = {
    "left arm": LIMBS["left_arm"],
    "right arm": LIMBS["right_arm"],
    "left leg": LIMBS["left_leg"],
    "right leg": LIMBS["right_leg"],
    "head": LIMBS["head"],
    "torso": tuple(joint for joint in TRUNK if joint != JOINT_NAMES.index("pelvis")),
    HIPS: (JOINT_NAMES.index("pelvis"),),  # turning them turns the whole body
}
"""Every joint is in one of these parts."""
CHANGED_DEGREES = 8.0  # a joint that turned further has changed; the codes of a pose move others by a few degrees


def check_parts(free: Collection[str]) -> None:
    """Raises `ValueError` unless these are names of `PARTS`, at least one."""
    unknown = [part for part in free if part not in PARTS]
    if unknown:
        raise ValueError(f"There is no limb {', '.join(map(repr, unknown))}; the limbs are {', '.join(PARTS)}.")
    if not free:
        raise ValueError(f"Every limb is locked; unlock at least one of them: {', '.join(PARTS)}.")


def keep_locked(before: Pose, after: Pose, free: Collection[str]) -> Pose:
    """`after`, in which joints of limbs that are not `free` have the local rotations of `before`.

    Raises:
        ValueError: an unknown limb, or none.
    """
    check_parts(free)
    vectors = np.array(before.axis_angle)
    moving = [joint for part in free for joint in PARTS[part]]
    vectors[moving] = after.axis_angle[moving]
    return Pose(vectors, after.betas)


def changed_parts(before: Pose, after: Pose) -> list[str]:
    """Names of the limbs in which a joint turned by more than `CHANGED_DEGREES` against its parent."""
    turned = roma.rotmat_geodesic_distance(torch.tensor(before.matrix), torch.tensor(after.matrix)).rad2deg()
    return [part for part, joints in PARTS.items() if turned[list(joints)].max() > CHANGED_DEGREES]


def in_words(parts: Sequence[str]) -> str:
    """ "left arm, head and torso" """
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
