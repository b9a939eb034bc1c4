# SPDX-License-Identifier: Apache-2.0
"""Pairs of poses to instructions: what to change to get from pose A to pose B, in plain imperative sentences."""

import numpy as np
import roma
import torch

from .describe import CHUNK, MAX_WORDS, pose_geometry, seeded_random
from .first_facts import Fact, group_of, join_twins, split_side
from .measure import check_rotations, measure_posecodes, sort_into_categories
from .measure_pairs import PAIRCODE_INDEX, compare_posecodes, instruction_eligibility
from .operators import PAIR_OPERATORS, TURN_OPERATOR
from .pair_sets import PAIRCODES, SUPER_PAIRCODES
from .sentences import capitalise, join_list, order_by_region, pick
from .wording import INSTRUCTIONS, KEEP_POSE, part_words

# A change of this size (degrees, metres) counts 1; hands and feet tell more than the joints that carry them.
_SCALE = {"pair_distance": 0.15, "pair_x": 0.25, "pair_y": 0.25, "pair_z": 0.25}
_DEGREES = 30.0
_PART_WEIGHTS = {"elbow": 0.6, "knee": 0.9, "shoulder": 0.5, "arm": 1.2, "leg": 1.2}
TURN_CODE = "turn/body"


def turn_between(poses_a, poses_b) -> torch.Tensor:
    """How the whole body turns from A to B: (Q, 3) rotation vectors in degrees, for ``rotation_change``.

    Args:
        poses_a, poses_b: (Q, 22, 3) axis-angle in one common world, their yaw kept.
    """
    poses_a, poses_b = check_rotations(poses_a, "poses_a"), check_rotations(poses_b, "poses_b", len(poses_a))
    root_a, root_b = roma.rotvec_to_rotmat(poses_a[:, 0]), roma.rotvec_to_rotmat(poses_b[:, 0])
    return torch.rad2deg(roma.rotmat_to_rotvec(root_b @ root_a.mT))


def instruct_pairs(
    poses_a,
    poses_b,
    *,
    seed: int = 0,
    rotation_change=None,
    max_clauses: int = 8,
    return_codes: bool = False,
):
    """Say how to get from pose A to pose B, in the imperative.

    Both poses are seen with their own yaw removed. The wording depends on the two poses and ``seed`` only, not on the
    batch around them. The biggest changes are chosen.

    Args:
        poses_a, poses_b: (Q, 22, 3) local axis-angle, y up.
        seed: another seed gives another wording.
        rotation_change: (Q, 3) degrees, rotation vector of the turn from A to B (`turn_between`); its vertical part
            becomes a sentence about turning. None says nothing about turning.
        max_clauses: how many changes a text names at most (the turn comes on top).
        return_codes: also return what each text states.

    Returns:
        list of Q texts of fewer than 90 words, "Keep the same pose." or the like where nothing changes; with
        ``return_codes`` also a list of Q lists of (code name, category name), for `paircodes_satisfied`.

    Raises:
        ValueError: wrong shape, lengths that differ, or a value that is not finite.
    """
    poses_a = check_rotations(poses_a, "poses_a").cpu()
    poses_b = check_rotations(poses_b, "poses_b", len(poses_a)).cpu()
    turns = [None] * len(poses_a) if rotation_change is None else turn_categories(rotation_change, len(poses_a))
    texts, stated = [], []
    for start in range(0, len(poses_a), CHUNK):
        chunk_a, chunk_b = poses_a[start : start + CHUNK], poses_b[start : start + CHUNK]
        joints_a, rotations_a = pose_geometry(chunk_a)
        joints_b, rotations_b = pose_geometry(chunk_b)
        codes = compare_posecodes(
            measure_posecodes(joints_a, rotations_a), measure_posecodes(joints_b, rotations_b), joints_a, joints_b
        )
        eligible = instruction_eligibility(codes).numpy()
        supers = np.ones(codes.supers.shape, dtype=np.int64)
        categories = np.concatenate((codes.categories.numpy(), supers), 1)
        sizes = np.abs(codes.values.numpy()) * _INVERSE_SCALES
        sizes = np.concatenate((sizes, sizes[:, _SUPER_SOURCES]), 1)
        for i in range(len(chunk_a)):
            said = np.flatnonzero(eligible[i])
            rows = zip(said.tolist(), categories[i, said].tolist(), sizes[i, said].tolist(), strict=True)
            facts = [_FACTS[c][k]._replace(weight=size) for c, k, size in rows]
            random = seeded_random(seed, chunk_a[i], chunk_b[i])
            text, codes_said = _compose(facts, turns[start + i], random, max_clauses)
            texts.append(text)
            stated.append(codes_said)
    return (texts, stated) if return_codes else texts


def turn_categories(rotation_change, count):
    """The category name of each turn, None where it is too small to mention."""
    change = torch.as_tensor(rotation_change, dtype=torch.float32).cpu()
    if change.shape != (count, 3):
        found = tuple(change.shape)
        raise ValueError(f"rotation_change has shape {found}; expected ({count}, 3): degrees, one row for each pair.")
    if not torch.isfinite(change).all():
        raise ValueError("rotation_change holds NaN or infinity; every angle must be a finite number of degrees.")
    categories = sort_into_categories(change[:, 1:2], [TURN_OPERATOR])[:, 0].tolist()
    names = [TURN_OPERATOR.categories[k] for k in categories]
    return [None if name == "-" else name for name in names]


def _fact(code, category, name_category):
    relation = (code.kind, category) if category else (code.kind,)
    subject = split_side(code.subject)
    return Fact(((code.name, name_category),), relation, subject, None, group_of(relation, subject, None), 0.0)


_FACTS = [
    [_fact(code, category, category) for category in PAIR_OPERATORS[code.kind].categories] for code in PAIRCODES
] + [[None, _fact(code, None, "true")] for code in SUPER_PAIRCODES]
_INVERSE_SCALES = np.array(
    [_PART_WEIGHTS.get(split_side(code.subject)[1], 1.0) / _SCALE.get(code.kind, _DEGREES) for code in PAIRCODES],
    dtype=np.float32,
)
_SUPER_SOURCES = [PAIRCODE_INDEX[code.paircode] for code in SUPER_PAIRCODES]


def _compose(facts, turn, random, max_clauses):
    facts = join_twins(_without_carried(facts), random)
    chosen = sorted(facts, key=lambda fact: fact.weight, reverse=True)[:max_clauses]
    if not chosen and turn is None:
        return pick(random, KEEP_POSE), []
    determiner = pick(random, ("the", "your"))
    codes = []
    opening = ""
    if turn is not None:
        words = pick(random, INSTRUCTIONS["turn", turn])
        opening, codes = capitalise(words) + ".", [(TURN_CODE, turn)]
    while True:
        text = " ".join(part for part in (opening, _sentences(chosen, determiner, random)) if part)
        if text.count(" ") < MAX_WORDS:
            break
        chosen.pop()
    return text, codes + [code for fact in chosen for code in fact.codes]


def _without_carried(facts):
    """Leave out elbows and knees that only follow their hand or foot the same way, by another amount."""
    moves = {}
    for fact in facts:
        side, part = fact.subject
        if part in ("hand", "foot") and len(fact.relation) == 2:
            moves[fact.relation[0], side, part, fact.relation[1].removeprefix("slightly ")] = fact.relation
    carried_by = {"elbow": "hand", "knee": "foot"}
    kept = []
    for fact in facts:
        side, part = fact.subject
        if part in carried_by and len(fact.relation) == 2:
            kind, category = fact.relation
            end = moves.get((kind, side, carried_by[part], category.removeprefix("slightly ")))
            if end is not None and end != fact.relation:
                continue
        kept.append(fact)
    return kept


_JOINERS = (". ", ". ", ", then ", " and ")


def _sentences(facts, determiner, random):
    by_subject = {}
    for fact in order_by_region(facts, random):
        by_subject.setdefault(fact.subject, []).append(fact)
    text, can_join = "", False
    for subject, members in by_subject.items():
        for start in range(0, len(members), 3):
            group = members[start : start + 3]
            clause = _clause(subject, group, determiner, random)
            joiner = pick(random, _JOINERS) if can_join and len(group) == 1 else ". "
            if joiner == ". ":
                text += f"{'. ' if text else ''}{capitalise(clause)}"
            else:
                text += joiner + clause
            # two clauses make a sentence; several changes of one part are one of their own
            can_join = joiner == ". " and len(group) == 1
    return text + "." if text else ""


def _clause(subject, facts, determiner, random):
    """One subject, one to three imperatives; after the first the subject is a pronoun."""
    side, part = subject
    if side == "both":
        name, pronoun = f"{pick(random, ('both', determiner))} {part_words(part, plural=True)}", "them"
    else:
        name, pronoun = " ".join(word for word in (determiner, side, part_words(part)) if word), "it"
    words = []
    for fact in facts:
        template = pick(random, INSTRUCTIONS[fact.relation])
        words.append(template.format(s=name, d=determiner))
        if "{s}" in template:
            name = pronoun  # named once, it is "it" or "them" from now on
    return join_list(words)
