# SPDX-License-Identifier: Apache-2.0
"""Solves for arms that reach a place on the body or the floor, with least squares on the angles."""

import functools

import roma
import torch
from torch import Tensor

from unipose_hf.body import JOINT_NAMES, forward_kinematics, load_body

from .angles import ANGLES, angles_to_axis_angle

_HAND = 0.08  # metres from the wrist to the palm, along the forearm
_FLOOR_BELOW, _HAND_ABOVE = 0.06, 0.02  # the floor below the lowest joint, the palm above the floor
_LIMITS = {"raise": (0, 180), "plane": (-80, 140), "forearm_up": (-100, 110), "elbow": (0, 148)}
_SPINE = ("bend_forward", "bend_left", "twist_left")
_COLUMNS = [*(f"{side}_{name}" for side in ("left", "right") for name in _LIMITS), *_SPINE]
_STIFFNESS, _SPINE_STIFFNESS = 0.05, 0.3  # cost of 60 degrees away from the start
_STEPS = 300

# place: (joints whose mean is used, joint in whose frame the offset is given, offset in metres); left side
PLACES: dict[str, tuple[tuple[str, ...], str | None, tuple[float, ...] | None]] = {
    "shoulder": (("shoulder",), "spine3", (0.02, 0.05, 0.05)),
    "elbow": (("elbow",), None, None),
    "knee": (("knee",), "knee", (0, 0.02, 0.06)),
    "hip": (("hip",), "pelvis", (0.09, 0.07, 0.02)),
    "thigh": (("hip", "knee"), "hip", (0, 0, 0.08)),
    "ankle": (("ankle",), None, None),
    "toes": (("foot",), None, None),
    "ear": (("head",), "head", (0.09, 0.05, 0)),
    "side of chest": (("spine3",), "spine3", (0.16, 0, 0.02)),
    "top of head": (("head",), "head", (0, 0.18, 0)),
    "forehead": (("head",), "head", (0, 0.1, 0.11)),
    "mouth": (("head",), "head", (0, 0, 0.12)),
    "chin": (("head",), "head", (0, -0.04, 0.1)),
    "back of head": (("head",), "head", (0, 0.06, -0.11)),
    "neck": (("neck",), "neck", (0, 0, 0.07)),
    "chest": (("spine3",), "spine3", (0, 0.02, 0.15)),
    "belly": (("spine1",), "spine1", (0, 0.03, 0.15)),
    "lower back": (("spine1",), "pelvis", (0, 0.02, -0.14)),
    "crotch": (("pelvis",), "pelvis", (0, -0.08, 0.1)),
    "buttocks": (("pelvis",), "pelvis", (0, -0.05, -0.15)),
    "in front of chest": (("spine3",), "spine3", (0, 0, 0.32)),
    "in front of face": (("head",), "head", (0, 0.03, 0.3)),
}


def solve_reach(
    angles: Tensor, reaches: list[dict[str, str | list[str]]], free_spine: Tensor
) -> tuple[Tensor, Tensor]:
    """Solves all poses at once.

    Args:
        angles: `(n, 29)` degrees; reaching arms (and slightly the spine) may depart from these.
        reaches: for each pose `{"left_hand": place, "right_hand": place}`, either or both; a place is one of
            `PLACES`, with a side if it has two ("left knee", "right shoulder"), "the other hand" or "floor".
        free_spine: whether the spine may help, `(n,)` bool.

    Returns:
        the solved angles `(n, 29)`, and the remaining distances of the hands `(n, 2)`, left and right, in metres; 0
        for a hand that does not reach.
    Raises:
        ValueError: unknown place.
    """
    columns = torch.tensor([ANGLES.index(name) for name in _COLUMNS])
    limits = torch.tensor([_LIMITS.get(name.split("_", 1)[1], (-180, 180)) for name in _COLUMNS]).float()
    stiffness = torch.tensor([_STIFFNESS] * 8 + [_SPINE_STIFFNESS] * 3)
    targets = torch.tensor([[_target(reach, side) for side in ("left", "right")] for reach in reaches])  # (n, 2)
    free = torch.cat([(targets >= 0).repeat_interleave(4, 1), free_spine[:, None].expand(-1, 3)], 1)
    begin = angles[:, columns]
    shift = torch.tensor([25.0, 20, 0, 20] * 2 + [0.0] * 3)
    values = torch.stack([begin, begin + shift, begin - shift]).requires_grad_()  # (starts, n, 11)
    optimiser = torch.optim.Adam([values], lr=3.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
    for step in range(_STEPS + 1):
        found = angles.expand(3, -1, -1).index_copy(-1, columns, torch.where(free, values, begin))
        distances = _distances(found, targets)
        cost = 400 * distances.square().sum(-1)
        cost = cost + (stiffness * ((values - begin) / 60).square()).sum(-1)
        outside = (limits[:, 0] - values).clamp_min(0) + (values - limits[:, 1]).clamp_min(0)
        cost = cost + (outside / 20).square().sum(-1)
        if step == _STEPS:
            break
        optimiser.zero_grad()
        cost.sum().backward()
        optimiser.step()
        schedule.step()
    best, rows = cost.argmin(0), torch.arange(len(angles))
    return found.detach()[best, rows], distances.detach()[best, rows]


def _target(reach: dict, side: str) -> int:
    """The index of the place that a hand reaches for; -1 for none, -2 for the floor."""
    place = reach.get(f"{side}_hand")
    if place is None:
        return -1
    place = place if isinstance(place, str) else place[0]
    if place == "floor":
        return -2
    if place == "the other hand":
        place = f"{'right' if side == 'left' else 'left'} hand"
    names = [f"{s} {name}" for s in ("left", "right") for name in (*PLACES, "hand")]
    place = place if place.startswith(("left ", "right ")) else f"left {place}"
    if place not in names:
        raise ValueError(f"There is no place {place!r} to reach; choose one of {', '.join(PLACES)}, floor.")
    return names.index(place)


def _distances(angles: Tensor, targets: Tensor) -> Tensor:
    """`(..., n, 29)` -> distances of the hands from their places, `(..., n, 2)` metres"""
    joints, turns = forward_kinematics(roma.rotvec_to_rotmat(angles_to_axis_angle(angles)), _rest_joints())
    palms = torch.stack([palm(joints, side) for side in ("left", "right")], -2)
    places = torch.stack(
        [
            point
            for side, hand in zip(("left", "right"), palms.unbind(-2), strict=True)
            for point in (*(place_on_body(joints, turns, name, side) for name in PLACES), hand)
        ],
        -2,
    )
    index = targets.clamp_min(0)[..., None].expand(*places.shape[:-2], 2, 3)
    away = (palms - places.gather(-2, index) + 1e-6).norm(dim=-1)
    floor = joints[..., 1].amin(-1, keepdim=True) - _FLOOR_BELOW + _HAND_ABOVE
    above = (palms[..., 1] - floor).abs()
    return torch.where(targets == -2, above, away) * (targets != -1)


@functools.cache
def _rest_joints():
    return load_body(size="small").rest_joints


def palm(joints: Tensor, side: str) -> Tensor:
    """The palm of the hand `(..., 3)` of joints `(..., 22, 3)`, metres."""
    wrist, elbow = (joints[..., JOINT_NAMES.index(f"{side}_{name}"), :] for name in ("wrist", "elbow"))
    return wrist + _HAND * (wrist - elbow) / (wrist - elbow).norm(dim=-1, keepdim=True)


def place_on_body(joints: Tensor, turns: Tensor, name: str, side: str) -> Tensor:
    """
    A place of `PLACES` that a palm can touch, `(..., 3)` metres; `side` chooses one of two.

    Args:
        joints: `(..., 22, 3)` metres.
        turns: `(..., 22, 3, 3)` global rotations of the joints.
    """
    parts, frame, offset = PLACES[name]
    point = joints[..., [_joint(part, side) for part in parts], :].mean(-2)
    if frame is None:
        return point
    offset = torch.tensor([float(x) for x in offset]) * torch.tensor([-1.0 if side == "right" else 1.0, 1, 1])
    return point + turns[..., _joint(frame, side), :, :] @ offset


def _joint(name, side):
    return JOINT_NAMES.index(name) if name in JOINT_NAMES else JOINT_NAMES.index(f"{side}_{name}")
