# SPDX-License-Identifier: Apache-2.0
"""Edits that depend on the pose they change: more, less, mirrored, relaxed, the same on both sides.

A row of `edits.jsonl` has `commands` and defines their effect by some of these fields, applied in this order:

* `when` {angle: [low, high]}: only for poses with angles in this range (`NAME_abs`: their absolute values);
* `op`: `"mirror"`; `{"swap": "arms" | "legs"}`; `{"copy": "arm" | "leg", "from": side}` onto the other side;
  `{"symmetric": "arms" | "legs" | "all"}`, both sides the mean of the two;
* `set` {angle: value or range};
* `delta` {angle: range}, added;
* `scale` {angle, "all", "arms", "legs" or "torso": range}, times the distance from relaxed standing.

All ranges of an edit use the same fraction, so coupled joints stay coupled. One-sided rows are for one side.
"""

import torch
from torch import Tensor

from .angles import ANGLES, STANDING, mirror_angles

_ARM, _LEG = ("raise", "plane", "forearm_up", "elbow", "shrug"), ("flex", "out", "turn", "knee", "point")
_TORSO = ("bend_forward", "bend_left", "twist_left")
_GROUPS = {
    "arms": [f"{side}_{name}" for side in ("left", "right") for name in _ARM],
    "legs": [f"{side}_{name}" for side in ("left", "right") for name in _LEG],
    "torso": list(_TORSO),
    "all": [name for name in ANGLES if not name.startswith("root_")],
}
# degrees that a person can reach
_LIMITS = {"raise": (0, 180), "plane": (-80, 140), "forearm_up": (-110, 110), "elbow": (0, 148), "shrug": (-12, 30)}
_LIMITS |= {"flex": (-35, 130), "out": (-30, 75), "turn": (-45, 70), "knee": (0, 150), "point": (-35, 60)}
_BODY = {"bend_forward": (-55, 80), "bend_left": (-50, 50), "twist_left": (-75, 75)}
_BODY |= {"nod_down": (-60, 60), "turn_left": (-80, 80), "tilt_left": (-45, 45)}
_EDGES = [_LIMITS.get(name.split("_", 1)[1], _BODY.get(name, (-360, 360))) for name in ANGLES]
_LOWEST, _HIGHEST = (torch.tensor([float(edge[end]) for edge in _EDGES]) for end in (0, 1))


# limbs that an edit may leave as they are
_LIMBS = {name: _GROUPS[name] for name in ("arms", "legs")}
_LIMBS |= {f"{side} arm": [f"{side}_{name}" for name in _ARM] for side in ("left", "right")}
_LIMBS |= {f"{side} leg": [f"{side}_{name}" for name in _LEG] for side in ("left", "right")}
_LIMBS["head"] = ["nod_down", "turn_left", "tilt_left"]


LEGS: Tensor = torch.tensor([name.split("_", 1)[1] in _LEG for name in ANGLES])
"""The angles of both legs, `(29,)` bool."""
_TILT = ANGLES.index("root_forward"), ANGLES.index("root_left")


def is_upright(angles: Tensor) -> bool:
    """Whether the pelvis of a pose with angles `(29,)` is roughly upright."""
    return bool(angles[list(_TILT)].abs().max() < 35)


def moves_legs(values: Tensor) -> bool:
    """Whether an edit moves a leg, given the angles `(29,)` that it sets, NaN for the others.

    It stands or steps, which it does from upright poses.
    """
    return bool((~values.isnan() & LEGS).any())


def limb_mask(limb: str) -> Tensor:
    """The angles of a limb such as `"left arm"`, `"arms"` or `"head"`: `(29,)` bool."""
    return torch.tensor([name in _LIMBS[limb] for name in ANGLES])


def untouched_limbs(values: Tensor) -> list[str]:
    """The limbs that an edit leaves alone, given the angles `(29,)` that it sets, NaN for the others.

    Legs do not stay where they are if the pelvis turns.
    """
    turns = bool((~values[[name.startswith("root_") for name in ANGLES]].isnan()).any())
    limbs = [limb for limb in _LIMBS if bool(values[limb_mask(limb)].isnan().all())]
    return [limb for limb in limbs if not (turns and limb.endswith(("leg", "legs")))]


def fits(edit: dict, angles: Tensor) -> Tensor:
    """Whether an edit makes sense for poses of these angles `(..., 29)`: `(...)` bool."""
    found = torch.ones(angles.shape[:-1], dtype=torch.bool)
    for name, (low, high) in edit.get("when", {}).items():
        value = _value(angles, name)
        found &= (low <= value) & (value <= high)
    return found


def tells_sides_apart(edit: dict) -> bool:
    """Whether the poses that an edit is for differ between left and right, such as a left leg in front."""
    when = edit.get("when", {})
    sides = [name for name in when if name.startswith(("left_", "right_"))]
    return any(when.get(_other(name)) != when[name] for name in sides)


def edited_angles(edit: dict, angles: Tensor, share: float) -> Tensor:
    """The angles that an edit changes, `(29,)` degrees, NaN for the others.

    Args:
        share: where to go in the ranges of the edit, from 0 (lowest) to 1 (highest).
    """
    after = angles.clone()
    op = edit.get("op", {})
    if op == "mirror":
        after = mirror_angles(after)
    elif "swap" in op:
        names = _GROUPS[op["swap"]]
        after[_numbers(names)] = mirror_angles(angles)[_numbers(names)]
    elif "copy" in op:
        names = [f"{op['from']}_{name}" for name in (_ARM if op["copy"] == "arm" else _LEG)]
        after[_numbers(map(_other, names))] = angles[_numbers(names)]
    elif "symmetric" in op:
        which = op["symmetric"]
        names = _GROUPS["arms"] * (which != "legs") + _GROUPS["legs"] * (which != "arms")
        names += [name for name in ANGLES if name.endswith("_left") and name != "root_turn_left"] * (which == "all")
        after[_numbers(names)] = ((angles + mirror_angles(angles)) / 2)[_numbers(names)]
    for name, value in edit.get("set", {}).items():
        after[ANGLES.index(name)] = _drawn(value, share)
    for name, value in edit.get("delta", {}).items():
        after[ANGLES.index(name)] += _drawn(value, share)
    for group, value in edit.get("scale", {}).items():
        numbers = _numbers(_GROUPS.get(group, [group]))
        after[numbers] = STANDING[numbers] + _drawn(value, share) * (after - STANDING)[numbers]
    if "delta" in edit or "scale" in edit:
        inside = torch.minimum(torch.maximum(after, _LOWEST), _HIGHEST)
        after = torch.where(after == angles, after, inside)
    return torch.where(after == angles, torch.nan, after)


def _drawn(value, share):
    return value[0] + share * (value[1] - value[0]) if isinstance(value, list) else float(value)


def _numbers(names):
    return torch.tensor([ANGLES.index(name) for name in names])


def _other(name):
    side, _, rest = name.partition("_")
    return f"{'right' if side == 'left' else 'left'}_{rest}"


def _value(angles, name):
    if name == "bend_left_or_root_left_abs":
        return torch.maximum(_value(angles, "bend_left_abs"), _value(angles, "root_left_abs"))
    if name.endswith("_abs"):
        return _value(angles, name.removesuffix("_abs")).abs()
    return angles[..., ANGLES.index(name)]
