# SPDX-License-Identifier: Apache-2.0
"""A cheap test for self-intersection: distances between capsules along the bones.

The allowed distances are measured on real poses, in which hands rest on hips and thighs on the belly.
"""

import torch
from torch import Tensor

from unipose_hf.body import JOINT_NAMES, forward_kinematics

_HAND_LENGTH = 0.15  # metres from the wrist to the finger tips

# Capsules: name -> radius in metres. Their ends are placed in `_capsules`.
_RADII = {
    "left_trunk": 0.10,
    "right_trunk": 0.10,
    "head": 0.10,
    "left_upper_arm": 0.045,
    "right_upper_arm": 0.045,
    "left_forearm": 0.04,
    "right_forearm": 0.04,
    "left_thigh": 0.07,
    "right_thigh": 0.07,
    "left_shin": 0.05,
    "right_shin": 0.05,
    "left_foot": 0.04,
    "right_foot": 0.04,
}
_NAMES = tuple(_RADII)


def _pairs() -> list[tuple[int, int]]:
    """Pairs of capsules that are not neighbours along the skeleton."""
    body = ("left_trunk", "right_trunk", "head")
    pairs = [("left_forearm", "right_forearm"), ("left_thigh", "right_thigh"), ("left_shin", "right_shin")]
    pairs += [("left_foot", "right_foot")]
    for side, other in (("left", "right"), ("right", "left")):
        pairs += [(f"{side}_forearm", part) for part in body]
        pairs += [(f"{side}_upper_arm", f"{other}_trunk"), (f"{side}_upper_arm", "head")]
        pairs += [(f"{side}_forearm", f"{other}_upper_arm")]
        pairs += [(f"{side}_{limb}", part) for limb in ("shin", "foot") for part in body]
        pairs += [(f"{side}_thigh", part) for part in (f"{other}_trunk", "head")]
        pairs += [(f"{side}_shin", f"{other}_thigh"), (f"{side}_foot", f"{other}_shin")]
        pairs += [(f"{side}_forearm", f"{leg}_{part}") for leg in (side, other) for part in ("thigh", "shin")]
    return [(_NAMES.index(a), _NAMES.index(b)) for a, b in pairs]


_PAIRS = _pairs()


class SelfContact:
    """Tests which poses intersect themselves.

    Args:
        rotations: `(N, 22, 3, 3)` real poses that define the allowed distances.
        rest_joints: `(22, 3)` joints of the body in the T-pose, metres.
    """

    def __init__(self, rotations: Tensor, rest_joints: Tensor):
        self.rest_joints = rest_joints
        touching = rest_joints.new_tensor([_RADII[_NAMES[a]] + _RADII[_NAMES[b]] for a, b in _PAIRS])
        # One real pose in a hundred may be closer: converted motion has such flaws.
        self.nearest = torch.minimum(0.85 * touching, self.distances(rotations).quantile(0.01, dim=0))

    def distances(self, rotations: Tensor) -> Tensor:
        """`(N, 22, 3, 3)` -> `(N, pairs)` distances between the capsules' axes, metres."""
        starts, ends = _capsules(*forward_kinematics(rotations, self.rest_joints))
        first, second = (list(side) for side in zip(*_PAIRS, strict=True))
        return _segment_distance(starts[:, first], ends[:, first], starts[:, second], ends[:, second])

    def clear(self, rotations: Tensor) -> Tensor:
        """`(N, 22, 3, 3)` -> `(N,)` bool: no part intersects another."""
        return (self.distances(rotations) >= self.nearest).all(dim=-1)


def _capsules(joints: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
    """Ends of the capsules' axes, each `(N, capsules, 3)`."""

    def at(name: str) -> Tensor:
        return joints[:, JOINT_NAMES.index(name)]

    def beyond(name: str, offset: list[float]) -> Tensor:
        return at(name) + turns[:, JOINT_NAMES.index(name)] @ joints.new_tensor(offset)

    ends = {"head": (at("head"), beyond("head", [0.0, 0.12, 0.02]))}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        # The trunk is two columns, each a little inside the hip and the shoulder of its side.
        low = at("pelvis").lerp(at(f"{side}_hip"), 0.5)
        high = at("neck").lerp(at(f"{side}_shoulder"), 0.45)
        ends[f"{side}_trunk"] = (low, high)
        ends[f"{side}_upper_arm"] = (at(f"{side}_shoulder").lerp(at(f"{side}_elbow"), 0.5), at(f"{side}_elbow"))
        ends[f"{side}_forearm"] = (at(f"{side}_elbow"), beyond(f"{side}_wrist", [sign * _HAND_LENGTH, 0.0, 0.0]))
        ends[f"{side}_thigh"] = (at(f"{side}_hip").lerp(at(f"{side}_knee"), 0.4), at(f"{side}_knee"))
        ends[f"{side}_shin"] = (at(f"{side}_knee"), at(f"{side}_ankle"))
        ends[f"{side}_foot"] = (at(f"{side}_ankle"), at(f"{side}_foot"))
    return torch.stack([ends[n][0] for n in _NAMES], dim=1), torch.stack([ends[n][1] for n in _NAMES], dim=1)


def _segment_distance(a0: Tensor, a1: Tensor, b0: Tensor, b1: Tensor) -> Tensor:
    """Shortest distance between segments a0-a1 and b0-b1, `(..., 3)` -> `(...)`."""
    a, b, gap = a1 - a0, b1 - b0, a0 - b0
    aa, bb, ab = (a * a).sum(-1), (b * b).sum(-1), (a * b).sum(-1)
    ag, bg = (a * gap).sum(-1), (b * gap).sum(-1)
    # Nearest points of the two lines; then clamp each to its segment and recompute the other.
    s = ((ab * bg - ag * bb) / (aa * bb - ab * ab).clamp_min(1e-9)).clamp(0, 1)
    t = ((ab * s + bg) / bb.clamp_min(1e-9)).clamp(0, 1)
    s = ((ab * t - ag) / aa.clamp_min(1e-9)).clamp(0, 1)
    return (gap + s[..., None] * a - t[..., None] * b).norm(dim=-1)
