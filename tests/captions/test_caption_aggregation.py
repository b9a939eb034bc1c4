# SPDX-License-Identifier: Apache-2.0
"""The steps from eligible posecodes to groups of facts, on small hand-made lists."""

import itertools
import random as random_module
import re

import pytest

from unipose_hf.captions.posecodes.facts import OPPOSITES, POSE_FACTS, Fact, split_side
from unipose_hf.captions.posecodes.joint_sets import POSECODES, SUPER_POSECODES
from unipose_hf.captions.writing.aggregate import (
    group_facts,
    merge_entities,
    merge_twins,
    prune_statistically,
    prune_transitive,
    skip_some,
    swap_sides,
)
from unipose_hf.captions.writing.body_tree import order_groups
from unipose_hf.captions.writing.choice import choose_facts
from unipose_hf.captions.writing.pruning_rules import PRUNING_RULES

CODES = {code.name: code for code in POSECODES + SUPER_POSECODES}


FACTS = {f.codes[0]: f for row in POSE_FACTS for f in reversed(row) if f}  # the basic meaning of each


def fact(name, category):
    """The fact of a real posecode."""
    return FACTS[name, category]


def always():
    return 0.0


def never():
    return 0.999


def seeded(seed=0):
    return random_module.Random(seed).random


def said(facts):
    return {(f.relation, f.subject, f.object) for f in facts}


ANGLE = fact("angle/left_hip|left_knee|left_ankle", "straight")
FOLDED = fact("angle/left_hip|left_knee|left_ankle", "completely bent")
HIGH_HANDS = [fact(f"rel_y/{side}_hand|{side}_shoulder", "above") for side in ("left", "right")]


def test_facts_of_one_level_are_skipped_below_15_percent_and_rare_ones_never():
    facts, levels = [ANGLE, FOLDED, *HIGH_HANDS], [1, 2, 1, 1]
    draws = iter([0.1499, 0.15, 0.149])
    assert skip_some(facts, levels, lambda: next(draws)) == [FOLDED, HIGH_HANDS[0]]
    assert next(draws, None) is None  # no draw for rare codes
    kept = sum(len(skip_some(facts, levels, random)) for random in [seeded()] for _ in range(4000)) - 4000
    assert abs(kept / 12000 - 0.85) < 0.015


def test_when_everything_would_be_skipped_nothing_is():
    assert skip_some([ANGLE, *HIGH_HANDS], [1, 1, 1], always) == [ANGLE, *HIGH_HANDS]
    assert skip_some([], [], always) == []


TRIANGLES = {
    "hands and neck": [
        ("rel_y/left_hand|right_hand", "above"),
        ("rel_y/right_wrist|neck", "above"),
        ("rel_y/left_wrist|neck", "above"),  # the outer one
    ],
    "feet and torso, one on each side": [
        ("rel_z/left_foot|torso", "front"),
        ("rel_z/right_foot|torso", "behind"),
        ("rel_z/left_foot|right_foot", "front"),
    ],
    "feet behind the torso": [
        ("rel_z/left_foot|right_foot", "front"),
        ("rel_z/left_foot|torso", "behind"),
        ("rel_z/right_foot|torso", "behind"),
    ],
}


@pytest.mark.parametrize("triangle", TRIANGLES)
def test_of_three_in_a_row_the_outer_two_are_not_compared(triangle):
    facts = [fact(*code) for code in TRIANGLES[triangle]]
    for order in itertools.permutations(facts):
        assert set(prune_transitive([ANGLE, *order])) == {ANGLE, *facts[:2]}
    for missing in range(2):
        rest = [facts[i] for i in range(3) if i != missing]
        assert prune_transitive(rest) == rest


def test_orders_along_other_axes_or_against_each_other_imply_nothing():
    facts = [fact("rel_y/left_hand|right_hand", "above"), fact("rel_z/right_hand|torso", "behind")]
    facts += [fact("rel_z/left_hand|torso", "behind"), fact("rel_y/right_wrist|neck", "above")]
    assert prune_transitive(facts) == facts
    below = [fact("rel_z/left_foot|right_foot", "behind"), fact("rel_z/left_foot|torso", "front")]
    assert prune_transitive(below) == below


# The published one-sided rules, reimplemented: conditions and consequences.
L_SHOULDER, R_SHOULDER = "rel_y/left_hand|left_shoulder above", "rel_y/right_hand|right_shoulder above"
L_NECK, R_NECK = "rel_y/left_wrist|neck above", "rel_y/right_wrist|neck above"
L_LOW, R_LOW = "rel_y/left_hand|left_hip below", "rel_y/right_hand|right_hip below"
L_BACK, R_BACK = "rel_z/left_foot|torso behind", "rel_z/right_foot|torso behind"
HANDS, FEET = "distance/left_hand|right_hand close", "distance/left_foot|right_foot close"
WIDE, HAND_ABOVE = "distance/left_hand|right_hand wide", "rel_y/left_hand|right_hand above"
HAND_BELOW, ELBOW_ABOVE = "rel_y/left_hand|right_hand below", "rel_y/left_elbow|right_elbow above"
L_THIGH = "vertical_axis/left_hip|left_knee vertical"
L_KNEE = "angle/left_hip|left_knee|left_ankle"
RULES = [
    ([L_NECK], L_SHOULDER),
    ([f"{L_KNEE} right angle", L_THIGH], L_BACK),
    (["rel_z/left_foot|right_foot behind", "rel_z/left_foot|torso front"], "rel_z/right_foot|torso front"),
    (["rel_z/left_foot|right_foot front", L_BACK], R_BACK),
    *(([L_SHOULDER, R_LOW], c) for c in (WIDE, "rel_y/left_shoulder|right_shoulder above", ELBOW_ABOVE, HAND_ABOVE)),
    ([L_LOW, "vertical_axis/right_shoulder|right_elbow horizontal"], "rel_y/left_elbow|right_elbow below"),
    ([L_LOW, "vertical_axis/right_shoulder|right_elbow horizontal"], HAND_BELOW),
    ([HANDS, L_SHOULDER], R_SHOULDER),
    ([HANDS, L_NECK], R_SHOULDER),
    ([HANDS, L_NECK], R_NECK),
    ([HANDS, L_LOW], R_LOW),
    ([FEET, L_BACK], R_BACK),
    ([ELBOW_ABOVE, L_LOW], R_LOW),
    ([HAND_BELOW, L_SHOULDER], R_SHOULDER),
    ([HAND_BELOW, L_SHOULDER], R_NECK),
    *(([L_NECK, R_LOW], c) for c in (WIDE, ELBOW_ABOVE, HAND_ABOVE)),
    ([HAND_ABOVE, L_LOW], R_LOW),
    (["rel_z/left_hand|right_hand front", "rel_z/left_hand|torso behind"], "rel_z/right_hand|torso behind"),
    (
        ["vertical_axis/left_shoulder|left_elbow vertical", "vertical_axis/left_elbow|left_wrist horizontal"],
        "angle/left_shoulder|left_elbow|left_wrist right angle",
    ),
    ([L_THIGH, "vertical_axis/left_knee|left_ankle vertical"], f"{L_KNEE} straight"),
    (["rel_z/left_knee|right_knee behind", "vertical_axis/left_hip|left_knee horizontal"], L_BACK),
    (["rel_z/left_knee|right_knee front", L_THIGH], R_BACK),
]


def code(words, mirrored=False):
    name, category = words.split(" ", 1)
    kind, points = name.split("/")
    if mirrored:
        points = re.sub("left|right", lambda side: "right" if side[0] == "left" else "left", points)
        if f"{kind}/{points}" not in CODES:  # left vs. right of the same part: the same code in reverse
            points, category = "|".join(reversed(points.split("|"))), OPPOSITES.get(category, category)
    return f"{kind}/{points}", category


def test_there_are_27_rules_for_each_side():
    assert len(RULES) == 27 and sum(len(reasons) for reasons in PRUNING_RULES.values()) == 54


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rule", range(27))
def test_what_follows_from_the_rest_is_pruned(rule, mirrored):
    reasons, result = RULES[rule]
    reasons, result = [code(words, mirrored) for words in reasons], code(result, mirrored)
    superfluous = fact(*result)
    facts = [*(fact(*reason) for reason in reasons), superfluous]
    present = {*reasons, result}
    assert superfluous not in prune_statistically(facts, present)
    for reason in reasons:
        assert superfluous in prune_statistically(facts, present - {reason})
    # merged facts carry more information and are kept
    merged = superfluous._replace(codes=(result, ("x", "y")))
    assert prune_statistically([merged], present) == [merged]


def test_two_parts_of_a_limb_are_the_limb():
    hand = fact("rel_z/left_hand|right_hand", "front")
    elbow = fact("rel_z/left_elbow|right_elbow", "front")
    [arm] = merge_entities([elbow, hand], always)
    assert arm.subject == ("left", "arm") and arm.object == ("right", "arm")
    assert arm.codes == elbow.codes + hand.codes and arm.relation == hand.relation
    near = [fact(f"distance/left_hand|right_{part}", "close") for part in ("knee", "ankle", "foot")]
    assert said(merge_entities(near, always)) == {
        (("distance", "close"), ("left", "hand"), ("right", end)) for end in ("leg", "foot")
    }
    segments = [fact(f"vertical_axis/left_{ends}", "vertical") for ends in ("hip|left_knee", "knee|left_ankle")]
    assert said(merge_entities(segments, always)) == {(("vertical_axis", "vertical"), ("left", "leg"), None)}


def test_what_could_be_joined_is_joined_95_times_in_100():
    limb = [fact(f"rel_z/left_{part}|right_{part}", "front") for part in ("elbow", "hand")]
    for step, facts in ((merge_entities, limb), (merge_twins, HIGH_HANDS)):
        assert len(step(facts, lambda: 0.949)) == 1 and len(step(facts, lambda: 0.95)) == 2
    assert len(group_facts([ANGLE, FOLDED], lambda: 0.949)) == 1
    assert len(group_facts([ANGLE, FOLDED], lambda: 0.95)) == 2


def test_what_is_not_one_limb_and_one_relation_stays_apart():
    apart = [
        fact("rel_z/left_elbow|right_elbow", "front"),
        fact("rel_z/left_hand|right_hand", "behind"),
        fact("rel_y/left_hand|right_hand", "above"),
        fact("distance/left_hand|left_knee", "close"),
        fact("distance/left_hand|right_ankle", "close"),
        fact("distance/right_hand|right_foot", "close"),
    ]
    assert merge_entities(apart, always) == apart
    pair = [fact("rel_z/left_elbow|right_elbow", "front"), fact("rel_z/left_hand|right_hand", "front")]
    assert merge_entities(pair, never) == pair


def test_changes_in_one_direction_join_under_the_larger():
    def change(part, category, size):
        return Fact(((f"pair_y/left_{part}", category),), ("pair_y", category), ("left", part), None, size)

    facts = [change("elbow", "slightly higher", 0.2), change("hand", "higher", 0.5)]
    for order in (facts, facts[::-1]):
        [arm] = merge_entities(order, always, same_direction=True)
        assert (arm.relation, arm.subject, arm.size) == (("pair_y", "higher"), ("left", "arm"), 0.5)
    assert merge_entities(facts, always) == facts
    against = [facts[0], change("hand", "lower", 0.5)]
    assert merge_entities(against, always, same_direction=True) == against


def near(*ends):
    return [fact(f"distance/{a}_hand|{b}_knee", "close") for a, b in ends]


L, R = "left", "right"
BOTH = ("both", "hand"), ("both", "knee")


@pytest.mark.parametrize(
    ("facts", "expected", "compat"),
    [
        ([(L, L), (L, R)], {((L, "hand"), ("both", "knee"))}, {BOTH}),
        ([(L, L), (R, L)], {(("both", "hand"), (L, "knee"))}, {(("both", "hand"), (L, "knee"))}),
        ([(L, L), (R, R)], {(("both", "hand"), ("own", "knee"))}, {BOTH}),
        ([(L, R), (R, L)], {(("both", "hand"), ("opposite", "knee"))}, {BOTH}),
        ([(L, L), (L, R), (R, L), (R, R)], {BOTH}, {BOTH}),
        (
            [(L, L), (L, R), (R, R)],
            {((L, "hand"), ("both", "knee")), ((R, "hand"), (R, "knee"))},
            {BOTH},
        ),
    ],
)  # fmt: skip
def test_twins_are_joined_with_their_sides_respected_unless_compatible(facts, expected, compat):
    facts = near(*facts)
    merged = merge_twins(facts, always)
    assert {(f.subject, f.object) for f in merged} == expected
    assert {(f.subject, f.object) for f in merge_twins(facts, always, compat=True)} == compat
    assert sorted(c for f in merged for c in f.codes) == sorted(c for f in facts for c in f.codes)
    assert merge_twins(facts, never) == facts


def test_twins_without_objects_and_those_that_are_none():
    legs = [fact(f"angle/{side}_hip|{side}_knee|{side}_ankle", "straight") for side in (L, R)]
    assert said(merge_twins(legs, always)) == {(("angle", "straight"), ("both", "knee"), None)}
    behind = [fact(f"rel_z/{side}_foot|torso", "behind") for side in (L, R)]
    assert said(merge_twins(behind, always)) == {(("rel_z", "behind"), ("both", "foot"), ("", "torso"))}
    apart = [fact("rel_z/left_hand|right_hand", "front"), FOLDED, legs[1]]
    assert merge_twins(apart, always) == apart


def expanded(fact):
    """The simple statements that a joined fact stands for."""
    parts = {"arm": ("hand", "elbow", "upperarm", "forearm"), "leg": ("knee", "foot", "ankle", "thigh", "shin")}
    (side, part), object = fact.subject, fact.object
    for one in (L, R) if side == "both" else (side,):
        for name in parts.get(part, (part,)):
            if object is None:
                yield (one, name), None
                continue
            own = {"own": one, "opposite": L if one == R else R}
            for other in (L, R) if object[0] == "both" else (own.get(object[0], object[0]),):
                yield from (((one, name), (other, end)) for end in parts.get(object[1], (object[1],)))


def test_a_joined_fact_says_what_its_codes_say_and_no_more():
    joined = 0
    for seed in range(40):
        random = seeded(seed)
        facts = [f for f in FACTS.values() if random() < 0.3]
        for f in merge_twins(merge_entities(facts, random), random):
            sources = [FACTS[c] for c in f.codes]
            ends = {end for source in sources for end in expanded(source)}
            assert {source.relation for source in sources} == {f.relation}
            assert ends <= set(expanded(f))
            if not {"arm", "leg"} & {f.subject[1], f.object and f.object[1]}:
                assert ends == set(expanded(f))
                joined += len(f.codes) > 1
    assert joined > 500


def test_opposed_twins_may_be_read_from_the_other_end_or_at_once():
    above, close = fact("rel_y/left_hand|right_hand", "above"), fact("distance/left_hand|right_hand", "close")
    outcomes = {f for seed in range(40) for f in said(swap_sides([above, close], seeded(seed)))}
    hands = (L, "hand"), (R, "hand")
    assert outcomes == {
        (("rel_y", "above"), *hands),
        (("rel_y", "below"), *hands[::-1]),
        (("distance", "close"), *hands),
        (("distance", "close"), *hands[::-1]),
        (("distance", "close"), ("both", "hand"), None),
    }
    others = [ANGLE, *HIGH_HANDS, *near((L, R))]
    assert swap_sides(others, always) == others


def test_groups_share_what_is_said_or_of_whom_and_lose_nothing():
    everything = list(FACTS.values())
    shared = {"relation": 0, "subject": 0}
    for seed in range(60):
        random = seeded(seed)
        facts = random_module.Random(seed).sample(everything, 25)
        groups = group_facts(facts, random)
        assert sorted(map(str, itertools.chain(*groups))) == sorted(map(str, facts))
        for group in groups:
            if len(group) > 1:
                same_relation = len({(f.relation, f.object) for f in group}) == 1
                same_subject = len({f.subject for f in group}) == 1
                assert same_relation or same_subject
                shared["relation" if same_relation else "subject"] += 1
        assert [len(g) > 1 for g in groups] == sorted((len(g) > 1 for g in groups), reverse=True)
    assert min(shared.values()) > 10
    assert group_facts([ANGLE, FOLDED], never) == [[ANGLE], [FOLDED]]
    alone = group_facts([*HIGH_HANDS, ANGLE, FOLDED], always, leave_out={"angle"})
    assert alone[:2] == [[ANGLE], [FOLDED]]


def test_the_walk_goes_through_one_limb_before_the_next():
    arm, leg = ("upperarm", "forearm", "hand"), ("thigh", "shin", "foot")
    subjects = [(side, part) for side in (L, R) for part in (*arm, *leg)] + [("", "head"), ("", "body")]
    groups = [[Fact((), (kind,), subject, None)] for subject in subjects for kind in ("first", "second")]
    orders = set()
    for seed in range(20):
        order = [group[0].subject for group in order_groups(groups, seeded(seed))]
        assert len(order) == 28 and order[:2] == [("", "body")] * 2
        assert order[::2] == order[1::2]  # statements about the same part are adjacent
        for limb in ([(side, part) for part in parts] for side in (L, R) for parts in (arm, leg)):
            places = [i for i, subject in enumerate(order) if subject in limb]
            assert places == list(range(places[0], places[0] + 6))
        orders.add(tuple(order))
    assert len(orders) > 10


def test_what_is_said_of_both_sides_stands_where_something_is_said_already():
    both = [Fact((), ("distance", "close"), ("both", "hand"), None)]
    right = [Fact((), ("rel_y", "above"), (R, "hand"), ("", "neck"))]
    left_leg = [Fact((), ("angle", "straight"), (L, "knee"), None)]
    for seed in range(20):
        order = order_groups([both, left_leg, right], seeded(seed))
        assert abs(order.index(both) - order.index(right)) == 1


def test_a_short_text_keeps_what_is_rare_first():
    rare = [FOLDED, fact("distance/left_hand|left_knee", "close")]
    common = [fact(f"distance/left_hand|{part}", "spread") for part in ("right_shoulder", "right_elbow", "left_knee")]
    facts = [*common, *rare, *HIGH_HANDS]
    for seed in range(20):
        assert set(choose_facts(facts, 2, seeded(seed))) == set(rare)
        chosen = choose_facts(facts, 4, seeded(seed))
        assert len(chosen) == 4 and set(rare) <= set(chosen) and chosen == [f for f in facts if f in chosen]
    assert choose_facts(facts, 9, always) == facts


def test_points_have_sides():
    assert split_side("left_hand") == (L, "hand") and split_side("torso") == ("", "torso")
