# SPDX-License-Identifier: Apache-2.0
import dataclasses
import itertools
import math
import os
import re
import subprocess
import sys

import pytest
import torch

from unipose_hf.body import JOINT_NAMES
from unipose_hf.captions import (
    instruct_pairs,
    instruction_eligibility,
    measure_paircodes,
    measure_posecodes,
    paircodes_satisfied,
    pose_geometry,
    turn_between,
)
from unipose_hf.captions.instruct import (
    _CHANGE_FACTS,
    _UNGROUPED,
    INSTRUCTION_VERSIONS,
    InstructionVersion,
    _compose,
    _without_followers,
    turn_categories,
)
from unipose_hf.captions.posecodes.facts import POSE_FACTS, Fact
from unipose_hf.captions.posecodes.joint_sets import POSECODES, SUPER_POSECODES
from unipose_hf.captions.posecodes.measure import CODE_INDEX, Posecodes, sort_into_categories
from unipose_hf.captions.posecodes.measure_pairs import PAIRCODE_INDEX, Paircodes, _super_codes, target_eligibility
from unipose_hf.captions.posecodes.operators import PAIR_OPERATORS, POSE_OPERATORS
from unipose_hf.captions.posecodes.pair_sets import PAIRCODES, SUPER_PAIRCODES
from unipose_hf.captions.reading.scoring import _PAIR_CODES, _POSE_CODES
from unipose_hf.captions.writing.aggregate import group_facts, merge_entities, merge_twins
from unipose_hf.captions.writing.imperative_sentences import describe_changes
from unipose_hf.captions.writing.imperatives import DIRECTIONS, INSTRUCTIONS, NEUTRAL_VERBS
from unipose_hf.captions.writing.kinematic_chains import goals_of_changed_parts
from unipose_hf.data.open_poses import load_open_poses

QUARTER = math.pi / 2
SIDES = ("left", "right")


def pose(**joints):
    """One pose (1, 22, 3): the T-pose with some joints turned."""
    rotations = torch.zeros(1, 22, 3)
    for name, rotation in joints.items():
        rotations[0, JOINT_NAMES.index(name)] = torch.tensor(rotation)
    return rotations


T_POSE = pose()
CROSSED = pose(left_shoulder=(0, -2.1, 0), right_shoulder=(0, 2.1, 0))


@pytest.fixture(scope="module")
def pairs():
    """150 pairs of people from clips that nothing was trained on."""
    poses = load_open_poses("test").axis_angle
    generator = torch.Generator().manual_seed(0)
    return tuple(poses[torch.randint(len(poses), (150,), generator=generator)] for _ in range(2))


@pytest.fixture(scope="module")
def wild():
    """100 pairs that take every joint anywhere."""
    return tuple(torch.randn(2, 100, 22, 3, generator=torch.Generator().manual_seed(0)) * 0.5)


def change_category(codes, name, row=0):
    i = codes.names.index(name)
    return codes.category_names[i][codes.categories[row, i]]


def measured(poses_a, poses_b, **options):
    (joints_a, rotations_a), (joints_b, rotations_b) = pose_geometry(poses_a), pose_geometry(poses_b)
    return measure_paircodes(joints_a, joints_b, rotations_a, rotations_b, **options)


# Measuring


def test_every_operator_sorts_as_the_method_does():
    """PoseFix's tables; a value that equals a threshold belongs below it, and a decrease towards B is positive."""
    moves = (-0.40, -0.15, 0.15, 0.40)
    bent = [f"bent {how}" for how in ("much less", "less", "slightly less")]
    bent += ["-"] + [f"bent {how}" for how in ("slightly more", "more", "much more")]
    table = {
        "pair_angle": ((-80, -45, -18, 18, 45, 80), bent),
        "pair_distance": (
            (-0.40, -0.10, 0.10, 0.40),
            ["farther", "slightly farther", "-", "slightly closer", "closer"],
        ),
        "pair_x": (moves, ["more left", "slightly more left", "-", "slightly more right", "more right"]),
        "pair_y": (moves, ["higher", "slightly higher", "-", "slightly lower", "lower"]),
        "pair_z": (moves, ["more front", "slightly more front", "-", "slightly more back", "more back"]),
        "pair_pitch": (
            (-45, -20, 20, 45),
            ["forward more", "slightly forward more", "-", "slightly backward more", "backward more"],
        ),
        "pair_twist": (
            (-45, -20, 20, 45),
            ["right more", "slightly right more", "-", "slightly left more", "left more"],
        ),
        "pair_lean": (
            (-30, -15, 15, 30),
            ["left more", "slightly left more", "-", "slightly right more", "right more"],
        ),
        "pair_head_pitch": ((-30, 30), ["incline forward more", "-", "incline backward more"]),
        "pair_head_turn": (
            (-30, -15, 15, 30),
            ["turn left more", "turn slightly left", "-", "turn slightly right", "turn right more"],
        ),
    }
    assert set(table) == set(PAIR_OPERATORS)
    for kind, (thresholds, categories) in table.items():
        operator = PAIR_OPERATORS[kind]
        for k, threshold in enumerate(thresholds):
            value = torch.tensor([[threshold]], dtype=torch.float32)
            above = torch.nextafter(value, torch.tensor(torch.inf))
            assert operator.categories[sort_into_categories(value, [operator])] == categories[k]
            assert operator.categories[sort_into_categories(above, [operator])] == categories[k + 1]


def test_a_change_is_a_minus_b_of_what_was_measured(wild):
    joints_a, joints_b = (pose_geometry(poses)[0] for poses in wild)
    codes, a, b = measured(*wild), measure_posecodes(joints_a), measure_posecodes(joints_b)
    i = codes.names.index("pair_angle/left_hip|left_knee|left_ankle")
    j = a.names.index("angle/left_hip|left_knee|left_ankle")
    assert torch.allclose(codes.values[:, i], a.values[:, j] - b.values[:, j], atol=1e-3)
    i = codes.names.index("pair_z/right_knee")
    knee = JOINT_NAMES.index("right_knee")
    assert torch.allclose(codes.values[:, i], joints_a[:, knee, 2] - joints_b[:, knee, 2], atol=1e-5)
    crossing = measured(T_POSE, CROSSED)
    assert change_category(crossing, "pair_x/left_hand") == "more right"
    assert change_category(crossing, "pair_z/left_hand") == "more front"


def test_back_is_the_opposite_of_there(pairs, wild):
    for a, b in (pairs, wild):
        there, back = measured(a, b), measured(b, a)
        last = torch.tensor([len(names) - 1 for names in there.category_names])
        assert torch.equal(back.categories, last - there.categories)


def test_the_pitch_of_an_overturned_body_means_nothing():
    bow, upside_down = pose(pelvis=(1.1, 0, 0)), pose(pelvis=(math.pi, 0, 0))
    assert change_category(measured(T_POSE, bow), "pair_pitch/body") == "forward more"
    for pair in ((bow, upside_down), (upside_down, bow)):
        codes = measured(*pair)
        assert codes.values[0, PAIRCODE_INDEX["pair_pitch/body"]] == 0
        assert change_category(codes, "pair_pitch/body") == "-"


def test_turning_goes_the_short_way_round():
    left, right = (pose(spine1=(0, sign * 2.9, 0)) for sign in (1, -1))  # shoulders turned by 166 degrees
    for a, b, short in ((left, right, "slightly left more"), (right, left, "slightly right more")):
        codes, published = measured(a, b), measured(a, b, compat=True)
        i = PAIRCODE_INDEX["pair_twist/body"]
        assert abs(codes.values[0, i]) == pytest.approx(360 - abs(float(published.values[0, i])), abs=1e-3)
        assert change_category(codes, "pair_twist/body") == short
        assert change_category(published, "pair_twist/body").split()[0] != short.split()[1]


def random_codes(count=400):
    """Paircodes and posecodes of A and B whose categories are drawn at random, super-codes by their recipes."""
    generator = torch.Generator().manual_seed(0)

    def draw(codes, operators):
        sizes = torch.tensor([len(operators[code.kind].categories) for code in codes])
        return (torch.rand(count, len(codes), generator=generator) * sizes).long()

    changes = draw(PAIRCODES, PAIR_OPERATORS)
    a, b = draw(POSECODES, POSE_OPERATORS), draw(POSECODES, POSE_OPERATORS)
    supers = torch.rand(count, len(SUPER_POSECODES), generator=generator) < 0.5
    pose_names = tuple(code.name for code in POSECODES), tuple(POSE_OPERATORS[c.kind].categories for c in POSECODES)
    pair_names = tuple(code.name for code in PAIRCODES), tuple(PAIR_OPERATORS[c.kind].categories for c in PAIRCODES)
    super_names = tuple(code.name for code in SUPER_POSECODES)
    poses = [Posecodes(*pose_names, torch.zeros(count, 271), k, super_names, supers) for k in (a, b)]
    names = tuple(code.name for code in SUPER_PAIRCODES)
    return Paircodes(*pair_names, torch.zeros(count, 49), changes, names, _super_codes(changes, a, b)), *poses


def rows_of(codes, rows):
    return dataclasses.replace(
        codes, **{name: getattr(codes, name)[rows] for name in ("values", "categories", "supers")}
    )


def named(codes, row):
    """{code name: category name} of one row."""
    return {
        name: categories[k]
        for name, categories, k in zip(codes.names, codes.category_names, codes.categories[row].tolist(), strict=True)
    }


def expected_supers(change, a, b):
    """The 52 super-paircodes as the paper's supplement states them."""
    for side, (part, limb, start, end) in itertools.product(
        SIDES, (("knee", "leg", "hip", "ankle"), ("elbow", "arm", "shoulder", "wrist"))
    ):
        joints = f"{side}_{start}|{side}_{part}|{side}_{end}"
        held = change[f"pair_angle/{joints}"].endswith("less") and b[f"angle/{joints}"] in (
            "slightly bent",
            "straight",
        )
        yield f"straighten/{side}_{limb}", held
    for part in ("elbow", "hand", "knee", "foot"):
        measured = [(f"left_{part}|right_{part}", "each_other")] + [
            (f"{side}_{part}|torso", "torso") for side in SIDES
        ]
        for (points, other), how in itertools.product(measured, ("farther", "closer")):
            close = (a if how == "farther" else b)[f"distance/{points}"] == "close"
            for category in (how, f"slightly {how}"):
                name = f"{category.replace(' ', '_')}_{other}/{points}"
                yield name, close and change[f"pair_distance/{points}"] == category


def test_super_paircodes_hold_where_their_recipe_does():
    codes, a, b = random_codes()
    assert len(codes.super_names) == 52
    for row in range(len(codes)):
        wanted = dict(expected_supers(named(codes, row), named(a, row), named(b, row)))
        assert dict(zip(codes.super_names, codes.supers[row].tolist(), strict=True)) == wanted
    assert codes.supers.any(0).all() and not codes.supers.all(0).any()


def test_what_a_super_paircode_says_is_not_said_twice():
    codes, _, _ = random_codes()
    eligible = instruction_eligibility(codes)
    assert torch.equal(eligible[:, 49:], codes.supers * 2)
    for name, i in PAIRCODE_INDEX.items():
        changed = codes.categories[:, i] != codes.category_names[i].index("-")
        if name.startswith("pair_distance/"):
            changed[:] = False  # only expressed by super-codes
        limb = name.split("|")[-1].replace("ankle", "leg").replace("wrist", "arm")
        if name.startswith("pair_angle/"):
            changed &= ~codes.supers[:, codes.super_names.index(f"straighten/{limb}")]
        assert torch.equal(eligible[:, i] == 1, changed), name


def absolute_level(code, category):
    """The table of PoseScript's categories that may be goals: 0 no, 1 yes, 2 rare."""
    ends = {point.split("_")[-1] for point in code.points}
    twins = len(ends) == 1
    if code.kind == "angle":
        return {"completely bent": 2, "right angle": 1, "straight": 1}.get(category, 0)
    if code.kind == "distance" and category == "close":
        if twins:
            return 2 if ends & {"elbow", "foot"} else 1
        hand, other = (point.rsplit("_", 1) for point in code.points[:2]) if "torso" not in ends else ((), ())
        if not hand or hand[1] != "hand":
            return 0
        if other[1] == "elbow":
            return 2 * (hand[0] != other[0])
        return 2 * (other[1] in ("shoulder", "knee", "ankle", "foot"))
    if code.kind == "vertical_axis" and code.subject.split("_")[0] in SIDES:
        arm = code.subject.split("_")[1] in ("upperarm", "forearm")
        return {"horizontal": 1 if arm else 2, "vertical": 2 * arm}.get(category, 0)
    return int(code.name in ("on_ground/left_hand", "on_ground/right_hand") and category == "on ground")


def test_goals_are_the_absolute_posecodes_of_b():
    codes, _, b = random_codes()
    levels = target_eligibility(b, dataclasses.replace(codes, supers=torch.zeros_like(codes.supers)))
    for i, code in enumerate(POSECODES):
        wanted = torch.tensor([absolute_level(code, category) for category in POSE_OPERATORS[code.kind].categories])
        assert torch.equal(levels[:, i].long(), wanted[b.categories[:, i]]), code.name
    rare = {"torso_horizontal/torso": 2, "shoulder_width/left_hand|right_hand": 2}
    for i, code in enumerate(SUPER_POSECODES):
        level = 0 if code.kind.startswith("kneeling") else rare.get(code.name, 1)
        assert torch.equal(levels[:, 271 + i], b.supers[:, i] * level), code.name


def test_goals_that_a_change_tells_of_are_left_out():
    codes, _, b = random_codes()
    free = target_eligibility(b, dataclasses.replace(codes, supers=torch.zeros_like(codes.supers)))
    levels = target_eligibility(b, codes)
    silent = (free > 0) & (levels == 0)
    straight = CODE_INDEX["angle/left_hip|left_knee|left_ankle"]
    told = codes.supers[:, codes.super_names.index("straighten/left_leg")]
    assert torch.equal(silent[:, straight], told & (free[:, straight] > 0)) and silent[:, straight].any()
    close = CODE_INDEX["distance/left_foot|right_foot"]
    kinds = ("closer", "slightly_closer")
    told = sum(codes.supers[:, codes.super_names.index(f"{kind}_each_other/left_foot|right_foot")] for kind in kinds)
    assert torch.equal(silent[:, close], (told > 0) & (free[:, close] > 0)) and silent[:, close].any()
    # the published code loses track of the source pair
    row = int(silent[:, straight].nonzero()[0])
    targets = rows_of(b, [row, row])
    changes = rows_of(codes, [row, row])
    changes.supers[1] = False
    assert target_eligibility(targets, changes)[:, straight].tolist() == [0, 1]
    shared, apart = torch.tensor([[0, 9], [1, 9]]), torch.tensor([[0, 8], [1, 9]])
    assert target_eligibility(targets, changes, pairs=shared)[:, straight].tolist() == [0, 0]
    assert target_eligibility(targets, changes, pairs=apart)[:, straight].tolist() == [0, 1]


def test_what_parted_silences_its_closeness_in_pose_a_only():
    codes, _, b = random_codes()
    close = CODE_INDEX["distance/left_hand|right_hand"]
    told = codes.supers[:, codes.super_names.index("farther_each_other/left_hand|right_hand")]
    row = int(told.nonzero()[0])
    targets, changes = rows_of(b, [row, row]), rows_of(codes, [row, row])
    targets.categories[:, close] = POSE_OPERATORS["distance"].categories.index("close")
    changes.supers[:] = False
    changes.supers[0, codes.super_names.index("farther_each_other/left_hand|right_hand")] = True
    assert (target_eligibility(targets, changes)[:, close] > 0).all()
    leaking = torch.tensor([[5, 6], [7, 5]])  # the second pair ends with the start pose of the first
    assert (target_eligibility(targets, changes, pairs=leaking)[:, close] > 0).tolist() == [True, False]


# From codes to facts


def change(name, category=None, size=1.0):
    code = next(code for code in PAIRCODES + SUPER_PAIRCODES if code.name == name)
    row = _CHANGE_FACTS[(PAIRCODES + SUPER_PAIRCODES).index(code)]
    return row[PAIR_OPERATORS[code.kind].categories.index(category) if category else 1]._replace(size=size)


def goal(name, category=None):
    code = next(code for code in POSECODES + SUPER_POSECODES if code.name == name)
    row = POSE_FACTS[(POSECODES + SUPER_POSECODES).index(code)]
    return row[POSE_OPERATORS[code.kind].categories.index(category) if category else 1]


def fixed(value):
    return lambda: value


def test_only_goals_of_what_moves_are_kept():
    forearm = goal("vertical_axis/left_elbow|left_wrist", "horizontal")
    upperarm = goal("vertical_axis/left_shoulder|left_elbow", "vertical")
    shin = goal("vertical_axis/right_knee|right_ankle", "horizontal")
    torso = goal("torso_horizontal/torso")
    reach = goal("distance/left_hand|right_knee", "close")
    goals = [forearm, upperarm, shin, torso, reach]

    def kept(*changes):
        return goals_of_changed_parts(goals, changes)

    assert kept() == []
    assert kept(change("pair_angle/left_shoulder|left_elbow|left_wrist", "bent more")) == [forearm, reach]
    assert kept(change("pair_y/left_hand", "higher")) == [reach]
    assert kept(change("pair_y/left_shoulder", "higher")) == [forearm, upperarm, reach]
    assert kept(change("pair_y/right_knee", "higher")) == [shin, reach]
    assert kept(change("pair_y/right_foot", "higher")) == []
    assert kept(change("pair_lean/body", "left more")) == goals
    assert kept(change("pair_head_turn/head|pelvis", "turn left more")) == []
    assert kept(change("straighten/right_leg")) == [shin, reach]
    # both sides of a plural, and both ends of two-ended facts
    assert kept(change("closer_each_other/left_knee|right_knee")) == [shin, reach]
    assert kept(change("pair_distance/left_foot|right_foot", "closer")) == []
    hands = goal("shoulder_width/left_hand|right_hand")
    assert goals_of_changed_parts([hands], [change("pair_y/right_elbow", "higher")]) == [hands]


def test_parts_of_a_limb_that_go_the_same_way_merge_into_the_limb():
    def merged(*facts):
        return merge_entities(list(facts), fixed(0.0), same_direction=True)

    elbow, hand = change("pair_y/left_elbow", "slightly higher", 0.2), change("pair_y/left_hand", "higher", 0.5)
    for order in ((elbow, hand), (hand, elbow)):
        [arm] = merged(*order)
        assert arm.subject == ("left", "arm") and arm.relation == ("pair_y", "higher") and arm.size == 0.5
        assert set(arm.codes) == set(elbow.codes + hand.codes)
    assert len(merged(elbow, change("pair_y/left_hand", "slightly lower"))) == 2  # another direction
    assert len(merged(elbow, change("pair_z/left_hand", "slightly more front"))) == 2  # of another nature
    assert len(merged(elbow, change("pair_y/right_hand", "slightly higher"))) == 2  # of the other side
    assert len(merge_entities([elbow, hand], fixed(0.0))) == 2  # captions require the same relation
    assert len(merge_entities([elbow, hand], fixed(0.95), same_direction=True)) == 2


def test_both_sides_merge_only_where_they_do_the_same():
    feet = [change(f"pair_x/{side}_foot", "more left") for side in SIDES]
    [both] = merge_twins(feet, fixed(0.0))
    assert both.subject == ("both", "foot") and len(both.codes) == 2
    assert len(merge_twins([feet[0], change("pair_x/right_foot", "slightly more left")], fixed(0.0))) == 2


def test_distances_are_never_grouped():
    closer = [change(f"closer_torso/{side}_{part}|torso") for side, part in (("left", "hand"), ("right", "foot"))]
    lifted = [change(f"pair_y/{side}_{part}", "higher") for side, part in (("left", "hand"), ("right", "foot"))]
    assert [len(group) for group in group_facts(lifted, fixed(0.0))] == [2]
    groups = group_facts(lifted + closer, fixed(0.0), leave_out=_UNGROUPED)
    assert [group[0].relation for group in groups] == [("closer_torso",), ("closer_torso",), ("pair_y", "higher")]
    assert {code.kind for code in SUPER_PAIRCODES} - _UNGROUPED == {"straighten"}


def test_elbows_and_knees_that_merely_follow_are_left_out():
    elbow, hand = change("pair_y/left_elbow", "slightly higher"), change("pair_y/left_hand", "higher")
    assert _without_followers([elbow, hand]) == [hand]
    for other in (
        change("pair_y/right_hand", "higher"),
        change("pair_y/left_hand", "lower"),
        change("pair_z/left_hand", "more front"),
        change("pair_y/left_foot", "higher"),
    ):
        assert _without_followers([elbow, other]) == [elbow, other]
    hands = hand._replace(subject=("both", "hand"))
    assert _without_followers([elbow, hands]) == [hands]


# Words


def test_every_change_has_at_least_three_ways_to_say_it():
    for facts in _CHANGE_FACTS:
        for fact in filter(None, facts):
            if fact.relation[0] != "pair_distance" and fact.relation[-1] != "-":
                assert len(set(INSTRUCTIONS[fact.relation])) >= 3, fact.relation
    for relation, phrases in INSTRUCTIONS.items():
        assert relation[0] == "turn" or all("{s}" in p.rest or relation[0] in (
            "pair_pitch", "pair_twist", "pair_lean", "pair_head_turn") for p in phrases)  # fmt: skip
        assert {p.verb for p in phrases if p.direction} <= set(NEUTRAL_VERBS)


def swap_sides(words):
    return re.sub(r"\b(left|right)\b", lambda m: {"left": "right", "right": "left"}[m.group()], words)


def test_words_change_sides_with_the_code():
    sided = 0
    for relation, phrases in INSTRUCTIONS.items():
        twins = INSTRUCTIONS[tuple(swap_sides(word) for word in relation)]
        assert [swap_sides(phrase.rest) for phrase in phrases] == [twin.rest for twin in twins]
        sided += any(swap_sides(word) != word for word in relation)
    assert sided == 22


def test_opposite_changes_are_never_worded_alike():
    for code in PAIRCODES:
        if code.kind != "pair_distance":
            names = [name for name in PAIR_OPERATORS[code.kind].categories if name != "-"]
            said = [{(p.verb, p.rest) for p in INSTRUCTIONS[code.kind, name]} for name in names]
            assert all(not a & b for a, b in itertools.combinations(said, 2)), code.kind


def said(groups, draws=0.0, determiner="your", **options):
    values = iter(draws) if isinstance(draws, list | tuple) else itertools.repeat(draws)
    return describe_changes(groups, determiner, lambda: next(values), **options)


def test_a_part_is_named_once_and_then_is_it():
    hand = [change("pair_y/left_hand", "higher"), change("pair_x/left_hand", "more left")]
    assert said([hand], 0.0) == "Raise your left hand and move it far to the left."
    both = [fact._replace(subject=("both", "hand")) for fact in hand]
    assert said([both], 0.0, "the") == "Raise both hands and move them far to the left."
    # the next clause is about the same part, unless simplified
    assert said([[fact] for fact in hand], 0.3) == "Lift your left hand up and bring it over to the left."
    text = said([[fact] for fact in hand], 0.3, simplify=True)
    assert text == "Lift your left hand up and bring your left hand over to the left."


def test_a_part_that_was_not_named_is_not_it():
    head = [
        change("pair_head_turn/head|pelvis", "turn left more"),
        change("pair_head_pitch/head|neck", "incline forward more"),
    ]
    assert said([[fact] for fact in head], [0.3, 0.4, 0.0]) == "Look to the left and lower your head."
    assert said([head], [0.4, 0.0]) == "Look to the left and lower your head."
    assert said([head[::-1]], 0.0) == "Lower your head and turn it to the left."
    body = [change("pair_pitch/body", "forward more"), change("pair_lean/body", "left more")]
    assert said([body], 0.99) == "Tilt your upper body well forward and tilt it to the left."


def test_one_movement_has_one_verb():
    foot = [change("pair_z/left_foot", "more front"), change("pair_y/left_foot", "higher")]
    assert said([foot], [0.0, 0.5, 0.0]) == "Move your left foot forward and up."
    assert said([foot], [0.0, 0.7, 0.8]) == "Move your left foot forward and move it up."
    assert DIRECTIONS["pair_angle", "bent more"] == ()


def test_after_while_comes_a_gerund():
    a, b, c = (change(f"pair_y/{side}_{part}", "higher") for side, part in
               (("left", "hand"), ("right", "foot"), ("left", "knee")))  # fmt: skip
    connect = {", ": 0.1, " and ": 0.3, " while ": 0.5, ", then ": 0.7, ". ": 0.9}

    def joined(*connectors):
        return said([[a], [b], [c]], [connect[name] for name in connectors] + [0.0] * 3)

    hand, foot, knee = "aise your left hand", "your right foot", "your left knee"
    assert joined(" while ", " and ") == f"R{hand} while raising {foot} and raising {knee}."
    assert joined(" while ", ", then ") == f"R{hand} while raising {foot}, then raise {knee}."
    assert joined(" while ", " while ") == f"R{hand} while raising {foot} and raising {knee}."
    assert joined(", ", ", ") == f"R{hand}, raise {foot}, and raise {knee}."
    assert joined(" and ", " and ") == f"R{hand}, raise {foot} and raise {knee}."
    assert joined(", ", " while ") == f"R{hand}, and raise {foot} while raising {knee}."
    assert joined(". ", " while ") == f"R{hand}. Raise {foot} while raising {knee}."


def test_goals_oblige_and_agree_with_their_number():
    knee = goal("angle/left_hip|left_knee|left_ankle", "straight")
    both = knee._replace(subject=("both", "knee"))
    verbs = [said([[fact]], [0.0, draw] if fact is knee else [0.9, 0.0, draw], "the") for fact in (knee, both)
             for draw in (0.1, 0.3, 0.6, 0.9)]  # fmt: skip
    assert verbs == [
        *(f"The left knee {verb} be straight." for verb in ("should", "needs to", "must", "has to")),
        *(f"The knees {verb} be straight." for verb in ("should", "need to", "must", "have to")),
    ]
    # "it" refers to the part just moved; after "while" the goal is a state
    bend = change("pair_angle/left_hip|left_knee|left_ankle", "bent less")
    assert said([[knee, bend]], 0.0) == "Unbend your left knee so that it is straight."
    assert said([[knee, bend]], [0.0, 0.9, 0.0, 0.0]) == "Unbend your left knee. It should be straight."
    shins = goal("vertical_axis/left_knee|left_ankle", "horizontal")._replace(subject=("both", "shin"))
    text = said([[change("pair_y/left_hand", "higher")], [shins]], [0.5, 0.0, 0.9, 0.0])
    assert text == "Raise your left hand while your shins are horizontal."
    # a command is never joined with a statement
    assert said([[bend], [shins]], [0.1, 0.0, 0.9, 0.0, 0.0]).startswith("Unbend your left knee. Your shins should")


def test_the_other_hand():
    near = Fact((), ("distance", "close"), ("left", "hand"), ("right", "hand"))
    level = Fact((), ("xy_aligned",), ("left", "hand"), ("right", "knee"))
    group = [level, level._replace(object=("right", "shin"))]
    assert said([group], 0.5) == "Your left hand must be level with your right knee and your right shin."
    group = [level, level._replace(relation=("distance", "close"))]
    assert said([group], 0.5) == "Your left hand must be level with your right knee and near it."
    objects = {said([[near]], [0.0, draw, 0.0], "your") for draw in (0.1, 0.5, 0.9)}
    assert objects == {f"Your left hand should be close to {other}." for other in
                       ("your right hand", "the other", "your right one")}  # fmt: skip
    assert said([[near]], [0.0, 0.0], simplify=True) == "Your left hand should be close to your right hand."
    apart = Fact((), ("distance", "close"), ("both", "hand"), None)
    assert said([[apart]], 0.0) == "Both hands should be close together."


def test_hands_may_be_close_to_each_other_and_to_a_thing():
    together = Fact((), ("distance", "close"), ("both", "hand"), None)
    to_torso = Fact((), ("distance", "close"), ("both", "hand"), ("", "torso"))
    for value in (0.0, 0.3, 0.6, 0.9):
        for group in ([together, to_torso], [to_torso, together]):
            assert "torso" in said([group], value)


# Whole texts


def test_no_instruction_is_false(pairs, wild):
    for (a, b), version in itertools.product((pairs, wild), ("default", "PoseFix-A/1", "PoseFix-A/3")):
        (joints_a, rotations_a), (joints_b, rotations_b) = pose_geometry(a), pose_geometry(b)
        turn = turn_between(a, b)
        texts, stated = instruct_pairs(a, b, version=version, rotation_change=turn, return_codes=True)
        share = paircodes_satisfied(stated, joints_a, joints_b, rotations_a, rotations_b, rotation_change=turn)
        assert share.nan_to_num(1).eq(1).all()
        assert any(tuple(code) in _POSE_CODES for codes in stated for code in codes)
        for text in texts:
            assert text[0].isupper() and text.endswith(".") and not re.search(r"[{}_]|  | \.|\.\.|,,| ,", text), text
            assert len(text.split()) >= 3
    others = paircodes_satisfied(stated, joints_a, joints_b.roll(1, 0), rotations_a, rotations_b.roll(1, 0))
    assert others.nanmean() < 0.6
    back = [[code for code in codes if code[0].startswith("pair_")] for codes in stated]
    assert paircodes_satisfied(back, joints_b, joints_a, rotations_b, rotations_a).nanmean() == 0


def test_goals_count_for_the_score():
    a, b = T_POSE, pose(left_elbow=(0, -QUARTER, 0))
    (joints_a, _), (joints_b, _) = pose_geometry(a), pose_geometry(b)
    bend = ("pair_angle/left_shoulder|left_elbow|left_wrist", "bent much more")
    right = ("angle/left_shoulder|left_elbow|left_wrist", "right angle")
    straight = ("angle/left_shoulder|left_elbow|left_wrist", "straight")
    for stated, share in (([bend, right], 1.0), ([bend, straight], 0.5), ([straight], 0.0), ([right], 1.0)):
        assert paircodes_satisfied([stated], joints_a, joints_b).tolist() == [share]
    assert not set(_PAIR_CODES) & set(_POSE_CODES)
    _, [stated] = instruct_pairs(a, b, version="PoseFix-A/1", return_codes=True)
    assert bend in stated and right in stated


def test_texts_depend_on_pair_and_options_only(pairs):
    a, b = pairs[0][:40], pairs[1][:40]
    for options in ({}, {"noise": True}, {"max_clauses": 6}, {"version": "PoseFix-A/3"}):
        texts = instruct_pairs(a, b, seed=3, **options)
        assert instruct_pairs(a[7:9].clone(), b[7:9], seed=3, **options) == texts[7:9]
        assert sum(x != y for x, y in zip(texts, instruct_pairs(a, b, seed=4, **options), strict=True)) > 35
    command = (
        "from unipose_hf.captions import instruct_pairs; from unipose_hf.data.open_poses import load_open_poses;"
        "p = load_open_poses('test').axis_angle[:12]; print(*instruct_pairs(p, p.roll(1, 0)), sep='\\n')"
    )
    answer = subprocess.run(
        [sys.executable, "-c", command],
        env=os.environ | {"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    poses = load_open_poses("test").axis_angle[:12]
    assert answer.stdout.splitlines() == instruct_pairs(poses, poses.roll(1, 0))


def test_noise_blurs_but_leaves_the_poses_alone(pairs):
    a, b = pairs[0][:40].clone(), pairs[1][:40].clone()
    noisy, stated = instruct_pairs(a, b, noise=True, return_codes=True)
    assert torch.equal(a, pairs[0][:40]) and torch.equal(b, pairs[1][:40])
    assert noisy == instruct_pairs(a, b, noise=True) != instruct_pairs(a, b)
    (joints_a, rotations_a), (joints_b, rotations_b) = pose_geometry(a), pose_geometry(b)
    share = paircodes_satisfied(stated, joints_a, joints_b, rotations_a, rotations_b)
    assert 0.6 < share.nanmean() < 0.99
    before = rotations_a.clone()
    generator = torch.Generator().manual_seed(0)
    measure_paircodes(joints_a, joints_b, rotations_a, rotations_b, noise=generator)
    assert torch.equal(rotations_a, before)


def test_versions_say_what_they_should(pairs):
    def codes(version, **options):
        texts, stated = instruct_pairs(*pairs, version=version, return_codes=True, **options)
        return texts, [set(codes) for codes in stated]

    whole, published = codes("PoseFix-A/1")[1], codes("PoseFix-A/1", compat=True)[1]
    counts = (instruction_eligibility(measured(*pairs)) > 0).sum(1).tolist()
    changes = [{code for code in stated if code in _PAIR_CODES} for stated in whole]
    every = [{code for code in stated if code in _PAIR_CODES} for stated in published]
    assert list(map(len, every)) == counts
    # everything is mentioned except a few joints that merely follow
    assert all(some <= all_ for some, all_ in zip(changes, every, strict=True))
    assert 0.9 < sum(map(len, changes)) / sum(counts) < 1
    assert 0.7 < sum(map(len, codes("PoseFix-A/2")[1])) / sum(map(len, whole)) < 0.95
    joined = re.compile(r"\b(the other|arms|legs|it(?! goes)|them|they)\b", re.IGNORECASE)
    assert not any(joined.search(text) for text in codes("PoseFix-A/3")[0])
    assert any(joined.search(text) for text in codes("PoseFix-A/2")[0])
    for version, options in INSTRUCTION_VERSIONS.items():
        goals = sum(code in _POSE_CODES for stated in codes(version)[1] for code in stated)
        assert bool(goals) == options.absolute


def test_few_clauses_tell_of_the_biggest_changes(pairs):
    facts = [
        change("pair_y/left_hand", "higher", 2.0),
        change("pair_x/right_foot", "slightly more left", 1.0),
        change("pair_z/right_hand", "more front", 3.0),
        change("pair_y/left_shoulder", "higher", 2.5),
    ]
    hand = goal("on_ground/left_hand", "on ground")
    version = InstructionVersion(skip=False)
    for count, biggest in ((1, [2]), (2, [2, 0]), (3, [2, 0, 3]), (4, [2, 0, 3, 1])):
        _, codes = _compose((facts, [1] * 4), ([hand], [1]), None, fixed(0.99), version, False, count)
        assert codes == [facts[i].codes[0] for i in biggest]  # a shoulder counts half
    _, codes = _compose((facts, [1] * 4), ([hand], [1]), None, fixed(0.99), version, False, 5)
    assert codes[-1] == hand.codes[0]
    texts = instruct_pairs(*pairs, max_clauses=8)
    assert all(len(text.split()) < 90 for text in texts) and max(len(text.split()) for text in texts) > 50


def test_facts_are_joined_as_the_method_does():
    def text(*facts):
        levels, version = [1] * len(facts), InstructionVersion(skip=False)
        return _compose((list(facts), levels), ([], []), None, fixed(0.0), version, False, None)[0]

    arm = text(change("pair_y/left_elbow", "slightly higher", 0.5), change("pair_y/left_hand", "higher", 2.0))
    assert arm == "Raise the left arm."
    ends = [change(f"closer_torso/{end}|torso") for end in ("left_hand", "right_foot")]
    assert len(re.findall("tight in to the body", text(*ends))) == 2
    ends = [change(f"pair_y/{end}", "lower") for end in ("left_hand", "right_foot")]
    assert len(re.findall("(?i)lower", text(*ends))) == 1


def test_plain_changes():
    [text] = instruct_pairs(T_POSE, pose(left_shoulder=(0, 0, QUARTER)))
    assert re.search("(the|your) left (arm|hand)", text.lower()) and re.search("raise|lift|up", text.lower())
    assert not re.search("right (arm|hand|elbow)", text.split("should")[0])
    bent = pose(left_elbow=(0, -1.9, 0), right_elbow=(0, 1.9, 0))
    [text], [stated] = instruct_pairs(bent, T_POSE, return_codes=True)
    assert ("straighten/left_arm", "true") in stated and re.search("(straighten|stretch|extend).* arms", text.lower())
    assert not any(name.startswith(("pair_angle", "angle")) for name, _ in stated)


def test_no_change_means_keep_the_pose(pairs):
    for options in ({}, {"max_clauses": 8}, {"compat": True}):
        texts, stated = instruct_pairs(pairs[0][:20], pairs[0][:20], return_codes=True, **options)
        assert all(re.match("(Keep|Stay|Hold)", text) for text in texts) and not any(stated)


def test_turns():
    quarter = pose(pelvis=(0, QUARTER, 0))
    [text] = instruct_pairs(T_POSE, quarter)
    assert re.match("(Keep|Stay|Hold)", text)
    [text], [stated] = instruct_pairs(
        T_POSE, quarter, rotation_change=turn_between(T_POSE, quarter), return_codes=True
    )
    assert "left" in text and re.search("quarter|ninety", text) and stated == [("turn/body", "a quarter left")]
    bins = {
        -150: "around", -120: "around to the right", -60: "a quarter right", -20: "slightly right", 20: None,
        60: "slightly left", 120: "a quarter left", 150: "around to the left", 179: "around",
    }  # fmt: skip
    changes = torch.zeros(len(bins), 3)
    changes[:, 1] = torch.tensor(list(bins), dtype=torch.float32)
    assert turn_categories(changes, len(bins)) == list(bins.values())
    changes[:, 1] += 0.01
    assert turn_categories(changes[:-1], len(bins) - 1) == list(bins.values())[1:]
    sideways = torch.tensor([[170.0, 0, 0]])  # bending over is no turn
    assert turn_categories(sideways, 1) == [None]
    texts = instruct_pairs(CROSSED, T_POSE, rotation_change=torch.tensor([[0, 100.0, 0]]))
    assert re.match(r"(Make|Turn) [^.]*(quarter|ninety)[^.]* left\. [A-Z]", texts[0])


def test_wrong_input_gets_one_clear_sentence(pairs):
    a, b = pairs[0][:3], pairs[1][:3]
    empty = torch.zeros(0, 22, 3)
    assert instruct_pairs(empty, empty) == [] and instruct_pairs([], [], compat=True, return_codes=True) == ([], [])
    with pytest.raises(ValueError, match="poses_b holds 2 poses, expected 3"):
        instruct_pairs(a, b[:2])
    with pytest.raises(ValueError, match="rotation_change has shape"):
        instruct_pairs(a, b, rotation_change=torch.zeros(3))
    with pytest.raises(ValueError, match="no instruction version 'long'; choose one of default, PoseFix-A/1"):
        instruct_pairs(a, b, version="long")
    with pytest.raises(ValueError, match="max_clauses is 0; give at least 1"):
        instruct_pairs(a, b, max_clauses=0)
    joints = pose_geometry(a)[0]
    with pytest.raises(ValueError, match="unknown code"):
        paircodes_satisfied([[("pair_y/nose", "higher")], [], []], joints, joints)
    with pytest.raises(ValueError, match="one list per pose"):
        paircodes_satisfied([], joints, joints)
    with pytest.raises(ValueError, match="give one pose B for each pose A"):
        measure_paircodes(joints, joints[:2])
    assert instruct_pairs(a.numpy(), b.numpy()) == instruct_pairs(a, b)


def test_measuring_is_exact_without_rotations_too(pairs):
    (joints_a, _), (joints_b, _) = (pose_geometry(poses) for poses in pairs)
    bare, full = measure_paircodes(joints_a, joints_b), measured(*pairs)
    assert len(bare.names) == 47 and torch.equal(bare.categories, full.categories[:, :47])
    assert torch.equal(bare.supers, full.supers)
    assert instruction_eligibility(bare).shape == (150, 47 + 52)


def test_every_pair_gets_its_own_words(pairs):
    assert len(set(instruct_pairs(*pairs))) > 140
    assert describe_changes([], "the", fixed(0.0)) == ""


def test_steady_instructions_are_true_and_outlast_small_turns(pairs):
    generator = torch.Generator().manual_seed(5)
    swayed = [poses + 0.1 * torch.randn(poses.shape, generator=generator) for poses in pairs]

    def share(stated, poses_a, poses_b):
        (joints_a, rotations_a), (joints_b, rotations_b) = pose_geometry(poses_a), pose_geometry(poses_b)
        return paircodes_satisfied(stated, joints_a, joints_b, rotations_a, rotations_b)

    held = []
    for steady in (0.0, 0.1):
        texts, stated = instruct_pairs(*pairs, max_clauses=9, steady=steady, return_codes=True)
        assert share(stated, *pairs).nan_to_num(1).eq(1).all()
        held.append(share(stated, *swayed).nanmean())
    assert held[1] > held[0] + 0.05
    alone = instruct_pairs(pairs[0][5:6], pairs[1][5:6], max_clauses=9, steady=0.1)
    assert alone == texts[5:6]
