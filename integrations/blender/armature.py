# SPDX-License-Identifier: Apache-2.0
"""Blender's side of a rig: finds the armature, reads its pose, and rotates its bones."""

import numpy as np
from mathutils import Matrix

from .retarget import Rig
from .skeleton import match_bones


def find_armature(context):
    """The chosen armature, that of the chosen mesh, or the only one of the scene.

    Raises:
        ValueError: there is none, or there are several.
    """
    chosen = context.object
    if chosen is not None:
        of_mesh = [modifier.object for modifier in chosen.modifiers if modifier.type == "ARMATURE"]
        for one in (chosen, chosen.parent, *of_mesh):
            if one is not None and one.type == "ARMATURE":
                return one
    armatures = [one for one in context.scene.objects if one.type == "ARMATURE"]
    if len(armatures) != 1:
        raise ValueError(f"There are {len(armatures)} armatures in the scene; select the one to pose.")
    return armatures[0]


class PosedArmature:
    """An armature object whose bones have names that `match_bones` knows.

    Args:
        armature: the object.

    Raises:
        ValueError: limbs are missing.
    """

    def __init__(self, armature):
        self.armature = armature
        bones = [root for root in armature.data.bones if root.parent is None]
        for bone in bones:  # grows as it goes: parents come first
            bones.extend(bone.children)
        self.names = [bone.name for bone in bones]
        numbers = {name: number for number, name in enumerate(self.names)}
        self.rig = Rig(
            rest=np.array([bone.matrix_local.to_3x3() for bone in bones], dtype=float),
            heads=np.array([bone.head_local for bone in bones], dtype=float),
            tails=np.array([bone.tail_local for bone in bones], dtype=float),
            parents=[numbers[bone.parent.name] if bone.parent else -1 for bone in bones],
            inherits=[bone.use_inherit_rotation for bone in bones],
            joints={joint: numbers[name] for joint, name in match_bones(self.names).items()},
        )

    @property
    def hips(self):
        """The pose bone of the pelvis."""
        return self._pose_bone(self.rig.joints[0])

    def read(self):
        """The pose as it is shown, constraints included: (22, 3, 3), each joint relative to its parent."""
        bones = (self._pose_bone(bone) for bone in range(len(self.names)))
        return self.rig.read_pose(np.array([_rotation(bone.matrix) for bone in bones]))

    def pose(self, rotations, on_floor=True, frame=None):
        """Turn the bones into a pose (22, 3, 3); with a `frame`, as keyframes there.

        `on_floor` moves the hips so that the body stands on the floor that it rests on; otherwise they stay.
        """
        posed = self._turn(rotations, frame)
        if on_floor:
            self._move(posed, self.rig.height_to_floor(posed) * self.rig.frame[:, 1], frame)

    def animate(self, rotations, positions, frames, on_floor=True):
        """Keyframes of a motion.

        Args:
            rotations: (F, 22, 3, 3) poses.
            positions: (F, 3) of the pelvis, metres, in our frame; the path starts where the hips rest.
            frames: (F,) of the scene's timeline.
            on_floor: move everything so that the lowest point of the motion is on the floor.
        """
        posed = [self._turn(pose, frame) for pose, frame in zip(rotations, frames, strict=True)]
        paths = self.rig.scale * (positions - positions[0]) @ self.rig.frame.T
        up = self.rig.frame[:, 1]
        if on_floor:
            heights = (self.rig.height_to_floor(one) - path @ up for one, path in zip(posed, paths, strict=True))
            paths = paths + max(heights) * up
        for one, path, frame in zip(posed, paths, frames, strict=True):
            self._move(one, path, frame)

    def _turn(self, rotations, frame):
        """The rotations of the posed bones (n, 3, 3)."""
        bones = [self._pose_bone(bone) for bone in range(len(self.names))]
        basis, posed = self.rig.pose_bones(rotations, [_rotation(bone.matrix_basis) for bone in bones])
        for bone in self.rig.joints.values():
            _set_rotation(bones[bone], basis[bone], frame)
        return posed

    def _move(self, posed, shift, frame):
        self.hips.location = self.rig.hips_location(posed, shift)
        if frame is not None:
            self.hips.keyframe_insert("location", frame=frame)

    def _pose_bone(self, bone):
        return self.armature.pose.bones[self.names[bone]]


def _rotation(matrix):
    return np.array(matrix.to_quaternion().to_matrix(), dtype=float)


def _set_rotation(bone, matrix, frame):
    """Turn a pose bone in its own rotation mode, the short way from where it is."""
    turn = Matrix(matrix.tolist()).to_quaternion()
    if bone.rotation_mode == "QUATERNION":
        turn.make_compatible(bone.rotation_quaternion)
        bone.rotation_quaternion, channel = turn, "rotation_quaternion"
    elif bone.rotation_mode == "AXIS_ANGLE":
        axis, angle = turn.to_axis_angle()
        bone.rotation_axis_angle, channel = (angle, *axis), "rotation_axis_angle"
    else:
        bone.rotation_euler, channel = turn.to_euler(bone.rotation_mode, bone.rotation_euler), "rotation_euler"
    if frame is not None:
        bone.keyframe_insert(channel, frame=frame)
