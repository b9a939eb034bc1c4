# SPDX-License-Identifier: Apache-2.0
"""Anatomical angles of a pose: the 29 numbers in which the language bank describes how a body is bent.

All are in degrees. All zeros is a person standing with the arms hanging; `STANDING` is a relaxed variant.

* `root_forward`, `root_left`, `root_turn_left`: the whole body pitched (90 face down, -90 on the back, 180 upside
  down), rolled and turned.
* `bend_forward`, `bend_left`, `twist_left`: the spine, its three joints together.
* `nod_down`, `turn_left`, `tilt_left`: neck and head together.
* of each arm `raise` (0 hangs, 90 horizontal, 180 overhead), `plane` in which it is raised (0 to the side, 90 forward,
  -60 back, 120 across the body), `forearm_up` (turn about the upper arm: 90 lifts the forearm of a level upper arm,
  0 brings it forward, -90 lowers it), `elbow` (bend), `shrug` (collar bone up).
* of each leg `flex` (thigh forward), `out` (thigh outward), `turn` (toes outward), `knee` (bend) and `point` (toes
  pointed).
"""

import roma
import torch
from torch import Tensor

from unipose_hf.body import JOINT_NAMES

_SIDED = ("raise", "plane", "forearm_up", "elbow", "shrug", "flex", "out", "turn", "knee", "point")
ANGLES: tuple[str, ...] = (
    *("root_forward", "root_left", "root_turn_left", "bend_forward", "bend_left", "twist_left"),
    *("nod_down", "turn_left", "tilt_left"),
    *(f"{side}_{name}" for side in ("left", "right") for name in _SIDED),
)
"""The names of the angles, in the order of the arrays of this module."""

_STANDING = {"raise": 12.0, "elbow": 8.0, "out": 2.0}
STANDING: Tensor = torch.tensor([_STANDING.get(name.partition("_")[2], 0.0) for name in ANGLES])
"""The angles of relaxed standing, `(29,)` degrees."""

_SPINE, _HEAD = ("spine1", "spine2", "spine3"), ("neck", "head")
_SPINE_SHARES = (0.3, 0.35, 0.35)
_LIFT = 0.2  # the collar bone's share of an arm raise above the shoulder
_ARM = {"raise": ("collar", "shoulder"), "plane": ("shoulder",), "forearm_up": ("shoulder",), "elbow": ("elbow",)}
_ARM |= {"shrug": ("collar", "shoulder")}
_LEG = {"flex": ("hip",), "out": ("hip",), "turn": ("hip",), "knee": ("knee",), "point": ("ankle",)}


def _moved_joints(name: str) -> tuple[str, ...]:
    if name.startswith("root_"):
        return ("pelvis",)
    side, _, rest = name.partition("_")
    if rest in _SIDED:
        return tuple(f"{side}_{joint}" for joint in (_ARM | _LEG)[rest])
    return _SPINE if name in ("bend_forward", "bend_left", "twist_left") else _HEAD


# (29, 22): which joints each angle moves
MOVES: Tensor = torch.tensor([[joint in _moved_joints(name) for joint in JOINT_NAMES] for name in ANGLES])


def angle_vector(angles: dict[str, float]) -> Tensor:
    """Named angles -> `(29,)` degrees, NaN where a name is not given.

    Raises:
        ValueError: unknown angle.
    """
    unknown = sorted(set(angles) - set(ANGLES))
    if unknown:
        raise ValueError(f"Unknown angle {', '.join(unknown)}; the names are {', '.join(ANGLES)}.")
    return torch.tensor([float(angles.get(name, "nan")) for name in ANGLES])


def angles_to_axis_angle(angles: Tensor) -> Tensor:
    """Anatomical angles `(..., 29)` in degrees -> local axis-angle rotations `(..., 22, 3)` in radians, SMPL order.

    Wrists and toes have no angle and stay straight.
    """
    return roma.rotmat_to_rotvec(_rotations(angles))


def axis_angle_to_angles(axis_angle: Tensor) -> Tensor:
    """Local axis-angle rotations `(..., 22, 3)` in radians -> the nearest angles `(..., 29)` in degrees.

    Exact for results of `angles_to_axis_angle`; rotations of other poses that no angle covers (wrists, elbows about
    their bones) are ignored. `plane` is arbitrary if an arm hangs or points straight up.
    """
    rotations = dict(zip(JOINT_NAMES, roma.rotvec_to_rotmat(axis_angle.float()).unbind(-3), strict=True))
    found = {}
    turn, forward, roll = _euler("YXZ", rotations["pelvis"])
    found |= {"root_turn_left": turn, "root_forward": forward, "root_left": -roll}
    turn, forward, roll = sum(_euler("YXZ", rotations[joint]) for joint in _SPINE)
    found |= {"twist_left": turn, "bend_forward": forward, "bend_left": -roll}
    turn, forward, roll = sum(_euler("YXZ", rotations[joint]) for joint in _HEAD)
    found |= {"turn_left": turn, "nod_down": forward, "tilt_left": -roll}
    for side in ("left", "right"):
        joints = ("collar", "shoulder", "elbow", "hip", "knee", "ankle")
        collar, shoulder, elbow, hip, knee, ankle = (rotations[f"{side}_{joint}"] for joint in joints)
        if side == "right":
            collar, shoulder, elbow, hip, knee, ankle = map(_mirrored, (collar, shoulder, elbow, hip, knee, ankle))
        plane, raised, twist = _euler("YZX", collar @ shoulder)
        raised, plane = raised + 90, -plane
        lift = _euler("YXZ", collar)[2]
        twist = -(twist + plane * torch.cos(torch.deg2rad(raised)))
        flex, out, turn = _euler("XZY", hip)
        arm = (raised, plane, _wrapped(twist), roma.rotmat_to_rotvec(elbow).norm(dim=-1).rad2deg())
        arm += (lift - _LIFT * (raised - 90).clamp_min(0),)
        leg = (-flex, out, turn, _euler("XYZ", knee)[0], _euler("XYZ", ankle)[0])
        found |= {f"{side}_{name}": value for name, value in zip(_SIDED, arm + leg, strict=True)}
    return torch.stack([found[name] for name in ANGLES], dim=-1)


def set_angles(axis_angle: Tensor, angles: Tensor) -> Tensor:
    """Poses `(..., 22, 3)` with some angles `(..., 29)` set, in degrees; NaN leaves an angle unchanged.

    Joints without a set angle do not change at all. If only some angles of a joint are set, the others are kept, along
    with the part of the rotation that no angle covers.
    """
    before = axis_angle_to_angles(axis_angle)
    is_set = ~angles.isnan()
    after = torch.where(is_set, angles, before)
    moves = MOVES.to(axis_angle.device)
    touched = (is_set.float() @ moves.float()) > 0  # (..., 22)
    partly = ((~is_set).float() @ moves.float()) > 0
    rotations, old, new = roma.rotvec_to_rotmat(axis_angle.float()), _rotations(before), _rotations(after)
    kept = rotations @ old.mT @ new
    changed = torch.where((touched & partly)[..., None, None], kept, new)
    return torch.where(touched[..., None], roma.rotmat_to_rotvec(changed), axis_angle.float())


def mirror_angles(angles: Tensor) -> Tensor:
    """The angles `(..., 29)` of the mirror image."""
    return angles[..., _MIRROR] * _SIGNS.to(angles)


def _rotations(angles: Tensor) -> Tensor:
    """`(..., 29)` degrees -> local rotation matrices `(..., 22, 3, 3)`."""
    given = dict(zip(ANGLES, torch.deg2rad(angles.float()).unbind(-1), strict=True))
    identity = torch.eye(3, device=angles.device).expand(*angles.shape[:-1], 3, 3)
    made = dict.fromkeys(JOINT_NAMES, identity)
    made["pelvis"] = (
        _about_y(given["root_turn_left"]) @ _about_x(given["root_forward"]) @ _about_z(-given["root_left"])
    )
    for joints, shares, names in (
        (_SPINE, _SPINE_SHARES, ("twist_left", "bend_forward", "bend_left")),
        (_HEAD, (0.5, 0.5), ("turn_left", "nod_down", "tilt_left")),
    ):
        turn, forward, left = (given[name] for name in names)
        for joint, share in zip(joints, shares, strict=True):
            made[joint] = _about_y(share * turn) @ _about_x(share * forward) @ _about_z(-share * left)
    for side in ("left", "right"):
        raised, plane, forearm_up, elbow, shrug, flex, out, turn, knee, point = (given[f"{side}_{n}"] for n in _SIDED)
        collar = _about_z(shrug + _LIFT * (raised - torch.pi / 2).clamp_min(0))
        twist = _about_x(-forearm_up - plane * torch.cos(raised))
        limbs = {
            "collar": collar,
            "shoulder": collar.mT @ _about_y(-plane) @ _about_z(raised - torch.pi / 2) @ twist,
            "elbow": _about_y(-elbow),
            "hip": _about_x(-flex) @ _about_z(out) @ _about_y(turn),
            "knee": _about_x(knee),
            "ankle": _about_x(point),
        }
        made |= {f"{side}_{joint}": turn if side == "left" else _mirrored(turn) for joint, turn in limbs.items()}
    return torch.stack([made[joint] for joint in JOINT_NAMES], dim=-3)


def _mirror_order():
    order, signs = [], []
    for name in ANGLES:
        side, _, rest = name.partition("_")
        if rest in _SIDED:
            order.append(ANGLES.index(f"{'right' if side == 'left' else 'left'}_{rest}"))
            signs.append(1.0)
        else:
            order.append(ANGLES.index(name))
            signs.append(-1.0 if name.endswith("_left") else 1.0)
    return order, torch.tensor(signs)


_MIRROR, _SIGNS = _mirror_order()


def _mirrored(rotation: Tensor) -> Tensor:
    """Right limbs are the mirror images of left ones: x changes its sign."""
    flip = rotation.new_tensor([-1.0, 1.0, 1.0])
    return rotation * flip[:, None] * flip


def _euler(order: str, rotation: Tensor) -> Tensor:
    """`(3, ...)` degrees"""
    return torch.stack(roma.rotmat_to_euler(order, rotation, as_tuple=True, degrees=True))


def _wrapped(degrees: Tensor) -> Tensor:
    return (degrees + 180) % 360 - 180


def _about_x(angle: Tensor) -> Tensor:
    return _turn(angle, 0)


def _about_y(angle: Tensor) -> Tensor:
    return _turn(angle, 1)


def _about_z(angle: Tensor) -> Tensor:
    return _turn(angle, 2)


def _turn(angle: Tensor, axis: int) -> Tensor:
    vector = torch.zeros(*angle.shape, 3, device=angle.device)
    vector[..., axis] = 1
    return roma.rotvec_to_rotmat(vector * angle[..., None])
