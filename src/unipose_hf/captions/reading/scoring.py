# SPDX-License-Identifier: Apache-2.0
"""Scores whether a pose does what a text says, by checking the codes that the text states."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from numpy.typing import ArrayLike

from unipose_hf.captions.describe import pose_geometry
from unipose_hf.captions.instruct import TURN_CODE, turn_categories
from unipose_hf.captions.posecodes.joint_sets import POSECODES, SUPER_POSECODES
from unipose_hf.captions.posecodes.measure import measure_posecodes
from unipose_hf.captions.posecodes.measure_pairs import measure_paircodes
from unipose_hf.captions.posecodes.operators import PAIR_OPERATORS, POSE_OPERATORS
from unipose_hf.captions.posecodes.pair_sets import PAIRCODES, SUPER_PAIRCODES

from .read import Reading, read_caption, read_instruction


class TextTruth(NamedTuple):
    """For each of N texts, float32 `(N,)`: how much it states, how much of that is true, and how much could be
    read."""

    true: torch.Tensor  # codes that hold
    codes: torch.Tensor  # codes stated, except those that cannot be measured
    read: torch.Tensor  # clauses that state something known
    clauses: torch.Tensor


def codes_satisfied(
    stated: Sequence[Sequence[tuple[str, str]]], joints: ArrayLike, rotations: ArrayLike | None = None
) -> torch.Tensor:
    """The share of the codes stated by a caption that hold for a pose.

    Args:
        stated: N lists of (code name, category name), as `caption_poses` returns them.
        joints: (N, 22, 3) metres, y up, yaw removed (`pose_geometry` gives them for axis-angle poses).
        rotations: (N, 22, 3) axis-angle, yaw removed; without them the head codes are left out of the count.

    Returns:
        (N,) float32 in [0, 1]; NaN if no stated code can be measured.

    Raises:
        ValueError: wrong shapes, lengths that differ, or an unknown code.
    """
    codes = measure_posecodes(joints, rotations)
    held, measured = _count(stated, codes, _POSE_CODES, len(POSECODES))
    return held / measured


def paircodes_satisfied(
    stated: Sequence[Sequence[tuple[str, str]]],
    joints_a: ArrayLike,
    joints_b: ArrayLike,
    rotations_a: ArrayLike | None = None,
    rotations_b: ArrayLike | None = None,
    *,
    rotation_change: ArrayLike | None = None,
) -> torch.Tensor:
    """The share of a text's statements that hold: changes between two poses, and goals for the second.

    Args:
        stated: Q lists of (code name, category name), as `instruct_pairs` returns them: paircodes, or posecodes of B.
        joints_a, joints_b: (Q, 22, 3) metres, y up, each with its own yaw removed (see `pose_geometry`).
        rotations_a, rotations_b: (Q, 22, 3) axis-angle; without them the head codes are left out of the count.
        rotation_change: (Q, 3) degrees, as for `instruct_pairs`; without it turns are left out of the count.

    Returns:
        (Q,) float32 in [0, 1]; NaN if no stated code can be measured (also if the text says to keep the pose).

    Raises:
        ValueError: wrong shapes, lengths that differ, or an unknown code.
    """
    codes = measure_paircodes(joints_a, joints_b, rotations_a, rotations_b)
    goals = [[code for code in codes_of_text if tuple(code) in _POSE_CODES] for codes_of_text in stated]
    changes = [
        [code for code in codes_of_text if tuple(code) not in _POSE_CODES and code[0] != TURN_CODE]
        for codes_of_text in stated
    ]
    held, measured = _count(changes, codes, _PAIR_CODES, len(PAIRCODES))
    held_goals, measured_goals = _count(goals, measure_posecodes(joints_b, rotations_b), _POSE_CODES, len(POSECODES))
    held, measured = held + held_goals, measured + measured_goals
    if rotation_change is not None:
        turns = turn_categories(rotation_change, len(codes))
        for i, codes_of_text in enumerate(stated):
            wanted = [category for name, category in codes_of_text if name == TURN_CODE]
            held[i] += sum(turns[i] == category for category in wanted)
            measured[i] += len(wanted)
    return held / measured


def codes_true(texts: Sequence[str], poses: ArrayLike) -> TextTruth:
    """How much of what captions state is true of poses, with the captions parsed by `read_caption`.

    As in `codes_satisfied`, a code holds if the pose, measured without noise, is in exactly its category. For an
    ambiguous statement, the best reading counts.

    Args:
        texts: N captions, by `caption_poses` or by a model.
        poses: (N, 22, 3) local axis-angle, y up; their yaw is ignored.

    Raises:
        ValueError: a text that is not a string, wrong shape, lengths that differ, or a value that is not finite.
    """
    readings = [read_caption(text) for text in texts]
    codes = measure_posecodes(*pose_geometry(poses))
    return _tally(readings, _verdicts(_codes_of(readings), codes, _POSE_CODES, len(POSECODES)))


def paircodes_true(
    texts: Sequence[str], poses_a: ArrayLike, poses_b: ArrayLike, *, rotation_change: ArrayLike | None = None
) -> TextTruth:
    """How much of what instructions state is true of pairs of poses: `codes_true` with `read_instruction`.

    If a limb is named ("raise the left arm"), its parts only need to move in the same direction, and one of them as
    far as stated, because that is how instructions merge them.

    Args:
        texts: Q instructions, by `instruct_pairs` or by a model.
        poses_a, poses_b: (Q, 22, 3) local axis-angle, y up; their yaw is ignored.
        rotation_change: (Q, 3) degrees, as for `instruct_pairs`; without it turns are left out of the count.

    Raises:
        ValueError: as `codes_true`.
    """
    readings = [read_instruction(text) for text in texts]
    stated = _codes_of(readings)
    (joints_a, rotations_a), (joints_b, rotations_b) = pose_geometry(poses_a), pose_geometry(poses_b)
    changes = measure_paircodes(joints_a, joints_b, rotations_a, rotations_b)
    verdicts = _verdicts(_among(stated, _PAIR_CODES), changes, _PAIR_CODES, len(PAIRCODES))
    ends = measure_posecodes(joints_b, rotations_b)
    goals = _verdicts(_among(stated, _POSE_CODES), ends, _POSE_CODES, len(POSECODES))
    turns = [None] * len(texts) if rotation_change is None else turn_categories(rotation_change, len(texts))
    for verdict, goal, turn, codes_of_text in zip(verdicts, goals, turns, stated, strict=True):
        verdict |= goal
        for name, category in codes_of_text:
            if name == TURN_CODE:
                verdict[name, category] = math.nan if rotation_change is None else float(turn == category)
    return _tally(readings, verdicts)


def _codes_of(readings):
    """For each text, all codes that it may state."""
    return [[code for statement in text.statements for reading in statement for code in reading] for text in readings]


def _among(stated, known):
    return [[code for code in codes_of_text if code in known] for codes_of_text in stated]


def _verdicts(stated, *measured):
    """For each text: code -> 1.0 if it holds, 0.0 if not, NaN if that cannot be measured."""
    values = iter(_look_up(stated, *measured)[1].tolist())
    return [{code: next(values) for code in codes_of_text} for codes_of_text in stated]


def _tally(readings: list[Reading], verdicts) -> TextTruth:
    rows = []
    for reading, verdict in zip(readings, verdicts, strict=True):
        best = [max((_held(codes, verdict) for codes in statement), key=_share) for statement in reading.statements]
        true, codes = sum(held for held, _ in best), sum(count for _, count in best)
        rows.append((true, codes, reading.clauses - reading.unread, reading.clauses))
    return TextTruth(*torch.tensor(rows, dtype=torch.float32).reshape(-1, 4).T)


def _held(codes, verdict):
    """How many of the codes hold, and how many can be measured."""
    known = [verdict[code] for code in codes if not math.isnan(verdict[code])]
    return sum(known), len(known)


def _share(counts):
    held, measured = counts
    return held / measured if measured else 0.0


def _count(stated, *measured):
    """How many of the stated codes hold, and how many can be measured, both (N,)."""
    rows, holds = _look_up(stated, *measured)
    rows, holds = rows[~holds.isnan()], holds[~holds.isnan()]
    held = torch.bincount(rows, weights=holds, minlength=len(stated))
    return held.float(), torch.bincount(rows, minlength=len(stated)).float()


def _look_up(stated, codes, known, num_elementary):
    """(row, whether it holds) of each stated code, NaN where it cannot be measured."""
    if len(stated) != len(codes):
        raise ValueError(f"stated holds {len(stated)} lists and there are {len(codes)} poses; give one list per pose.")
    try:
        triples = [(row, *known[tuple(code)]) for row, codes_of_text in enumerate(stated) for code in codes_of_text]
    except KeyError as error:
        found = error.args[0]
        raise ValueError(f"stated names an unknown code {found}; expected (code name, category name).") from None
    rows, columns, wanted = torch.tensor(triples, dtype=torch.long).reshape(-1, 3).T
    table = torch.cat((codes.categories, codes.supers.long()), dim=1).cpu()
    # the head codes come last; without them, everything after them moves up
    measured = len(codes.names)
    exists = (columns < measured) | (columns >= num_elementary)
    columns = torch.where(columns >= num_elementary, columns - num_elementary + measured, columns)
    holds = (table[rows, torch.where(exists, columns, 0)] == wanted).float()
    return rows, holds.masked_fill(~exists, math.nan)


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
