# SPDX-License-Identifier: Apache-2.0
"""A loss on what a caption states: how far a pose is from the values its stated posecodes allow.

A joint loss demands the exact pose behind a caption, although the caption only fixes some angles, distances and
heights. This loss demands only those, in the units in which they are stated, and so teaches which words matter for
which joints. It is not in the paper.
"""

import math

import torch
import torch.nn.functional as F

from unipose_hf.captions.posecodes.joint_sets import POSECODES, SUPER_POSECODES
from unipose_hf.captions.posecodes.measure import code_values
from unipose_hf.captions.posecodes.operators import POSE_OPERATORS

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
MARGIN = 0.4  # in units: how far inside its bounds a value should be, at most a third of their distance


def stated_bounds(stated: list[list[tuple[str, str]]]) -> torch.Tensor:
    """Stated codes as rows `(pose, column of code_values, lower bound, upper bound, unit)`, `(bounds, 5)`.

    Args:
        stated: for each pose a list of (code name, category) from `caption_poses`. A super-code counts as the
            requirements shared by all of its recipes.
    """
    rows = [(row, *bounds) for row, codes in enumerate(stated) for code in codes for bounds in _BOUNDS[tuple(code)]]
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)


def stated_code_loss(rotations: torch.Tensor, joints: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    """
    Args:
        rotations: local rotation matrices `(N, 22, 3, 3)`, yaw removed.
        joints: their joints `(N, 22, 3)` in metres.
        bounds: `(bounds, 5)` from [`stated_bounds`] for these poses.

    Returns:
        the mean distance to the bounds, in `UNITS`, with gradients; 0 if there are no bounds.
    """
    if not len(bounds):
        return joints.sum() * 0.0
    rows, columns, low, high, units = bounds.unbind(1)
    values = code_values(joints, rotations)[rows.long(), columns.long()]
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
