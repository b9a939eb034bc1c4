# SPDX-License-Identifier: Apache-2.0
"""Measuring posecodes: joint positions in, one category per code out, for a whole batch at once."""

import itertools
from dataclasses import dataclass

import numpy as np
import roma
import torch
from numpy.typing import ArrayLike

from unipose_hf.body import JOINT_NAMES

from .frame_check import check_size, warn_if_z_is_up
from .joint_sets import BODY_KINDS, POINTS, POSECODES, SIDES, SUPER_POSECODES, VIRTUAL_SEGMENTS
from .operators import POSE_OPERATORS

_FINGER_REACH = 0.1367  # metres from the wrist to the second joint of the middle finger
_MIDDLE2_OF_HANDS = [26, 41]  # its index in the 52-joint order, left and right
_ALMOST_ONE = 1 - torch.finfo(torch.float32).eps
_GUARD = 0.20  # metres the ankles must be below the shoulders for a body pitch to mean anything

_INDEX = {name: i for i, name in enumerate(POINTS)}
CODE_INDEX = {code.name: i for i, code in enumerate(POSECODES)}


@dataclass
class Posecodes:
    """Codes of N poses: C elementary codes in ``names`` and S yes/no super-codes in ``super_names``.

    ``values`` (N, C) float: degrees or metres, without noise. ``categories`` (N, C) long: indices into
    ``category_names[c]`` (``"-"`` = nothing to say). ``supers`` (N, S) bool. In memory the columns of
    each are whole, not the rows.
    """

    names: tuple[str, ...]
    category_names: tuple[tuple[str, ...], ...]
    values: torch.Tensor
    categories: torch.Tensor
    super_names: tuple[str, ...]
    supers: torch.Tensor

    def __len__(self) -> int:
        return len(self.values)


def measure_posecodes(
    joints: ArrayLike,
    rotations: ArrayLike | None = None,
    *,
    noise: torch.Generator | None = None,
    compat: bool = False,
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
        rotations = check_rotations(rotations, "rotations", len(joints)).to(joints)
        rotations = roma.rotvec_to_rotmat(rotations[:, _HEAD_CHAIN])
    values = _values(joints, rotations, compat)
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
    points = _as_tensor(points)
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


def _as_tensor(numbers):
    """Float32; of numpy's a copy, since those of a `Pose` cannot be written to, which torch warns of."""
    if isinstance(numbers, torch.Tensor):
        return numbers.to(torch.float32)
    return torch.from_numpy(np.array(numbers, dtype=np.float32))


def check_rotations(rotations, name, count=None):
    """A float32 tensor of finite axis-angle rotations (N, 22, 3), or a ValueError in one sentence."""
    rotations = _as_tensor(rotations)
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
    if noise is not None:
        tolerance = values.new_tensor([operator.tolerance for operator in operators])
        draw = torch.rand(values.shape, generator=noise, dtype=values.dtype, device=noise.device)
        values = values + (2 * draw.to(values.device) - 1) * tolerance
    categories = torch.empty_like(values, dtype=torch.int8)  # small while it is worked on
    start = 0
    for thresholds, run in itertools.groupby(operator.thresholds for operator in operators):
        columns = slice(start, start + len(list(run)))
        categories[:, columns] = len(thresholds)
        for threshold in thresholds:  # counting down, since no comparison with NaN holds
            categories[:, columns] -= (values[:, columns] <= threshold).view(torch.int8)
        start = columns.stop
    return categories.long()


def working_points(joints):
    """The 35 points of ``POINTS`` for joints (N, 22 or >= 52, 3); in memory, the poses lie side by side."""
    body = joints[:, :22].permute(2, 1, 0).contiguous()  # (3, 22, N)

    def pick(*names):
        return body[:, [JOINT_NAMES.index(name) for name in names]]

    def both(part):
        return pick(*(f"{side}_{part}" for side in SIDES))

    wrists = both("wrist")
    if joints.shape[1] >= 52:
        fingers = joints[:, _MIDDLE2_OF_HANDS].permute(2, 1, 0)
    else:
        fingers = wrists + _FINGER_REACH * _unit(wrists - both("elbow"))
    torso = (pick("pelvis") + pick("neck") + pick("spine3")) / 3
    segments = [(both(start) + both(end)) / 2 for _, start, end in VIRTUAL_SEGMENTS]
    return torch.cat((body, fingers, (wrists + fingers) / 2, torso, *segments), dim=1).permute(2, 1, 0)


def _length(vectors):
    """Of vectors (2 or 3, ...); the bound keeps the gradient of a vector of zeros finite."""
    return vectors.square().sum(0).clamp_min(1e-24).sqrt()


def _unit(vectors):
    return vectors / _length(vectors)


def _degrees(cosine):
    # rounding can push the cosine of a fully folded or straight joint past +-1, where acos is not a number; and at
    # +-1 its derivative is infinite
    return torch.rad2deg(torch.acos(cosine.clamp(-_ALMOST_ONE, _ALMOST_ONE)))


def _indices(kind):
    """Index tensors, one per point of the sets of this kind."""
    sets = [code.points for code in POSECODES if code.kind == kind]
    return [torch.tensor([_INDEX[points[k]] for points in sets]) for k in range(len(sets[0]))]


_INDICES = {
    kind: _indices(kind) for kind in ("angle", "distance", "rel_x", "rel_y", "rel_z", "vertical_axis", "on_ground")
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
    return _values(joints, None if rotations is None else rotations[:, _HEAD_CHAIN], compat)


def _values(joints, head_chain, compat):
    """`code_values` with the rotations of the head's chain only, (N, 6, 3, 3) or None."""
    # one row per coordinate or code, the poses side by side, takes a third of the time of one row per pose
    points = working_points(joints).permute(2, 1, 0)  # (3, 35, N)

    def ends(kind, points=points, dim=1):
        return [points.index_select(dim, indices.to(points.device)) for indices in _INDICES[kind]]

    a, b, c = ends("angle")
    bend = (_unit(c - b) * _unit(a - b)).sum(0)
    rows = [torch.rad2deg(torch.acos(bend)) if compat else _degrees(bend)]
    a, b = ends("distance")
    rows.append(_length(a - b))
    for axis, kind in zip(points, ("rel_x", "rel_y", "rel_z"), strict=True):
        a, b = ends(kind, axis, 0)
        rows.append(a - b)
    a, b = ends("vertical_axis")
    rows.append(_degrees(_unit(b - a)[1].abs()))
    height = points[1]
    (a,) = ends("on_ground", height, 0)
    rows.append(a - height.amin(dim=0))
    inclination, overturned = body_inclination(joints)
    inclination[:, BODY_KINDS.index("body_pitch")].masked_fill_(overturned, 0.0)
    rows.append(inclination.T)
    if head_chain is not None:
        rows.append(_head_values(head_chain).T)
    return torch.cat(rows).T


def body_inclination(joints):
    """Pitch, twist and lean in degrees (N, 3), and where an overturned body makes the pitch void (N,)."""
    left, right, pelvis, left_ankle, right_ankle = (
        joints[:, JOINT_NAMES.index(name)].T  # (3, N)
        for name in ("left_shoulder", "right_shoulder", "pelvis", "left_ankle", "right_ankle")
    )
    middle = (left + right) / 2
    trunk = middle - pelvis
    up, front = _unit(trunk[1:])
    pitch = _degrees(up) * front.sign()
    left_part, front_part = _unit((left - right)[[0, 2]])
    twist = _degrees(left_part) * front_part.sign()
    lean = 90 - _degrees(_unit(trunk)[0])
    overturned = ~(torch.minimum(left_ankle[1], right_ankle[1]) < middle[1] - _GUARD)
    return torch.stack((pitch, twist, lean), dim=-1), overturned


_HEAD_CHAIN = [JOINT_NAMES.index(name) for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")]


def _head_values(chain):
    """Pitch, turn and tilt of the head in degrees (N, 3); each chain includes the rotation of its first joint."""
    from_neck = chain[:, 4] @ chain[:, 5]
    from_pelvis = chain[:, 0] @ chain[:, 1] @ chain[:, 2] @ chain[:, 3] @ from_neck
    pitch = torch.atan2(from_neck[:, 2, 1], from_neck[:, 2, 2])
    turn = torch.atan2(-from_pelvis[:, 2, 0], torch.hypot(from_pelvis[:, 2, 1], from_pelvis[:, 2, 2]))
    tilt = torch.atan2(from_neck[:, 1, 0], from_neck[:, 0, 0])
    return torch.rad2deg(torch.stack((pitch, turn, tilt), dim=-1))


def _recipe_table():
    """(recipe, requirement, 2, S) code and category of each; where there are fewer, the first stands in."""
    recipes = [
        [[(CODE_INDEX[name], _category(name, category)) for name, category in recipe] for recipe in code.recipes]
        for code in SUPER_POSECODES
    ]
    most = max(len(recipe) for one in recipes for recipe in one)
    recipes = [_filled([_filled(recipe, most) for recipe in one], max(map(len, recipes))) for one in recipes]
    return torch.tensor(recipes).permute(1, 2, 3, 0).contiguous()


def _filled(items, count):
    return items + items[:1] * (count - len(items))


def _category(name, category):
    return POSE_OPERATORS[name.split("/")[0]].categories.index(category)


_RECIPES = _recipe_table()


def _super_codes(categories):
    rows = categories.T.to(torch.int8, memory_format=torch.contiguous_format)  # (C, N)
    supers = torch.zeros(len(SUPER_POSECODES), len(categories), dtype=torch.bool, device=rows.device)
    for recipe in _RECIPES.to(rows.device):
        met = torch.ones_like(supers)
        for codes, wanted in recipe:
            met &= rows.index_select(0, codes) == wanted.to(rows)[:, None]
        supers |= met
    return supers.T


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
