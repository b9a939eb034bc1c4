# SPDX-License-Identifier: Apache-2.0
"""Captions of poses: measures posecodes, selects those worth stating, and writes plain sentences."""

import functools
import hashlib
import itertools
import random as random_module
from typing import NamedTuple

import numpy as np
import roma
import torch
from numpy.typing import ArrayLike

from ..body import JOINT_NAMES, forward_kinematics, load_body, remove_yaw
from .posecodes.facts import POSE_FACTS, TORSO_VERTICAL
from .posecodes.joint_sets import POSECODES, SUPER_POSECODES
from .posecodes.measure import CODE_INDEX, caption_eligibility, check_points, check_rotations, measure_posecodes
from .posecodes.noise import blur_posecodes
from .posecodes.operators import POSE_OPERATORS
from .writing.aggregate import (
    group_facts,
    merge_entities,
    merge_twins,
    prune_statistically,
    prune_transitive,
    skip_some,
    swap_sides,
)
from .writing.body_tree import order_groups
from .writing.choice import choose_facts
from .writing.sentences import describe_groups

CHUNK = 4096  # poses measured at once; limits memory
NUM_PERTURBATIONS = 3  # perturbations used to test whether a statement is robust
_NECK, _PELVIS = JOINT_NAMES.index("neck"), JOINT_NAMES.index("pelvis")
_TORSO = CODE_INDEX[TORSO_VERTICAL]
_UPSIDE_DOWN = len(POSE_OPERATORS["vertical_axis"].categories)  # after the categories, see `POSE_FACTS`
_LINES = np.array([i for i, code in enumerate(SUPER_POSECODES) if code.kind == "xz_aligned"])
_HEIGHTS = [CODE_INDEX[f"rel_y/{'|'.join(SUPER_POSECODES[i].points)}"] for i in _LINES]
_SAME_HEIGHT = 0.05  # metres: "y-aligned"


class CaptionVersion(NamedTuple):
    """What a version of captions leaves out.

    ``skip`` omits codes that are not rare with probability 0.15; ``simplify`` states every code separately, without
    merging, grouping or "the other one"; ``prune_transitive`` and ``prune_statistically`` omit what follows from the
    rest.
    """

    skip: bool = True
    simplify: bool = False
    prune_transitive: bool = True
    prune_statistically: bool = True


_EVERYTHING = CaptionVersion(prune_transitive=False, prune_statistically=False)

# The published versions: PoseScript-A2 (N2, N6, N7) and PoseScript-A (A to F). Their sentences about actions need
# BABEL's labels of motion clips and are not generated here, so B, C, D and N6 do not differ.
CAPTION_VERSIONS = {
    "default": CaptionVersion(),
    "N2": _EVERYTHING._replace(simplify=True),
    "N6": _EVERYTHING,
    "N7": CaptionVersion(),
    "A": CaptionVersion(),
    "B": _EVERYTHING,
    "C": _EVERYTHING,
    "D": _EVERYTHING,
    "E": _EVERYTHING._replace(simplify=True),
    "F": _EVERYTHING._replace(simplify=True, skip=False),
}


def pose_geometry(poses: ArrayLike) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalises poses for captions: yaw removed, joints on the bundled body.

    Args:
        poses: (N, 22, 3) local axis-angle, y up.

    Returns:
        joints (N, 22, 3) in metres and rotations (N, 22, 3) axis-angle with the yaw removed.

    Raises:
        ValueError: wrong shape, or a value that is not finite.
    """
    checked = check_rotations(poses, "poses").cpu()
    if len(checked) == 0:
        return checked, checked
    rotations = remove_yaw(checked)
    joints, _ = forward_kinematics(roma.rotvec_to_rotmat(rotations), _rest_joints())
    return joints, rotations


@functools.cache
def _rest_joints():
    return load_body(size="small").rest_joints.detach().float().cpu()


def caption_poses(
    poses: ArrayLike,
    *,
    seed: int = 0,
    version: str = "default",
    noise: bool = False,
    compat: bool = False,
    max_clauses: int | None = None,
    steady: float = 0.0,
    return_codes: bool = False,
) -> list[str] | tuple[list[str], list[list[tuple[str, str]]]]:
    """Describe each pose in plain English, as PoseScript does (Delmas et al., 2022/2024).

    A caption depends only on its pose, ``seed`` and the options, not on the batch: each uses its own generator, seeded
    by a hash of the pose's float32 bytes and ``seed``.

    Args:
        poses: (N, 22, 3) local axis-angle, y up; their yaw is ignored.
        seed: another seed gives another selection and wording.
        version: a name in `CAPTION_VERSIONS`.
        noise: add the method's tolerance noise to each measured value, as people differ in what they call "close";
            statements may then be off by as much.
        compat: measure and merge like the published code, even if that makes false statements. The default only
            states what holds for the pose.
        max_clauses: maximum number of statements in a caption, rare ones first; None states everything.
        steady: only state what would still hold if every joint were rotated by about this many radians, so that no
            statement is borderline. Use about 0.1 for texts that a model should learn to write.
        return_codes: also return what each caption states.

    Returns:
        list of N captions (empty if there is nothing to state about a pose); with ``return_codes`` also a list of N
        lists of (code name, category name), for `codes_satisfied`.

    Raises:
        ValueError: wrong shape, a value that is not finite, an unknown version, or `max_clauses` below 1.
    """
    poses = check_rotations(poses, "poses").cpu()
    pieces = ((*pose_geometry(chunk), chunk) for chunk in _chunks(poses))
    return _caption(pieces, seed, version, noise, compat, max_clauses, return_codes, steady)


def caption_joints(
    joints: ArrayLike,
    rotations: ArrayLike | None = None,
    *,
    seed: int = 0,
    version: str = "default",
    noise: bool = False,
    compat: bool = False,
    max_clauses: int | None = None,
    return_codes: bool = False,
) -> list[str] | tuple[list[str], list[list[tuple[str, str]]]]:
    """Describe poses given by joint positions: `caption_poses` for another body, or with hands.

    Args:
        joints: (N, 22, 3) metres, y up, facing +z with the yaw removed, or (N, 52, 3) with the SMPL-H hands.
        rotations: (N, 22, 3) local axis-angle in the same frame; without it the head is not described.
        seed, version, noise, compat, max_clauses, return_codes: as for `caption_poses`; the generator of a caption
            depends on its joints.

    Returns:
        as `caption_poses`.

    Raises:
        ValueError: as `caption_poses`.
    """
    points = check_points(joints, "joints").cpu()
    turns = [None] * len(points)
    if rotations is not None:
        turns = _chunks(check_rotations(rotations, "rotations", len(points)).cpu())
    pieces = ((chunk, turn, chunk) for chunk, turn in zip(_chunks(points), turns, strict=False))
    return _caption(pieces, seed, version, noise, compat, max_clauses, return_codes)


def _chunks(tensor):
    return tensor.split(CHUNK) if len(tensor) else ()


def _caption(pieces, seed, version, noise, compat, max_clauses, return_codes, steady=0.0):
    """Captions of a batch given in pieces: joints, rotations or None, and the seed tensors of each pose."""
    if version not in CAPTION_VERSIONS:
        known = ", ".join(CAPTION_VERSIONS)
        raise ValueError(f"There is no caption version {version!r}; choose one of {known}.")
    if max_clauses is not None and max_clauses < 1:
        raise ValueError(f"max_clauses is {max_clauses}; give at least 1, or None to state everything.")
    rules = CAPTION_VERSIONS[version]
    captions, stated = [], []
    for joints, rotations, keys in pieces:
        randoms = [seeded_random(seed, key) for key in keys]
        codes = measure_posecodes(joints, rotations, compat=compat)
        if noise:
            codes = blur_posecodes(codes, randoms)
        eligible = caption_eligibility(codes)
        if steady:
            others = [
                measure_posecodes(*pose_geometry(poses), compat=compat) for poses in perturbed_poses(keys, steady)
            ]
            eligible = eligible * unmoved(codes, others)
        for (facts, levels), random in zip(_eligible_facts(codes, eligible, joints), randoms, strict=True):
            groups = _aggregate(facts, levels, rules, compat, max_clauses, random)
            captions.append(describe_groups(groups, random, simplify=rules.simplify))
            stated.append([code for group in groups for fact in group for code in fact.codes])
    return (captions, stated) if return_codes else captions


def seeded_random(seed, *tensors):
    """A ``random()`` function that depends only on the seed and the tensors' values."""
    digest = hashlib.blake2b(digest_size=8, key=str(seed).encode()[:64])
    for tensor in tensors:
        digest.update((tensor + 0.0).numpy().tobytes())  # + 0.0 turns -0.0 into 0.0
    return random_module.Random(int.from_bytes(digest.digest(), "little")).random


def perturbed_poses(poses, steady):
    """A list of copies of poses (N, 22, 3) with every joint rotated by about `steady` radians."""
    turns = torch.randn(NUM_PERTURBATIONS, *poses.shape[1:], generator=torch.Generator().manual_seed(0))
    return [poses + steady * turn for turn in turns]


def unmoved(codes, others):
    """(N, C + S) bool: which categories and super-codes are the same in all others."""
    first, *others = (torch.cat((c.categories, c.supers.to(c.categories.dtype)), dim=1) for c in (codes, *others))
    return torch.stack([first == other for other in others]).all(0)


def _eligible_facts(codes, eligible, joints):
    """For each pose, the eligible facts and their eligibility, 1 or 2."""
    measured = len(codes.names)
    table = POSE_FACTS[:measured] + POSE_FACTS[len(POSECODES) :]
    eligible = eligible.numpy()
    rows, columns = eligible.nonzero()
    categories = _senses(codes, joints)[rows, columns].tolist()
    facts = [table[column][k] for column, k in zip(columns.tolist(), categories, strict=True)]
    levels = eligible[rows, columns].tolist()
    bounds = np.searchsorted(rows, np.arange(len(joints) + 1)).tolist()
    return [(facts[start:end], levels[start:end]) for start, end in itertools.pairwise(bounds)]


def _senses(codes, joints):
    """(N, C + S) indices into the rows of `POSE_FACTS`: the category, or a finer sense if words can express it."""
    categories = torch.cat((codes.categories, torch.ones_like(codes.supers, dtype=torch.long)), dim=1).numpy()
    # a vertical torso may be upside down
    upright = categories[:, _TORSO]
    inverted = (joints[:, _NECK, 1] < joints[:, _PELVIS, 1]).numpy()
    upright[inverted & (upright == 0)] = _UPSIDE_DOWN
    # what is in a vertical line is above or below, unless it is at the same height too
    height = codes.values[:, _HEIGHTS].numpy()
    line = categories[:, len(codes.names) + _LINES]
    line[height > _SAME_HEIGHT] = 2
    line[height < -_SAME_HEIGHT] = 3
    categories[:, len(codes.names) + _LINES] = line
    return categories


def _aggregate(facts, levels, version, compat, max_clauses, random):
    """The facts to state, as groups in the order of the text (PoseScript, section 3)."""
    if version.skip:
        facts = skip_some(facts, levels, random)
    present = {fact.codes[0] for fact in facts}
    if version.prune_transitive:
        facts = prune_transitive(facts)
    if not version.simplify:
        facts = merge_twins(merge_entities(facts, random), random, compat=compat)
    if version.prune_statistically:
        facts = prune_statistically(facts, present)
    if max_clauses is not None:
        facts = choose_facts(facts, max_clauses, random)
    facts = swap_sides(facts, random)
    groups = [[fact] for fact in facts] if version.simplify else group_facts(facts, random)
    return order_groups(groups, random)
