# SPDX-License-Identifier: Apache-2.0
"""How the joints of a skeleton sit in the body, when its rest pose does not tell: found in the motion itself.

LaFAN1's and Rokoko's rigs, for example, rest with all bones in one line. What turns with a joint is fixed to it,
though: in each frame the joints' places say how our joint must stand, up to a twist about the bone, which the bend of
an elbow or knee gives. The constant `A` of `retarget` is the mean over the frames of what lies between this and the
joint's own rotation.
"""

import roma
import torch
from torch import Tensor

from .retarget import LIMB_BONES, hinge_share, shortest_turn

# Where a foot's bone points in the T-pose, from the ankle down to the toes, and where a neck's does.
_FOOT = (0.0, -0.45, 0.89)
_NECK = (0.0, 0.97, 0.24)
# A joint with no bone behind it goes on straight from the one before, unless its own mean says that it is far from it.
_STRAIGHT = 0.5  # cosine of 60 degrees


def calibrate_trunk(turns: dict[str, Tensor], places: dict[str, Tensor]) -> dict[str, Tensor]:
    """`A` of pelvis, spine, neck and head.

    Args:
        turns: world rotations `(F, 3, 3)` of the joints.
        places: their places `(F, 3)` in our world.
    """
    chain = [name for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head") if name in turns]
    top = (places["left_shoulder"] + places["right_shoulder"]) / 2
    align, world, before = {}, None, None
    for name, after in zip(chain, [*chain[1:], None], strict=True):
        bone = (top if after is None else places[after]) - places[name]
        if name == "head" or bone.norm(dim=-1).min() < 1e-6 * top.abs().max():
            align[name] = _end_of_chain(turns[name], world, align[before])
        elif name in ("pelvis", "spine3"):
            world = _across(bone, places, "hip" if name == "pelvis" else "shoulder")
            align[name] = _mean(turns[name].mT @ world)
        else:
            world = shortest_turn(world[..., 1], bone) @ world
            align[name] = _mean(turns[name].mT @ world)
        before = name
    return align


def _across(up: Tensor, places: dict[str, Tensor], joint: str) -> Tensor:
    """How a part of the trunk stands, `(F, 3, 3)`, by its bone and a pair of joints at its sides."""
    collars = joint == "shoulder" and {"left_collar", "right_collar"} <= set(places)
    joint = "collar" if collars else joint
    y, x = up / up.norm(dim=-1, keepdim=True), places[f"left_{joint}"] - places[f"right_{joint}"]
    x = x - (x * y).sum(-1, keepdim=True) * y
    x = x / x.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def leaning_neck(rest: dict[str, Tensor]) -> dict[str, Tensor]:
    """`A` of the neck of a rig that rests in one line, where a person's neck leans forward. `rest`: places `(3,)`."""
    if "neck" not in rest or "head" not in rest:
        return {}
    bone = rest["head"] - rest["neck"]
    return {"neck": shortest_turn(bone.new_tensor(_NECK), bone)}


def calibrate_legs(turns: dict[str, Tensor], places: dict[str, Tensor], pelvis: Tensor) -> dict[str, Tensor]:
    """`A` of the joints of both legs; `pelvis`: `(F, 3, 3)`, how our pelvis stands."""
    align = {}
    for side in ("left", "right"):
        axis = pelvis.new_tensor([1.0, 0.0, 0.0])  # a knee bends backwards about x
        align |= _hinged_limb(side, ("hip", "knee", "ankle"), axis, turns, places, pelvis)
        shin, ankle = turns[f"{side}_knee"] @ align[f"{side}_knee"], f"{side}_ankle"
        if f"{side}_foot" in places:
            bone = places[f"{side}_foot"] - places[ankle]
            foot = _frame(bone, shin[..., 0]) @ _frame(bone.new_tensor(_FOOT), axis).mT
            align[ankle] = _mean(turns[ankle].mT @ foot)
            align[f"{side}_foot"] = _end_of_chain(turns[f"{side}_foot"], foot, align[ankle])
        else:
            align[ankle] = _mean(turns[ankle].mT @ shin)
    return align


def calibrate_arms(turns: dict[str, Tensor], places: dict[str, Tensor], chest: Tensor) -> dict[str, Tensor]:
    """`A` of the joints of both arms; `chest`: `(F, 3, 3)`, how our topmost spine joint stands."""
    align = {}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        parent, collar = chest, f"{side}_collar"
        if collar in turns:  # rigs disagree where it rests, and it moves little: its mean is its rest
            align[collar] = _mean(turns[collar].mT @ chest)
            parent = turns[collar] @ align[collar]
        axis = chest.new_tensor([0.0, -sign, 0.0])  # an elbow bends forwards
        align |= _hinged_limb(side, ("shoulder", "elbow", "wrist"), axis, turns, places, parent)
        fore, wrist = turns[f"{side}_elbow"] @ align[f"{side}_elbow"], f"{side}_wrist"
        align[wrist] = _end_of_chain(turns[wrist], fore, align[f"{side}_elbow"])
    return align


def feet_backwards(places: dict[str, Tensor], pelvis: Tensor) -> bool:
    """Whether the feet point to the back of the pelvis `(F, 3, 3)`: then left and right are exchanged."""
    steps = [
        places[f"{side}_foot"] - places[f"{side}_ankle"] for side in ("left", "right") if f"{side}_foot" in places
    ]
    steps = [step / step.norm(dim=-1, keepdim=True).clamp(min=1e-9) for step in steps]
    return len(steps) == 2 and all((step * pelvis[..., 2]).sum(-1).mean() < -0.3 for step in steps)


def _hinged_limb(side, joints, axis, turns, places, parent):
    """`A` of a limb's upper two joints, whose middle one is a hinge about our `axis`."""
    upper, middle, end = (f"{side}_{joint}" for joint in joints)
    bone = axis.new_tensor(LIMB_BONES[upper][0])
    first, second = places[middle] - places[upper], places[end] - places[middle]
    swung = (shortest_turn(parent @ bone, first) @ parent) @ axis
    bent = torch.linalg.cross(first / first.norm(dim=-1, keepdim=True), second / second.norm(dim=-1, keepdim=True))
    cosine = (first * second).sum(-1) / (first.norm(dim=-1) * second.norm(dim=-1))
    share = hinge_share(torch.atan2(bent.norm(dim=-1), cosine))[..., None]
    hinge = (1 - share) * swung + share * bent / bent.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    ours = _frame(bone, axis).mT
    weights = 0.05 + share[..., None]  # a straight limb hardly tells its twist
    return {
        upper: _mean(turns[upper].mT @ (_frame(first, hinge) @ ours), weights),
        middle: _mean(turns[middle].mT @ (_frame(second, hinge) @ ours), weights),
    }


def _end_of_chain(turns, before, straight):
    """`A` of a joint with no bone behind it; `before`, `straight`: how the joint before it stands, and its `A`."""
    mean = _mean(turns.mT @ before)
    return straight if ((straight.mT @ mean).trace() - 1) / 2 > _STRAIGHT else mean


def _frame(first: Tensor, second: Tensor) -> Tensor:
    """`(..., 3, 3)` with columns along `first`, along what of `second` is square to it, and along their product."""
    first = first / first.norm(dim=-1, keepdim=True)
    second = second - (first * second).sum(-1, keepdim=True) * first
    second = second / second.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def _mean(rotations: Tensor, weights: Tensor | float = 1.0) -> Tensor:
    return roma.special_procrustes((weights * rotations).sum(0))
