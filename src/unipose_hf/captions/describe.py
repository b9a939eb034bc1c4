# SPDX-License-Identifier: Apache-2.0
"""Poses to captions: measure the posecodes, choose the telling ones, put them into plain sentences."""

import functools
import hashlib
import random as random_module

import numpy as np
import roma
import torch

from ..body import forward_kinematics, load_body, remove_yaw
from .facts import Fact, group_of, join_twins, split_side
from .joint_sets import POSECODES, SUPER_POSECODES
from .measure import Posecodes, caption_eligibility, check_rotations, measure_posecodes
from .operators import POSE_OPERATORS
from .wording import (
    ANGLE_SUBJECTS,
    DETERMINERS,
    OPPOSITES,
    PERSONS,
    PLURAL_VERBS,
    PREDICATES,
    SPECIAL_PREDICATES,
    part_words,
)

CHUNK = 4096  # poses measured at once; bounds the memory
MAX_WORDS = 88

# How readily a code is chosen among those that may be said; rare ones come before all others.
_WEIGHTS = {
    "angle": 4.0,
    "distance": 1.5,
    "rel_x": 1.5,
    "rel_y": 1.5,
    "rel_z": 1.5,
    "vertical_axis": 2.0,
    "on_ground": 3.0,
    "body_pitch": 5.0,
    "body_twist": 3.0,
    "body_lean": 4.0,
    "head_pitch": 2.5,
    "head_turn": 2.5,
    "head_tilt": 2.0,
    "torso_horizontal": 5.0,
    "kneeling_on": 9.0,
    "kneeling": 9.0,
    "shoulder_width": 1.5,
}
_ALIGNED_WEIGHT = 0.3

# saying the first makes the second superfluous
_IMPLIED = {f"rel_y/{side}_wrist|neck": f"rel_y/{side}_hand|{side}_shoulder" for side in ("left", "right")}


def pose_geometry(poses):
    """Poses as captions see them: yaw removed, on the bundled body.

    Args:
        poses: (N, 22, 3) local axis-angle, y up.

    Returns:
        joints (N, 22, 3) in metres and rotations (N, 22, 3) axis-angle with the yaw removed.

    Raises:
        ValueError: wrong shape, or a value that is not finite.
    """
    poses = check_rotations(poses, "poses").cpu()
    if len(poses) == 0:
        return poses, poses
    rotations = remove_yaw(poses)
    joints, _ = forward_kinematics(roma.rotvec_to_rotmat(rotations), _rest_joints())
    return joints, rotations


@functools.cache
def _rest_joints():
    return load_body(size="small").rest_joints.detach().float().cpu()


def caption_poses(poses, *, seed: int = 0, max_clauses: int = 9, return_codes: bool = False):
    """Describe each pose in a few plain English sentences.

    The wording depends on the pose itself and ``seed`` only, not on the batch around it: each caption draws from its
    own generator, seeded by a hash of the pose's float32 bytes and ``seed``.

    Args:
        poses: (N, 22, 3) local axis-angle, y up; their yaw is ignored.
        seed: another seed gives another choice and another wording.
        max_clauses: how many statements a caption holds at most. Rare codes are chosen first.
        return_codes: also return what each caption states.

    Returns:
        list of N captions of fewer than 90 words (empty for a pose nothing can be said about); with ``return_codes``
        also a list of N lists of (code name, category name), for `codes_satisfied`.

    Raises:
        ValueError: wrong shape, or a value that is not finite.
    """
    poses = check_rotations(poses, "poses").cpu()
    captions, stated = [], []
    for chunk in poses.split(CHUNK) if len(poses) else ():
        joints, rotations = pose_geometry(chunk)
        codes = measure_posecodes(joints, rotations)
        eligible = caption_eligibility(codes).numpy()
        categories = np.concatenate((codes.categories.numpy(), np.ones_like(codes.supers.numpy(), dtype=np.int64)), 1)
        for pose, level_row, category_row in zip(chunk, eligible, categories, strict=True):
            said = np.flatnonzero(level_row)
            random = seeded_random(seed, pose)
            facts = [_FACTS[c][k] for c, k in zip(said.tolist(), category_row[said].tolist(), strict=True)]
            text, codes_said = _compose(facts, random, max_clauses)
            captions.append(text)
            stated.append(codes_said)
    return (captions, stated) if return_codes else captions


def seeded_random(seed, *tensors):
    """A ``random()`` function that depends on the seed and the tensors' values alone."""
    digest = hashlib.blake2b(digest_size=8, key=str(seed).encode()[:64])
    for tensor in tensors:
        digest.update((tensor + 0.0).numpy().tobytes())  # + 0.0 turns -0.0 into 0.0
    return random_module.Random(int.from_bytes(digest.digest(), "little")).random


def pick(random, choices):
    return choices[int(random() * len(choices))]


def _fact(code, category, name_category, rare):
    relation = (code.kind, category) if category else (code.kind,)
    subject, object = split_side(code.subject), code.object and split_side(code.object)
    if code.kind == "distance" and object[1] == subject[1]:
        relation, subject, object = ("apart", category), ("both", subject[1]), None
    weight = _WEIGHTS.get(code.kind, _ALIGNED_WEIGHT)
    group = None if code.kind.startswith("kneeling") else group_of(relation, subject, object)
    return Fact(((code.name, name_category),), relation, subject, object, group, weight, rare)


# per code: category index -> fact
_FACTS = [
    [_fact(code, category, category, category in code.rare) for category in POSE_OPERATORS[code.kind].categories]
    for code in POSECODES
] + [[None, _fact(code, None, "true", code.rare)] for code in SUPER_POSECODES]


def _compose(facts, random, max_clauses):
    chosen = _choose(join_twins(_without_implied(facts), random), random, max_clauses)
    while True:
        text = _sentences(chosen, random)
        if text.count(" ") < MAX_WORDS or not chosen:
            break
        chosen.pop()
    return text, [code for fact in chosen for code in fact.codes]


def _without_implied(facts):
    names = {fact.codes[0][0] for fact in facts}
    superfluous = {_IMPLIED[name] for name in names if name in _IMPLIED}
    return [fact for fact in facts if fact.codes[0][0] not in superfluous] if superfluous else facts


def _choose(facts, random, max_clauses):
    """A weighted draw without replacement, rare facts first, that does not dwell on one part."""
    keyed = sorted(((fact.rare, random() ** (1.0 / fact.weight), i) for i, fact in enumerate(facts)), reverse=True)
    chosen, spent = [], {}
    for _, _, i in keyed:
        if len(chosen) == max_clauses:
            break
        fact = facts[i]
        # per part: one alignment, two closenesses
        kind = "aligned" if fact.relation[0].endswith("aligned") else fact.relation[0]
        limit = {"aligned": 1, "distance": 2}.get(kind)
        if limit:
            key = kind, fact.subject
            spent[key] = spent.get(key, 0) + 1
            if spent[key] > limit:
                continue
        chosen.append(fact)
    return chosen


_REGIONS = (("body", "torso"), ("head",), ("shoulder", "upperarm", "elbow", "forearm", "hand", "arm"))
_REGION_OF = {part: region for region, parts in enumerate(_REGIONS) for part in parts}


def order_by_region(facts, random):
    """Facts of one region of the body side by side, regions in a random order, the whole body early."""
    rank = [random() - 0.5, random(), random(), random()]
    return sorted(facts, key=lambda fact: rank[_REGION_OF.get(fact.subject[1], 3)])


def _sentences(facts, random):
    determiner = pick(random, DETERMINERS)
    limb_names = {part: pick(random, names) for part, names in ANGLE_SUBJECTS.items()}
    clauses = {}  # (subject words, plural) -> predicates
    for fact in order_by_region(facts, random):
        subject, predicate = _clause(fact, determiner, limb_names, random)
        clauses.setdefault(subject, []).append(predicate)
    text, in_sentence = "", 0
    for (subject, plural), predicates in clauses.items():
        for start in range(0, len(predicates), 3):  # no more than three things of one subject in a breath
            part = predicates[start : start + 3]
            joiner = pick(random, _JOINERS)
            if in_sentence == 0 or in_sentence == 3 or len(part) > 1 or joiner == ". ":
                text += ". " if text else ""
                subject_words, joiner, in_sentence = subject[0].upper() + subject[1:], "", 0
            else:
                subject_words = subject
            verbless = joiner == ", with " and part[0].startswith("is ") and subject not in _PRONOUNS
            if joiner == ", with " and not verbless:
                joiner = ", and "
            text += f"{joiner}{subject_words} {_predicates(part, plural, verbless)}"
            # a list of predicates ends its sentence: another clause behind it would be hard to follow
            in_sentence = 3 if len(part) > 1 or verbless else in_sentence + 1
    return text + "." if text else ""


_JOINERS = (". ", ". ", ", and ", ", while ", ", with ")
_PRONOUNS = ("he", "she", "they")


def _predicates(predicates, plural, verbless):
    words = []
    for predicate in predicates:
        verb, rest = predicate.split(" ", 1)
        # "is bent and close to ...": the verb of the first serves for the others
        if (verb == "is" and words and words[-1][0] == "is") or (verbless and not words):
            words.append((verb, rest))
        elif verb in ("is", "are"):
            words.append((verb, f"{'are' if plural else 'is'} {rest}"))
        else:
            words.append((verb, f"{PLURAL_VERBS[verb] if plural else verb} {rest}"))
    return join_list([text for _, text in words])


def join_list(words):
    """a, b and c"""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _clause(fact, determiner, limb_names, random):
    """((subject words, plural verb), predicate)."""
    relation, (side, part), object = fact.relation, fact.subject, fact.object
    if part == "body":
        subject = pick(random, PERSONS[determiner])
        return subject, pick(random, PREDICATES[relation]).format(
            d=determiner, o=object and f"{determiner} {object[0]} {part_words(object[1])}"
        )
    if relation[0] == "angle":
        part = limb_names.get(part, part)
    twins = object is not None and object[1] == part and object[0] and side in ("left", "right")
    if twins and random() < 0.5:
        (side, part), object = object, (side, part)
        relation = relation[0], OPPOSITES[relation[1]]
    options = PREDICATES[relation]
    if twins and relation[0] == "rel_x":
        options = SPECIAL_PREDICATES[(*relation, f"{side}_{part}|{object[0]}_{part}")]
    elif part == "torso" and relation[0] == "vertical_axis":
        options = SPECIAL_PREDICATES[(*relation, part)]
    if side == "both" and object is not None and object[0] == "opposite":
        subject = f"each {part_words(part)}", False
        object_words = f"the opposite {part_words(object[1])}"
    elif side == "both":
        subject = f"{pick(random, ('both', determiner))} {part_words(part, plural=True)}", True
        object_words = object and f"{determiner} {part_words(object[1], plural=object[0] == 'both')}"
    else:
        subject = " ".join(word for word in (determiner, side, part_words(part)) if word), False
        if twins and random() < 0.5:
            object_words = f"the {object[0]} one"
        else:
            object_words = object and " ".join(word for word in (determiner, object[0], part_words(object[1])) if word)
    return subject, pick(random, options).format(o=object_words, d=determiner)


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
    held, measured = count_satisfied(stated, codes, _KNOWN, len(POSECODES))
    return held / measured


def count_satisfied(stated, codes: Posecodes, known, num_elementary):
    """How many of the stated codes hold, and how many can be measured, both (N,); ``known`` is from `known_codes`."""
    if len(stated) != len(codes):
        raise ValueError(f"stated holds {len(stated)} lists and there are {len(codes)} poses; give one list per pose.")
    try:
        triples = [(row, *known[tuple(code)]) for row, said in enumerate(stated) for code in said]
    except KeyError as error:
        raise ValueError(
            f"stated names an unknown code {error.args[0]}; expected (code name, category name)."
        ) from None
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


def known_codes(codes, super_codes, operators):
    """(code name, category name) -> (column over elementary and super-codes, category index)."""
    known = {}
    for column, code in enumerate(codes):
        for k, category in enumerate(operators[code.kind].categories):
            known[code.name, category] = column, k
    for column, code in enumerate(super_codes, start=len(codes)):
        known[code.name, "true"] = column, 1
    return known


_KNOWN = known_codes(POSECODES, SUPER_POSECODES, POSE_OPERATORS)
