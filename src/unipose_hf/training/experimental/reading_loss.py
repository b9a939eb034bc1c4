# SPDX-License-Identifier: Apache-2.0
"""A loss on what the language model reads of the poses in a prompt: where each joint is, how far it has moved, and how
it stands to others.

Codes may tell of each joint how it is turned against its parent; texts tell that a hand is above a shoulder, which
takes two chains of rotations up to the pelvis. Answers alone teach that slowly: they name a few such things each. This
loss asks for all of them, within the model, at the codes of the joint or at the rows of a picture. The read-out is
fixed, so that there is nothing beside the model to learn, to save or to throw away. It is ours, not the paper's.
"""

import functools
from typing import NamedTuple

import torch
import torch.nn.functional as F

from unipose_hf.body import JOINT_NAMES, forward_kinematics
from unipose_hf.captions.posecodes.joint_sets import POSECODES
from unipose_hf.captions.posecodes.measure import code_values
from unipose_hf.captions.posecodes.operators import POSE_OPERATORS
from unipose_hf.training.experimental.code_loss import UNITS

# In hidden states whose entries have size 1. A hand has 63 relations, which must leave room for other things.
ONE_METRE, ONE_METRE_OF_RELATIONS = 3.0, 1.5
UNIT = 0.1  # metres: an error of as many degrees as `UNITS` has counts as one of so much
# points of posecodes that are no joints
AT_JOINT = {"middle2": "wrist", "hand": "wrist", "thigh": "hip", "shin": "knee", "upperarm": "shoulder"}
AT_JOINT |= {"forearm": "elbow", "torso": "spine3", "body": "pelvis"}


class ReadingErrors(NamedTuple):
    """How far off poses are read, `(poses,)` each, in metres.

    joints: distance of joints, relative to the pelvis, in the middle layer.
    ways: distance of the ways that joints go from the pose before to this one, at three quarters of the layers; 0 for
        a pose that follows none.
    relations: difference of what posecodes are measured on, there too, 15 degrees or so counting as 10 cm.
    """

    joints: torch.Tensor
    ways: torch.Tensor
    relations: torch.Tensor


def reading_errors(
    hidden_states: tuple[torch.Tensor, ...],
    tells: torch.Tensor,
    rotations: torch.Tensor,
    follows: torch.Tensor,
    rest_joints: torch.Tensor,
) -> ReadingErrors:
    """
    Args:
        hidden_states: of the language model, one more than it has layers, `(samples, columns, hidden)` each.
        tells: where the codes of the prompts' poses stand, or the rows of their pictures, `(samples, columns)`.
        rotations: what these poses are, in their order, yaw removed, `(poses, 22, 3, 3)`.
        follows: whether the pose before is of the same prompt, `(poses,)`.
        rest_joints: of the body, `(22, 3)` metres.

    Raises:
        ValueError: the columns that tell poses are not as many for each.
    """
    poses, layers, columns = len(rotations), len(hidden_states) - 1, int(tells.sum())
    if columns % poses:
        raise ValueError(f"{columns} columns cannot tell {poses} poses; give each as many codes or image tokens.")
    joints = forward_kinematics(rotations, rest_joints)[0]
    joints = joints - joints[:, :1]  # (poses, 22, 3)
    ways = joints - joints.roll(1, dims=0)
    groups = min(columns // poses, len(JOINT_NAMES))
    place, first, at = (torch.tensor(numbers, device=joints.device) for numbers in layout(groups))
    axes = first[:, None] + torch.arange(3, device=joints.device)  # (22, 3)
    found = {}
    for layer in (layers // 2, 3 * layers // 4):
        hidden = hidden_states[layer][tells].float().unflatten(0, (poses, -1))
        hidden = F.adaptive_avg_pool1d(hidden.mT, groups).mT  # (poses, groups, hidden)
        directions = read_out(hidden.shape[-1], groups).to(hidden.device)
        found[layer] = F.linear(F.rms_norm(hidden, hidden.shape[-1:]), directions)  # (poses, groups, directions)
    middle, later = found[layers // 2], found[3 * layers // 4]
    told = later[:, place[_JOINTS], at] / ONE_METRE_OF_RELATIONS  # (poses, 271)
    return ReadingErrors(
        (middle[:, place[:, None], axes] / ONE_METRE - joints).norm(dim=-1).mean(-1),
        (later[:, place[:, None], axes + 3] / ONE_METRE - ways).norm(dim=-1).mean(-1) * follows,
        (told - relations(joints, rotations)).abs().mean(-1),
    )


def relations(joints: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """What posecodes are measured on, from the middle of their thresholds, in metres, `(poses, 271)`.

    Args:
        joints: `(poses, 22, 3)` metres.
        rotations: `(poses, 22, 3, 3)`, yaw removed.
    """
    centres, units = (joints.new_tensor(values) for values in _SCALES)
    return (code_values(joints, rotations) - centres) / units * UNIT


def read_out(hidden_size: int, groups: int) -> torch.Tensor:
    """The directions in which hidden states tell, `(directions, hidden_size)`, always the same; at right angles where
    there is room.
    """
    _, first, at = layout(groups)
    drawn = torch.randn(hidden_size, max(*at, max(first) + 5) + 1, generator=torch.Generator().manual_seed(0))
    return (torch.linalg.qr(drawn).Q if hidden_size >= drawn.shape[1] else F.normalize(drawn, dim=0)).T


@functools.cache
def layout(groups: int) -> tuple[list[int], list[int], list[int]]:
    """Which of the groups of columns tells each of 22 joints, the first direction of each joint there (three for where
    it is, three for its way, then one for each of its posecodes), and the direction of each of 271 posecodes.
    """
    place = [joint % groups for joint in range(len(JOINT_NAMES))]
    sizes = [6 + _JOINTS.count(joint) for joint in range(len(JOINT_NAMES))]
    # behind the joints before it of the same group
    first = [sum(sizes[joint % groups : joint : groups]) for joint in range(len(sizes))]
    return place, first, [first[joint] + 6 + _JOINTS[:code].count(joint) for code, joint in enumerate(_JOINTS)]


def _joint_of(code):
    """The joint at whose columns a posecode is told."""
    side, _, part = code.points[0].rpartition("_")
    part = AT_JOINT.get(part, part)
    return JOINT_NAMES.index(f"{side}_{part}" if side else part)


_JOINTS = [_joint_of(code) for code in POSECODES]
_SCALES = (
    [sum(edges) / len(edges) for edges in (POSE_OPERATORS[code.kind].thresholds for code in POSECODES)],
    [UNITS[code.kind] for code in POSECODES],
)
