# SPDX-License-Identifier: Apache-2.0
"""Descriptions in plain English by measuring."""

import pytest
import torch

from unipose_hf import named_pose
from unipose_hf.body import mirror_pose
from unipose_hf.data.language import STANDING, angles_to_axis_angle, describe_poses, load_language_bank
from unipose_hf.data.language.angles import ANGLES, angle_vector
from unipose_hf.data.language.attitudes import Posture, attitude
from unipose_hf.data.language.bank import complete
from unipose_hf.data.language.describe import DIRECTIONS, body_directions
from unipose_hf.data.language.wording import swap_sides
from unipose_hf.data.open_poses import load_open_poses


def posed(**angles):
    return angles_to_axis_angle(complete(angle_vector(angles)))


def short(**angles):
    return describe_poses(posed(**angles)[None], style="short")[0]


def test_a_pose_of_the_bank_is_called_by_its_name():
    bank = load_language_bank()
    names = describe_poses(angles_to_axis_angle(bank.named_angles[::40]), style="short")
    assert names == [pose.name for pose in bank.named[::40]]
    assert "warrior ii" in describe_poses(named_pose("warrior two").axis_angle[None], style="short")[0].lower()


@pytest.mark.parametrize(
    "angles, words",
    [
        (dict(left_raise=175, right_raise=10), ["left", "up"]),
        (dict(right_flex=80, right_knee=80), ["right", "thigh"]),
        (dict(root_forward=50, left_flex=50, right_flex=50, left_raise=80, left_plane=45), ["bent forward"]),
        (dict(left_flex=120, right_flex=100, left_knee=125, right_knee=135, left_raise=85), ["squatting"]),
        (dict(right_knee=95, left_flex=90, left_knee=90, right_flex=0, right_raise=130), ["kneel", "right"]),
        (dict(root_forward=-90, left_flex=60, right_flex=20, left_raise=100, right_raise=60), ["back"]),
    ],
)
def test_what_stands_out_is_said(angles, words):
    text = describe_poses(posed(**angles)[None], style="full")[0].lower()
    assert all(word in text for word in words), text


ODD_ARMS = {"raise": 70, "plane": -30, "forearm_up": -70, "elbow": 60}  # so that no name fits


def both(**angles):
    return {f"{side}_{name}": value for side in ("left", "right") for name, value in angles.items()}


def with_odd_arms(name):
    """A pose of the bank, but for its arms."""
    bank = load_language_bank()
    angles = bank.named_angles[[pose.name for pose in bank.named].index(name)].clone()
    for angle, value in both(**ODD_ARMS).items():
        angles[ANGLES.index(angle)] = value
    return angles_to_axis_angle(angles)[None]


@pytest.mark.parametrize(
    "angles",
    [
        both(knee=90, point=40, out=-2, **{"raise": 165, "elbow": 3}),
        both(knee=85, point=40, out=-2, flex=-4, **{"raise": 152, "elbow": 10}),
        both(knee=80, flex=-4, out=12, point=30, **{"raise": 148, "plane": 12, "elbow": 12}),
        both(**{"raise": 160, "elbow": 3}),
        both(flex=12, knee=20, out=2, turn=6, **{"raise": 158, "elbow": 3}),
    ],
)
@pytest.mark.parametrize("style", ["short", "full"])
def test_only_bodies_without_support_hang_or_jump(angles, style):
    text = describe_poses(posed(**angles)[None], style=style)[0].lower()
    assert not any(word in text for word in ("hang", "pull-up", "jump", "leap", "dangl")), text
    assert ("kneel" in text) == (angles["left_knee"] > 60 if "left_knee" in angles else False), text


def test_a_dead_hang_is_one():
    assert describe_poses(named_pose("dead hang").axis_angle[None], style="short") == ["dead hang"]


@pytest.mark.parametrize("angles", [dict(left_raise=60, left_plane=40), dict(right_elbow=100, right_raise=80)])
def test_the_heading_goes_without_saying(angles):
    for style in ("short", "full"):
        text = describe_poses(posed(**angles)[None], style=style)[0].lower()
        assert "whole body" not in text and "turned to the" not in text, text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sitting upright on a chair", "sit"),
        ("sitting on the floor with the legs straight out", "floor"),
        ("sitting cross-legged on the floor", "ankles crossed"),
        ("flat-footed squat", "squat"),
        ("sumo squat", "squat"),
        ("goddess pose", "wide squat"),
        ("kneeling upright", "kneel"),
        ("lying flat on the back", "lying on the back"),
        ("lying face down", "face down"),
        ("lying on the side", "lying on the left side"),
        ("three-legged dog", "hands and feet"),
        ("long jump landing reach", "floor"),
    ],
)
def test_how_a_body_is_carried_is_said(name, said):
    text = describe_poses(
        posed_like(name) if "dog" in name or "on the side" in name else with_odd_arms(name), style="full"
    )[0].lower()
    assert said in text, text
    assert (said.startswith("lying") or "face down" in said) == ("lying" in text or "face down" in text), text
    assert ("kneel" in said) == ("kneel" in text) and "upside down" not in text, text


def posed_like(name):
    """A pose of the bank with its head turned, so that no name fits."""
    bank = load_language_bank()
    angles = bank.named_angles[[pose.name for pose in bank.named].index(name)].clone()
    angles[ANGLES.index("turn_left")] += 60
    return angles_to_axis_angle(angles)[None]


def test_equal_limbs_are_described_together():
    text = describe_poses(posed(**both(**ODD_ARMS))[None])[0]
    assert "Both arms" in text and "elbows" in text and "Left arm" not in text


@pytest.mark.parametrize(
    ("name", "carried"),
    [
        ("standing relaxed", "standing"),
        ("tree pose", "standing on the right leg"),
        ("tabletop position", "on hands and knees"),
        ("high plank", "in a plank"),
        ("downward dog", "on hands and feet with the hips high"),
        ("wheel pose", "in a backbend on hands and feet"),
        ("crab walk", "on hands and feet, belly up"),
        ("handstand", "upside down on the hands"),
        ("camel pose", "kneeling, leaning back"),
        ("sitting on the heels", "sitting on the heels"),
        ("kneeling on one knee", "kneeling on the right knee"),
        ("sitting upright on a chair", "sitting"),
        ("sitting cross-legged on the floor", "sitting on the floor"),
        ("side-sitting on the floor", "sitting on the floor"),
        ("barbell back squat", "squatting"),
        ("warrior I", "lunging with the left foot in front"),
        ("bench press, arms extended", "lying on the back"),
        ("upward dog", "lying face down with the chest raised"),
    ],
)
def test_attitudes_are_told_from_directions(name, carried):
    directions = body_directions(torch.tensor(named_pose(name).axis_angle))
    assert attitude(Posture(directions)) == carried


def test_poses_that_sit_do_so_where_their_names_say():
    bank = load_language_bank()
    for pose, directions in zip(bank.named, body_directions(angles_to_axis_angle(bank.named_angles)), strict=True):
        words = pose.name.lower()
        if "sitting on the floor" in words or "sitting cross-legged" in words or "sitting on the ground" in words:
            assert "sitting" in (found := attitude(Posture(directions)) or "") and found != "sitting", pose.name
        elif "sitting" in words and ("chair" in words or "bench" in words or "stool" in words):
            assert attitude(Posture(directions)) != "sitting on the floor", pose.name


def test_arms_of_a_body_that_is_bent_over_are_seen_from_the_room():
    bent = dict(root_forward=70, **both(flex=70, plane=85, elbow=4, **{"raise": 78}))
    text = describe_poses(posed(**bent)[None], style="full")[0].lower()
    assert "hang down" in text and "bent far forward" in text and "level" not in text, text


def test_no_leg_is_straight_ahead_because_its_body_lies():
    lying = dict(root_forward=-90, left_raise=60, right_raise=60, **both(out=40, plane=60, elbow=70))
    text = describe_poses(posed(**lying)[None], style="full")[0].lower()
    assert "lying on the back" in text and "thighs point out to the side" in text, text
    assert "thighs point forward" not in text, text


def test_no_things_are_seen_in_the_hands():
    bank = load_language_bank()
    things = ("ball", "phone", "handle", "umbrella", "microphone", "suitcase", "wall", "stairs", "saddle")
    rows = [
        row
        for row, part in enumerate(bank.parts)
        if part.part in ("left_arm", "left_leg", "both_legs") and any(thing in part.phrases[0] for thing in things)
    ]
    assert len(rows) > 10
    middle = complete((bank.part_low[rows] + bank.part_high[rows]) / 2)
    for angle, value in {f"right_{name}": value for name, value in ODD_ARMS.items()}.items():
        middle[:, ANGLES.index(angle)] = value
    middle[:, ANGLES.index("turn_left")] = 55.0
    for text in describe_poses(angles_to_axis_angle(middle), style="full"):
        assert not any(thing in text.lower() for thing in things), text


def test_the_mirror_image_has_the_mirrored_description():
    poses = load_open_poses("test").axis_angle[::40]
    for style in ("short", "full"):
        texts = describe_poses(poses, style=style)
        mirrored = describe_poses(mirror_pose(poses), style=style)
        for text, other in zip(texts, mirrored, strict=True):  # both sides of a limb keep their order
            assert sorted(swap_sides(text).lower().replace(".", ",").split(", ")) == sorted(
                other.lower().replace(".", ",").split(", ")
            )


def test_the_heading_does_not_matter_and_a_seed_draws_the_wording():
    poses = load_open_poses("test").axis_angle[::40]
    turned = poses.clone()
    turn = torch.tensor([0.0, 2.0, 0.0])
    import roma

    turned[:, 0] = roma.rotmat_to_rotvec(roma.rotvec_to_rotmat(turn) @ roma.rotvec_to_rotmat(poses[:, 0]))
    assert describe_poses(turned) == describe_poses(poses)
    drawn = [describe_poses(poses, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_standing_is_standing_and_directions_are_of_unit_length():
    assert "standing" in short()
    found = body_directions(torch.stack([posed(), angles_to_axis_angle(STANDING)]))
    assert found.shape == (2, len(DIRECTIONS), 3)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(2, len(DIRECTIONS)))


def test_an_unknown_style_is_named():
    with pytest.raises(ValueError, match="Unknown style 'long'; choose short or full"):
        describe_poses(torch.zeros(1, 22, 3), style="long")
