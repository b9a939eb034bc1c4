# SPDX-License-Identifier: Apache-2.0
"""Descriptions in plain English by measuring."""

import pytest
import torch

from unipose_hf import named_pose
from unipose_hf.body import mirror_pose
from unipose_hf.data.language import STANDING, angles_to_axis_angle, describe_poses, load_language_bank
from unipose_hf.data.language.angles import angle_vector
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


def test_equal_limbs_are_described_together():
    text = describe_poses(posed(**{f"{s}_{a}": v for s in ("left", "right") for a, v in BENT.items()})[None])[0]
    assert "Both arms" in text and "elbows" in text and "Left arm" not in text


BENT = {"raise": 70, "plane": -30, "forearm_up": -70, "elbow": 60}


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
    poses = load_open_poses("test").axis_angle[:60:10]
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
