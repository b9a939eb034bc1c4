# SPDX-License-Identifier: Apache-2.0
"""A loss on what the language model understands of the poses in a prompt: joint positions, displacements and
relations.

A code may describe the rotation of a joint relative to its parent, but a text says that a hand is above a shoulder,
which takes two chains of rotations up to the pelvis. Answers alone teach this slowly, because each names only a few
such facts. This loss demands all of them from the hidden states, at the codes of a joint or at the tokens of an image.
The read-out is fixed, so there are no additional weights to train, save or discard. It is not in the paper.
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

# Scale in hidden states with entries of size 1. A hand has 63 relations, which must leave room for other information.
ONE_METRE, ONE_METRE_OF_RELATIONS = 3.0, 1.5
UNIT = 0.1  # metres: how much an error of one of the `UNITS` counts
# points of posecodes that are not joints
AT_JOINT = {"middle2": "wrist", "hand": "wrist", "thigh": "hip", "shin": "knee", "upperarm": "shoulder"}
AT_JOINT |= {"forearm": "elbow", "torso": "spine3", "body": "pelvis"}


class ReadingErrors(NamedTuple):
    """Errors of the poses read from hidden states, `(poses,)` each, in metres.

    joints: distance of joints, relative to the pelvis, at the middle layer.
    displacements: error of the joints' displacements from the previous pose to this one, at three quarters of the
        layers; 0 for a pose without a previous one.
    relations: error of the quantities that posecodes measure, at the same layer; about 15 degrees count as 10 cm.
    """

    joints: torch.Tensor
    displacements: torch.Tensor
    relations: torch.Tensor


def reading_errors(
    hidden_states: tuple[torch.Tensor, ...],
    pose_mask: torch.Tensor,
    rotations: torch.Tensor,
    follows: torch.Tensor,
    rest_joints: torch.Tensor,
) -> ReadingErrors:
    """
    Args:
        hidden_states: of the language model, one more than its layers, `(samples, sequence_length, hidden)` each.
        pose_mask: mask of the codes of the prompts' poses, or of their image tokens, `(samples, sequence_length)`.
        rotations: these poses, in order, yaw removed, `(poses, 22, 3, 3)`.
        follows: whether the previous pose belongs to the same prompt, `(poses,)`.
        rest_joints: rest joints of the body, `(22, 3)` in metres.

    Raises:
        ValueError: the poses do not have equally many positions.
    """
    poses, layers, positions = len(rotations), len(hidden_states) - 1, int(pose_mask.sum())
    if positions % poses:
        raise ValueError(f"{positions} positions do not fit {poses} poses; give each pose equally many tokens.")
    joints = forward_kinematics(rotations, rest_joints)[0]
    joints = joints - joints[:, :1]  # (poses, 22, 3)
    displacements = joints - joints.roll(1, dims=0)
    groups = min(positions // poses, len(JOINT_NAMES))
    group, first, at = (torch.tensor(numbers, device=joints.device) for numbers in layout(groups))
    axes = first[:, None] + torch.arange(3, device=joints.device)  # (22, 3)
    read_outs = {}
    for layer in (layers // 2, 3 * layers // 4):
        hidden = hidden_states[layer][pose_mask].float().unflatten(0, (poses, -1))
        hidden = F.adaptive_avg_pool1d(hidden.mT, groups).mT  # (poses, groups, hidden)
        directions = read_out(hidden.shape[-1], groups).to(hidden.device)
        read_outs[layer] = F.linear(F.rms_norm(hidden, hidden.shape[-1:]), directions)  # (poses, groups, directions)
    middle, later = read_outs[layers // 2], read_outs[3 * layers // 4]
    predicted = later[:, group[_JOINTS], at] / ONE_METRE_OF_RELATIONS  # (poses, 271)
    return ReadingErrors(
        (middle[:, group[:, None], axes] / ONE_METRE - joints).norm(dim=-1).mean(-1),
        (later[:, group[:, None], axes + 3] / ONE_METRE - displacements).norm(dim=-1).mean(-1) * follows,
        (predicted - relations(joints, rotations)).abs().mean(-1),
    )


def relations(joints: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """The quantities that posecodes measure, relative to the middle of their thresholds, in metres, `(poses, 271)`.

    Args:
        joints: `(poses, 22, 3)` metres.
        rotations: `(poses, 22, 3, 3)`, yaw removed.
    """
    centres, units = (joints.new_tensor(values) for values in _SCALES)
    return (code_values(joints, rotations) - centres) / units * UNIT


def read_out(hidden_size: int, groups: int) -> torch.Tensor:
    """The fixed read-out directions in hidden states, `(directions, hidden_size)`; orthogonal if there is room."""
    _, first, at = layout(groups)
    directions = torch.randn(hidden_size, max(*at, max(first) + 5) + 1, generator=torch.Generator().manual_seed(0))
    return (torch.linalg.qr(directions).Q if hidden_size >= directions.shape[1] else F.normalize(directions, dim=0)).T


@functools.cache
def layout(groups: int) -> tuple[list[int], list[int], list[int]]:
    """The position group of each of 22 joints, the first direction of each joint in it (three for its position,
    three for its displacement, then one for each of its posecodes), and the direction of each of 271 posecodes.
    """
    group = [joint % groups for joint in range(len(JOINT_NAMES))]
    sizes = [6 + _JOINTS.count(joint) for joint in range(len(JOINT_NAMES))]
    # after the preceding joints of the same group
    first = [sum(sizes[joint % groups : joint : groups]) for joint in range(len(sizes))]
    return group, first, [first[joint] + 6 + _JOINTS[:code].count(joint) for code, joint in enumerate(_JOINTS)]


def _joint_of(code):
    """The joint at whose positions a posecode is read."""
    side, _, part = code.points[0].rpartition("_")
    part = AT_JOINT.get(part, part)
    return JOINT_NAMES.index(f"{side}_{part}" if side else part)


_JOINTS = [_joint_of(code) for code in POSECODES]
_SCALES = (
    [sum(edges) / len(edges) for edges in (POSE_OPERATORS[code.kind].thresholds for code in POSECODES)],
    [UNITS[code.kind] for code in POSECODES],
)
