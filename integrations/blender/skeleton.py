# SPDX-License-Identifier: Apache-2.0
"""The skeleton of unipose_hf's poses, and which bone of an armature is which of its joints."""

import re

import numpy as np

JOINTS = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder"),
    *("right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
)
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
MIXAMO = (
    *("Hips", "LeftUpLeg", "RightUpLeg", "Spine", "LeftLeg", "RightLeg", "Spine1", "LeftFoot", "RightFoot", "Spine2"),
    *("LeftToeBase", "RightToeBase", "Neck", "LeftShoulder", "RightShoulder", "Head", "LeftArm", "RightArm"),
    *("LeftForeArm", "RightForeArm", "LeftHand", "RightHand"),
)
# The T-pose of the bundled body, metres from the pelvis; y up, z towards the viewer, the body's left at +x.
REST = np.array(
    [
        [0.0000, 0.0000, 0.0000],
        [0.1092, -0.0412, -0.0123],
        [-0.1092, -0.0412, -0.0123],
        [0.0000, 0.1003, 0.0070],
        [0.1447, -0.4284, 0.0210],
        [-0.1447, -0.4284, 0.0210],
        [0.0000, 0.2076, -0.0065],
        [0.1857, -0.8572, -0.0057],
        [-0.1857, -0.8572, -0.0057],
        [0.0000, 0.3317, -0.0386],
        [0.1831, -0.9053, 0.1421],
        [-0.1831, -0.9053, 0.1421],
        [0.0000, 0.5166, -0.0094],
        [0.0618, 0.4827, -0.0010],
        [-0.0618, 0.4827, -0.0010],
        [0.0000, 0.5678, 0.0060],
        [0.1783, 0.4193, 0.0041],
        [-0.1783, 0.4193, 0.0041],
        [0.4426, 0.4193, 0.0041],
        [-0.4426, 0.4193, 0.0041],
        [0.6810, 0.4193, 0.0041],
        [-0.6810, 0.4193, 0.0041],
    ]
)
# An armature without one of these cannot be posed; the rest may be missing, as spines have two bones or four.
NEEDED = tuple(
    joint for joint, name in enumerate(JOINTS) if name.split("_")[-1] in ("pelvis", "hip", "knee", "shoulder", "elbow")
)


def match_bones(names):
    """The bones of an armature for the joints of ours.

    Args:
        names: bone names, as Mixamo (`mixamorig:LeftArm`, `LeftArm`) or SMPL's programs (`left_shoulder`,
            `L_Shoulder`, `m_avg_L_Shoulder`) write them. The same word can be another joint in the other kind
            (`LeftShoulder` is Mixamo's collar bone), so that the kind that knows more of the names is taken.

    Returns:
        A dict of joint numbers and bone names.

    Raises:
        ValueError: limbs are missing.
    """
    kinds = (_Kind(MIXAMO, r"^mixamorig\d*"), _Kind(JOINTS, r"^[mf]avg"))
    found = max((kind.match(names) for kind in kinds), key=len)
    if missing := [JOINTS[joint] for joint in NEEDED if joint not in found]:
        raise ValueError(
            f"The armature has no bone for {', '.join(missing)}; its bones need Mixamo's names (LeftArm, with or "
            "without mixamorig:) or SMPL's (left_shoulder, L_Shoulder)."
        )
    return found


class _Kind:
    def __init__(self, names, prefix):
        self.prefix = prefix
        self.joints = {re.sub("[^a-z0-9]", "", name.lower()): joint for joint, name in enumerate(names)}

    def match(self, names):
        found = {}
        for name in names:
            joint = self.joints.get(self._plain(name))
            if joint is not None:
                found.setdefault(joint, name)
        return found

    def _plain(self, name):
        word = re.sub("[^a-z0-9]", "", name.split(":")[-1].lower())
        word = re.sub(self.prefix, "", word)
        side = re.match(r"^([lr])(hip|knee|ankle|foot|collar|shoulder|elbow|wrist)$", word)
        return ("left" if side[1] == "l" else "right") + side[2] if side else word
