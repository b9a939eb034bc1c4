# SPDX-License-Identifier: Apache-2.0
"""Instructions for pairs of poses: how to get from pose A to pose B (PoseFix, Delmas et al., 2023)."""

import itertools
from typing import NamedTuple

import numpy as np
import roma
import torch
from numpy.typing import ArrayLike

from .describe import CHUNK, _senses, perturbed_poses, pose_geometry, seeded_random, unmoved
from .posecodes.facts import POSE_FACTS, fact_of
from .posecodes.measure import check_rotations, measure_posecodes, sort_into_categories
from .posecodes.measure_pairs import (
    PAIRCODE_INDEX,
    blur_paircodes,
    compare_posecodes,
    instruction_eligibility,
    target_eligibility,
)
from .posecodes.noise import blur_posecodes
from .posecodes.operators import PAIR_OPERATORS, TURN_OPERATOR
from .posecodes.pair_sets import PAIRCODES, SUPER_PAIRCODES
from .writing.aggregate import group_facts, merge_entities, merge_twins, skip_some, swap_sides
from .writing.body_tree import order_groups
from .writing.imperative_sentences import describe_changes, describe_turn
from .writing.imperatives import DETERMINERS, KEEP_POSE
from .writing.kinematic_chains import goals_of_changed_parts
from .writing.sentences import pick

# A change of this size (degrees, metres) has weight 1; hands and feet are more informative than their parents.
_SCALE = {"pair_distance": 0.15, "pair_x": 0.25, "pair_y": 0.25, "pair_z": 0.25}
_DEGREES = 30.0
_PART_WEIGHTS = {"elbow": 0.6, "knee": 0.9, "shoulder": 0.5, "arm": 1.2, "leg": 1.2}
_MAX_WORDS = 88  # maximum length of a text with limited clauses
TURN_CODE = "turn/body"


class InstructionVersion(NamedTuple):
    """The content and wording of a text.

    ``skip``: omit some of the changes and goals that are not rare. ``simplify``: state each separately, without
    merging, grouping or "the other". ``absolute``: also name goals ("the left knee should be straight").
    """

    skip: bool = True
    simplify: bool = False
    absolute: bool = True


INSTRUCTION_VERSIONS = {
    "default": InstructionVersion(),
    # the three automatic texts of each pair of PoseFix-A, and of BEDLAM-Fix (which has no sentence about turning)
    "PoseFix-A/1": InstructionVersion(skip=False),
    "PoseFix-A/2": InstructionVersion(),
    "PoseFix-A/3": InstructionVersion(simplify=True),
    "BEDLAM-Fix/1": InstructionVersion(absolute=False),
    "BEDLAM-Fix/2": InstructionVersion(simplify=True, absolute=False),
    "BEDLAM-Fix/3": InstructionVersion(absolute=False),
}


def turn_between(poses_a: ArrayLike, poses_b: ArrayLike) -> torch.Tensor:
    """The rotation of the whole body from A to B: (Q, 3) rotation vectors in degrees, for ``rotation_change``.

    Args:
        poses_a, poses_b: (Q, 22, 3) axis-angle in a common world, with their yaw.
    """
    poses_a, poses_b = check_rotations(poses_a, "poses_a"), check_rotations(poses_b, "poses_b", len(poses_a))
    root_a, root_b = roma.rotvec_to_rotmat(poses_a[:, 0]), roma.rotvec_to_rotmat(poses_b[:, 0])
    return torch.rad2deg(roma.rotmat_to_rotvec(root_b @ root_a.mT))


def instruct_pairs(
    poses_a: ArrayLike,
    poses_b: ArrayLike,
    *,
    seed: int = 0,
    version: str = "default",
    noise: bool = False,
    compat: bool = False,
    rotation_change: ArrayLike | None = None,
    max_clauses: int | None = None,
    steady: float = 0.0,
    return_codes: bool = False,
) -> list[str] | tuple[list[str], list[list[tuple[str, str]]]]:
    """Describe how to get from pose A to pose B, in the imperative.

    The yaw of each pose is removed. A text depends only on the two poses and the options, not on the batch: each uses
    its own generator, seeded by a hash of the poses' float32 bytes and ``seed``.

    Args:
        poses_a, poses_b: (Q, 22, 3) local axis-angle, y up.
        seed: another seed gives another selection and wording.
        version: one of `INSTRUCTION_VERSIONS`.
        noise: add the method's tolerance noise to measured values; some statements are then only nearly true.
        compat: compute what the published program computes, flaws included: angle differences that are not wrapped,
            left and right merged regardless of sides, elbows and knees that merely follow, goals omitted because
            another pair of the call stated them. All pairs are measured at once, and a text may depend on the other
            pairs. The default makes no false statements.
        rotation_change: (Q, 3) degrees, rotation vector from A to B (`turn_between`); its vertical part becomes a
            sentence about turning. None omits turning.
        max_clauses: maximum number of changes and goals in a text, the largest changes first (not counting the
            turn); such a text has fewer than 90 words. None states everything.
        steady: as for `caption_poses`.
        return_codes: also return what each text states.

    Returns:
        list of Q texts, "Keep the same pose." or similar if nothing changes; with ``return_codes`` also a list of
        Q lists of (code name, category name), changes as paircodes and goals as posecodes of B, for
        `paircodes_satisfied`.

    Raises:
        ValueError: wrong shape, lengths that differ, a value that is not finite, an unknown version, or `max_clauses`
            below 1.
    """
    poses_a = check_rotations(poses_a, "poses_a").cpu()
    poses_b = check_rotations(poses_b, "poses_b", len(poses_a)).cpu()
    if version not in INSTRUCTION_VERSIONS:
        known = ", ".join(INSTRUCTION_VERSIONS)
        raise ValueError(f"There is no instruction version {version!r}; choose one of {known}.")
    if max_clauses is not None and max_clauses < 1:
        raise ValueError(f"max_clauses is {max_clauses}; give at least 1, or None to state everything.")
    turns = [None] * len(poses_a) if rotation_change is None else turn_categories(rotation_change, len(poses_a))
    options = INSTRUCTION_VERSIONS[version], compat, max_clauses
    texts, stated = [], []
    step = max(len(poses_a), 1) if compat else CHUNK  # goals may depend on any other pair
    for start in range(0, len(poses_a), step):
        chunk_a, chunk_b = poses_a[start : start + step], poses_b[start : start + step]
        randoms = [seeded_random(seed, a, b) for a, b in zip(chunk_a, chunk_b, strict=True)]
        measured = _measured(chunk_a, chunk_b, compat, randoms if noise else None, steady)
        rows = zip(*measured, turns[start : start + step], randoms, strict=True)
        for changes, goals, turn, random in rows:
            text, codes = _compose(changes, goals, turn, random, *options)
            texts.append(text)
            stated.append(codes)
    return (texts, stated) if return_codes else texts


def turn_categories(rotation_change, count):
    """The category name of each turn, or None if it is too small to mention."""
    change = torch.as_tensor(rotation_change, dtype=torch.float32).cpu()
    if change.shape != (count, 3):
        found = tuple(change.shape)
        raise ValueError(f"rotation_change has shape {found}; expected ({count}, 3): degrees, one row for each pair.")
    if not torch.isfinite(change).all():
        raise ValueError("rotation_change holds NaN or infinity; every angle must be a finite number of degrees.")
    categories = sort_into_categories(change[:, 1:2], [TURN_OPERATOR])[:, 0].tolist()
    names = [TURN_OPERATOR.categories[k] for k in categories]
    return [None if name == "-" else name for name in names]


def _measured(poses_a, poses_b, compat, randoms, steady):
    """For each pair, the eligible changes and goals, both as (facts, eligibility).

    With ``randoms``, a function for each pair, noise is added.
    """
    codes_a, codes_b, codes, joints_b = _codes(poses_a, poses_b, compat)
    if randoms is not None:
        codes_a, codes_b = blur_posecodes(codes_a, randoms), blur_posecodes(codes_b, randoms)
        codes = blur_paircodes(codes, codes_a, codes_b, randoms)
    sizes = np.nan_to_num(np.abs(codes.values.numpy())) * _INVERSE_SCALES
    sizes = np.concatenate((sizes, sizes[:, _SUPER_SOURCES]), 1)
    pairs = _numbers(poses_a, poses_b) if compat else None
    categories = torch.cat((codes.categories, torch.ones_like(codes.supers, dtype=torch.long)), 1).numpy()
    may_change, may_be_goal = instruction_eligibility(codes), target_eligibility(codes_b, codes, pairs=pairs)
    if steady:
        # perturbed differently, otherwise changes common to both would seem robust
        others = zip(perturbed_poses(poses_a, steady), reversed(perturbed_poses(poses_b, -steady)), strict=True)
        others = [_codes(*pair, compat) for pair in others]
        may_change = may_change * unmoved(codes, [other[2] for other in others])
        may_be_goal = may_be_goal * unmoved(codes_b, [other[1] for other in others])
    changes = _eligible_facts(_CHANGE_FACTS, may_change, categories, sizes)
    return changes, _eligible_facts(POSE_FACTS, may_be_goal, _senses(codes_b, joints_b))


def _codes(poses_a, poses_b, compat):
    """Posecodes of A and of B, paircodes from A to B, and the joints of B."""
    joints_a, rotations_a = pose_geometry(poses_a)
    joints_b, rotations_b = pose_geometry(poses_b)
    codes_a = measure_posecodes(joints_a, rotations_a, compat=compat)
    codes_b = measure_posecodes(joints_b, rotations_b, compat=compat)
    return codes_a, codes_b, compare_posecodes(codes_a, codes_b, joints_a, joints_b, compat=compat), joints_b


def _eligible_facts(table, eligibility, categories, sizes=None):
    """For each pair, the eligible facts and their eligibility, 1 or 2."""
    eligibility = eligibility.numpy()
    rows, columns = eligibility.nonzero()
    facts = [table[c][k] for c, k in zip(columns.tolist(), categories[rows, columns].tolist(), strict=True)]
    if sizes is not None:
        facts = [fact._replace(size=size) for fact, size in zip(facts, sizes[rows, columns].tolist(), strict=True)]
    levels = eligibility[rows, columns].tolist()
    bounds = np.searchsorted(rows, np.arange(len(eligibility) + 1)).tolist()
    return [(facts[start:end], levels[start:end]) for start, end in itertools.pairwise(bounds)]


def _numbers(poses_a, poses_b):
    """(Q, 2) numbers that are equal for equal poses."""
    _, numbers = torch.unique(torch.cat((poses_a, poses_b)), dim=0, return_inverse=True)
    return numbers.reshape(2, -1).T


_CHANGE_FACTS = [[fact_of(code, category) for category in PAIR_OPERATORS[code.kind].categories] for code in PAIRCODES]
_CHANGE_FACTS += [[None, fact_of(code)] for code in SUPER_PAIRCODES]
_INVERSE_SCALES = np.array([1 / _SCALE.get(code.kind, _DEGREES) for code in PAIRCODES], dtype=np.float32)
_SUPER_SOURCES = [PAIRCODE_INDEX[code.paircode] for code in SUPER_PAIRCODES]
# "closer to each other" and the like apply to two parts, or to one part and the torso, never to several at once
_UNGROUPED = frozenset(code.kind for code in SUPER_PAIRCODES if code.kind != "straighten")


def _compose(changes, goals, turn, random, version, compat, max_clauses):
    determiner = pick(random, DETERMINERS)
    facts = _aggregate(changes, goals, random, version, compat)
    if not facts and turn is None:
        return pick(random, KEEP_POSE), []
    opening, codes = ("", []) if turn is None else (describe_turn(turn, random), [(TURN_CODE, turn)])
    if max_clauses is not None:
        facts = sorted(facts, key=_importance, reverse=True)[:max_clauses]
    while True:
        body = _words(facts, determiner, random, version.simplify)
        text = " ".join(part for part in (opening, body) if part)
        if max_clauses is None or text.count(" ") < _MAX_WORDS:
            return text, codes + [code for fact in facts for code in fact.codes]
        facts.pop()


def _aggregate(changes, goals, random, version, compat):
    """Selects and groups the facts to state, changes before goals."""
    (changes, levels), (goals, goal_levels) = changes, goals if version.absolute else ([], [])
    if version.skip:
        changes, goals = skip_some(changes, levels, random), skip_some(goals, goal_levels, random)
    facts = changes + goals_of_changed_parts(goals, changes)
    if not version.simplify:
        facts = merge_entities(facts, random, same_direction=True)
        facts = merge_twins(facts, random, compat=compat)
    return facts if compat else _without_followers(facts)


def _without_followers(facts):
    """Drops elbows and knees that only follow their hand or foot in the same direction, by another amount."""
    leads = {}
    for fact in facts:
        side, part = fact.subject
        if part in ("hand", "foot") and fact.relation[0] in _MOVES:
            for led in ("left", "right", "both") if side == "both" else (side,):
                leads[led, part, _direction(fact)] = fact.relation
    return [fact for fact in facts if leads.get(_leader(fact), fact.relation) == fact.relation]


_MOVES = ("pair_x", "pair_y", "pair_z")
_LEADERS = {"elbow": "hand", "knee": "foot"}


def _leader(fact):
    side, part = fact.subject
    if part in _LEADERS and fact.relation[0] in _MOVES:
        return side, _LEADERS[part], _direction(fact)


def _direction(fact):
    kind, category = fact.relation
    return kind, category.removeprefix("slightly ")


def _importance(fact):
    return fact.size * _PART_WEIGHTS.get(fact.subject[1], 1.0)


def _words(facts, determiner, random, simplify):
    facts = swap_sides(facts, random)
    if simplify:
        groups = [[fact] for fact in facts]
    else:
        groups = group_facts(facts, random, leave_out=_UNGROUPED)
    return describe_changes(order_groups(groups, random), determiner, random, simplify=simplify)
