# SPDX-License-Identifier: Apache-2.0
"""Training pictures match their labels."""

import numpy as np
import pytest
import roma
import torch

from unipose_hf.body import load_body
from unipose_hf.data.synthesis.rendering import render_training_images

POSES = torch.randn(12, 22, 3, generator=torch.Generator().manual_seed(0)) * 0.3


@pytest.fixture(scope="module")
def body():
    return load_body(size="small")


@pytest.fixture(scope="module")
def batch(body):
    return render_training_images(POSES, seed=7, size=128, body=body)


def test_shapes(batch):
    assert len(batch) == 12
    assert batch.images.shape == (12, 128, 128, 3) and batch.images.dtype == np.uint8
    assert batch.axis_angle.shape == (12, 22, 3) and batch.axis_angle.dtype == np.float32
    assert batch.keypoints.shape == (12, 22, 2) and batch.joints.shape == (12, 22, 3)
    assert batch.boxes.shape == (12, 4) and batch.intrinsics.shape == (12, 3)


def test_same_seed_same_pictures(batch, body):
    part = render_training_images(POSES[:3], seed=7, size=128, body=body)
    assert np.array_equal(part.images, batch.images[:3]) and np.array_equal(part.axis_angle, batch.axis_angle[:3])
    assert not np.array_equal(render_training_images(POSES[:1], seed=8, size=128, body=body).images, part.images[:1])


def test_label_is_the_pose_in_the_camera_frame(batch, body):
    posed = body.joints(roma.rotvec_to_rotmat(torch.from_numpy(batch.axis_angle)), torch.from_numpy(batch.betas))
    posed = posed.numpy()
    np.testing.assert_allclose(
        posed - posed[:, :1], batch.joints - batch.joints[:, :1], atol=1e-5
    )  # rotated by the label alone, the body appears as the camera sees it
    assert np.array_equal(batch.axis_angle[:, 1:], POSES[:, 1:].numpy())
    turned = roma.rotmat_geodesic_distance(
        roma.rotvec_to_rotmat(torch.from_numpy(batch.axis_angle[:, 0])), roma.rotvec_to_rotmat(POSES[:, 0])
    )
    assert 0 < turned.max() < np.radians(33)


def test_keypoints_are_the_projected_joints(batch):
    x, y, z = np.moveaxis(batch.joints, -1, 0)
    focal, cx, cy = (batch.intrinsics[:, i : i + 1] for i in range(3))
    assert (z < -0.3).all()  # in front of the eye
    np.testing.assert_allclose(batch.keypoints[..., 0], cx - focal * x / z, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(batch.keypoints[..., 1], cy + focal * y / z, rtol=1e-4, atol=1e-3)
    low, high = batch.boxes[:, None, :2] - 1, batch.boxes[:, None, 2:] + 1
    inside = (batch.keypoints >= low) & (batch.keypoints <= high)
    assert inside.all()  # joints lie inside the body, and the whole body inside the picture
    span = (batch.boxes[:, 2:] - batch.boxes[:, :2]).max(1) / 128
    assert (span > 0.36).all() and (span < 0.97).all()


def test_both_backends_draw_the_same_batch(body):
    clean = render_training_images(POSES[:4], seed=1, size=96, body=body, occlusion=0, faults=False)
    assert (clean.occluded == 0).all()
    software = render_training_images(
        POSES[:4], seed=1, size=96, body=body, occlusion=0, faults=False, backend="software"
    )
    assert np.abs(clean.boxes - software.boxes).max() <= 1
    assert np.abs(clean.images.astype(int) - software.images).mean() < 2


def test_occluders(body):
    hidden = render_training_images(POSES, seed=2, size=64, body=body, occlusion=1).occluded
    assert 0 < hidden.mean() < 0.4 and hidden.max() < 0.75


def test_errors(body):
    with pytest.raises(ValueError, match="expected \\(B, 22, 3\\)"):
        render_training_images(torch.zeros(22, 3), body=body)
    assert len(render_training_images(torch.zeros(0, 22, 3), body=body)) == 0


def test_hidden_faces(body):
    upright = torch.zeros(2, 22, 3)
    upright[1, 0, 1] = np.pi  # seen from behind
    options = {"seed": 3, "size": 128, "body": body, "occlusion": 0, "faults": False}
    plain, hidden = (render_training_images(upright, hidden_faces=share, **options) for share in (0, 1))
    assert np.array_equal(plain.images[1], hidden.images[1])
    rows, columns = np.nonzero((plain.images[0] != hidden.images[0]).any(-1))
    middle, head = np.array([columns.mean(), rows.mean()]), plain.keypoints[0, 15]
    height = plain.boxes[0, 3] - plain.boxes[0, 1]
    assert np.linalg.norm(middle - head) < 0.1 * height and np.ptp(rows) < 0.35 * height
