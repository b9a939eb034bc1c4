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
    measure_posecodes,
    pose_geometry,
)
from unipose_hf.captions.joint_sets import POSECODES, SUPER_POSECODES
from unipose_hf.captions.measure import sort_into_categories
from unipose_hf.captions.operators import PAIR_OPERATORS, POSE_OPERATORS, TURN_OPERATOR
from unipose_hf.captions.pair_sets import PAIRCODES, SUPER_PAIRCODES

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


def test_wrong_input_gets_one_clear_sentence(poses):
    empty = torch.zeros(0, 22, 3)
    assert caption_poses(empty) == [] and caption_poses([], return_codes=True) == ([], [])
    assert len(measure_posecodes(empty)) == 0
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
    with pytest.raises(ValueError, match="unknown code"):
        codes_satisfied([[("angle/nose", "straight")]], pose_geometry(T_POSE)[0])
    with pytest.raises(ValueError, match="one list per pose"):
        codes_satisfied([], pose_geometry(T_POSE)[0])
    assert caption_poses(poses[:2].numpy()) == caption_poses(poses[:2])
