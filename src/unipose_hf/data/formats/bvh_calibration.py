# SPDX-License-Identifier: Apache-2.0
"""Finds from the motion how the joints of a skeleton sit in the body, if its rest pose does not show it.

The rigs of LaFAN1 and Rokoko, for example, rest with all bones in one line. But bones move rigidly with their joints:
in each frame the joint positions determine the rotation of our joint up to a twist about the bone, and a bent elbow or
knee determines that twist. The constant `A` of `retarget` is the mean difference, over all frames, between this
rotation and the joint's own.
"""

import roma
import torch
from torch import Tensor

from .retarget import FOOT, LIMB_BONES, hinge_share, shortest_turn

# Direction of a neck in the T-pose.
_NECK = (0.0, 0.97, 0.24)
# A joint without a bone continues its parent's direction, unless its own mean is far from that.
_STRAIGHT = 0.5  # cosine of 60 degrees


def calibrate_trunk(turns: dict[str, Tensor], positions: dict[str, Tensor]) -> dict[str, Tensor]:
    """`A` of pelvis, spine, neck and head.

    Args:
        turns: world rotations `(F, 3, 3)` of the joints.
        positions: their positions `(F, 3)` in our world.
    """
    chain = [name for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head") if name in turns]
    top = (positions["left_shoulder"] + positions["right_shoulder"]) / 2
    align, world, before = {}, None, None
    for name, after in zip(chain, [*chain[1:], None], strict=True):
        bone = (top if after is None else positions[after]) - positions[name]
        if name == "head" or bone.norm(dim=-1).min() < 1e-6 * top.abs().max():
            align[name] = _end_of_chain(turns[name], world, align[before])
        elif name in ("pelvis", "spine3"):
            world = _across(bone, positions, "hip" if name == "pelvis" else "shoulder")
            align[name] = _mean(turns[name].mT @ world)
        else:
            world = shortest_turn(world[..., 1], bone) @ world
            align[name] = _mean(turns[name].mT @ world)
        before = name
    return align


def _across(up: Tensor, positions: dict[str, Tensor], joint: str) -> Tensor:
    """Orientation of a part of the trunk, `(F, 3, 3)`, from its bone and a pair of joints at its sides."""
    collars = joint == "shoulder" and {"left_collar", "right_collar"} <= set(positions)
    joint = "collar" if collars else joint
    y, x = up / up.norm(dim=-1, keepdim=True), positions[f"left_{joint}"] - positions[f"right_{joint}"]
    x = x - (x * y).sum(-1, keepdim=True) * y
    x = x / x.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def leaning_neck(rest: dict[str, Tensor]) -> dict[str, Tensor]:
    """`A` of the neck of a rig that rests in one line; a person's neck leans forward. `rest`: positions `(3,)`."""
    if "neck" not in rest or "head" not in rest:
        return {}
    bone = rest["head"] - rest["neck"]
    return {"neck": shortest_turn(bone.new_tensor(_NECK), bone)}


def calibrate_legs(turns: dict[str, Tensor], positions: dict[str, Tensor], pelvis: Tensor) -> dict[str, Tensor]:
    """`A` of the joints of both legs; `pelvis`: `(F, 3, 3)`, orientation of our pelvis."""
    align = {}
    for side in ("left", "right"):
        axis = pelvis.new_tensor([1.0, 0.0, 0.0])  # a knee bends backwards about x
        align |= _hinged_limb(side, ("hip", "knee", "ankle"), axis, turns, positions, pelvis)
        shin, ankle = turns[f"{side}_knee"] @ align[f"{side}_knee"], f"{side}_ankle"
        if f"{side}_foot" in positions:
            bone = positions[f"{side}_foot"] - positions[ankle]
            foot = _frame(bone, shin[..., 0]) @ _frame(bone.new_tensor(FOOT), axis).mT
            align[ankle] = _mean(turns[ankle].mT @ foot)
            align[f"{side}_foot"] = _end_of_chain(turns[f"{side}_foot"], foot, align[ankle])
        else:
            align[ankle] = _mean(turns[ankle].mT @ shin)
    return align


def calibrate_arms(turns: dict[str, Tensor], positions: dict[str, Tensor], chest: Tensor) -> dict[str, Tensor]:
    """`A` of the joints of both arms; `chest`: `(F, 3, 3)`, orientation of our topmost spine joint."""
    align = {}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        parent, collar = chest, f"{side}_collar"
        if collar in turns:  # rigs disagree about its rest pose, and it moves little: use its mean as rest
            align[collar] = _mean(turns[collar].mT @ chest)
            parent = turns[collar] @ align[collar]
        axis = chest.new_tensor([0.0, -sign, 0.0])  # an elbow bends forwards
        align |= _hinged_limb(side, ("shoulder", "elbow", "wrist"), axis, turns, positions, parent)
        fore, wrist = turns[f"{side}_elbow"] @ align[f"{side}_elbow"], f"{side}_wrist"
        align[wrist] = _end_of_chain(turns[wrist], fore, align[f"{side}_elbow"])
    return align


def feet_backwards(positions: dict[str, Tensor], pelvis: Tensor) -> bool:
    """Whether the feet point to the back of the pelvis `(F, 3, 3)`, which means that left and right are swapped."""
    steps = [
        positions[f"{side}_foot"] - positions[f"{side}_ankle"]
        for side in ("left", "right")
        if f"{side}_foot" in positions
    ]
    steps = [step / step.norm(dim=-1, keepdim=True).clamp(min=1e-9) for step in steps]
    return len(steps) == 2 and all((step * pelvis[..., 2]).sum(-1).mean() < -0.3 for step in steps)


def _hinged_limb(side, joints, axis, turns, positions, parent):
    """`A` of a limb's upper two joints, whose middle one is a hinge about our `axis`."""
    upper, middle, end = (f"{side}_{joint}" for joint in joints)
    bone = axis.new_tensor(LIMB_BONES[upper][0])
    first, second = positions[middle] - positions[upper], positions[end] - positions[middle]
    swung = (shortest_turn(parent @ bone, first) @ parent) @ axis
    bent = torch.linalg.cross(first / first.norm(dim=-1, keepdim=True), second / second.norm(dim=-1, keepdim=True))
    cosine = (first * second).sum(-1) / (first.norm(dim=-1) * second.norm(dim=-1))
    share = hinge_share(torch.atan2(bent.norm(dim=-1), cosine))[..., None]
    hinge = (1 - share) * swung + share * bent / bent.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    ours = _frame(bone, axis).mT
    weights = 0.05 + share[..., None]  # a straight limb hardly shows its twist
    return {
        upper: _mean(turns[upper].mT @ (_frame(first, hinge) @ ours), weights),
        middle: _mean(turns[middle].mT @ (_frame(second, hinge) @ ours), weights),
    }


def _end_of_chain(turns, before, straight):
    """`A` of a joint without a bone; `before`, `straight`: the orientation of its parent, and the parent's `A`."""
    mean = _mean(turns.mT @ before)
    return straight if ((straight.mT @ mean).trace() - 1) / 2 > _STRAIGHT else mean


def _frame(first: Tensor, second: Tensor) -> Tensor:
    """`(..., 3, 3)` with columns along `first`, along the part of `second` perpendicular to it, and their product."""
    first = first / first.norm(dim=-1, keepdim=True)
    second = second - (first * second).sum(-1, keepdim=True) * first
    second = second / second.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def _mean(rotations: Tensor, weights: Tensor | float = 1.0) -> Tensor:
    return roma.special_procrustes((weights * rotations).sum(0))
