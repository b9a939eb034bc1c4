# SPDX-License-Identifier: Apache-2.0
"""A loss on how the limbs meet the rest of the body: a hand on a hip, crossed legs, a foot against the other knee.

A hand that misses the face by ten centimetres hardly changes the mean joint error, but it is what people notice. This
loss compares the vectors between parts of different limbs; the closer the parts should be, the more a pair counts. It
is not in the paper.
"""

import torch

from unipose_hf.body import JOINT_NAMES, LIMBS

NEAR = 0.2  # metres: at this distance, a pair of parts counts 1 / e of what touching parts count
HAND = 0.1  # metres from the wrist to the middle of the hand


def contact_loss(joints: torch.Tensor, true_joints: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """
    Args:
        joints, true_joints: joints `(N, 22, 3)` in metres.
        weights: weights of the joints `(N, 22)`; a pair has the weight of its joint with the higher number.

    Returns:
        per pose, `(N,)`, the summed errors in metres of the vectors between parts of different limbs that are close in
        `true_joints`, with gradients for `joints`.
    """
    first, second = _PAIRS
    vectors, true_vectors = (points[:, first] - points[:, second] for points in map(_points, (joints, true_joints)))
    errors = (vectors - true_vectors).square().sum(-1).add(1e-8).sqrt()
    close = (-(true_vectors.square().sum(-1)) / NEAR**2).exp()
    return (errors * close * weights[:, [*range(len(JOINT_NAMES)), *_WRISTS]][:, first]).sum(-1)


def _points(joints):
    """The joints and the middles of the hands, `(N, 24, 3)`."""
    forearms = joints[:, _WRISTS] - joints[:, _ELBOWS]
    hands = joints[:, _WRISTS] + HAND * forearms / forearms.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    return torch.cat([joints, hands], 1)


_SIDES = "left", "right"
_WRISTS, _ELBOWS = ([JOINT_NAMES.index(f"{side}_{part}") for side in _SIDES] for part in ("wrist", "elbow"))


def _pairs():
    """Pairs (moving part, part of another limb or of the trunk), each once."""
    limb_of = {joint: name for name, limb in LIMBS.items() for joint in limb}
    limb_of |= {len(JOINT_NAMES) + number: limb_of[wrist] for number, wrist in enumerate(_WRISTS)}
    moving = [joint for joint in limb_of if joint >= len(JOINT_NAMES) or _moves(JOINT_NAMES[joint])]
    others = [joint for joint in range(len(JOINT_NAMES) + len(_WRISTS)) if joint not in _WRISTS]
    pairs = {
        tuple(sorted((one, other), reverse=True))
        for one in moving
        for other in others
        if limb_of.get(one) != limb_of.get(other)
    }
    return tuple(map(list, zip(*sorted(pairs), strict=True)))


def _moves(name):
    return name.endswith(("elbow", "knee", "ankle"))


_PAIRS = _pairs()
