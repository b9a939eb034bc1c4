# SPDX-License-Identifier: Apache-2.0
"""Measuring posecodes: joint positions in, one category per code out, for a whole batch at once."""

import math
from dataclasses import dataclass

import roma
import torch

from ..body import JOINT_NAMES
from .frame_check import check_size, warn_if_z_is_up
from .joint_sets import (
    BODY_KINDS,
    POINTS,
    POSECODES,
    SIDES,
    SUPER_POSECODES,
    VIRTUAL_SEGMENTS,
)
from .operators import POSE_OPERATORS

_FINGER_REACH = 0.1367  # metres from the wrist to the second joint of the middle finger
_MIDDLE2_OF_HANDS = (26, 41)  # its index in the 52-joint order, left and right
_ALMOST_ONE = 1 - torch.finfo(torch.float32).eps
_ABOVE_ALL = torch.finfo(torch.float32).max
_GUARD = 0.20  # metres the ankles must be below the shoulders for a body pitch to mean anything

_INDEX = {name: i for i, name in enumerate(POINTS)}
CODE_INDEX = {code.name: i for i, code in enumerate(POSECODES)}


@dataclass
class Posecodes:
    """Codes of N poses: C elementary codes in ``names`` and S yes/no super-codes in ``super_names``.

    ``values`` (N, C) float: degrees or metres, without noise. ``categories`` (N, C) long: indices into
    ``category_names[c]`` (``"-"`` = nothing to say). ``supers`` (N, S) bool.
    """

    names: tuple[str, ...]
    category_names: tuple[tuple[str, ...], ...]
    values: torch.Tensor
    categories: torch.Tensor
    super_names: tuple[str, ...]
    supers: torch.Tensor

    def __len__(self):
        return len(self.values)


def measure_posecodes(
    joints, rotations=None, *, noise: torch.Generator | None = None, compat: bool = False
) -> Posecodes:
    """Measure PoseScript's 271 elementary posecodes and 150 super-posecodes (Delmas et al., 2022/2024).

    Args:
        joints: (N, 22, 3) metres, y up, facing +z with the yaw removed, or (N, 52, 3) with the SMPL-H hands. The hands
            of 22 joints are guessed along the forearms, so some codes differ from those of 52.
        rotations: (N, 22 or 52, 3) local axis-angle in the same frame (identity root = upright, facing +z); without it
            the three head codes are absent (268).
        noise: a generator adds the method's uniform tolerance noise before binning; None measures exactly.
        compat: measure as the published code does, whose angle of a fully folded or straight joint is sometimes not a
            number and then counts as "straight". The default tells such joints apart.

    Warns:
        UserWarning: many poses look like people who stand along z, so the positions are probably z-up.

    Raises:
        ValueError: wrong shape, a value that is not finite, or a body taller than 10 m.
    """
    joints = check_points(joints, "joints")
    warn_if_z_is_up(joints)
    if rotations is not None:
        rotations = roma.rotvec_to_rotmat(check_rotations(rotations, "rotations", len(joints)).to(joints))
    values = code_values(joints, rotations, compat)
    count = values.shape[1]
    operators = [POSE_OPERATORS[code.kind] for code in POSECODES[:count]]
    categories = sort_into_categories(values, operators, noise)
    return Posecodes(
        names=tuple(code.name for code in POSECODES[:count]),
        category_names=tuple(operator.categories for operator in operators),
        values=values,
        categories=categories,
        super_names=tuple(code.name for code in SUPER_POSECODES),
        supers=_super_codes(categories),
    )


def check_points(points, name):
    """A float32 tensor of finite positions (N, 22 or >= 52, 3) in metres, or a ValueError in one sentence."""
    points = torch.as_tensor(points, dtype=torch.float32)
    if points.numel() == 0 and points.shape[:1] == (0,):
        return points.reshape(0, 22, 3)
    if points.ndim != 3 or points.shape[-1] != 3 or not (points.shape[1] == 22 or points.shape[1] >= 52):
        raise ValueError(
            f"{name} has shape {tuple(points.shape)}; expected (N, 22, 3), the body's joints of each pose, or "
            "(N, 52, 3) with the SMPL-H hands."
        )
    if not torch.isfinite(points).all():
        bad = int((~torch.isfinite(points)).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"{name} holds NaN or infinity in pose {bad}; every coordinate must be a finite number.")
    check_size(points[:, :22], name)
    return points


def check_rotations(rotations, name, count=None):
    """A float32 tensor of finite axis-angle rotations (N, 22, 3), or a ValueError in one sentence."""
    rotations = torch.as_tensor(rotations, dtype=torch.float32)
    if rotations.numel() == 0 and rotations.shape[:1] == (0,):
        rotations = rotations.reshape(0, 22, 3)
    if rotations.ndim == 2 and rotations.shape[-1] in (66, 156):
        rotations = rotations.unflatten(-1, (-1, 3))
    if rotations.ndim != 3 or rotations.shape[-1] != 3 or rotations.shape[1] not in (22, 52):
        shape = tuple(rotations.shape)
        raise ValueError(
            f"{name} has shape {shape}; expected (N, 22, 3): one axis-angle rotation per joint of each pose."
        )
    if count is not None and len(rotations) != count:
        raise ValueError(f"{name} holds {len(rotations)} poses, expected {count}; give one for each pose.")
    if not torch.isfinite(rotations).all():
        bad = int((~torch.isfinite(rotations)).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"{name} holds NaN or infinity in pose {bad}; every rotation must be a finite number.")
    return rotations[:, :22]


def sort_into_categories(values, operators, noise=None):
    """(N, C) values -> (N, C) category indices; a value equal to a threshold belongs below it, NaN to the last."""
    widest = max(len(operator.thresholds) for operator in operators)
    rows = [operator.thresholds + (math.inf,) * (widest - len(operator.thresholds)) for operator in operators]
    thresholds = values.new_tensor(rows)  # (C, T)
    if noise is not None:
        tolerance = values.new_tensor([operator.tolerance for operator in operators])
        draw = torch.rand(values.shape, generator=noise, dtype=values.dtype, device=noise.device)
        values = values + (2 * draw.to(values.device) - 1) * tolerance
    values = values.nan_to_num(nan=_ABOVE_ALL, posinf=_ABOVE_ALL)  # above each threshold but the filling infinity
    categories = torch.zeros_like(values, dtype=torch.long)
    for t in range(widest):
        categories += values > thresholds[:, t]
    return categories


def working_points(joints):
    """The 35 points of ``POINTS`` for joints (N, 22 or >= 52, 3)."""

    def at(name):
        return joints[:, JOINT_NAMES.index(name)]

    points = list(joints[:, :22].unbind(1))
    for side, hand_index in zip(SIDES, _MIDDLE2_OF_HANDS, strict=True):
        wrist = at(f"{side}_wrist")
        if joints.shape[1] >= 52:
            points.append(joints[:, hand_index])
        else:
            points.append(wrist + _FINGER_REACH * _unit(wrist - at(f"{side}_elbow")))
    points += [(at(f"{side}_wrist") + points[22 + i]) / 2 for i, side in enumerate(SIDES)]
    points.append((at("pelvis") + at("neck") + at("spine3")) / 3)
    for _, start, end in VIRTUAL_SEGMENTS:
        points += [(at(f"{side}_{start}") + at(f"{side}_{end}")) / 2 for side in SIDES]
    return torch.stack(points, dim=1)


def _unit(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def _degrees(cosine):
    # rounding can push the cosine of a fully folded or straight joint past +-1, where acos is not a number; and at
    # +-1 its derivative is infinite
    return torch.rad2deg(torch.acos(cosine.clamp(-_ALMOST_ONE, _ALMOST_ONE)))


def _columns(kind):
    """Index tensors, one per point of the sets of this kind."""
    sets = [code.points for code in POSECODES if code.kind == kind]
    return [torch.tensor([_INDEX[points[k]] for points in sets]) for k in range(len(sets[0]))]


_COLUMNS = {
    kind: _columns(kind) for kind in ("angle", "distance", "rel_x", "rel_y", "rel_z", "vertical_axis", "on_ground")
}


def code_values(joints, rotations=None, compat=False):
    """What the elementary codes are measured on, in the order of ``POSECODES``: degrees and metres, with gradients.

    Args:
        joints: (N, 22 or >= 52, 3) metres, as for `measure_posecodes` but unchecked.
        rotations: (N, 22, 3, 3) local rotation matrices.
        compat: see `measure_posecodes`.

    Returns:
        (N, 271), or (N, 268) without rotations.
    """
    values = _elementary_values(joints, compat)
    return values if rotations is None else torch.cat((values, _head_values(rotations)), dim=-1)


def _elementary_values(joints, compat=False):
    """(N, 268) values of every code that needs positions only, in the order of POSECODES."""
    points = working_points(joints)
    a, b, c = (points[:, columns] for columns in _COLUMNS["angle"])
    bend = (_unit(c - b) * _unit(a - b)).sum(-1)
    values = [torch.rad2deg(torch.acos(bend)) if compat else _degrees(bend)]
    a, b = (points[:, columns] for columns in _COLUMNS["distance"])
    values.append((a - b).norm(dim=-1))
    for axis, kind in enumerate(("rel_x", "rel_y", "rel_z")):
        a, b = (points[:, columns, axis] for columns in _COLUMNS[kind])
        values.append(a - b)
    a, b = (points[:, columns] for columns in _COLUMNS["vertical_axis"])
    values.append(_degrees(_unit(b - a)[..., 1].abs()))
    (a,) = _COLUMNS["on_ground"]
    height = points[..., 1]
    floor = height.amin(dim=1, keepdim=True) if len(height) else height[:, :1]
    values.append(height[:, a] - floor)
    inclination, overturned = body_inclination(joints)
    inclination[:, BODY_KINDS.index("body_pitch")].masked_fill_(overturned, 0.0)
    values.append(inclination)
    return torch.cat(values, dim=-1)


def body_inclination(joints):
    """Pitch, twist and lean in degrees (N, 3), and where an overturned body makes the pitch void (N,)."""
    left, right, pelvis, left_ankle, right_ankle = (
        joints[:, JOINT_NAMES.index(name)]
        for name in ("left_shoulder", "right_shoulder", "pelvis", "left_ankle", "right_ankle")
    )
    middle = (left + right) / 2
    trunk = middle - pelvis
    sagittal = _unit(trunk[:, 1:])  # (y, z)
    pitch = _degrees(sagittal[:, 0]) * sagittal[:, 1].sign()
    across = _unit((left - right)[:, [0, 2]])  # (x, z)
    twist = _degrees(across[:, 0]) * across[:, 1].sign()
    lean = 90 - _degrees(_unit(trunk)[:, 0])
    overturned = ~(torch.minimum(left_ankle[:, 1], right_ankle[:, 1]) < middle[:, 1] - _GUARD)
    return torch.stack((pitch, twist, lean), dim=-1), overturned


def _head_values(rotations):
    """Pitch, turn and tilt of the head in degrees (N, 3); each chain includes the rotation of its first joint."""
    names = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
    chain = rotations[:, [JOINT_NAMES.index(name) for name in names]]
    from_neck = chain[:, 4] @ chain[:, 5]
    from_pelvis = chain[:, 0] @ chain[:, 1] @ chain[:, 2] @ chain[:, 3] @ from_neck
    pitch = torch.atan2(from_neck[:, 2, 1], from_neck[:, 2, 2])
    turn = torch.atan2(-from_pelvis[:, 2, 0], torch.hypot(from_pelvis[:, 2, 1], from_pelvis[:, 2, 2]))
    tilt = torch.atan2(from_neck[:, 1, 0], from_neck[:, 0, 0])
    return torch.rad2deg(torch.stack((pitch, turn, tilt), dim=-1))


def _recipe_tables():
    """Every recipe as four (code, category) requirements; short ones repeat their first."""
    owners, codes, categories = [], [], []
    for owner, code in enumerate(SUPER_POSECODES):
        for recipe in code.recipes:
            wanted = [(CODE_INDEX[name], _category(name, category)) for name, category in recipe]
            wanted += wanted[:1] * (4 - len(wanted))
            owners.append(owner)
            codes.append([code for code, _ in wanted])
            categories.append([category for _, category in wanted])
    return torch.tensor(owners), torch.tensor(codes), torch.tensor(categories)


def _category(name, category):
    return POSE_OPERATORS[name.split("/")[0]].categories.index(category)


_RECIPE_OWNERS, _RECIPE_CODES, _RECIPE_CATEGORIES = _recipe_tables()


def _super_codes(categories):
    small = categories.to(torch.int8)
    met = torch.ones(len(small), len(_RECIPE_CODES), dtype=torch.bool, device=small.device)
    for k in range(_RECIPE_CODES.shape[1]):
        met &= small[:, _RECIPE_CODES[:, k]] == _RECIPE_CATEGORIES[:, k].to(small)
    supers = torch.zeros(len(small), len(SUPER_POSECODES), dtype=torch.uint8, device=small.device)
    supers.index_add_(1, _RECIPE_OWNERS.to(small.device), met.to(torch.uint8))
    return supers > 0


def caption_eligibility(codes: Posecodes) -> torch.Tensor:
    """How much each code deserves saying: (N, C + S) of 0 (no), 1 (may be said) or 2 (rare, should be said).

    As in PoseScript, down to its one lopsided rule: kneeling on the right knee silences the heights of the knees,
    kneeling on the left does not.
    """
    count = len(codes.names)
    levels = _LEVELS[:count].to(codes.categories.device)
    elementary = levels.gather(1, codes.categories.T).T.contiguous()  # (N, C)
    for code, category, owner in _YIELDING:
        elementary[:, code].masked_fill_((codes.categories[:, code] == category) & codes.supers[:, owner], 0)
    return torch.cat((elementary, codes.supers * _SUPER_LEVELS.to(elementary.device)), dim=1)


def _eligibility_tables():
    mentioned = {}  # (code name, category) -> super-codes with a recipe that needs it
    for owner, super_code in enumerate(SUPER_POSECODES):
        for requirement in {need for recipe in super_code.recipes for need in recipe}:
            mentioned.setdefault(requirement, []).append(owner)
    levels = torch.zeros(len(POSECODES), 6, dtype=torch.uint8)
    yielding = []
    for i, code in enumerate(POSECODES):
        for category in code.ok:
            # a strict support is never said itself, but only where some super-code can speak for it
            if not (category in code.strict and (code.name, category) in mentioned):
                levels[i, _category(code.name, category)] = 1 + (category in code.rare)
        for category in code.yielding:
            owners = mentioned.get((code.name, category), ())
            yielding += [(i, _category(code.name, category), owner) for owner in owners]
    return levels, yielding


_LEVELS, _YIELDING = _eligibility_tables()
_SUPER_LEVELS = torch.tensor([1 + code.rare for code in SUPER_POSECODES], dtype=torch.uint8)
