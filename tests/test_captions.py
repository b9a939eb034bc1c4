# SPDX-License-Identifier: Apache-2.0
import math
import re
from collections import Counter

import pytest
import torch

from unipose_hf.body import JOINT_NAMES, MIRROR, mirror_pose
from unipose_hf.captions import (
    caption_eligibility,
    caption_poses,
    codes_satisfied,
    instruct_pairs,
    measure_paircodes,
    measure_posecodes,
    paircodes_satisfied,
    pose_geometry,
    turn_between,
)
from unipose_hf.captions.describe import _FACTS
from unipose_hf.captions.instruct import _FACTS as PAIR_FACTS
from unipose_hf.captions.joint_sets import POSECODES, SUPER_POSECODES
from unipose_hf.captions.measure import _LEVELS, sort_into_categories
from unipose_hf.captions.operators import PAIR_OPERATORS, POSE_OPERATORS, TURN_OPERATOR
from unipose_hf.captions.pair_sets import PAIRCODES, SUPER_PAIRCODES
from unipose_hf.captions.sentences import describe_facts
from unipose_hf.captions.wording import INSTRUCTIONS, PREDICATES

QUARTER = math.pi / 2


def pose(**joints):
    """One pose (1, 22, 3): the T-pose with some joints turned."""
    rotations = torch.zeros(1, 22, 3)
    for name, rotation in joints.items():
        rotations[0, JOINT_NAMES.index(name)] = torch.tensor(rotation)
    return rotations


T_POSE = pose()
SQUAT = pose(
    left_hip=(-QUARTER, 0, 0), right_hip=(-QUARTER, 0, 0), left_knee=(QUARTER, 0, 0), right_knee=(QUARTER, 0, 0)
)
HANDS_UP = pose(left_shoulder=(0, 0, QUARTER), right_shoulder=(0, 0, -QUARTER))
CROSSED = pose(left_shoulder=(0, -2.1, 0), right_shoulder=(0, 2.1, 0))
BOW = pose(pelvis=(1.1, 0, 0))
UPSIDE_DOWN = pose(pelvis=(math.pi, 0, 0))


@pytest.fixture(scope="module")
def poses():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(200, 22, 3, generator=generator) * 0.45


def category(codes, name, row=0):
    if name in codes.super_names:
        return bool(codes.supers[row, codes.super_names.index(name)])
    i = codes.names.index(name)
    return codes.category_names[i][codes.categories[row, i]]


def measured(axis_angle):
    return measure_posecodes(*pose_geometry(axis_angle))


def test_every_joint_set_of_the_method_is_there():
    counts = Counter(code.kind for code in POSECODES)
    assert counts == dict(
        angle=4, distance=70, rel_x=54, rel_y=61, rel_z=57, vertical_axis=13, on_ground=6,
        body_pitch=1, body_twist=1, body_lean=1, head_pitch=1, head_turn=1, head_tilt=1,
    )  # fmt: skip
    assert (len(POSECODES), len(SUPER_POSECODES), len(PAIRCODES), len(SUPER_PAIRCODES)) == (271, 150, 49, 52)
    assert len({code.name for code in POSECODES + SUPER_POSECODES}) == 421
    assert len({code.name for code in PAIRCODES + SUPER_PAIRCODES}) == 101


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


def test_kneeling_and_its_supports():
    kneel = {"knee": (QUARTER, 0, 0), "ankle": (1.2, 0, 0)}
    folded = pose(**{f"{side}_{part}": turn for side in ("left", "right") for part, turn in kneel.items()})
    codes = measured(folded)
    assert category(codes, "kneeling/body") and not category(codes, "kneeling_on/left_knee")
    eligible = caption_eligibility(codes)[0]
    assert eligible[codes.names.index("on_ground/left_knee")] == 0
    assert eligible[len(codes.names) + codes.super_names.index("kneeling/body")] == 2
    lunge = pose(
        left_knee=(QUARTER, 0, 0), left_ankle=(1.2, 0, 0), right_hip=(-QUARTER, 0, 0), right_knee=(QUARTER, 0, 0)
    )
    assert category(measured(lunge), "kneeling_on/left_knee")
    assert category(measured(mirror_pose(lunge)), "kneeling_on/right_knee")


def test_a_value_on_a_threshold_goes_low():
    for operator in (*POSE_OPERATORS.values(), *PAIR_OPERATORS.values(), TURN_OPERATOR):
        assert len(operator.categories) == len(operator.thresholds) + 1
        assert list(operator.thresholds) == sorted(operator.thresholds)
        for k, threshold in enumerate(operator.thresholds):
            value = torch.tensor([[threshold]])
            above = torch.nextafter(value, torch.tensor(torch.inf))
            assert sort_into_categories(value, [operator]).item() == k
            assert sort_into_categories(above, [operator]).item() == k + 1


def test_noise_is_off_unless_asked_for_and_stays_within_the_tolerance(poses):
    joints, rotations = pose_geometry(poses)
    exact = measure_posecodes(joints, rotations)
    noisy = measure_posecodes(joints, rotations, noise=torch.Generator().manual_seed(1))
    again = measure_posecodes(joints, rotations, noise=torch.Generator().manual_seed(1))
    assert torch.equal(exact.values, noisy.values) and torch.equal(noisy.categories, again.categories)
    moved = exact.categories != noisy.categories
    assert 0.01 < moved.float().mean() < 0.5
    for i, code in enumerate(POSECODES):
        operator = POSE_OPERATORS[code.kind]
        gap = (exact.values[:, i, None] - torch.tensor(operator.thresholds)).abs().amin(-1)
        assert (gap[moved[:, i]] <= operator.tolerance + 1e-4).all()


def swap_sides(words):
    swap = {"left": "right", "right": "left"}
    return re.sub(r"(?<!up)(left|right(?! angle| by| next))", lambda m: swap[m.group()], words)


def test_a_mirrored_pose_has_mirrored_codes(poses):
    joints, rotations = pose_geometry(poses)
    codes = measure_posecodes(joints, rotations)
    mirrored = measure_posecodes(
        joints[:, list(MIRROR)] * torch.tensor([-1.0, 1, 1]), rotations[:, list(MIRROR)] * torch.tensor([1.0, -1, -1])
    )
    checked = 0
    for i, code in enumerate(POSECODES):
        twin = code.kind + "/" + swap_sides("|".join(code.points))
        reversed_pair = twin not in codes.names  # left hand - right hand is its own mirror image, read backwards
        j = i if reversed_pair else codes.names.index(twin)
        negated = code.kind in ("rel_x", "body_twist", "body_lean", "head_turn", "head_tilt")
        if reversed_pair and code.kind.startswith("rel"):
            negated = not negated
        expected = -codes.values[:, i] if negated else codes.values[:, i]
        assert torch.allclose(mirrored.values[:, j], expected, atol=2e-2 if code.kind == "angle" else 2e-3), code.name
        last = len(codes.category_names[i]) - 1
        expected = last - codes.categories[:, i] if negated else codes.categories[:, i]
        assert (mirrored.categories[:, j] == expected).float().mean() > 0.99
        checked += not reversed_pair
    assert checked > 250
    for i, name in enumerate(codes.super_names):
        kind, points = name.split("/")
        twin = name if kind == "shoulder_width" else f"{kind}/{swap_sides(points)}"
        j = codes.super_names.index(twin)
        assert (mirrored.supers[:, j] == codes.supers[:, i]).float().mean() > 0.99


def test_codes_without_rotations_and_with_hands(poses):
    joints, rotations = pose_geometry(poses)
    full, bare = measure_posecodes(joints, rotations), measure_posecodes(joints)
    assert len(bare.names) == 268 and torch.equal(full.categories[:, :268], bare.categories)
    hands = torch.cat((joints, torch.zeros(len(joints), 30, 3)), dim=1)
    elbow, wrist = joints[:, 18], joints[:, 20]
    for finger, elbow, wrist in ((26, 18, 20), (41, 19, 21)):
        arm = joints[:, wrist] - joints[:, elbow]
        hands[:, finger] = joints[:, wrist] + 0.1367 * arm / arm.norm(dim=-1, keepdim=True)
    assert torch.allclose(measure_posecodes(hands).values, bare.values, atol=1e-3)


def test_a_caption_is_true_of_its_pose(poses):
    poses = torch.cat((poses, T_POSE, SQUAT, HANDS_UP, CROSSED, BOW, UPSIDE_DOWN))
    joints, rotations = pose_geometry(poses)
    for seed in range(3):
        captions, stated = caption_poses(poses, seed=seed, return_codes=True)
        assert codes_satisfied(stated, joints, rotations).eq(1).all()
        for caption in captions:
            assert 5 < len(caption.split()) < 90
            assert caption[0].isupper() and caption.endswith(".") and "{" not in caption and "  " not in caption
    # what one pose does is not what another does; without rotations head codes are left out
    others = codes_satisfied(stated, joints.roll(1, 0), rotations.roll(1, 0))
    assert others.mean() < 0.6
    assert codes_satisfied(stated, joints).nan_to_num(1).eq(1).all()


def test_captions_say_what_is_telling():
    def said(axis_angle):
        return [caption_poses(axis_angle, seed=seed)[0].lower() for seed in range(8)]

    assert all(re.search("forward", text) for text in said(BOW))
    assert any("upside down" in text for text in said(UPSIDE_DOWN)) and not any(
        "upright" in t for t in said(UPSIDE_DOWN)
    )
    assert all(re.search("(right hand|hands|right one)", text) for text in said(CROSSED))
    assert any("above" in text or "higher" in text for text in said(HANDS_UP))
    assert any(re.search(r"(both|the|their|his|her) (legs|knees)", text) for text in said(SQUAT))


def test_captions_depend_on_pose_and_seed_only(poses):
    captions = caption_poses(poses[:50], seed=3)
    assert caption_poses(poses[:50], seed=3) == captions
    assert caption_poses(poses[20:30].clone(), seed=3) == captions[20:30]
    assert sum(a != b for a, b in zip(captions, caption_poses(poses[:50], seed=4), strict=True)) > 45
    assert max(len(codes) for codes in caption_poses(poses[:50], max_clauses=1, return_codes=True)[1]) <= 4


def fixed(value):
    return lambda: value


def test_words_change_sides_with_the_code():
    mirror_words = {"left": "right", "right": "left", "at left": "at right", "at right": "at left"}
    mirror_words |= {f"slightly {side}": f"slightly {other}" for side, other in (("left", "right"), ("right", "left"))}
    for index, (code, facts) in enumerate(zip(POSECODES, _FACTS, strict=False)):
        twin_name = f"{code.kind}/{swap_sides('|'.join(code.points))}"
        twin = next((i for i, other in enumerate(POSECODES) if other.name == twin_name), None)
        names = POSE_OPERATORS[code.kind].categories
        for k, name in enumerate(names):
            if twin is None or not _LEVELS[index, k]:  # never said by itself
                continue
            other = _FACTS[twin][names.index(mirror_words.get(name, name))]
            for draw in (0.1, 0.45, 0.9):
                words = describe_facts([facts[k]], fixed(draw))
                assert swap_sides(words) == describe_facts([other], fixed(draw)), code.name


def test_words_for_two_hands_keep_their_order():
    index = {code.name: i for i, code in enumerate(POSECODES)}
    higher = ("above", "higher")
    lower = ("below", "lower")
    fact = _FACTS[index["rel_y/left_hand|right_hand"]][0]  # the left hand is below the right
    for draw in (0.05, 0.3, 0.6, 0.95):
        text = describe_facts([fact], fixed(draw)).lower()
        left_first = text.index("left") < text.index("right")
        assert any(word in text for word in (lower if left_first else higher)), text


def test_everything_that_may_be_said_has_words():
    for code, facts in zip(POSECODES, _FACTS, strict=False):
        for k in _LEVELS[POSECODES.index(code)].nonzero()[:, 0]:
            assert len(PREDICATES[facts[k].relation]) >= 2, code.name
    for facts in _FACTS[len(POSECODES) :]:
        assert len(PREDICATES[facts[1].relation]) >= 2
    for code, facts in zip(PAIRCODES, PAIR_FACTS, strict=False):
        for name, fact in zip(PAIR_OPERATORS[code.kind].categories, facts, strict=True):
            assert name == "-" or code.kind == "pair_distance" or len(INSTRUCTIONS[fact.relation]) >= 2
    for facts in PAIR_FACTS[len(PAIRCODES) :]:
        assert len(INSTRUCTIONS[facts[1].relation]) >= 2


def test_an_instruction_is_true_of_its_pair(poses):
    a, b = poses[:100], poses[100:]
    (joints_a, rotations_a), (joints_b, rotations_b) = pose_geometry(a), pose_geometry(b)
    turn = turn_between(a, b)
    texts, stated = instruct_pairs(a, b, rotation_change=turn, return_codes=True)
    share = paircodes_satisfied(stated, joints_a, joints_b, rotations_a, rotations_b, rotation_change=turn)
    assert share.eq(1).all()
    back = paircodes_satisfied(stated, joints_b, joints_a, rotations_b, rotations_a, rotation_change=-turn)
    assert back.mean() < 0.1
    for text in texts:
        assert 3 < len(text.split()) < 90
        assert text[0].isupper() and text.endswith(".") and "{" not in text and "  " not in text
    assert instruct_pairs(a[10:20], b[10:20], rotation_change=turn[10:20]) == texts[10:20]
    assert instruct_pairs(a, b, seed=1) != instruct_pairs(a, b, seed=2)


def test_instructions_for_plain_changes():
    [text] = instruct_pairs(T_POSE, pose(left_shoulder=(0, 0, QUARTER)))
    assert re.search("(the|your) left (arm|hand)", text.lower()) and re.search("raise|lift|up", text.lower())
    assert not re.search("right (arm|hand)", text)
    bent = pose(left_elbow=(0, -1.9, 0), right_elbow=(0, 1.9, 0))
    texts, stated = instruct_pairs(bent, T_POSE, return_codes=True)
    assert ("straighten/left_arm", "true") in stated[0] and re.search("left arm|arms", texts[0])
    assert not any(name.startswith("pair_angle") for name, _ in stated[0])
    codes = measure_paircodes(*(pose_geometry(p)[0] for p in (T_POSE, CROSSED)))
    assert category(codes, "pair_x/left_hand") == "more right" and category(codes, "pair_z/left_hand") == "more front"


def test_no_change_means_keep_the_pose(poses):
    texts, stated = instruct_pairs(poses[:20], poses[:20], return_codes=True)
    assert all(re.match("(Keep|Stay|Hold)", text) for text in texts) and not any(stated)
    quarter = pose(pelvis=(0, QUARTER, 0))
    [text] = instruct_pairs(T_POSE, quarter)
    assert re.match("(Keep|Stay|Hold)", text)
    [text] = instruct_pairs(T_POSE, quarter, rotation_change=turn_between(T_POSE, quarter))
    assert "left" in text and ("quarter" in text or "ninety" in text)


def test_wrong_input_gets_one_clear_sentence(poses):
    empty = torch.zeros(0, 22, 3)
    assert caption_poses(empty) == [] and caption_poses([], return_codes=True) == ([], [])
    assert instruct_pairs(empty, empty) == [] and len(measure_posecodes(empty)) == 0
    assert codes_satisfied([], empty).shape == (0,)
    with pytest.raises(ValueError, match=r"poses has shape \(22, 3\); expected \(N, 22, 3\)"):
        caption_poses(poses[0])
    broken = poses[:3].clone()
    broken[1, 4, 2] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinity in pose 1"):
        caption_poses(broken)
    with pytest.raises(ValueError, match="joints holds NaN or infinity in pose 1"):
        measure_posecodes(broken)
    with pytest.raises(ValueError, match=r"joints has shape \(3, 21, 3\)"):
        measure_posecodes(broken[:, :21])
    with pytest.raises(ValueError, match="poses_b holds 2 poses, expected 3"):
        instruct_pairs(poses[:3], poses[:2])
    with pytest.raises(ValueError, match="rotation_change has shape"):
        instruct_pairs(poses[:3], poses[3:6], rotation_change=torch.zeros(3))
    with pytest.raises(ValueError, match="unknown code"):
        codes_satisfied([[("angle/nose", "straight")]], pose_geometry(T_POSE)[0])
    with pytest.raises(ValueError, match="one list per pose"):
        codes_satisfied([], pose_geometry(T_POSE)[0])
    assert caption_poses(poses[:2].numpy()) == caption_poses(poses[:2])
