# SPDX-License-Identifier: Apache-2.0
"""Measuring paircodes: what changes between pose A and pose B, for a whole batch of pairs at once."""

import dataclasses
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike

from .joint_sets import POINTS, POSECODES, SUPER_POSECODES
from .measure import (
    CODE_INDEX,
    Posecodes,
    body_inclination,
    check_points,
    measure_posecodes,
    sort_into_categories,
    working_points,
)
from .operators import PAIR_OPERATORS, POSE_OPERATORS
from .pair_sets import NUM_HEAD_PAIRCODES, PAIRCODES, SUPER_PAIRCODES

PAIRCODE_INDEX = {code.name: i for i, code in enumerate(PAIRCODES)}


@dataclass
class Paircodes:
    """Codes of Q pairs, as `Posecodes`: ``values`` (Q, C), ``categories`` (Q, C) long, ``supers`` (Q, S) bool."""

    names: tuple[str, ...]
    category_names: tuple[tuple[str, ...], ...]
    values: torch.Tensor
    categories: torch.Tensor
    super_names: tuple[str, ...]
    supers: torch.Tensor

    def __len__(self) -> int:
        return len(self.values)


def measure_paircodes(
    joints_a: ArrayLike,
    joints_b: ArrayLike,
    rotations_a: ArrayLike | None = None,
    rotations_b: ArrayLike | None = None,
    *,
    noise: torch.Generator | None = None,
    compat: bool = False,
) -> Paircodes:
    """Measure PoseFix's 49 elementary paircodes and 52 super-paircodes of each pair A -> B.

    The arguments are not modified, with or without noise.

    Args:
        joints_a, joints_b: (Q, 22 or 52, 3) positions in metres, y up, each with its own yaw removed, pelvis at the
            same position.
        rotations_a, rotations_b: (Q, 22, 3) local axis-angle; without them the two head codes do not exist (47 codes).
        noise: a generator adds the method's uniform tolerance noise before binning; None measures exactly.
        compat: measure like the published program, which does not wrap angle differences at 180 degrees and so may
            name the wrong direction.

    Raises:
        ValueError: wrong shape, lengths that differ, or a value that is not finite.
    """
    joints_a, joints_b = check_points(joints_a, "joints_a"), check_points(joints_b, "joints_b")
    if len(joints_a) != len(joints_b):
        raise ValueError(
            f"joints_a holds {len(joints_a)} poses and joints_b {len(joints_b)}; give one pose B for each pose A."
        )
    if (rotations_a is None) != (rotations_b is None):
        raise ValueError("rotations were given for one pose of the pairs only; give both rotations_a and rotations_b.")
    codes_a = measure_posecodes(joints_a, rotations_a, noise=noise, compat=compat)
    codes_b = measure_posecodes(joints_b, rotations_b, noise=noise, compat=compat)
    return compare_posecodes(codes_a, codes_b, joints_a, joints_b, noise=noise, compat=compat)


def compare_posecodes(
    codes_a: Posecodes, codes_b: Posecodes, joints_a, joints_b, *, noise=None, compat: bool = False
) -> Paircodes:
    """The paircodes of poses whose posecodes have been measured."""
    has_head = "head_turn/head|pelvis" in codes_a.names
    count = len(PAIRCODES) - (0 if has_head else NUM_HEAD_PAIRCODES)
    change = codes_a.values - codes_b.values  # (Q, posecodes)
    if not compat:
        change = _wrap_turns(change)
    values = change.new_empty(len(change), count)
    values[:, _FROM_CODES[0][: count - _NUM_MOVES]] = change[:, _FROM_CODES[1][: count - _NUM_MOVES]]
    move = working_points(joints_a) - working_points(joints_b)  # (Q, 35, 3)
    values[:, _MOVES[0]] = move[:, _MOVES[1], _MOVES[2]]
    # the pitch is meaningless if either body is overturned
    overturned = body_inclination(joints_a)[1] | body_inclination(joints_b)[1]
    values[:, PAIRCODE_INDEX["pair_pitch/body"]].masked_fill_(overturned, 0.0)
    operators = [PAIR_OPERATORS[code.kind] for code in PAIRCODES[:count]]
    categories = sort_into_categories(values, operators, noise)
    return Paircodes(
        names=tuple(code.name for code in PAIRCODES[:count]),
        category_names=tuple(operator.categories for operator in operators),
        values=values,
        categories=categories,
        super_names=tuple(code.name for code in SUPER_PAIRCODES),
        supers=_super_codes(categories, codes_a.categories, codes_b.categories),
    )


def blur_paircodes(codes: Paircodes, codes_a: Posecodes, codes_b: Posecodes, randoms) -> Paircodes:
    """Bin the changes again, each shifted by up to its operator's tolerance, pair by pair.

    Args:
        codes: paircodes of Q pairs, measured without noise; ``values`` do not change.
        codes_a, codes_b: posecodes of the poses, with their own noise (`blur_posecodes`).
        randoms: Q functions without arguments that return floats in [0, 1), one for each pair.
    """
    operators = [PAIR_OPERATORS[name.split("/")[0]] for name in codes.names]
    draws = torch.tensor([[random() for _ in operators] for random in randoms]).reshape(codes.values.shape)
    tolerance = torch.tensor([operator.tolerance for operator in operators])
    categories = sort_into_categories(codes.values + (2 * draws - 1) * tolerance, operators)
    supers = _super_codes(categories, codes_a.categories, codes_b.categories)
    return dataclasses.replace(codes, categories=categories, supers=supers)


_IS_PERIODIC = torch.tensor([code.kind in ("body_twist", "head_pitch", "head_turn") for code in POSECODES])


def _wrap_turns(change):
    """Wraps differences of periodic angles to at most half a turn."""
    is_periodic = _IS_PERIODIC[: change.shape[1]].to(change.device)
    return torch.where(is_periodic & (change.abs() > 180), change - 360 * change.sign(), change)


def _sources():
    """The source of each paircode's value: a posecode's change, or the movement of a point along an axis."""
    columns, codes, moves = [], [], []
    for i, code in enumerate(PAIRCODES):
        if code.kind in ("pair_x", "pair_y", "pair_z"):
            moves.append((i, POINTS.index(code.points[0]), "xyz".index(code.kind[-1])))
        else:
            kind = code.kind.removeprefix("pair_")
            kind = kind if kind in POSE_OPERATORS else f"body_{kind}"
            columns.append(i)
            codes.append(CODE_INDEX[f"{kind}/{'|'.join(code.points)}"])
    return (torch.tensor(columns), torch.tensor(codes)), torch.tensor(moves).T


_FROM_CODES, _MOVES = _sources()
_NUM_MOVES = _MOVES.shape[1]


def _super_tables():
    pair_table = torch.zeros(len(SUPER_PAIRCODES), 7, dtype=torch.bool)  # (S, category of the paircode)
    pose_table = torch.zeros(len(SUPER_PAIRCODES), 6, dtype=torch.bool)
    pair_index, pose_index, uses_pose_a = [], [], []
    for i, code in enumerate(SUPER_PAIRCODES):
        pair_index.append(PAIRCODE_INDEX[code.paircode])
        pose_index.append(CODE_INDEX[code.posecode])
        uses_pose_a.append(code.pose == "a")
        change_names = PAIR_OPERATORS[code.paircode.split("/")[0]].categories
        pair_table[i, [change_names.index(change) for change in code.changes]] = True
        state_names = POSE_OPERATORS[code.posecode.split("/")[0]].categories
        pose_table[i, [state_names.index(state) for state in code.states]] = True
    return torch.tensor(pair_index), torch.tensor(pose_index), torch.tensor(uses_pose_a), pair_table, pose_table


_PAIR_INDEX, _POSE_INDEX, _USES_POSE_A, _PAIR_TABLE, _POSE_TABLE = _super_tables()


def _super_codes(categories, categories_a, categories_b):
    device = categories.device
    uses_pose_a = _USES_POSE_A.to(device)
    state = torch.where(uses_pose_a, categories_a[:, _POSE_INDEX], categories_b[:, _POSE_INDEX])  # (Q, S)
    rows = torch.arange(len(SUPER_PAIRCODES), device=device)
    return _PAIR_TABLE.to(device)[rows, categories[:, _PAIR_INDEX]] & _POSE_TABLE.to(device)[rows, state]


def instruction_eligibility(codes: Paircodes) -> torch.Tensor:
    """The eligibility of changes: (Q, C + S) of 0 (no), 1 (may be stated) or 2 (super-codes, should be stated)."""
    names = codes.names
    eligible = torch.zeros(len(codes), len(names), dtype=torch.uint8, device=codes.categories.device)
    for i, categories in enumerate(codes.category_names):
        # changes of distance are only stated if parts separate or meet, which the super-codes decide
        if not names[i].startswith("pair_distance/"):
            eligible[:, i] = codes.categories[:, i] != categories.index("-")
    for i, code in enumerate(SUPER_PAIRCODES):
        if code.kind == "straighten":
            holds = codes.supers[:, i]
            eligible[:, PAIRCODE_INDEX[code.paircode]].masked_fill_(holds, 0)
    return torch.cat((eligible, codes.supers.to(torch.uint8) * 2), dim=1)


def target_eligibility(targets: Posecodes, codes: Paircodes, *, pairs: torch.Tensor | None = None) -> torch.Tensor:
    """Which posecodes of pose B may be stated as goals in addition to the changes (PoseFix's absolute posecodes).

    States implied by a super-paircode (a straightened leg will be straight) are omitted.

    Args:
        targets: posecodes of the Q poses B.
        codes: paircodes of the Q pairs.
        pairs: (Q, 2) numbers of the poses A and B, for a pose of several pairs. The published program leaves a
            state out of all pairs that end in the same pose once one of them states it; with `pairs`, so does this.

    Returns:
        (Q, C + S) of 0 (no), 1 (may be stated) or 2 (rare, should be stated) for the elementary and super-posecodes.
    """
    device = targets.categories.device
    levels = _TARGET_LEVELS[: len(targets.names)].to(device)
    elementary = levels.gather(1, targets.categories.T).T.contiguous()  # (Q, C)
    for i, code in enumerate(SUPER_PAIRCODES):
        stated = codes.supers[:, i]
        if pairs is not None:
            poses = pairs[:, 0 if code.pose == "a" else 1]
            stated = torch.isin(pairs[:, 1], poses[stated])
        elif code.pose == "a":
            continue  # what it states about pose A is not a goal
        elementary[:, CODE_INDEX[code.posecode]].masked_fill_(stated, 0)
    return torch.cat((elementary, targets.supers * _TARGET_SUPER_LEVELS.to(device)), dim=1)


def _target_levels():
    levels = torch.zeros(len(POSECODES), 6, dtype=torch.uint8)
    for i, code in enumerate(POSECODES):
        categories = POSE_OPERATORS[code.kind].categories
        for category in code.absolute:
            levels[i, categories.index(category)] = 1 + (category in code.rare)
    return levels


_TARGET_LEVELS = _target_levels()
_TARGET_SUPER_LEVELS = torch.tensor([code.absolute * (1 + code.rare) for code in SUPER_POSECODES], dtype=torch.uint8)
