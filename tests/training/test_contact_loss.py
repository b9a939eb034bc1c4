# SPDX-License-Identifier: Apache-2.0
import roma
import torch

from unipose_hf import named_pose
from unipose_hf.body import JOINT_NAMES, MIRROR, forward_kinematics, load_body
from unipose_hf.training.experimental.contact_loss import contact_loss

WRIST, KNEE = (JOINT_NAMES.index(name) for name in ("left_wrist", "left_knee"))
ONES = torch.ones(1, 22)


def joints_of(name):
    pose = torch.tensor(named_pose(name).axis_angle).reshape(1, 22, 3)
    return forward_kinematics(roma.rotvec_to_rotmat(pose), load_body(size="small").rest_joints)[0]


def off(joints, joint, centimetres=10.0):
    moved = joints.clone()
    moved[:, joint, 0] += centimetres / 100
    return moved


def test_equal_joints_cost_nothing_and_errors_have_gradients():
    hips = joints_of("hands on hips")
    assert float(contact_loss(hips, hips, ONES)) < 0.01
    moved = off(hips, WRIST).requires_grad_()
    contact_loss(moved, hips, ONES).sum().backward()
    assert moved.grad[0, WRIST, 0] > 0  # the hand comes back
    assert torch.isfinite(moved.grad).all()


def test_a_hand_that_touches_counts_more_than_one_in_the_air():
    hips, tee = joints_of("hands on hips"), joints_of("T-pose")
    touching, free = (contact_loss(off(joints, WRIST), joints, ONES) for joints in (hips, tee))
    assert touching > 5 * free


def test_left_and_right_cost_the_same():
    hips = joints_of("hands on hips")
    turned = hips.new_tensor([-1.0, 1.0, 1.0])
    moved = off(hips, WRIST)
    mirrored, moved_mirrored = (points[:, list(MIRROR)] * turned for points in (hips, moved))
    torch.testing.assert_close(contact_loss(moved_mirrored, mirrored, ONES), contact_loss(moved, hips, ONES))


def test_parts_that_the_text_does_not_mention_count_less():
    hips = joints_of("hands on hips")
    weights = ONES.clone()
    weights[:, WRIST] = 0.3
    assert contact_loss(off(hips, WRIST), hips, weights) < contact_loss(off(hips, WRIST), hips, ONES)
