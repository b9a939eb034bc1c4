# SPDX-License-Identifier: Apache-2.0
"""Poses to captions: measure the posecodes, choose the telling ones, put them into plain sentences."""

import functools
import hashlib
import random as random_module

import numpy as np
import roma

from ..body import JOINT_NAMES, forward_kinematics, load_body, remove_yaw
from .first_facts import Fact, group_of, join_twins, split_side
from .joint_sets import POSECODES, SUPER_POSECODES
from .measure import caption_eligibility, check_rotations, measure_posecodes
from .operators import POSE_OPERATORS
from .sentences import describe_facts

CHUNK = 4096  # poses measured at once; bounds the memory
MAX_WORDS = 88
_NECK, _PELVIS = JOINT_NAMES.index("neck"), JOINT_NAMES.index("pelvis")

# How readily a code is chosen among those that may be said.
_WEIGHTS = {
    "angle": 4.0,
    ("apart", "close"): 3.0,
    ("apart", "shoulder width"): 0.5,
    ("apart", "spread"): 0.7,
    ("apart", "wide"): 2.0,
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

_TORSO_VERTICAL = "vertical_axis/pelvis|neck"

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
        max_clauses: how many statements a caption holds at most.
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
        inverted = (joints[:, _NECK, 1] < joints[:, _PELVIS, 1]).tolist()
        for i, pose in enumerate(chunk):
            said = np.flatnonzero(eligible[i])
            facts = [_FACTS[c][k] for c, k in zip(said.tolist(), categories[i, said].tolist(), strict=True)]
            if inverted[i]:
                facts = [_inverted(fact) for fact in facts]
            random = seeded_random(seed, pose)
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


def _fact(code, category, name_category):
    relation = (code.kind, category) if category else (code.kind,)
    subject, object = split_side(code.subject), code.object and split_side(code.object)
    twins = object is not None and object[1] == subject[1]
    if code.kind == "distance" and twins:
        relation, subject, object = ("apart", category), ("both", subject[1]), None
    if code.name == _TORSO_VERTICAL:
        relation = (*relation, "torso")
    elif code.kind == "rel_x" and (twins or object[0] == subject[0]):
        relation = (*relation, "crossed" if twins else "across")
    weight = _WEIGHTS.get(relation) or _WEIGHTS.get(relation[0], _ALIGNED_WEIGHT)
    group = None if code.kind.startswith("kneeling") else group_of(relation, subject, object)
    return Fact(((code.name, name_category),), relation, subject, object, group, weight)


def _inverted(fact):
    """The code of a vertical torso does not tell up from down, but the words should."""
    if fact.codes[0][0] != _TORSO_VERTICAL:
        return fact
    return fact._replace(relation=("vertical_axis", "vertical", "inverted"))


# per code: category index -> fact
_FACTS = [
    [_fact(code, category, category) for category in POSE_OPERATORS[code.kind].categories] for code in POSECODES
] + [[None, _fact(code, None, "true")] for code in SUPER_POSECODES]


def _compose(facts, random, max_clauses):
    chosen = _choose(join_twins(_without_implied(facts), random), random, max_clauses)
    while True:
        text = describe_facts(chosen, random)
        if text.count(" ") < MAX_WORDS or not chosen:
            break
        chosen.pop()
    return text, [code for fact in chosen for code in fact.codes]


def _without_implied(facts):
    names = {fact.codes[0][0] for fact in facts}
    superfluous = {_IMPLIED[name] for name in names if name in _IMPLIED}
    return [fact for fact in facts if fact.codes[0][0] not in superfluous] if superfluous else facts


_LIMITS = {"aligned": 1, "distance": 2, "apart": 2}


def _choose(facts, random, max_clauses):
    """A weighted draw without replacement that does not dwell on one part."""
    keyed = sorted(((random() ** (1.0 / fact.weight), i) for i, fact in enumerate(facts)), reverse=True)
    chosen, spent = [], {}
    for _, i in keyed:
        if len(chosen) == max_clauses:
            break
        fact = facts[i]
        # per part one alignment and two closenesses; per caption two distances between left and right
        kind = "aligned" if fact.relation[0].endswith("aligned") else fact.relation[0]
        limit = _LIMITS.get(kind)
        if limit:
            key = kind if kind == "apart" else (kind, fact.subject)
            spent[key] = spent.get(key, 0) + 1
            if spent[key] > limit:
                continue
        chosen.append(fact)
    return chosen
