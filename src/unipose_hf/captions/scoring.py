# SPDX-License-Identifier: Apache-2.0
"""Does a pose do what a text says? The codes a text states, looked up in other poses."""

import torch

from .instruct import TURN_CODE, turn_categories
from .joint_sets import POSECODES, SUPER_POSECODES
from .measure import measure_posecodes
from .measure_pairs import measure_paircodes
from .operators import PAIR_OPERATORS, POSE_OPERATORS
from .pair_sets import PAIRCODES, SUPER_PAIRCODES


def codes_satisfied(stated, joints, rotations=None) -> torch.Tensor:
    """Which share of the codes a caption states holds for a pose.

    Args:
        stated: N lists of (code name, category name), as `caption_poses` returns them.
        joints: (N, 22, 3) metres, y up, yaw removed (`pose_geometry` gives them for axis-angle poses).
        rotations: (N, 22, 3) axis-angle, yaw removed; without them the head codes are left out of the count.

    Returns:
        (N,) float32 in [0, 1]; NaN where no stated code can be measured.

    Raises:
        ValueError: wrong shapes, lengths that differ, or an unknown code.
    """
    codes = measure_posecodes(joints, rotations)
    held, measured = _count(stated, codes, _POSE_CODES, len(POSECODES))
    return held / measured


def paircodes_satisfied(
    stated, joints_a, joints_b, rotations_a=None, rotations_b=None, *, rotation_change=None
) -> torch.Tensor:
    """Which share of what a text states holds: of the changes between two poses, and of the goals for the second.

    Args:
        stated: Q lists of (code name, category name), as `instruct_pairs` returns them: paircodes, or posecodes of B.
        joints_a, joints_b: (Q, 22, 3) metres, y up, each with its own yaw removed (see `pose_geometry`).
        rotations_a, rotations_b: (Q, 22, 3) axis-angle; without them the head codes are left out of the count.
        rotation_change: (Q, 3) degrees, as for `instruct_pairs`; without it turns are left out of the count.

    Returns:
        (Q,) float32 in [0, 1]; NaN where no stated code can be measured (also where the text says to keep the pose).

    Raises:
        ValueError: wrong shapes, lengths that differ, or an unknown code.
    """
    codes = measure_paircodes(joints_a, joints_b, rotations_a, rotations_b)
    goals = [[code for code in said if tuple(code) in _POSE_CODES] for said in stated]
    changes = [[code for code in said if tuple(code) not in _POSE_CODES and code[0] != TURN_CODE] for said in stated]
    held, measured = _count(changes, codes, _PAIR_CODES, len(PAIRCODES))
    held_goals, measured_goals = _count(goals, measure_posecodes(joints_b, rotations_b), _POSE_CODES, len(POSECODES))
    held, measured = held + held_goals, measured + measured_goals
    if rotation_change is not None:
        turns = turn_categories(rotation_change, len(codes))
        for i, said in enumerate(stated):
            wanted = [category for name, category in said if name == TURN_CODE]
            held[i] += sum(turns[i] == category for category in wanted)
            measured[i] += len(wanted)
    return held / measured


def _count(stated, codes, known, num_elementary):
    """How many of the stated codes hold, and how many can be measured, both (N,)."""
    if len(stated) != len(codes):
        raise ValueError(f"stated holds {len(stated)} lists and there are {len(codes)} poses; give one list per pose.")
    try:
        triples = [(row, *known[tuple(code)]) for row, said in enumerate(stated) for code in said]
    except KeyError as error:
        found = error.args[0]
        raise ValueError(f"stated names an unknown code {found}; expected (code name, category name).") from None
    rows, columns, wanted = torch.tensor(triples, dtype=torch.long).reshape(-1, 3).T
    table = torch.cat((codes.categories, codes.supers.long()), dim=1).cpu()
    # the head codes come last; where they do not exist, everything behind them moves up
    measured = len(codes.names)
    exists = (columns < measured) | (columns >= num_elementary)
    rows, columns, wanted = rows[exists], columns[exists], wanted[exists]
    columns = torch.where(columns >= num_elementary, columns - num_elementary + measured, columns)
    holds = (table[rows, columns] == wanted).float()
    held = torch.bincount(rows, weights=holds, minlength=len(codes))
    return held.float(), torch.bincount(rows, minlength=len(codes)).float()


def _known(codes, super_codes, operators):
    """(code name, category name) -> (column over elementary and super-codes, category index)."""
    known = {}
    for column, code in enumerate(codes):
        for k, category in enumerate(operators[code.kind].categories):
            if category != "-":
                known[code.name, category] = column, k
    for column, code in enumerate(super_codes, start=len(codes)):
        known[code.name, "true"] = column, 1
    return known


_POSE_CODES = _known(POSECODES, SUPER_POSECODES, POSE_OPERATORS)
_PAIR_CODES = _known(PAIRCODES, SUPER_PAIRCODES, PAIR_OPERATORS)
