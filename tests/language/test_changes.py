# SPDX-License-Identifier: Apache-2.0
"""What changes from one pose to another, in plain English, and the truth of such texts."""

import numpy as np
import pytest
import torch

from unipose_hf import named_pose
from unipose_hf.body import mirror_pose
from unipose_hf.data.language import (
    angles_to_axis_angle,
    describe_changes,
    describe_poses,
    judge_changes,
    judge_descriptions,
)
from unipose_hf.data.language.angles import angle_vector
from unipose_hf.data.language.bank import complete
from unipose_hf.data.language.wording import SAME, swap_sides
from unipose_hf.data.open_poses import load_open_poses


def posed(**angles):
    return angles_to_axis_angle(complete(angle_vector(angles)))


STANDING = posed()


def changes(before, after, style="full"):
    return describe_changes(before[None], after[None], style=style)[0]


def some_pairs(count):
    poses = load_open_poses("test").axis_angle
    drawn = torch.randperm(len(poses), generator=torch.Generator().manual_seed(3))[: 2 * count]
    return poses[drawn[:count]], poses[drawn[count:]]


@pytest.mark.parametrize(
    "angles, text",
    [
        (dict(left_raise=175), "Raise the left arm straight up."),
        (dict(right_raise=90, right_plane=0), "Raise the right arm to shoulder height, out to the side."),
        (dict(left_elbow=95), "Bend the left elbow to ninety degrees, the forearm forward."),
        (dict(left_raise=90, right_raise=90), "Raise both arms to shoulder height, out to the side."),
        (dict(turn_left=40), "Turn the head left."),
        (dict(nod_down=25), "Lower the head."),
        (dict(root_forward=30, left_flex=30, right_flex=30), "Lean forward."),
        (dict(twist_left=30), "Turn the shoulders left."),
        (dict(turn_left=7), "Turn the head left."),
    ],
)
def test_one_change_gives_one_command(angles, text):
    assert changes(STANDING, posed(**angles)) == text


def test_postures_and_touches_are_named():
    def named(name):
        return torch.tensor(named_pose(name).axis_angle)

    assert changes(named("standing relaxed"), named("sitting on a chair")).startswith("Sit down.")
    assert changes(named("squat"), named("standing relaxed")).startswith("Stand up.")
    assert changes(named("standing relaxed"), named("hands on hips")) == "Put both hands on the hips."
    assert changes(named("T-pose"), named("lying on the back")).startswith("Lie on the back.")


def test_mirrored_poses_give_mirrored_texts():
    before, after = some_pairs(40)
    texts, mirrored = describe_changes(before, after), describe_changes(mirror_pose(before), mirror_pose(after))
    # left is told before right, so sentences change places
    alike = [_sentences(text) == _sentences(swap_sides(other)) for text, other in zip(texts, mirrored, strict=True)]
    assert np.mean(alike) > 0.95


def _sentences(text):
    return set(text.lower().rstrip(".").split(". "))


def test_equal_poses_do_not_change_and_short_texts_say_little():
    before, after = some_pairs(20)
    assert set(describe_changes(before, before)) == {SAME[0]}
    short, full = (describe_changes(before, after, style=style) for style in ("short", "full"))
    assert all(len(few) < len(many) for few, many in zip(short, full, strict=True) if many.count(". ") > 2)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="Unknown style 'long'; choose short or full"):
        describe_changes(STANDING[None], STANDING[None], style="long")
    with pytest.raises(ValueError, match="1 poses before and 2 after"):
        describe_changes(STANDING[None], STANDING[None].repeat(2, 1, 1))


def truth(judged):
    return float(np.mean([statement.true for text in judged for statement in text]))


def test_measured_texts_are_true_and_those_of_other_poses_are_not():
    before, after = some_pairs(60)
    texts = describe_changes(before, after)
    assert truth(judge_changes(texts, before, after)) > 0.98
    assert truth(judge_changes(texts, before.roll(1, 0), after.roll(1, 0))) < 0.65
    descriptions = describe_poses(after)
    assert truth(judge_descriptions(descriptions, after)) > 0.95
    assert truth(judge_descriptions(descriptions, after.roll(1, 0))) < 0.65


def test_each_statement_is_judged_by_itself():
    raised = posed(left_raise=90, left_elbow=95, left_forearm_up=90)
    text = "The left arm is held level, out to the side, the elbow sharply bent and the forearm pointing down. Purple."
    [judged] = judge_descriptions([text], raised[None])
    assert [statement.true for statement in judged] == [True, False, False, False]
    [judged] = judge_changes(
        ["Raise the left arm to shoulder height, forward. Lower the head."], STANDING[None], raised[None]
    )
    assert [statement.true for statement in judged] == [True, False, False]
    [judged] = judge_changes([SAME[0]], STANDING[None], raised[None])
    assert [statement.true for statement in judged] == [False]
