# SPDX-License-Identifier: Apache-2.0
"""A loss on what a caption states: how far a pose is from the values its stated posecodes allow.

Joint errors ask for the one pose a caption was made from; a caption fixes only some angles, distances and heights of
it. This loss asks for those alone, in the units in which they are told, and so teaches which words matter for which
joints. It is ours, not the paper's.
"""

import math

import torch
import torch.nn.functional as F

from unipose_hf.captions.joint_sets import POSECODES, SUPER_POSECODES
from unipose_hf.captions.measure import code_values
from unipose_hf.captions.operators import POSE_OPERATORS

# What counts as an error of 1: degrees for angles, metres for lengths.
UNITS = {
    "angle": 15.0,
    "distance": 0.1,
    "rel_x": 0.1,
    "rel_y": 0.1,
    "rel_z": 0.1,
    "vertical_axis": 15.0,
    "on_ground": 0.1,
    "body_pitch": 15.0,
    "body_twist": 15.0,
    "body_lean": 10.0,
    "head_pitch": 15.0,
    "head_turn": 10.0,
    "head_tilt": 15.0,
}
MARGIN = 0.4  # of a unit: how far inside its bounds a value should be, at most a third of their distance


def stated_code_loss(rotations: torch.Tensor, joints: torch.Tensor, stated: list[list[tuple[str, str]]]):
    """
    Args:
        rotations: local rotation matrices `(N, 22, 3, 3)`, yaw removed.
        joints: their joints `(N, 22, 3)` in metres.
        stated: N lists of (code name, category), as `caption_poses` returns them.

    Returns:
        the mean over all stated codes of the distance to the bounds of their categories, in `UNITS`, with gradients.
        A super-code counts as the requirements that all of its recipes share.
    """
    wanted = [(row, *bounds) for row, codes in enumerate(stated) for code in codes for bounds in _BOUNDS[tuple(code)]]
    if not wanted:
        return joints.sum() * 0.0
    rows, columns, low, high, units = zip(*wanted, strict=True)
    values = code_values(joints, rotations)[torch.tensor(rows), torch.tensor(columns)]
    low, high, units = (torch.tensor(numbers, dtype=values.dtype) for numbers in (low, high, units))
    margin = torch.minimum(MARGIN * units, (high - low) / 3)
    outside = F.relu(low + margin - values) + F.relu(values - high + margin)
    return (outside / units).mean()


def _all_bounds():
    """(code name, category) -> [(column, lower bound, upper bound, unit), ...]"""
    bounds = {}
    for column, code in enumerate(POSECODES):
        operator = POSE_OPERATORS[code.kind]
        edges = (-math.inf, *operator.thresholds, math.inf)
        for k, category in enumerate(operator.categories):
            bounds[code.name, category] = [(column, edges[k], edges[k + 1], UNITS[code.kind])]
    for code in SUPER_POSECODES:
        shared = set(code.recipes[0]).intersection(*code.recipes[1:])
        bounds[code.name, "true"] = [bound for need in sorted(shared) for bound in bounds[need]]
    return bounds


_BOUNDS = _all_bounds()
