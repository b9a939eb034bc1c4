# SPDX-License-Identifier: Apache-2.0
"""The skeleton every part of the package shares: the 22 SMPL body joints, in SMPL order.

Constants only, derived from names and parents where possible. Lengths and positions belong to a body
(`BodyModel.rest_joints`), not to the skeleton.
"""

JOINT_NAMES: tuple[str, ...] = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
)

NUM_JOINTS = len(JOINT_NAMES)

# Index of each joint's parent; -1 marks the root. A parent always comes before its children.
PARENTS: tuple[int, ...] = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)

# MIRROR[i] is the joint that replaces joint i when left and right are swapped (its own inverse).
MIRROR: tuple[int, ...] = (0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20)

# The same joints under the names of Mixamo's rig, which Unity, Blender add-ons and Mixamo itself recognise.
MIXAMO_NAMES: tuple[str, ...] = tuple(
    f"mixamorig:{name}"
    for name in (
        *("Hips", "LeftUpLeg", "RightUpLeg", "Spine", "LeftLeg", "RightLeg", "Spine1", "LeftFoot", "RightFoot"),
        *("Spine2", "LeftToeBase", "RightToeBase", "Neck", "LeftShoulder", "RightShoulder", "Head", "LeftArm"),
        *("RightArm", "LeftForeArm", "RightForeArm", "LeftHand", "RightHand"),
    )
)


def _hanging_on(name: str) -> tuple[int, ...]:
    """A joint and all its descendants."""
    found = [JOINT_NAMES.index(name)]
    for joint, parent in enumerate(PARENTS):  # parents come first
        if parent in found:
            found.append(joint)
    return tuple(found)


# The joints of each limb, from the trunk outwards, and of the trunk itself.
LIMBS: dict[str, tuple[int, ...]] = {
    "head": _hanging_on("neck"),
    "left_arm": _hanging_on("left_collar"),
    "right_arm": _hanging_on("right_collar"),
    "left_leg": _hanging_on("left_hip"),
    "right_leg": _hanging_on("right_hip"),
}
TRUNK: tuple[int, ...] = tuple(j for j in range(NUM_JOINTS) if not any(j in limb for limb in LIMBS.values()))
