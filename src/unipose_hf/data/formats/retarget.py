# SPDX-License-Identifier: Apache-2.0
"""Retargets the motion of another skeleton to ours, preserving bone directions in the world.

A source joint with world rotation `G` gives our joint the rotation `G @ A`, where the constant `A` rotates our T-pose
bone onto the source's rest bone. Bone lengths and the root position are dropped.
"""

import math

import roma
import torch
from torch import Tensor

from unipose_hf.body import JOINT_NAMES, PARENTS

# The T-pose bone that each limb joint rotates: its direction, and the joint at its far end. SMPL-family bodies,
# including the bundled one, have their legs slightly apart in the T-pose: 5 degrees each.
_LEG_X = math.tan(math.radians(5.3))
LIMB_BONES = {
    f"{side}_{joint}": ((sign * x, y, 0.0), f"{side}_{end}")
    for side, sign in (("left", 1.0), ("right", -1.0))
    for joint, end, x, y in (
        ("shoulder", "elbow", 1.0, 0.0),
        ("elbow", "wrist", 1.0, 0.0),
        ("hip", "knee", _LEG_X, -1.0),
        ("knee", "ankle", _LEG_X, -1.0),
    )
}
# Direction of a foot in the T-pose, from the ankle to the toes.
FOOT = (0.0, -0.45, 0.89)
# A level foot's bone points down (radians), since the ankle is above the toes: by 10 to 32 degrees in rigs in use, by
# more on high heels. A bone shorter than this part of the shin ends below the ankle, not at the toes.
_LEVEL, _SHORT = (math.radians(5.0), math.radians(70.0)), 0.3
# If a skeleton has fewer spine or neck joints, the missing ones share the rotation of the next joint it has.
_SHARED = ("spine1", "spine2", "neck")

# Bend (radians) of an elbow or knee at which its axis starts to determine the limb's twist, and fully does.
_HINGE_FROM, _HINGE_FULL = math.radians(10.0), math.radians(30.0)


def rest_alignment(rest_bones: dict[str, Tensor]) -> dict[str, Tensor]:
    """`A` of the limb joints, `(3, 3)` each, of a skeleton that rests upright.

    Args:
        rest_bones: the rest bone `(3,)` of limb joints (see `LIMB_BONES`), in our frame; also from the ankles to the
            toes and from there to their tips, as far as the skeleton has them.
    """
    align: dict[str, Tensor] = {}
    for name, (bone, _) in LIMB_BONES.items():
        if name in rest_bones:
            before = align.get(JOINT_NAMES[PARENTS[JOINT_NAMES.index(name)]], torch.eye(3, dtype=torch.float64))
            align[name] = shortest_turn(before @ before.new_tensor(bone), rest_bones[name]) @ before
    for side in ("left", "right"):
        if f"{side}_elbow" in align:  # a hand rests in line with the forearm
            align[f"{side}_wrist"] = align[f"{side}_elbow"]
        if f"{side}_knee" in align:
            align |= _foot_alignment(side, rest_bones)
    return align


def _foot_alignment(side: str, rest_bones: dict[str, Tensor]) -> dict[str, Tensor]:
    """`A` of an ankle and its toes: level when the shin is upright, unless the rest pose bends or points the foot."""
    shin, foot, toes = (rest_bones.get(f"{side}_{joint}") for joint in ("knee", "ankle", "foot"))
    ankle = shortest_turn(shin.new_tensor([0.0, -1.0, 0.0]), shin)
    if foot is None or foot.norm() < _SHORT * shin.norm() or _LEVEL[0] < _pitch(ankle.mT @ foot) < _LEVEL[1]:
        return {f"{side}_ankle": ankle, f"{side}_foot": ankle}
    bent = _pitch(ankle.mT @ foot) - _pitch(foot.new_tensor(FOOT))
    # some programs write an arbitrary tip
    told = toes is not None and max(toes @ foot / foot.norm(), toes[2]) > 0.5 * toes.norm()
    pitches = {"ankle": bent, "foot": _pitch(ankle.mT @ toes) if told else bent}
    across = foot.new_tensor([1.0, 0.0, 0.0])
    return {f"{side}_{joint}": ankle @ roma.rotvec_to_rotmat(pitch * across) for joint, pitch in pitches.items()}


def _pitch(bone: Tensor) -> Tensor:
    """How far a bone `(3,)` of a foot points down, in radians; how far it points outwards does not count."""
    return torch.atan2(-bone[1], bone[[0, 2]].norm())


def retarget(turns: dict[str, Tensor], align: dict[str, Tensor]) -> Tensor:
    """World rotations `(F, 3, 3)` of the source's joints and their `A` (else identity) -> `(F, 22, 3)` axis-angle."""
    world: dict[str, Tensor] = {}
    turned = {name: turn @ align[name] if name in align else turn for name, turn in turns.items()}
    for joint, name in enumerate(JOINT_NAMES):
        if name in turned:
            world[name] = turned[name]
        elif name not in _SHARED:
            world[name] = world[JOINT_NAMES[PARENTS[joint]]]
        else:
            world[name] = _shared_turn(name, turned, world[JOINT_NAMES[PARENTS[joint]]])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        world[f"{side}_shoulder"] = _hinged_upper_arm(world[f"{side}_shoulder"], world[f"{side}_elbow"], sign)
    local = [
        world[name] if PARENTS[j] < 0 else world[JOINT_NAMES[PARENTS[j]]].mT @ world[name]
        for j, name in enumerate(JOINT_NAMES)
    ]
    return roma.rotmat_to_rotvec(torch.stack(local, dim=1)).float()


def hinge_share(bend: Tensor) -> Tensor:
    """How well the axis of a hinge with this bend (radians) is defined: 0 when nearly straight, up to 1."""
    return ((bend - _HINGE_FROM) / (_HINGE_FULL - _HINGE_FROM)).clamp(0.0, 1.0)


def shortest_turn(start: Tensor, end: Tensor) -> Tensor:
    """`(..., 3, 3)` rotations by the smallest angle that turn the directions `start` into `end`, both `(..., 3)`.

    For opposite directions, where this is ambiguous, it is one of them.
    """
    start, end = torch.broadcast_tensors(
        start / start.norm(dim=-1, keepdim=True), end / end.norm(dim=-1, keepdim=True)
    )
    axis = torch.linalg.cross(start, end)
    sine, cosine = axis.norm(dim=-1, keepdim=True), (start * end).sum(-1, keepdim=True)
    # perpendicular to the direction and to the world axis furthest from it
    aside = torch.linalg.cross(start, torch.eye(3, dtype=start.dtype)[start.abs().argmin(dim=-1)])
    unit = torch.where(sine > 1e-9, axis / sine.clamp(min=1e-12), aside / aside.norm(dim=-1, keepdim=True))
    return roma.rotvec_to_rotmat(unit * torch.atan2(sine, cosine))


def _hinged_upper_arm(upper: Tensor, fore: Tensor, sign: float) -> Tensor:
    """The upper arm's world rotation, twisted about its own bone until the elbow bends as a hinge about y.

    Skeletons disagree about the upper arm's twist (in some the elbow's axis is 30 degrees off), and no bone direction
    shows it. Fixing it by the elbow's axis gives the same arm the same rotations in every file. The forearm, and with
    it the hand, does not change. A nearly straight elbow has no axis, so there the twist fades out.
    """
    bone = upper.new_tensor([sign, 0.0, 0.0])
    forearm = (upper.mT @ fore) @ bone  # (F, 3) seen from the upper arm
    axis = torch.linalg.cross(bone.expand_as(forearm), forearm)
    bend = torch.atan2(axis.norm(dim=-1), forearm @ bone)
    twist = torch.atan2(-sign * axis[..., 2], -sign * axis[..., 1])
    return upper @ roma.rotvec_to_rotmat((hinge_share(bend) * twist)[..., None] * twist.new_tensor([1.0, 0.0, 0.0]))


def _shared_turn(name: str, turns: dict[str, Tensor], parent: Tensor) -> Tensor:
    """An equal share of the rotation from the parent to the next spine or neck joint that the source has."""
    chain = ("neck", "head") if name == "neck" else ("spine1", "spine2", "spine3")
    after = chain[chain.index(name) :]
    steps = next((k for k, other in enumerate(after) if other in turns), None)
    if steps is None:
        return parent
    whole = roma.rotmat_to_rotvec(parent.mT @ turns[after[steps]])
    return parent @ roma.rotvec_to_rotmat(whole / (steps + 1))
