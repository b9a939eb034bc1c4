# SPDX-License-Identifier: Apache-2.0
"""Facts of a pose: named numbers on which the prompts of the plain-English benchmark state what must hold.

Angles are in degrees, lengths in metres on the bundled body. Left and right are the body's own; a number towards one
side has a twin towards the other (`head_turn_left` is minus `head_turn_right`), so that a statement is mirrored by
swapping the two words. Heights are above the lowest point of the body's mesh, the ground if the body is not in the
air. The heading is ignored.

Of the body:

* `trunk_lean`: the line from pelvis to neck from upright, 0 to 180; `trunk_forward`, `trunk_left`, `trunk_right`:
  towards where (`trunk_forward` over 90: the head is below the hips);
* `chest_up`: how far the chest looks up, -90 (face down) to 90 (on the back); `spine_forward`, `spine_left`,
  `spine_right`, `spine_twist_left`, `spine_twist_right`: the chest from the pelvis;
* `head_down`, `head_turn_left`, `head_turn_right`, `head_tilt_left`, `head_tilt_right`: the head from the chest;
  `gaze_up`: how far the face looks up in the room, -90 to 90;
* `pelvis_height` (of its joint), `seat_height`, `trunk_height`, `head_height` (their lowest points);
* `feet_apart`, `knees_apart`, `hands_apart`: distances of ankles, knees and palms; `feet_sideways`: the part of
  `feet_apart` from right to left, negative when the legs are crossed.

Of each side, beginning with `left_` or `right_`:

* `arm_raise`: the upper arm from hanging along the trunk, 0 to 180; `arm_out`, `arm_forward`, `forearm_up`: how far
  upper arm and forearm point there, -90 to 90, in the frame of the chest; `elbow_bend`;
* `hand_out`, `hand_up`, `hand_forward`: the palm from its shoulder in the frame of the chest; `hand_rise`,
  `elbow_rise`: palm and elbow above the shoulder in the room; `hand_over_head`: the palm above the base of the skull;
* `hand_height`, `elbow_height`;
* `hand_to_PLACE`: the palm from a place on the body: `hand_to_chest`, `left_hand_to_right_knee`, `hand_to_head`
  (the nearest place of the head), `left_hand_to_right_hand`;
* `hip_bend` (the thigh forward in the frame of the pelvis, negative: back), `thigh_out` (outwards, likewise),
  `thigh_lift` (the thigh from straight down in the room, 0 to 180), `knee_bend`, `shin_lift` (like the thigh);
* `foot_ahead` (the ankle ahead of the other), `foot_height`, `heel_height` (of the ankle), `knee_height`;
* `left_foot_to_right_leg`: the ankle from the nearest point between the other hip and ankle; `foot_to_seat`,
  `elbow_to_left_knee`, `elbow_to_right_knee`, `knee_to_chest`.
"""

import functools

import numpy as np
import roma
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from unipose_hf.body import JOINT_NAMES, forward_kinematics, load_body, remove_yaw
from unipose_hf.data.language.describe import DIRECTIONS, body_directions
from unipose_hf.data.language.reach import PLACES, palm, place_on_body

SIDES = ("left", "right")
_HEAD = ("left ear", "right ear", "top of head", "forehead", "mouth", "chin", "back of head")
# parts of the mesh, by the joints that move them most
_PARTS = {
    "seat": ("pelvis",),
    "trunk": ("spine1", "spine2", "spine3"),
    "head": ("head",),
    **{f"{side}_hand": (f"{side}_wrist",) for side in SIDES},
    **{f"{side}_foot": (f"{side}_ankle", f"{side}_foot") for side in SIDES},
}


@torch.no_grad()
def measure_pose(axis_angle: ArrayLike) -> dict[str, Tensor]:
    """
    Measures poses on the bundled body.

    Args:
        axis_angle: `(..., 22, 3)` local axis-angle rotations in radians, SMPL order; y up, z to the viewer.

    Returns:
        The facts of this module by name, each `(...)`, in degrees or metres.

    Raises:
        ValueError: wrong shape, NaN or infinite values.
    """
    poses = remove_yaw(torch.from_numpy(np.array(axis_angle, dtype=np.float32)))
    rotations, body = roma.rotvec_to_rotmat(poses), _body()
    placed, vertices = body(rotations)
    _, turns = forward_kinematics(rotations, body.rest_joints)
    at = {name: placed[..., row, :] for row, name in enumerate(JOINT_NAMES)}
    turn = {name: turns[..., row, :, :] for row, name in enumerate(JOINT_NAMES)}
    ways = dict(zip(DIRECTIONS, body_directions(poses).unbind(-2), strict=True))
    ground = vertices[..., 1].amin(-1)
    lowest = {part: vertices[..., rows, 1].amin(-1) - ground for part, rows in _rows_of_parts().items()}
    places = _places(placed, turns)
    facts = _of_trunk(at, turn, ways) | {f"{part}_height": height for part, height in lowest.items()}
    facts |= {"pelvis_height": at["pelvis"][..., 1] - ground}
    step = at["left_ankle"] - at["right_ankle"]
    facts |= {
        "feet_apart": step.norm(dim=-1),
        "feet_sideways": step[..., 0],
        "knees_apart": _distance(at["left_knee"], at["right_knee"]),
        "hands_apart": _distance(places["left hand"], places["right hand"]),
    }
    for side, other in (SIDES, SIDES[::-1]):
        own = _of_arm(side, at, turn, ways, places) | _of_leg(side, other, at, turn, ways, places)
        own |= {f"{joint}_height": at[f"{side}_{joint}"][..., 1] - ground for joint in ("elbow", "knee")}
        own |= {"heel_height": at[f"{side}_ankle"][..., 1] - ground}
        facts |= {f"{side}_{name}": value for name, value in own.items()}
    return facts


def _of_trunk(at, turn, ways):
    trunk = _unit(at["neck"] - at["pelvis"])
    chest_up, chest, head_up, head = ways["chest up"], ways["chest forward"], ways["head up"], ways["head forward"]
    return {
        "trunk_lean": _angle(trunk, trunk.new_tensor([0.0, 1, 0])),
        "trunk_forward": _heading(trunk[..., 2], trunk[..., 1]),
        "chest_up": _elevation(turn["spine3"][..., 1, 2]),
        "spine_forward": _heading(chest_up[..., 2], chest_up[..., 1]),
        "head_down": -_elevation(head[..., 1]),
        "gaze_up": _elevation(turn["head"][..., 1, 2]),
        **_both_ways("trunk", _elevation(trunk[..., 0])),
        **_both_ways("spine", _elevation(chest_up[..., 0])),
        **_both_ways("spine_twist", _heading(chest[..., 0], chest[..., 2])),
        **_both_ways("head_turn", _heading(head[..., 0], head[..., 2])),
        **_both_ways("head_tilt", _elevation(head_up[..., 0])),
    }


def _of_arm(side, at, turn, ways, places):
    upper, fore = ways[f"{side} upper arm"], ways[f"{side} forearm"]
    hand, shoulder = places[f"{side} hand"], f"{side}_shoulder"
    out, up, forward = ((hand - at[shoulder])[..., None, :] @ turn["spine3"])[..., 0, :].unbind(-1)
    facts = {
        "arm_raise": _angle(upper, upper.new_tensor([0.0, -1, 0])),
        "arm_out": _elevation(upper[..., 0] if side == "left" else -upper[..., 0]),
        "arm_forward": _elevation(upper[..., 2]),
        "elbow_bend": _angle(upper, fore),
        "forearm_up": _elevation(fore[..., 1]),
        "hand_out": out if side == "left" else -out,
        "hand_up": up,
        "hand_forward": forward,
        "hand_rise": (hand - at[shoulder])[..., 1],
        "elbow_rise": (at[f"{side}_elbow"] - at[shoulder])[..., 1],
        "hand_over_head": (hand - at["head"])[..., 1],
        "hand_to_head": torch.stack([_distance(hand, places[name]) for name in _HEAD]).amin(0),
    }
    reached = {name: place for name, place in places.items() if name != f"{side} hand"}
    return facts | {f"hand_to_{name.replace(' ', '_')}": _distance(hand, place) for name, place in reached.items()}


def _of_leg(side, other, at, turn, ways, places):
    hip, knee, ankle = (at[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle"))
    down = hip.new_tensor([0.0, -1, 0])
    thigh, shin = ways[f"{side} thigh"], ways[f"{side} shin"]
    left, up, forward = (_unit(knee - hip)[..., None, :] @ turn["pelvis"])[..., 0, :].unbind(-1)
    legs = [at[f"{other}_{joint}"] for joint in ("hip", "knee", "ankle")]
    points = [
        torch.lerp(a, b, share) for a, b in zip(legs, legs[1:], strict=False) for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    elbow = at[f"{side}_elbow"]
    return {
        "hip_bend": _heading(forward, -up),
        "thigh_out": _elevation(left if side == "left" else -left),
        "thigh_lift": _angle(thigh, down),
        "knee_bend": _angle(thigh, shin),
        "shin_lift": _angle(shin, down),
        "foot_ahead": (ankle - at[f"{other}_ankle"])[..., 2],
        f"foot_to_{other}_leg": torch.stack([_distance(ankle, point) for point in points]).amin(0),
        "foot_to_seat": _distance(ankle, places["buttocks"]),
        "knee_to_chest": _distance(knee, places["chest"]),
        "elbow_to_left_knee": _distance(elbow, at["left_knee"]),
        "elbow_to_right_knee": _distance(elbow, at["right_knee"]),
    }


def _places(joints, turns):
    """The palms, and what they can touch: name -> `(..., 3)`."""
    found = {f"{side} hand": palm(joints, side) for side in SIDES}
    for name, (parts, _, offset) in PLACES.items():
        if any(part not in JOINT_NAMES for part in parts) or (offset is not None and offset[0]):
            found |= {f"{side} {name}": place_on_body(joints, turns, name, side) for side in SIDES}
        else:
            found[name] = place_on_body(joints, turns, name, "left")
    return found


@functools.cache
def _body():
    return load_body(size="small")


@functools.cache
def _rows_of_parts() -> dict[str, Tensor]:
    strongest = _body().lbs_weights.argmax(-1)
    joints = {part: torch.tensor([JOINT_NAMES.index(name) for name in names]) for part, names in _PARTS.items()}
    return {part: torch.isin(strongest, rows).nonzero()[:, 0] for part, rows in joints.items()}


def _both_ways(name, left):
    return {f"{name}_left": left, f"{name}_right": -left}


def _unit(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-9)


def _distance(a, b):
    return (a - b).norm(dim=-1)


def _angle(a, b):
    return torch.rad2deg(torch.arccos((a * b).sum(-1).clamp(-1, 1)))


def _elevation(sine):
    return torch.rad2deg(torch.arcsin(sine.clamp(-1, 1)))


def _heading(sine, cosine):
    return torch.rad2deg(torch.atan2(sine, cosine))
