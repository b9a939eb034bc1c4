# SPDX-License-Identifier: Apache-2.0
"""Photo-like training pictures: each difficulty occurs when asked for, and the labels stay right."""

import numpy as np
import pytest
import roma
import torch

from unipose_hf.body import load_body
from unipose_hf.body.kinematics import forward_kinematics
from unipose_hf.data.language import named_pose
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.synthesis.photo_like import PhotoShares, render_photo_like_images
from unipose_hf.data.synthesis.photo_poses import PhotoPoses, sits
from unipose_hf.data.synthesis.scenery import photo_faults
from unipose_hf.visualization.garments import make_hat, make_skirt

POSES = torch.randn(8, 22, 3, generator=torch.Generator().manual_seed(0)) * 0.15
PLAIN = dict(thing=0, others=0, skirt=0, coat=0, hat=0, backpack=0, held=0, hidden_face=0, hard_light=0, faults=0)
WHOLE, KNEES, WAIST, BUST, SIDE, FAR = np.eye(6)


@pytest.fixture(scope="module")
def body():
    return load_body(size="small")


def take(body, poses=POSES, size=96, **shares):
    return render_photo_like_images(poses, seed=4, size=size, body=body, shares=PhotoShares(**{**PLAIN, **shares}))


def inside(made, joints):
    pixels = made.keypoints[:, joints]
    return ((pixels >= 0) & (pixels <= made.images.shape[1])).all(-1).mean()


def test_the_labels_are_the_pose_in_the_camera_frame(body):
    made = render_photo_like_images(POSES, seed=7, size=96, body=body)
    again = render_photo_like_images(POSES, seed=7, size=96, body=body)
    assert made.images.shape == (8, 96, 96, 3) and np.array_equal(made.images, again.images)
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(made.axis_angle))
    posed = body.joints(rotations, torch.from_numpy(made.betas)).numpy()
    np.testing.assert_allclose(posed - posed[:, :1], made.joints - made.joints[:, :1], atol=1e-5)
    x, y, z = np.moveaxis(made.joints, -1, 0)
    focal, cx, cy = (made.intrinsics[:, i : i + 1] for i in range(3))
    assert (z < -0.1).all()
    np.testing.assert_allclose(made.keypoints[..., 0], cx - focal * x / z, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(made.keypoints[..., 1], cy + focal * y / z, rtol=1e-4, atol=1e-3)
    assert (made.boxes[:, :2] >= 0).all() and (made.boxes[:, 2:] <= 96).all()
    assert (made.boxes[:, 2:] > made.boxes[:, :2]).all() and (made.occluded >= -1e-6).all()


def test_framings(body):
    whole = take(body, framings=tuple(WHOLE))
    assert inside(whole, range(22)) == 1 and np.abs(whole.occluded).max() < 1e-6
    knees, waist, bust = (take(body, framings=tuple(kind)) for kind in (KNEES, WAIST, BUST))
    hips, ankles, head = [1, 2], [7, 8], [15]
    assert inside(knees, head) == inside(waist, head) == 1
    assert inside(knees, hips) > 0.9 and inside(knees, ankles) < 0.2
    assert inside(waist, ankles) < 0.1 and inside(bust, ankles) == 0 and inside(bust, hips) < 0.2
    assert 0.1 < knees.occluded.mean() < waist.occluded.mean() < bust.occluded.mean()
    far = take(body, framings=tuple(FAR))
    assert (far.boxes[:, 2:] - far.boxes[:, :2]).max() < 0.48 * 96
    side = take(body, framings=tuple(SIDE))
    assert (side.occluded > 0.02).mean() >= 0.5 and inside(side, [0]) > 0.5


def test_things_and_people_in_front_hide_and_nobody_is_lost(body):
    for kind in ({"thing": 1}, {"others": 1}):
        made = take(body, framings=tuple(WHOLE), **kind)
        assert (made.occluded > 0.01).any() and made.occluded.max() < 0.9
    assert not np.array_equal(made.images, take(body, framings=tuple(WHOLE)).images)


def test_clothes_change_the_silhouette_only(body):
    bare = take(body, framings=tuple(WHOLE))
    dressed = take(body, framings=tuple(WHOLE), skirt=1, hat=1)
    np.testing.assert_array_equal(bare.axis_angle[:, 1:], dressed.axis_angle[:, 1:])
    assert not np.array_equal(bare.images, dressed.images)


def test_a_skirt_follows_the_thighs_and_a_hat_the_head(body):
    rest, vertices = body.rest_joints.numpy(), body.v_template.numpy()
    skirt = make_skirt(vertices, rest, (1, 0, 0), length=0.5)
    hat = make_hat(vertices, rest, (0, 0, 1))
    np.testing.assert_allclose(skirt.weights.sum(1), 1, atol=1e-5)
    still = np.broadcast_to(np.eye(3), (22, 3, 3))
    np.testing.assert_allclose(skirt.posed(rest, rest, still), skirt.vertices, atol=1e-5)
    legs = (np.abs(vertices[:, 0]) < 0.25) & (vertices[:, 1] < rest[1, 1]) & (vertices[:, 1] > rest[4, 1] + 0.05)
    assert np.abs(vertices[legs, 0]).max() < skirt.vertices[:, 0].max()  # around the thighs
    assert skirt.vertices[:, 1].min() < rest[4, 1] + 0.1 and skirt.vertices[:, 1].max() > rest[1, 1]
    sitting = torch.zeros(22, 3)
    sitting[1:3, 0] = -np.pi / 2
    joints, turns = (x.numpy() for x in forward_kinematics(roma.rotvec_to_rotmat(sitting), body.rest_joints))
    sat = skirt.posed(rest, joints, turns)
    assert sat[-10:, 2].mean() > skirt.vertices[-10:, 2].mean() + 0.2  # the hem is over the thighs, in front
    np.testing.assert_allclose(hat.posed(rest, joints, turns), hat.vertices, atol=1e-5)


def test_who_sits():
    names = ("sitting upright on a chair", "standing relaxed", "T-pose")
    poses = torch.stack([torch.from_numpy(named_pose(name).axis_angle) for name in names])
    assert sits(poses).tolist() == [True, False, False]


def test_photo_poses_hold_people_who_sit_and_repeat():
    source = PhotoPoses(load_open_poses("train"))
    poses = source.sample(200, torch.Generator().manual_seed(0))
    assert poses.shape == (200, 22, 3) and poses.isfinite().all()
    assert torch.equal(poses, source.sample(200, torch.Generator().manual_seed(0)))
    assert 0.12 < sits(poses).float().mean() < 0.6


def test_photo_faults_leave_something_to_see():
    rng = np.random.default_rng(0)
    picture = np.zeros((64, 64, 3), dtype=np.uint8)
    picture[16:48, 16:48] = 200
    spoilt = [photo_faults(picture, rng, 32) for _ in range(30)]
    assert all(one.shape == picture.shape and one.dtype == np.uint8 for one in spoilt)
    contrast = [float(one[24:40, 24:40].mean()) - float(one[:8, :8].mean()) for one in spoilt]
    assert min(contrast) > 12 and len({one.tobytes() for one in spoilt}) == 30


def test_errors(body):
    with pytest.raises(ValueError, match="expected \\(B, 22, 3\\)"):
        render_photo_like_images(torch.zeros(22, 3), body=body)
    assert len(render_photo_like_images(torch.zeros(0, 22, 3), body=body)) == 0
