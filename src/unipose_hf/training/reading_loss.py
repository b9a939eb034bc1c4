# SPDX-License-Identifier: Apache-2.0
"""A loss on what the language model reads of the poses in a prompt: where each joint is, how far it has moved, and how
it stands to others.

Codes may tell of each joint how it is turned against its parent; texts tell that a hand is above a shoulder, which
takes two chains of rotations up to the pelvis. Answers alone teach that slowly: they name a few such things each. This
loss asks for all of them, within the model, at the codes of the joint. The read-out is fixed, so that there is nothing
beside the model to learn, to save or to throw away. It is ours, not the paper's.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from unipose_hf.body import JOINT_NAMES, forward_kinematics
from unipose_hf.captions.joint_sets import POSECODES
from unipose_hf.captions.measure import code_values
from unipose_hf.captions.operators import POSE_OPERATORS
from unipose_hf.training.code_loss import UNITS

UNIT = 0.1  # metres: an error of as many degrees as `UNITS` has counts as one of so much
# points of posecodes that are no joints
AT_JOINT = {"middle2": "wrist", "hand": "wrist", "thigh": "hip", "shin": "knee", "upperarm": "shoulder"}
AT_JOINT |= {"forearm": "elbow", "torso": "spine3", "body": "pelvis"}


class ReadingErrors(NamedTuple):
    """How far off the poses of the prompts are read, `(poses,)` each, in metres.

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
    is_code: torch.Tensor,
    rotations: torch.Tensor,
    follows: torch.Tensor,
    rest_joints: torch.Tensor,
) -> ReadingErrors:
    """
    Args:
        hidden_states: of the language model, one more than it has layers, `(samples, columns, hidden)` each.
        is_code: where the codes of the prompts' poses stand, `(samples, columns)`.
        rotations: what these poses are, in their order, yaw removed, `(poses, 22, 3, 3)`.
        follows: whether the pose before is of the same prompt, `(poses,)`.
        rest_joints: of the body, `(22, 3)` metres.

    Raises:
        ValueError: the joints of this pose tokenizer have no codes of their own.
    """
    poses, layers, count = len(rotations), len(hidden_states) - 1, rotations.shape[1]
    codes = int(is_code.sum())
    if codes % (poses * count):
        raise ValueError(
            f"The {poses} poses of the prompts have {codes / poses:g} codes each, which cannot be those of {count} "
            "joints; leave reading_loss_weight 0, or train a pose tokenizer with kernel_size 1 and no lengths."
        )
    joints = forward_kinematics(rotations, rest_joints)[0]
    joints = joints - joints[:, :1]  # (poses, 22, 3)
    ways = joints - joints.roll(1, dims=0)
    middle, later = layers // 2, 3 * layers // 4
    directions = read_out(hidden_states[0].shape[-1]).to(joints.device)

    def read(layer, directions):  # (poses, 22, directions)
        hidden = hidden_states[layer][is_code].float().view(poses, count, -1, hidden_states[0].shape[-1]).mean(2)
        return F.linear(F.rms_norm(hidden, hidden.shape[-1:]), directions)

    at, slots = (torch.tensor(places, device=joints.device) for places in _PLACES)
    told = read(later, directions[6:])[:, at, slots]  # (poses, 271)
    return ReadingErrors(
        (read(middle, directions[:3]) - joints).norm(dim=-1).mean(-1),
        (read(later, directions[3:6]) - ways).norm(dim=-1).mean(-1) * follows,
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


def read_out(hidden_size: int) -> torch.Tensor:
    """Directions for joints (3), ways (3) and the relations of one joint (the others), `(69, hidden_size)`.

    Always the same; at right angles where there is room. Where entries have size 1, a component of 3 is a metre, of
    relations, since a hand has 63 of them, 1.5.
    """
    drawn = torch.randn(hidden_size, 6 + max(_PLACES[1]) + 1, generator=torch.Generator().manual_seed(0))
    directions = (torch.linalg.qr(drawn).Q if hidden_size >= drawn.shape[1] else F.normalize(drawn, dim=0)).T
    return torch.cat([directions[:6] / 3, directions[6:] / 1.5])


def _places():
    """Of each posecode the joint at which it is read, and which of that joint's directions tells it."""
    joints = []
    for code in POSECODES:
        side, _, part = code.points[0].rpartition("_")
        part = AT_JOINT.get(part, part)
        joints.append(JOINT_NAMES.index(f"{side}_{part}" if side else part))
    return joints, [joints[:place].count(joint) for place, joint in enumerate(joints)]


_PLACES = _places()
_SCALES = (
    [sum(edges) / len(edges) for edges in (POSE_OPERATORS[code.kind].thresholds for code in POSECODES)],
    [UNITS[code.kind] for code in POSECODES],
)
