# SPDX-License-Identifier: Apache-2.0
"""The caption loss is small for matching poses, and its gradient points the right way for others."""

import torch

from unipose_hf.body import JOINT_NAMES, forward_kinematics, load_body
from unipose_hf.captions import caption_poses, codes_satisfied, pose_geometry
from unipose_hf.captions.posecodes.joint_sets import POSECODES, SUPER_POSECODES
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.training.experimental import code_loss
from unipose_hf.training.experimental.code_loss import stated_bounds, stated_code_loss


def stated_loss(poses, stated):
    joints, rotations = pose_geometry(poses)
    return stated_code_loss(axis_angle_to_matrix(rotations), joints, stated_bounds(stated))


def test_the_loss_on_stated_codes_is_small_for_poses_that_do_what_is_said():
    poses = load_open_poses("test").axis_angle[::20]
    stated = caption_poses(poses, return_codes=True)[1]
    assert stated_loss(poses, stated) < 0.3 * stated_loss(poses.roll(1, 0), stated)


def test_the_loss_on_stated_codes_bends_a_knee_that_should_be_bent():
    pose = torch.zeros(1, 22, 3, requires_grad=True)  # the T-pose
    stated = [[("angle/left_hip|left_knee|left_ankle", "right angle"), ("kneeling/body", "true")]]
    bounds = stated_bounds(stated)
    optimizer = torch.optim.Adam([pose], lr=0.05)
    rest = load_body(size="small").rest_joints

    def loss():
        rotations = axis_angle_to_matrix(pose)
        return stated_code_loss(rotations, forward_kinematics(rotations, rest)[0], bounds)

    with torch.no_grad():
        pose[0, JOINT_NAMES.index("left_knee"), 0] = 0.3  # not straight, where no direction is preferred
    before = loss()
    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()
        assert pose.grad.isfinite().all()
        optimizer.step()
    assert loss() < 0.5 * before
    codes = [[("angle/left_hip|left_knee|left_ankle", "right angle")]]
    assert codes_satisfied(codes, *pose_geometry(pose.detach())).item() == 1


def test_every_code_that_can_be_stated_has_bounds():
    for code in (*POSECODES, *SUPER_POSECODES):
        for category in getattr(code, "ok", ["true"]):
            bounds = code_loss._BOUNDS[code.name, category]
            assert bounds and all(low < high and unit > 0 for _, low, high, unit in bounds)


def test_nothing_stated_costs_nothing():
    assert stated_loss(torch.zeros(2, 22, 3), [[], []]) == 0
