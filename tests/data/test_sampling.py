# SPDX-License-Identifier: Apache-2.0
"""The pose sampler: reproducible, within joint limits, symmetric, and free of self-intersections."""

import math

import pytest
import roma
import torch

from unipose_hf.body import JOINT_NAMES, load_body, mirror_pose
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.synthesis.joint_limits import clamp_to_limits, from_swing_twist, mirror_coordinates, swing_twist
from unipose_hf.data.synthesis.sampling import PoseSampler, random_global_turn
from unipose_hf.data.synthesis.self_contact import SelfContact, _segment_distance


@pytest.fixture(scope="module")
def poses():
    return load_open_poses("train")


@pytest.fixture(scope="module")
def sampler(poses):
    return PoseSampler(poses.axis_angle, poses.clip_id)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_generator_alone_decides(sampler):
    torch.manual_seed(1)
    first = sampler.sample(64, _generator())
    torch.manual_seed(2)
    assert torch.equal(first, sampler.sample(64, _generator()))
    assert not torch.equal(first, sampler.sample(64, _generator(1)))
    assert first.shape == (64, 22, 3) and first.dtype == torch.float32 and first.isfinite().all()
    assert sampler.sample(0, _generator()).shape == (0, 22, 3)


def _is_frame(sampler, drawn):
    return (drawn[:, None] == sampler.frames).all(dim=(-2, -1)).any(dim=1)


def test_a_share_stays_real_and_the_rest_is_new_inside_limits(sampler):
    drawn = sampler.sample(300, _generator())
    real = _is_frame(sampler, drawn)
    assert 0.18 < real.float().mean() < 0.40
    made = drawn[~real]
    values = swing_twist(roma.rotvec_to_rotmat(made))
    slack = math.radians(0.2)
    assert (values >= sampler.limits[0] - slack).all() and (values <= sampler.limits[1] + slack).all()
    assert sampler.contact.clear(roma.rotvec_to_rotmat(made)).float().mean() > 0.99  # float32 rounding at the limit


def test_new_poses_are_more_diverse_than_the_frames(sampler, poses):
    drawn = roma.rotvec_to_rotmat(sampler.sample(500, _generator()))
    near = roma.rotvec_to_rotmat(sampler.frames)

    def gaps(rotations):
        trace = torch.einsum("ajxy,bjxy->abj", rotations, near)
        return torch.rad2deg(torch.acos(((trace - 1) / 2).clamp(-1, 1))).mean(-1).min(dim=1).values

    assert gaps(drawn).quantile(0.6) > 8


def test_limits_are_mirrored(sampler):
    low, high = sampler.limits
    mirrored = mirror_coordinates(sampler.limits).sort(dim=0).values
    assert torch.allclose(mirrored[0, 1:], low[1:], atol=1e-5) and torch.allclose(mirrored[1, 1:], high[1:], atol=1e-5)
    assert low[0].isinf().all() and high[0].isinf().all()


def test_swing_twist_is_exact_and_mirrors(poses):
    rotations = roma.rotvec_to_rotmat(poses.axis_angle[:200].double())
    values = swing_twist(rotations)
    assert torch.allclose(from_swing_twist(values), rotations, atol=1e-9)
    mirrored = swing_twist(roma.rotvec_to_rotmat(mirror_pose(poses.axis_angle[:200].double())))
    assert torch.allclose(mirrored, mirror_coordinates(values), atol=1e-9)


def test_clamping_straightens_an_impossible_knee(sampler):
    pose = torch.zeros(1, 22, 3)
    pose[0, JOINT_NAMES.index("left_knee"), 0] = -1.0
    clamped = roma.rotmat_to_rotvec(clamp_to_limits(roma.rotvec_to_rotmat(pose), sampler.limits))
    assert clamped[0, JOINT_NAMES.index("left_knee"), 0] == pytest.approx(math.radians(-3), abs=1e-4)


def test_mirroring_twice_changes_nothing(sampler):
    drawn = sampler.sample(32, _generator())
    assert torch.equal(mirror_pose(mirror_pose(drawn)), drawn)


def test_an_arm_through_the_trunk_is_seen(sampler):
    pose = torch.zeros(3, 22, 3)
    pose[:, JOINT_NAMES.index("right_shoulder"), 2] = 1.2  # arms down
    pose[0, JOINT_NAMES.index("left_shoulder"), 2] = -1.2
    pose[1, JOINT_NAMES.index("left_shoulder")] = torch.tensor([0.0, 0.0, -2.6])  # through the belly
    pose[2, JOINT_NAMES.index("left_hip"), 2] = -0.5  # one leg through the other
    assert sampler.contact.clear(roma.rotvec_to_rotmat(pose)).tolist() == [True, False, False]


def test_real_poses_are_mostly_clear(sampler, poses):
    assert sampler.contact.clear(sampler.rotations).float().mean() > 0.85
    other = SelfContact(sampler.rotations, load_body(size="small").rest_joints)
    assert torch.equal(other.nearest, sampler.contact.nearest)


def test_segment_distance_against_brute_force():
    ends = torch.randn(4, 30, 3, generator=_generator(), dtype=torch.float64)
    steps = torch.linspace(0, 1, 201, dtype=torch.float64)[:, None, None]
    one, other = ends[0].lerp(ends[1], steps), ends[2].lerp(ends[3], steps)
    brute = (one[:, None] - other[None]).norm(dim=-1).amin(dim=(0, 1))
    # Clamping one end last does not update the other: slightly too far at times, never too near.
    found = _segment_distance(*ends)
    assert (found >= brute - 0.02).all() and (found - brute).median() < 0.01


def test_global_turns(sampler):
    poses = torch.zeros(2, 400, 22, 3)
    poses[..., 5, 0] = 0.3
    turned = random_global_turn(poses, _generator())
    assert turned.shape == poses.shape and torch.equal(turned[..., 1:, :], poses[..., 1:, :])
    up = roma.rotvec_to_rotmat(turned[..., 0, :])[..., 1, 1]
    assert torch.acos(up).max() < math.radians(29) and torch.acos(up).mean() > math.radians(8)
    heading = roma.rotvec_to_rotmat(turned[..., 0, :])[..., :, 2]
    yaw = torch.rad2deg(torch.atan2(heading[..., 0], heading[..., 2]))
    assert 40 < yaw.abs().max() < 55
    heading = roma.rotvec_to_rotmat(random_global_turn(poses, _generator(), full_yaw=True)[..., 0, :])[..., :, 2]
    assert (heading[..., 2] < -0.9).any()
    assert torch.equal(random_global_turn(poses, _generator()), turned)


def test_errors():
    with pytest.raises(ValueError, match="N, 22, 3"):
        PoseSampler(torch.zeros(22, 3))
