# SPDX-License-Identifier: Apache-2.0
"""Posecode measurement, against an independent implementation of the published rules."""

import itertools
import math
import re
import warnings
from collections import Counter

import pytest
import roma
import torch

from unipose_hf.body import JOINT_NAMES, mirror_pose
from unipose_hf.captions import (
    caption_eligibility,
    caption_poses,
    codes_satisfied,
    measure_posecodes,
    pose_geometry,
)
from unipose_hf.captions.posecodes.joint_sets import POINTS, POSECODES, SUPER_POSECODES, aligned_sets
from unipose_hf.captions.posecodes.measure import _super_codes, sort_into_categories, working_points
from unipose_hf.captions.posecodes.operators import PAIR_OPERATORS, POSE_OPERATORS, TURN_OPERATOR
from unipose_hf.captions.posecodes.pair_sets import PAIRCODES, SUPER_PAIRCODES

BY_NAME = {code.name: code for code in POSECODES}
INDEX = {code.name: i for i, code in enumerate(POSECODES)}
SUPER_BY_NAME = {code.name: code for code in SUPER_POSECODES}
QUARTER = math.pi / 2


@pytest.fixture(scope="module")
def poses():
    return torch.randn(200, 22, 3, generator=torch.Generator().manual_seed(0)) * 0.45


@pytest.fixture(scope="module")
def joints(poses):
    return pose_geometry(poses)[0]


def pose(**joints):
    rotations = torch.zeros(1, 22, 3)
    for name, rotation in joints.items():
        rotations[0, JOINT_NAMES.index(name)] = torch.tensor(rotation)
    return rotations


def category(codes, name, row=0):
    i = codes.names.index(name)
    return codes.category_names[i][codes.categories[row, i]]


# -- thresholds ------------------------------------------------------------------------------------------------------

# category and its inclusive upper limit; the last one has none. Then the tolerance.
OPERATORS = {
    "angle": "completely bent 45 bent more 75 right angle 105 bent less 135 slightly bent 160 straight ~ 5",
    "distance": "close 0.2 shoulder width 0.4 spread 0.8 wide ~ 0.05",
    "rel_x": "at right -0.15 - -0.05 x-aligned 0.05 - 0.15 at left ~ 0.05",
    "rel_y": "below -0.15 - -0.05 y-aligned 0.05 - 0.15 above ~ 0.05",
    "rel_z": "behind -0.15 - -0.05 z-aligned 0.05 - 0.15 front ~ 0.05",
    "vertical_axis": "vertical 10 - 80 horizontal ~ 5",
    "on_ground": "on ground 0.1 - ~ 0.05",
    "body_pitch": "backward -50 slightly backward -20 - 20 slightly forward 50 forward ~ 5",
    "body_twist": "left -50 slightly left -20 - 20 slightly right 50 right ~ 5",
    "body_lean": "right -30 slightly right -15 - 15 slightly left 30 left ~ 5",
    "head_pitch": "backward -45 - 30 forward ~ 5",
    "head_turn": "right -30 slightly right -15 - 15 slightly left 30 left ~ 5",
    "head_tilt": "left -30 - 30 right ~ 5",
}


@pytest.mark.parametrize("kind", OPERATORS)
def test_thresholds_categories_and_tolerance(kind):
    rule, tolerance = OPERATORS[kind].split(" ~ ")
    number = r" (-?\d+\.?\d*)(?= |$)"
    thresholds = tuple(float(value) for value in re.findall(number, rule))
    categories = tuple(name.strip() for name in re.sub(number, "|", rule).split("|"))
    operator = POSE_OPERATORS[kind]
    assert (operator.thresholds, operator.categories) == (thresholds, categories)
    assert operator.tolerance == float(tolerance)
    assert set(OPERATORS) == set(POSE_OPERATORS)


def test_a_value_on_a_threshold_goes_low_and_one_that_is_no_number_goes_last():
    for operator in (*POSE_OPERATORS.values(), *PAIR_OPERATORS.values(), TURN_OPERATOR):
        assert len(operator.categories) == len(operator.thresholds) + 1
        assert list(operator.thresholds) == sorted(set(operator.thresholds))
        for k, threshold in enumerate(operator.thresholds):
            value = torch.tensor([[threshold]])
            above = torch.nextafter(value, torch.tensor(torch.inf))
            assert sort_into_categories(value, [operator]).item() == k
            assert sort_into_categories(above, [operator]).item() == k + 1
        last = len(operator.categories) - 1
        widest = POSE_OPERATORS["angle"]  # shorter lists of thresholds are padded
        for value in (torch.nan, torch.inf):
            assert sort_into_categories(torch.full((1, 2), value), [operator, widest])[0, 0] == last


# -- joint sets ------------------------------------------------------------------------------------------------------

ALL_DISTANCES, REACH = "close, shoulder width, spread, wide", "close, shoulder width, spread"
APART = "shoulder width, spread"
BENT = "completely bent, bent more, right angle, bent less, slightly bent, straight"
SAID_BENT = "completely bent, right angle, straight"
# S: either side, O: the opposite side, P: any side; points, subject ("" = the first point), ok, rare, strict
# supports, yielding supports, usable as absolute statements
ANGLES = [
    ("S_hip S_knee S_ankle", "S_knee", BENT, "completely bent", "", "completely bent", SAID_BENT),
    ("S_shoulder S_elbow S_wrist", "S_elbow", BENT, "completely bent", "", "", SAID_BENT),
]
DISTANCES = [
    ("left_elbow right_elbow", "", "close, shoulder width, wide", "close", "shoulder width", "", "close"),
    ("left_hand right_hand", "", ALL_DISTANCES, "", "shoulder width", "", "close"),
    ("left_knee right_knee", "", "close, shoulder width, wide", "wide", "shoulder width", "", "close"),
    ("left_foot right_foot", "", "close, shoulder width, wide", "close", "shoulder width", "", "close"),
    ("S_hand S_shoulder", "", "close", "close", "", "", "close"),
    ("S_hand O_shoulder", "", REACH, "close", APART, "close", "close"),
    ("S_hand O_elbow", "", REACH, "close", APART, "close", "close"),
    ("S_hand P_knee", "", REACH, "close", APART, "close", "close"),
    ("S_hand P_ankle", "", "close", "close", "", "", "close"),
    ("S_hand P_foot", "", "close", "close", "", "", "close"),
    ("S_elbow torso", "", "close", "", "close", "", ""),
    ("S_hand torso", "", "close", "", "close", "", ""),
    ("S_knee torso", "", "close", "", "close", "", ""),
    ("S_foot torso", "", "close", "", "close", "", ""),
]
LEFTWARD = [
    ("left_hand right_hand", "", "at right", "at right", "", "", ""),
    ("left_foot right_foot", "", "at right", "at right", "", "", ""),
    ("left_hand left_shoulder", "", "at right", "", "", "", ""),
    ("right_hand right_shoulder", "", "at left", "", "", "", ""),
    ("left_foot left_hip", "", "at right", "at right", "", "", ""),
    ("right_foot right_hip", "", "at left", "at left", "", "", ""),
]
UPWARD = [
    *(
        (f"left_{part} right_{part}", "", "below, above", "", "", "", "")
        for part in "shoulder elbow hand foot".split()
    ),
    ("left_knee right_knee", "", "below, above", "", "", "above", ""),
    ("S_hip S_knee", "", "above", "", "above", "", ""),
    ("S_hand S_shoulder", "", "above", "", "", "", ""),
    ("S_foot S_hip", "", "above", "above", "", "", ""),
    ("S_wrist neck", "S_hand", "above", "", "", "", ""),
    ("S_hand S_hip", "", "below", "", "", "", ""),
]
FORWARD = [
    *((f"left_{p} right_{p}", "", "behind, front", "", "", "", "") for p in "shoulder elbow hand knee foot".split()),
    ("S_hand torso", "", "behind", "", "", "", ""),
    ("S_foot torso", "", "behind, front", "", "", "", ""),
]
STEEP, LEVEL = "horizontal, vertical", "horizontal"
SEGMENTS = [
    ("S_hip S_knee", "S_thigh", STEEP, LEVEL, "", "", LEVEL),
    ("S_knee S_ankle", "S_shin", STEEP, LEVEL, "", "", LEVEL),
    ("S_shoulder S_elbow", "S_upperarm", STEEP, "vertical", "", "", STEEP),
    ("S_elbow S_wrist", "S_forearm", STEEP, "vertical", "", "", STEEP),
    ("pelvis S_shoulder", "back", LEVEL, "", LEVEL, "", ""),
    ("pelvis neck", "torso", "vertical", "", "", "", ""),
    ("left_hand right_hand", "both_hand", LEVEL, "", LEVEL, "", ""),
    ("left_foot right_foot", "both_foot", LEVEL, "", LEVEL, "", ""),
]
GROUND = [
    ("S_knee", "", "on ground", "", "on ground", "", ""),
    ("S_foot", "", "on ground", "", "on ground", "", ""),
    ("S_hand", "", "on ground", "", "", "", "on ground"),
]
TURNS = "left, slightly left, slightly right, right"
WHOLE = {
    "body_pitch": [("body", "", "forward, slightly forward, slightly backward, backward", "", "", "", "")],
    "body_twist": [("body", "", TURNS, "", "", "", "")],
    "body_lean": [("body", "", TURNS, "", "", "", "")],
    "head_pitch": [("head neck", "", "forward, backward", "", "", "", "")],
    "head_turn": [("head pelvis", "", TURNS, "", "", "", "")],
    "head_tilt": [("head neck", "", "left, right", "", "", "", "")],
}
TABLES = dict(
    angle=ANGLES, distance=DISTANCES, rel_x=LEFTWARD, rel_y=UPWARD, rel_z=FORWARD, vertical_axis=SEGMENTS,
    on_ground=GROUND, **WHOLE,
)  # fmt: skip
WITH_OBJECT = ("distance", "rel_x", "rel_y", "rel_z")
SWAP = {"left": "right", "right": "left"}
LIMB_PARTS = {"hand": "shoulder upperarm elbow forearm".split(), "foot": "hip thigh knee shin".split()}


def alignments():
    """The (extremity, limb part) pairs that are not of one limb."""
    for side, extremity, other, limb in itertools.product(SWAP, LIMB_PARTS, SWAP, LIMB_PARTS):
        if (side, extremity) != (other, limb):
            yield from ((f"{side}_{extremity}", f"{other}_{part}") for part in LIMB_PARTS[limb])


def written_down(kind):
    """The rows of a kind with sides filled in: points -> [subject, ok, rare, strict, yielding, absolute]."""
    rows = {}
    for points, subject, *marks in TABLES[kind]:
        for side, any_side in itertools.product(SWAP, SWAP):
            filled = [
                text.replace("S_", f"{side}_").replace("O_", f"{SWAP[side]}_").replace("P_", f"{any_side}_")
                for text in (points, subject)
            ]
            points_now = tuple(filled[0].split())
            rows[points_now] = [filled[1] or points_now[0], *(set(mark.split(", ")) - {""} for mark in marks)]
    for pair in alignments() if kind in WITH_OBJECT else ():
        row = rows.setdefault(pair, [pair[0], set(), set(), set(), set(), set()])
        aligned = set(REACH.split(", ")) if kind == "distance" else {f"{kind[-1]}-aligned"}
        row[1] |= aligned
        row[3] |= aligned - row[4]
    return rows


@pytest.mark.parametrize("kind", TABLES)
def test_joint_sets_and_their_marks(kind):
    expected = written_down(kind)
    codes = {code.points: code for code in POSECODES if code.kind == kind}
    assert set(codes) == set(expected)
    for points, row in expected.items():
        code = codes[points]
        found = [code.subject, code.ok, code.rare, code.strict, code.yielding, code.absolute]
        assert found == row, code.name
        assert code.object == (points[1] if kind in WITH_OBJECT else None), code.name
        said = code.ok | code.rare | code.strict | code.yielding | code.absolute
        assert said <= set(POSE_OPERATORS[kind].categories) - {"-"}, code.name


def test_every_joint_set_of_the_method_is_there():
    assert Counter(code.kind for code in POSECODES) == dict(
        angle=4, distance=70, rel_x=54, rel_y=61, rel_z=57, vertical_axis=13, on_ground=6,
        body_pitch=1, body_twist=1, body_lean=1, head_pitch=1, head_turn=1, head_tilt=1,
    )  # fmt: skip
    assert Counter(code.kind for code in SUPER_POSECODES) == dict(
        torso_horizontal=1, kneeling_on=2, kneeling=1, shoulder_width=2, xy_aligned=48, xz_aligned=48, yz_aligned=48
    )
    assert (len(POSECODES), len(SUPER_POSECODES)) == (271, 150)
    assert len(BY_NAME | SUPER_BY_NAME) == 421
    assert (len(PAIRCODES), len(SUPER_PAIRCODES)) == (49, 52)
    assert len({code.name for code in PAIRCODES + SUPER_PAIRCODES}) == 101
    assert len(set(aligned_sets())) == 48 and set(aligned_sets()) == set(alignments())


# -- super-codes -----------------------------------------------------------------------------------------------------


def recipes():
    """Super-code name -> (rare, absolute, its recipes as sets of (code name, category))."""
    ground = {side: (f"on_ground/{side}_knee", "on ground") for side in SWAP}
    feet = {side: (f"on_ground/{side}_foot", "on ground") for side in SWAP}
    knees = "rel_y/left_knee|right_knee"
    out = {
        "torso_horizontal/torso": (
            True,
            True,
            [{("vertical_axis/pelvis|left_shoulder", LEVEL), ("vertical_axis/pelvis|right_shoulder", LEVEL)}],
        ),
        "kneeling_on/left_knee": (True, False, [{(knees, "below"), ground["left"], feet["right"]}]),
        "kneeling_on/right_knee": (True, False, [{(knees, "above"), ground["right"], feet["left"]}]),
        "kneeling/body": (
            True,
            False,
            [
                {(f"rel_y/{side}_hip|{side}_knee", "above") for side in SWAP} | set(ground.values()),
                {(f"angle/{side}_hip|{side}_knee|{side}_ankle", "completely bent") for side in SWAP}
                | set(ground.values()),
            ],
        ),
    }
    for part, rare in (("hand", True), ("foot", False)):
        pair = f"left_{part}|right_{part}"
        wanted = {(f"distance/{pair}", "shoulder width"), (f"vertical_axis/{pair}", LEVEL)}
        out[f"shoulder_width/{pair}"] = (rare, True, [wanted])
    for axes, (first, second) in itertools.product(("xy", "xz", "yz"), alignments()):
        pair = f"{first}|{second}"
        on_axes = {(f"rel_{axis}/{pair}", f"{axis}-aligned") for axis in axes}
        reached = [on_axes | {(f"distance/{pair}", distance)} for distance in REACH.split(", ")]
        out[f"{axes}_aligned/{pair}"] = (False, True, reached)
    return out


RECIPES = recipes()


def test_super_codes_are_those_of_the_method():
    assert set(RECIPES) == set(SUPER_BY_NAME)
    for name, (rare, absolute, wanted) in RECIPES.items():
        code = SUPER_BY_NAME[name]
        assert (code.rare, code.absolute) == (rare, absolute), name
        assert sorted(map(sorted, code.recipes)) == sorted(map(sorted, wanted)), name
    assert SUPER_BY_NAME["torso_horizontal/torso"].subject == "torso"
    assert SUPER_BY_NAME["kneeling/body"].subject == SUPER_BY_NAME["kneeling_on/left_knee"].subject == "body"
    assert SUPER_BY_NAME["shoulder_width/left_hand|right_hand"].subject == "both_hand"


CATEGORIES = [POSE_OPERATORS[code.kind].categories for code in POSECODES]
# categories not used by any recipe, if there are any
INERT = [{"angle": "straight", "distance": "wide"}.get(code.kind, "-") for code in POSECODES[:268]]


def categories_where(*cases):
    """One row (268,) for each case: categories that meet its requirements, and no others."""
    rows = torch.tensor([names.index(name) for names, name in zip(CATEGORIES, INERT, strict=False)])
    rows = rows.repeat(len(cases), 1)
    for row, requirements in zip(rows, cases, strict=True):
        for name, wanted in requirements:
            row[INDEX[name]] = CATEGORIES[INDEX[name]].index(wanted)
    return rows


def test_a_super_code_needs_every_requirement_of_one_recipe():
    cases = [(i, recipe) for i, name in enumerate(SUPER_BY_NAME) for recipe in RECIPES[name][2]]
    met = _super_codes(categories_where(*(recipe for _, recipe in cases)))
    assert torch.equal(met, torch.eye(150, dtype=torch.bool)[[i for i, _ in cases]])
    assert not _super_codes(categories_where(*(recipe - {one} for _, recipe in cases for one in recipe))).any()


# -- what may be said ------------------------------------------------------------------------------------------------


def expected_eligibility(categories):
    """The rule for one pose, code by code and requirement by requirement, as it is published."""
    said = {name: CATEGORIES[i][k] for i, (name, k) in enumerate(zip(BY_NAME, categories, strict=False))}
    levels = {name: (said[name] in BY_NAME[name].ok) + (said[name] in BY_NAME[name].rare) for name in said}
    for super_name in SUPER_BY_NAME:
        rare, _, wanted = RECIPES[super_name]
        produced = any(all(said[name] == state for name, state in recipe) for recipe in wanted)
        levels[super_name] = (1 + rare) * produced
        for name, state in set().union(*wanted):
            code = BY_NAME[name]
            if said[name] == state and (state in code.strict or (state in code.yielding and produced)):
                levels[name] = 0
    return list(levels.values())


def codes_of(categories):
    codes = measure_posecodes(torch.zeros(len(categories), 22, 3))
    codes.categories, codes.supers = categories, _super_codes(categories)
    return codes


def test_eligibility_follows_the_rules_of_supports():
    recipes = [recipe for _, _, wanted in RECIPES.values() for recipe in wanted]
    every_category = [[(name, state)] for name, i in INDEX.items() if i < 268 for state in CATEGORIES[i]]
    rows = categories_where(*recipes, *(recipe - {one} for recipe in recipes[:9] for one in recipe), *every_category)
    found = caption_eligibility(codes_of(rows))
    for row, levels in zip(rows.tolist(), found.tolist(), strict=True):
        assert levels == expected_eligibility(row)


def test_supports_no_recipe_mentions_are_said():
    parts = [f"{side}_{part}" for side in SWAP for part in ("elbow", "hand", "knee", "foot")]
    said = [(f"distance/{part}|torso", "close") for part in parts]
    said += [(f"distance/left_{part}|right_{part}", "shoulder width") for part in ("elbow", "knee")]
    [levels] = caption_eligibility(codes_of(categories_where(said)))
    assert all(levels[INDEX[name]] == 1 for name, _ in said)


def test_kneeling_and_its_supports():
    kneel = {f"{side}_{part}": (turn, 0, 0) for side in SWAP for part, turn in (("knee", QUARTER), ("ankle", 1.2))}
    codes = measure_posecodes(pose_geometry(pose(**kneel))[0])
    levels = dict(zip((*codes.names, *codes.super_names), caption_eligibility(codes)[0].tolist(), strict=True))
    assert levels["kneeling/body"] == 2 and levels["on_ground/left_knee"] == levels["kneeling_on/left_knee"] == 0
    lunge = pose(**{name: kneel[name] for name in ("left_knee", "left_ankle")}, right_hip=(-QUARTER, 0, 0),
                 right_knee=(QUARTER, 0, 0))  # fmt: skip
    for one, side in ((lunge, "left"), (mirror_pose(lunge), "right")):
        codes = measure_posecodes(pose_geometry(one)[0])
        levels = dict(zip((*codes.names, *codes.super_names), caption_eligibility(codes)[0].tolist(), strict=True))
        assert levels[f"kneeling_on/{side}_knee"] == 2 and levels[f"kneeling_on/{SWAP[side]}_knee"] == 0
        assert levels["rel_y/left_knee|right_knee"] == (1 if side == "left" else 0)  # as published


# -- geometry --------------------------------------------------------------------------------------------------------


def angle_between(a, b):
    return math.degrees(math.atan2(torch.linalg.cross(a, b).norm(), a @ b))


def by_hand(code, point):
    """One value, one pose: the definitions of the method, without batches and by other formulas."""
    places = [point.get(name) for name in code.points]
    if code.kind == "angle":
        return angle_between(places[0] - places[1], places[2] - places[1])
    if code.kind == "distance":
        return math.dist(*(place.tolist() for place in places))
    if code.kind.startswith("rel"):
        return float((places[0] - places[1])["xyz".index(code.kind[-1])])
    if code.kind == "vertical_axis":
        tilt = angle_between(places[1] - places[0], torch.tensor([0.0, 1, 0], dtype=torch.float64))
        return min(tilt, 180 - tilt)
    if code.kind == "on_ground":
        return float(places[0][1] - min(place[1] for place in point.values()))
    middle = (point["left_shoulder"] + point["right_shoulder"]) / 2
    x, y, z = (middle - point["pelvis"]).tolist()
    if code.kind == "body_pitch":
        upright = min(point["left_ankle"][1], point["right_ankle"][1]) < middle[1] - 0.20
        return math.degrees(math.atan2(z, y)) if upright else 0.0
    if code.kind == "body_lean":
        return math.degrees(math.atan2(x, math.hypot(y, z)))
    across = point["left_shoulder"] - point["right_shoulder"]
    return math.degrees(math.atan2(across[2], across[0]))


MIDDLES = [("thigh", "hip", "knee"), ("shin", "knee", "ankle")]
MIDDLES += [("upperarm", "shoulder", "elbow"), ("forearm", "elbow", "wrist")]


@pytest.mark.parametrize("with_hands", (False, True))
def test_values_are_those_of_the_definitions(joints, with_hands):
    rows = torch.cat((joints[:12], joints[12:15] * torch.tensor([1.0, -1, -1])))  # three upside down
    if with_hands:
        fingers = rows[:, [20] * 15 + [21] * 15] + 0.1 * torch.randn(15, 30, 3, generator=torch.manual_seed(0))
        rows = torch.cat((rows, fingers), dim=1)
    codes = measure_posecodes(rows)
    for row, values in zip(rows.double(), codes.values, strict=True):
        point = dict(zip(JOINT_NAMES, row, strict=False))
        for side, index in (("left", 26), ("right", 41)):
            wrist, arm = point[f"{side}_wrist"], point[f"{side}_wrist"] - point[f"{side}_elbow"]
            point[f"{side}_middle2"] = row[index] if with_hands else wrist + 0.1367 * arm / arm.norm()
            point[f"{side}_hand"] = (wrist + point[f"{side}_middle2"]) / 2
        point["torso"] = (point["pelvis"] + point["neck"] + point["spine3"]) / 3
        for part, ends in dict(
            thigh="hip knee", shin="knee ankle", upperarm="shoulder elbow", forearm="elbow wrist"
        ).items():
            for side in SWAP:
                start, end = (point[f"{side}_{name}"] for name in ends.split())
                point[f"{side}_{part}"] = (start + end) / 2
        assert len(point) == len(POINTS) == 35
        found = working_points(row[None].float())[0]
        assert all(
            torch.allclose(found[POINTS.index(name)].double(), place, atol=1e-6) for name, place in point.items()
        )
        expected = [by_hand(code, point) for code in POSECODES[:268]]
        assert torch.allclose(values.double(), torch.tensor(expected, dtype=torch.float64), atol=0.05)
        lengths = [i for i, code in enumerate(POSECODES[:268]) if code.kind in (*WITH_OBJECT, "on_ground")]
        assert torch.allclose(values[lengths].double(), torch.tensor(expected)[lengths].double(), atol=1e-5)
    assert (codes.values[:12, BODY["body_pitch"]] != 0).any() and (codes.values[12:, BODY["body_pitch"]] == 0).any()


BODY = {kind: INDEX[f"{kind}/body"] for kind in ("body_pitch", "body_twist", "body_lean")}


@pytest.mark.parametrize(
    "turned, said",
    [
        (dict(pelvis=(1.1, 0, 0)), {"body_pitch": "forward"}),
        (dict(pelvis=(-0.6, 0, 0)), {"body_pitch": "slightly backward"}),
        (dict(spine2=(0, 1.0, 0)), {"body_twist": "left"}),
        (dict(spine2=(0, -0.5, 0)), {"body_twist": "slightly right"}),
        (dict(pelvis=(0, 0, -0.7)), {"body_lean": "left"}),
        (dict(pelvis=(0, 0, 0.4)), {"body_lean": "slightly right"}),
        (dict(pelvis=(math.pi, 0, 0)), {"body_pitch": "-"}),
        (dict(), dict.fromkeys(BODY, "-")),
    ],
)
def test_inclinations_have_the_right_sign(turned, said):
    codes = measure_posecodes(pose_geometry(pose(**turned))[0])
    assert {kind: category(codes, f"{kind}/body") for kind in said} == said


@pytest.mark.parametrize("gap, name", [(0.19, "-"), (0.20, "-"), (0.21, "forward")])
def test_a_pitch_needs_an_ankle_below_the_shoulders(gap, name):
    [joints] = pose_geometry(pose(pelvis=(1.1, 0, 0)))[0]
    index = JOINT_NAMES.index
    shoulders = [index("left_shoulder"), index("right_shoulder")]
    joints[:, 1] -= joints[shoulders, 1].mean()
    joints[shoulders, 1] = 0.0  # exactly, so that the ankle can be exactly on the threshold
    joints[[index("left_ankle"), index("right_ankle")], 1] = torch.tensor([0.5, -gap])
    assert category(measure_posecodes(joints[None]), "body_pitch/body") == name


@pytest.mark.parametrize(
    "turned, name, said",
    [
        (dict(head=(0.6, 0, 0)), "head_pitch/head|neck", "forward"),
        (dict(neck=(-0.9, 0, 0)), "head_pitch/head|neck", "backward"),
        (dict(spine3=(0.9, 0, 0)), "head_pitch/head|neck", "-"),  # the chest is not the head
        (dict(head=(0, 0.4, 0)), "head_turn/head|pelvis", "slightly left"),
        (dict(neck=(0, -0.4, 0), spine1=(0, -0.4, 0)), "head_turn/head|pelvis", "right"),
        (dict(head=(0, 0, 0.6)), "head_tilt/head|neck", "right"),
        (dict(neck=(0, 0, -0.6)), "head_tilt/head|neck", "left"),
        (dict(spine3=(0, 0, -0.6)), "head_tilt/head|neck", "-"),
    ],
)
def test_the_head(turned, name, said):
    assert category(measure_posecodes(*pose_geometry(pose(**turned))), name) == said


def test_head_angles_are_composed_and_taken_apart_as_published():
    generator = torch.Generator().manual_seed(3)
    rotations = torch.randn(20, 22, 3, generator=generator) * 0.4
    codes = measure_posecodes(torch.zeros(20, 22, 3), rotations)
    matrices = roma.rotvec_to_rotmat(rotations.double())
    for start, names, k in (("pelvis", "head_turn", 1), ("neck", "head_pitch", 2), ("neck", "head_tilt", 0)):
        chain = ["pelvis", "spine1", "spine2", "spine3", "neck", "head"]
        turn = torch.eye(3, dtype=torch.float64).expand(20, 3, 3)
        for joint in chain[chain.index(start) :]:
            turn = turn @ matrices[:, JOINT_NAMES.index(joint)]
        angles = roma.rotmat_to_euler("ZYX", turn, degrees=True)
        i = next(i for i, name in enumerate(codes.names) if name.startswith(names))
        assert torch.allclose(codes.values[:, i].double(), angles[:, k], atol=1e-3)


def test_folded_joints_are_folded_unless_the_published_slip_is_wanted():
    generator = torch.Generator().manual_seed(0)
    joints = torch.randn(300, 22, 3, generator=generator) * 0.3
    ankle, knee, hip = (JOINT_NAMES.index(f"left_{part}") for part in ("ankle", "knee", "hip"))
    joints[:, ankle] = joints[:, hip]  # exactly folded
    name = "angle/left_hip|left_knee|left_ankle"
    exact, slip = measure_posecodes(joints), measure_posecodes(joints, compat=True)
    assert {category(exact, name, row) for row in range(300)} == {"completely bent"}
    said = Counter(category(slip, name, row) for row in range(300))
    assert set(said) == {"completely bent", "straight"} and said["straight"] > 5
    same = ~slip.values.isnan()
    assert torch.equal(exact.categories[same], slip.categories[same])


# -- plain poses ------------------------------------------------------------------------------------------------------

T_POSE = pose()
SQUAT = pose(
    left_hip=(-QUARTER, 0, 0), right_hip=(-QUARTER, 0, 0), left_knee=(QUARTER, 0, 0), right_knee=(QUARTER, 0, 0)
)
HANDS_UP = pose(left_shoulder=(0, 0, QUARTER), right_shoulder=(0, 0, -QUARTER))
CROSSED = pose(left_shoulder=(0, -2.1, 0), right_shoulder=(0, 2.1, 0))
BOW = pose(pelvis=(1.1, 0, 0))
UPSIDE_DOWN = pose(pelvis=(math.pi, 0, 0))


def measured(axis_angle):
    return measure_posecodes(*pose_geometry(axis_angle))


def test_t_pose():
    codes = measured(T_POSE)
    for side in ("left", "right"):
        assert category(codes, f"angle/{side}_shoulder|{side}_elbow|{side}_wrist") == "straight"
        assert category(codes, f"angle/{side}_hip|{side}_knee|{side}_ankle") == "straight"
        assert category(codes, f"vertical_axis/{side}_shoulder|{side}_elbow") == "horizontal"
        assert category(codes, f"vertical_axis/{side}_elbow|{side}_wrist") == "horizontal"
        assert category(codes, f"on_ground/{side}_foot") == "on ground"
        assert category(codes, f"on_ground/{side}_hand") == "-"
    assert category(codes, "distance/left_hand|right_hand") == "wide"
    assert category(codes, "rel_x/left_hand|right_hand") == "at left"
    assert category(codes, "vertical_axis/pelvis|neck") == "vertical"
    for kind in ("body_pitch", "body_twist", "body_lean"):
        assert category(codes, f"{kind}/body") == "-"
    assert category(codes, "head_turn/head|pelvis") == "-"


def test_squat_hands_up_crossed_arms_and_bow():
    squat = measured(SQUAT)
    for side in ("left", "right"):
        assert category(squat, f"angle/{side}_hip|{side}_knee|{side}_ankle") == "right angle"
        assert category(squat, f"vertical_axis/{side}_hip|{side}_knee") == "horizontal"
        assert category(squat, f"vertical_axis/{side}_knee|{side}_ankle") == "vertical"
    up = measured(HANDS_UP)
    for side in ("left", "right"):
        assert category(up, f"rel_y/{side}_wrist|neck") == "above"
        assert category(up, f"vertical_axis/{side}_shoulder|{side}_elbow") == "vertical"
    assert category(measured(CROSSED), "rel_x/left_hand|right_hand") == "at right"
    assert category(measured(BOW), "body_pitch/body") == "forward"
    assert category(measured(UPSIDE_DOWN), "body_pitch/body") == "-"


# -- properties ------------------------------------------------------------------------------------------------------


def far_from_thresholds(codes, by=1e-3):
    """Where rounding cannot change the category: (N, C)."""
    rows = []
    for i, name in enumerate(codes.names):
        thresholds = torch.tensor(POSE_OPERATORS[name.split("/")[0]].thresholds)
        scale = 1 if thresholds.abs().max() < 1 else 100
        rows.append((codes.values[:, i, None] - thresholds).abs().amin(-1) > by * scale)
    return torch.stack(rows, dim=1)


def swap_sides(words):
    return re.sub("left|right", lambda side: SWAP[side.group()], words)


def test_a_mirrored_pose_has_mirrored_codes(poses):
    codes, mirrored = measure_posecodes(*pose_geometry(poses)), measure_posecodes(*pose_geometry(mirror_pose(poses)))
    sure = far_from_thresholds(codes)
    checked = 0
    for i, code in enumerate(POSECODES):
        twin = code.kind + "/" + swap_sides("|".join(code.points))
        # left hand to right hand is its own mirror image, reversed
        j = codes.names.index(twin) if twin in codes.names else i
        negated = code.kind in ("rel_x", "body_twist", "body_lean", "head_turn", "head_tilt")
        if twin not in codes.names and code.kind.startswith("rel"):
            negated = not negated
        rows = sure[:, i]
        expected = -codes.values[:, i] if negated else codes.values[:, i]
        assert torch.allclose(mirrored.values[:, j], expected, atol=5e-2), code.name
        expected = len(codes.category_names[i]) - 1 - codes.categories[:, i] if negated else codes.categories[:, i]
        assert torch.equal(mirrored.categories[rows, j], expected[rows]), code.name
        checked += int(rows.sum())
    assert checked > 0.95 * sure.numel()
    for i, name in enumerate(codes.super_names):
        kind, points = name.split("/")
        twin = name if kind == "shoulder_width" else f"{kind}/{swap_sides(points)}"
        j = codes.super_names.index(twin)
        assert (mirrored.supers[:, j] != codes.supers[:, i]).sum() <= 2, name


def test_neither_place_nor_heading_changes_a_code(poses, joints):
    codes = measure_posecodes(*pose_geometry(poses))
    sure = far_from_thresholds(codes, by=5e-3)
    generator = torch.Generator().manual_seed(0)
    moved = measure_posecodes(joints + torch.randn(200, 1, 3, generator=generator))
    assert torch.equal(moved.categories[sure[:, :268]], codes.categories[:, :268][sure[:, :268]])
    heading = torch.zeros(200, 3)
    heading[:, 1] = torch.rand(200, generator=generator) * 6.28 - 3.14
    turned = poses.clone()
    turned[:, 0] = roma.rotvec_composition((heading, poses[:, 0]))
    again = measure_posecodes(*pose_geometry(turned))
    assert sure.float().mean() > 0.9
    assert torch.equal(again.categories[sure], codes.categories[sure])


def test_a_pose_is_measured_the_same_in_any_batch(poses):
    joints, rotations = pose_geometry(poses)
    codes = measure_posecodes(joints, rotations)
    for row in (0, 7, 199):
        alone = measure_posecodes(joints[row : row + 1], rotations[row : row + 1])
        assert torch.allclose(alone.values[0], codes.values[row], atol=1e-4)
        assert torch.equal(alone.categories[0], codes.categories[row])
        assert torch.equal(alone.supers[0], codes.supers[row])
        assert torch.equal(caption_eligibility(alone)[0], caption_eligibility(codes)[row])


def test_noise_stays_within_the_tolerance_and_moves_every_kind(poses):
    joints, rotations = pose_geometry(poses)
    exact = measure_posecodes(joints, rotations)
    noisy = measure_posecodes(joints, rotations, noise=torch.Generator().manual_seed(1))
    again = measure_posecodes(joints, rotations, noise=torch.Generator().manual_seed(1))
    assert torch.equal(exact.values, noisy.values) and torch.equal(noisy.categories, again.categories)
    moved = exact.categories != noisy.categories
    for kind, operator in POSE_OPERATORS.items():
        columns = [i for i, code in enumerate(POSECODES) if code.kind == kind]
        gap = (exact.values[:, columns, None] - torch.tensor(operator.thresholds)).abs().amin(-1)
        assert moved[:, columns].any(), kind
        assert (gap[moved[:, columns]] <= operator.tolerance * 1.001).all(), kind


def test_noise_is_uniform():
    generator = torch.Generator().manual_seed(0)
    for operator in POSE_OPERATORS.values():
        for share in (-0.9, -0.5, 0.5, 0.9):  # of the tolerance, from the threshold
            values = torch.full((4000, 1), operator.thresholds[-1] + share * operator.tolerance)
            crossed = sort_into_categories(values, [operator], generator) != sort_into_categories(values, [operator])
            assert abs(crossed.float().mean() - (1 - abs(share)) / 2) < 0.03


def test_without_rotations_only_the_head_is_missing(poses):
    joints, rotations = pose_geometry(poses)
    full, bare = measure_posecodes(joints, rotations), measure_posecodes(joints)
    assert full.names[:268] == bare.names and [name.split("_")[0] for name in full.names[268:]] == ["head"] * 3
    assert torch.equal(full.categories[:, :268], bare.categories) and torch.equal(full.supers, bare.supers)
    assert torch.equal(caption_eligibility(full)[:, :268], caption_eligibility(bare)[:, :268])
    assert caption_eligibility(bare).shape == (200, 268 + 150)
    with_hands = torch.cat((rotations, torch.zeros(200, 30, 3)), dim=1)
    for other in (with_hands, with_hands.flatten(1), rotations.flatten(1)):
        assert torch.equal(measure_posecodes(joints, other).values, full.values)


# -- bad input -------------------------------------------------------------------------------------------------------


def test_wrong_input_gets_one_clear_sentence(joints):
    for empty in (torch.zeros(0, 22, 3), torch.zeros(0, 52, 3), []):
        assert measure_posecodes(empty).categories.shape == (0, 268)
        assert measure_posecodes(empty, empty).categories.shape == (0, 271)
    assert torch.equal(measure_posecodes(joints.numpy()).values, measure_posecodes(joints).values)
    for count in (21, 23, 51):
        with pytest.raises(ValueError, match=rf"joints has shape \(2, {count}, 3\); expected \(N, 22, 3\).*52"):
            measure_posecodes(torch.zeros(2, count, 3))
    with pytest.raises(ValueError, match="joints has shape"):
        measure_posecodes(joints[0])
    for bad in (torch.nan, torch.inf):
        broken = joints[:3].clone()
        broken[1, 4, 2] = bad
        with pytest.raises(ValueError, match="joints holds NaN or infinity in pose 1"):
            measure_posecodes(broken)
        with pytest.raises(ValueError, match="rotations holds NaN or infinity in pose 1"):
            measure_posecodes(joints[:3], broken)
    with pytest.raises(ValueError, match="rotations holds 2 poses, expected 3"):
        measure_posecodes(joints[:3], joints[:2])
    with pytest.raises(ValueError, match=r"rotations has shape \(3, 21, 3\)"):
        measure_posecodes(joints[:3], joints[:3, :21])


@pytest.mark.parametrize("scale", (100, 1000))
def test_other_units_are_refused(joints, scale):
    units = joints[:4].clone()
    units[2] *= scale
    with pytest.raises(ValueError, match=r"joints of pose 2 span \d+ m, expected a person in metres; are these milli"):
        measure_posecodes(units)
    measure_posecodes(joints[:4] + 100)  # far away is not tall
    tall = joints[:1] * (10 / (joints[0].amax(0) - joints[0].amin(0)).max())
    measure_posecodes(tall * 0.999)
    with pytest.raises(ValueError, match="span 10 m"):
        measure_posecodes(tall * 1.001)


def z_up(joints):
    return torch.stack((joints[..., 0], -joints[..., 2], joints[..., 1]), dim=-1)


def standing(count=12):
    """People whose arms hang and swing a little."""
    turns = torch.randn(count, 22, 3, generator=torch.Generator().manual_seed(0)) * 0.15
    for side, sign in (("left", -1.0), ("right", 1.0)):
        turns[:, JOINT_NAMES.index(f"{side}_shoulder"), 2] += sign * 1.2
    return turns


def lying(on_the_back):
    """The same people at rest on the ground, feet stretched, arms anywhere."""
    turns = standing()
    turns[:, 0, 0] += -QUARTER if on_the_back else QUARTER
    for side in SWAP:
        turns[:, JOINT_NAMES.index(f"{side}_ankle"), 0] += 0.9
    return turns


def warned(joints):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        measure_posecodes(joints)
    return [str(warning.message) for warning in caught]


def test_people_who_stand_along_z_are_noticed():
    joints, _ = pose_geometry(standing())
    [message] = warned(z_up(joints))
    assert "y up" in message and "(x, z, -y)" in message
    assert len(warned(z_up(joints[:8]))) == 1
    # they face the other way, so they point the other way in our frame after their "yaw" is removed
    mixed = z_up(joints) * torch.tensor([[[1.0, 1, 1]], [[-1.0, 1, -1]]]).repeat(6, 1, 1)
    assert len(warned(mixed)) == 1
    some_sit = torch.cat((z_up(joints), joints[:3]))
    assert len(warned(some_sit)) == 1


def test_people_who_lie_are_not_taken_for_standing_ones():
    joints, _ = pose_geometry(standing())
    assert not warned(joints) and not warned(z_up(joints[:7]))
    for on_the_back in (False, True):
        assert not warned(pose_geometry(lying(on_the_back))[0])
    plank = standing()
    plank[:, 0, 0] += QUARTER
    for side, sign in (("left", -1.0), ("right", 1.0)):
        plank[:, JOINT_NAMES.index(f"{side}_shoulder")] = torch.tensor([0.0, sign * QUARTER, 0.0])
    assert not warned(pose_geometry(plank)[0])
    assert not warned(torch.cat((z_up(joints), joints)))  # half of them lie


def test_the_warning_is_given_once():
    joints = z_up(pose_geometry(standing())[0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            measure_posecodes(joints)
    assert len(caught) == 1


def test_wrong_poses_and_codes_get_one_clear_sentence(poses):
    empty = torch.zeros(0, 22, 3)
    assert caption_poses(empty) == [] and caption_poses([], return_codes=True) == ([], [])
    assert codes_satisfied([], empty).shape == (0,)
    with pytest.raises(ValueError, match=r"poses has shape \(22, 3\); expected \(N, 22, 3\)"):
        caption_poses(poses[0])
    broken = poses[:3].clone()
    broken[1, 4, 2] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinity in pose 1"):
        caption_poses(broken)
    with pytest.raises(ValueError, match="unknown code"):
        codes_satisfied([[("angle/nose", "straight")]], pose_geometry(T_POSE)[0])
    with pytest.raises(ValueError, match="one list per pose"):
        codes_satisfied([], pose_geometry(T_POSE)[0])
    assert caption_poses(poses[:2].numpy()) == caption_poses(poses[:2])
