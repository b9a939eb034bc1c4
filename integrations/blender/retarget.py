# SPDX-License-Identifier: Apache-2.0
"""Poses to the bones of any armature and back, by rotations in space relative to the rest pose.

Bones have their own axes, and rest poses differ (T or A). So a joint's rotation in space, relative to the T-pose,
turns the bone as it rests: `posed = turn @ aligned @ rest`. `aligned` first brings a limb that rests elsewhere (the
arms of an A-pose) to where it is in the T-pose; trunk, head, collar bones and feet rest alike in all rigs and are left
as they are. Rotations are (3, 3) matrices in the armature's space.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from .skeleton import JOINTS, PARENTS, REST

# A limb's bones, from joint to joint, and what follows the last of them as it rests.
LIMBS = tuple(
    tuple(JOINTS.index(f"{side}_{part}") for part in parts)
    for side in ("left", "right")
    for parts in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))
)
LEG = float(np.linalg.norm(REST[4] - REST[1]) + np.linalg.norm(REST[7] - REST[4]))  # metres, from hip to ankle


@dataclass
class Rig:
    """An armature at rest; bones in an order in which parents come first.

    Attributes:
        rest: (n, 3, 3) rotations of the bones, from their own axes.
        heads, tails: (n, 3) positions of their two ends.
        parents: (n,) numbers of their parents, -1 for none.
        inherits: (n,) whether they turn with their parents.
        joints: the bone of each joint of ours, by number, for those that there are.
    """

    rest: np.ndarray
    heads: np.ndarray
    tails: np.ndarray
    parents: list
    inherits: list
    joints: dict

    def __post_init__(self):
        self.frame = self._body_frame()
        self.aligned = self._alignment()

    def _body_frame(self):
        """(3, 3): columns are the body's left, up and front, as it rests."""
        at = {joint: self.heads[bone] for joint, bone in self.joints.items()}
        left = (at[1] - at[2]) + (at[16] - at[17])
        up = (at[16] + at[17]) - (at[1] + at[2])
        left, up = left / np.linalg.norm(left), up / np.linalg.norm(up)
        front = np.cross(left, up)
        u, _, v = np.linalg.svd(np.stack([left, up, front], axis=1))
        frame = u @ v
        snapped = max(_axis_frames(), key=lambda axes: np.trace(axes.T @ frame))
        # trunks lean a little at rest: an armature's axes are those of the body
        return snapped if (np.trace(snapped.T @ frame) - 1) / 2 > np.cos(np.radians(25)) else frame

    def _alignment(self):
        """(22, 3, 3) what turns the bone of each joint from its rest to the T-pose."""
        aligned = np.tile(np.eye(3), (22, 1, 1))
        for limb in LIMBS:
            turn = np.eye(3)
            for joint, end in itertools.pairwise(limb):
                if joint in self.joints and end in self.joints:
                    rests = self.heads[self.joints[end]] - self.heads[self.joints[joint]]
                    turn = between(turn @ rests, self.frame @ (REST[end] - REST[joint])) @ turn
                aligned[joint] = turn
            if JOINTS[limb[-1]].endswith("wrist"):  # hands go on from the arm, but feet stand on the floor
                aligned[limb[-1]] = turn
        return aligned

    def pose_bones(self, rotations, basis):
        """Pose the bones.

        Args:
            rotations: (22, 3, 3) of a pose, each joint relative to its parent, in our frame.
            basis: (n, 3, 3) how the bones are turned now, in their own axes; those of no joint stay so.

        Returns:
            The new basis (n, 3, 3), and the rotations of the posed bones (n, 3, 3).
        """
        turns = self.frame @ in_space(rotations) @ self.frame.T
        bone_joints = {bone: joint for joint, bone in self.joints.items()}
        basis, posed = np.array(basis, dtype=float), np.empty_like(self.rest)
        for bone, rest in enumerate(self.rest):
            carried = self._carried(bone, posed)
            joint = bone_joints.get(bone)
            if joint is not None:
                basis[bone] = rest.T @ carried.T @ turns[joint] @ self.aligned[joint] @ rest
            posed[bone] = carried @ rest @ basis[bone]
        return basis, posed

    def read_pose(self, posed):
        """The pose (22, 3, 3), each joint relative to its parent, of posed bones (n, 3, 3).

        A joint without a bone goes with its parent.
        """
        rotations = np.tile(np.eye(3), (22, 1, 1))
        turns = np.tile(np.eye(3), (22, 1, 1))
        for joint, parent in enumerate(PARENTS):
            above = turns[parent] if parent >= 0 else np.eye(3)
            turns[joint] = above
            if joint in self.joints:
                bone = self.joints[joint]
                turn = posed[bone] @ self.rest[bone].T @ self.aligned[joint].T
                turns[joint] = self.frame.T @ turn @ self.frame
            rotations[joint] = above.T @ turns[joint]
        return rotations

    def positions(self, posed):
        """The two ends (n, 3), (n, 3) of posed bones; the root stays where it rests."""
        heads = np.array(self.heads, dtype=float)
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                away = self.heads[bone] - self.heads[parent]
                heads[bone] = heads[parent] + posed[parent] @ self.rest[parent].T @ away
        along = (self.tails - self.heads)[..., None]
        return heads, heads + (posed @ self.rest.transpose(0, 2, 1) @ along)[..., 0]

    def hips_location(self, posed, shift):
        """(3,) the location of the hips' bone, in its own axes, that shifts the body by `shift` in armature space."""
        hips = self.joints[0]
        return self.rest[hips].T @ self._carried(hips, posed).T @ shift

    def height_to_floor(self, posed):
        """How far up the body must go, so that its lowest point is as high as that of the rest pose."""
        up, body = self.frame[:, 1], self._body()
        now, rest = (
            min(float((ends[body] @ up).min()) for ends in both)
            for both in (self.positions(posed), (self.heads, self.tails))
        )
        return rest - now

    @property
    def scale(self):
        """Lengths of the armature's space for a metre of ours, by the length of the leg."""
        bones = [self.heads[self.joints[joint]] for joint in (1, 4, 7) if joint in self.joints]
        ours = LEG if len(bones) == 3 else float(np.linalg.norm(REST[4] - REST[1]))
        return sum(float(np.linalg.norm(b - a)) for a, b in itertools.pairwise(bones)) / ours

    def _body(self):
        """The bones of joints, and those below them: not the helpers on the floor or beside the body."""
        of_joints, body = set(self.joints.values()), []
        for bone, parent in enumerate(self.parents):
            if bone in of_joints or parent in body:
                body.append(bone)
        return body

    def _carried(self, bone, posed):
        """How the parent's turn carries a bone."""
        parent = self.parents[bone]
        return posed[parent] @ self.rest[parent].T if parent >= 0 and self.inherits[bone] else np.eye(3)


def in_space(rotations):
    """(22, 3, 3) each relative to its parent -> relative to the world."""
    turns = np.array(rotations, dtype=float)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            turns[joint] = turns[parent] @ turns[joint]
    return turns


def between(start, end):
    """The smallest rotation (3, 3) that turns the direction `start` to `end`."""
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    cosine, axis = float(start @ end), np.cross(start, end)
    if cosine < -0.999999:  # opposite: any axis across it
        across = np.cross(start, np.eye(3)[np.abs(start).argmin()])
        across = across / np.linalg.norm(across)
        return 2 * np.outer(across, across) - np.eye(3)
    cross = _cross_matrix(axis)
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def to_matrix(axis_angle):
    """Rotation vectors (..., 3) in radians -> matrices (..., 3, 3)."""
    axis_angle = np.asarray(axis_angle, dtype=float)
    angle = np.linalg.norm(axis_angle, axis=-1)[..., None, None]
    axis = axis_angle / np.maximum(angle[..., 0], 1e-12)
    cross = _cross_matrix(axis)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def to_axis_angle(matrix):
    """Rotation matrices (..., 3, 3) -> rotation vectors (..., 3) in radians, of at most half a turn."""
    matrix = np.asarray(matrix, dtype=float)
    flat = matrix.reshape(-1, 3, 3)
    return np.array([_axis_angle(one) for one in flat]).reshape(*matrix.shape[:-2], 3)


def _axis_angle(matrix):
    twice = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    sine, cosine = np.linalg.norm(twice) / 2, (np.trace(matrix) - 1) / 2
    angle = np.arctan2(sine, cosine)
    if sine > 1e-4:
        return twice / (2 * sine) * angle
    if cosine > 0:
        return twice / 2
    square = (matrix + matrix.T) / 4 + np.eye(3) / 2  # about half a turn: the axis, by itself
    column = square[:, np.diag(square).argmax()]
    axis = column / np.linalg.norm(column)
    return axis * angle * (1 if twice @ axis >= 0 else -1)


def _cross_matrix(axis):
    x, y, z = np.moveaxis(np.asarray(axis, dtype=float), -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)


def _axis_frames():
    """The 24 rotations between axes."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            axes = np.eye(3)[:, order] * signs
            if np.linalg.det(axes) > 0:
                yield axes
