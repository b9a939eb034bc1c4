# SPDX-License-Identifier: Apache-2.0
import pytest
import roma
import torch

from unipose_hf.body import JOINT_NAMES, MIRROR, PARENTS, forward_kinematics, mirror_pose, remove_yaw


def random_pose(*batch, seed=0, scale=1.0, dtype=torch.float64):
    return scale * torch.randn(*batch, 22, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def symmetric_rest():
    rest = torch.randn(22, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    flipped = rest[list(MIRROR)] * torch.tensor([-1.0, 1, 1], dtype=torch.float64)
    return (rest + flipped) / 2


def bone_lengths(joints):
    return (joints[..., 1:, :] - joints[..., list(PARENTS[1:]), :]).norm(dim=-1)


def test_the_skeleton_is_a_tree_whose_mirror_keeps_parents():
    assert len(JOINT_NAMES) == len(PARENTS) == len(MIRROR) == 22
    assert all(PARENTS[j] < j for j in range(22))
    for joint, other in enumerate(MIRROR):
        assert MIRROR[other] == joint
        assert JOINT_NAMES[other] == JOINT_NAMES[joint].replace("left", "*").replace("right", "left").replace(
            "*", "right"
        )
        if joint:
            assert MIRROR[PARENTS[joint]] == PARENTS[other]


def test_kinematics_keep_bone_lengths_and_the_pelvis():
    rest = symmetric_rest()
    joints, turned = forward_kinematics(roma.rotvec_to_rotmat(random_pose(4, 3)), rest)
    assert joints.shape == (4, 3, 22, 3) and turned.shape == (4, 3, 22, 3, 3)
    torch.testing.assert_close(bone_lengths(joints), bone_lengths(rest).expand(4, 3, 21))
    torch.testing.assert_close(joints[..., 0, :], rest[0].expand(4, 3, 3))


def test_kinematics_match_a_joint_by_joint_walk():
    rest, local = symmetric_rest(), roma.rotvec_to_rotmat(random_pose())
    joints, turned = forward_kinematics(local, rest)
    for joint in range(1, 22):
        parent = PARENTS[joint]
        torch.testing.assert_close(turned[joint], turned[parent] @ local[joint])
        torch.testing.assert_close(joints[joint], joints[parent] + turned[parent] @ (rest[joint] - rest[parent]))


def test_kinematics_batch_dimensions_broadcast():
    local = roma.rotvec_to_rotmat(random_pose(2, 1))
    rest = symmetric_rest() * torch.tensor([1.0, 1.1, 1.2], dtype=torch.float64)[:, None, None]
    joints, _ = forward_kinematics(local, rest)
    assert joints.shape == (2, 3, 22, 3)
    torch.testing.assert_close(joints[1, 2], forward_kinematics(local[1, 0], rest[2])[0])
    assert forward_kinematics(local[:0], rest[0])[0].shape == (0, 1, 22, 3)


def test_kinematics_gradients():
    local = roma.rotvec_to_rotmat(random_pose(1, scale=0.3)).requires_grad_()
    rest = symmetric_rest().requires_grad_()
    assert torch.autograd.gradcheck(lambda *x: forward_kinematics(*x)[0], (local, rest))


def test_the_mirrored_pose_has_mirrored_joints():
    pose, rest = random_pose(5), symmetric_rest()
    joints, _ = forward_kinematics(roma.rotvec_to_rotmat(pose), rest)
    mirrored, _ = forward_kinematics(roma.rotvec_to_rotmat(mirror_pose(pose)), rest)
    torch.testing.assert_close(mirrored, joints[:, list(MIRROR)] * torch.tensor([-1.0, 1, 1], dtype=torch.float64))
    assert torch.equal(mirror_pose(mirror_pose(pose)), pose)


def test_remove_yaw_forgets_the_turn_and_keeps_pitch_and_roll():
    pose = random_pose(6)
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 2.3, 0.0], dtype=torch.float64))
    turned = pose.clone()
    turned[:, 0] = roma.rotmat_to_rotvec(turn @ roma.rotvec_to_rotmat(pose[:, 0]))
    torch.testing.assert_close(remove_yaw(turned), remove_yaw(pose))
    assert torch.equal(remove_yaw(pose)[:, 1:], pose[:, 1:])
    kept = roma.rotvec_to_rotmat(remove_yaw(pose)[:, 0])
    torch.testing.assert_close(kept[:, 1], roma.rotvec_to_rotmat(pose[:, 0])[:, 1])  # heights do not change
    assert kept[:, 2, 0].abs().max() < 1e-12 and (kept[:, 0, 0] > 0).all()


def test_remove_yaw_agrees_with_the_z_up_decomposition():
    pose = random_pose(6)
    z_up = roma.rotvec_to_rotmat(torch.tensor([torch.pi / 2, 0, 0], dtype=torch.float64))
    m = z_up @ roma.rotvec_to_rotmat(pose[:, 0])
    a, b = torch.atan2(m[:, 2, 1], m[:, 2, 2]), torch.atan2(-m[:, 2, 0], m[:, 2, 1:].norm(dim=-1))
    expected = z_up.T @ roma.euler_to_rotmat("YX", torch.stack([b, a], dim=-1))
    torch.testing.assert_close(roma.rotvec_to_rotmat(remove_yaw(pose)[:, 0]), expected)


def test_remove_yaw_of_an_upright_body_and_of_one_on_its_side():
    pose = torch.zeros(2, 22, 3)
    pose[0, 0, 1] = -2.0
    pose[1, 0, 2] = torch.pi / 2
    upright = remove_yaw(pose)
    torch.testing.assert_close(upright[0], torch.zeros(22, 3))
    torch.testing.assert_close(upright[1], pose[1])


def test_wrong_poses_are_refused():
    with pytest.raises(ValueError, match=r"\(21, 3, 3\)"):
        forward_kinematics(torch.zeros(21, 3, 3), torch.zeros(22, 3))
    with pytest.raises(ValueError, match="rest_joints"):
        forward_kinematics(torch.zeros(22, 3, 3), torch.zeros(24, 3))
    for function in mirror_pose, remove_yaw:
        with pytest.raises(ValueError, match=r"\(66,\)"):
            function(torch.zeros(66))
        with pytest.raises(ValueError, match="NaN"):
            function(torch.full((22, 3), float("nan")))
        with pytest.raises(ValueError, match="floating-point"):
            function(torch.zeros(22, 3, dtype=torch.long))
