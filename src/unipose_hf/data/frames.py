# SPDX-License-Identifier: Apache-2.0
"""Poses of other frames into ours (y up, z to the viewer). Each source passes here once, at its door."""

import numpy as np
import roma
import torch

from unipose_hf.modeling.pose_unipose import Z_UP_TO_Y_UP

# An OpenCV camera looks along its z axis and has y pointing down: half a turn about x.
OPENCV_TO_OURS = np.diag([1.0, -1.0, -1.0])


def from_z_up(poses: np.ndarray) -> np.ndarray:
    """Poses `(..., 22, 3)` axis-angle of a z-up world, as AMASS has -> ours, float32."""
    return _turn(poses, Z_UP_TO_Y_UP)


def from_opencv(poses: np.ndarray, world_to_camera: np.ndarray | None = None) -> np.ndarray:
    """Poses `(..., 22, 3)` axis-angle as an OpenCV camera sees them -> ours, float32.

    Args:
        world_to_camera: `(..., 3, 3)` rotations, where the poses are given in a world and not before the camera.
    """
    return _turn(poses, OPENCV_TO_OURS if world_to_camera is None else OPENCV_TO_OURS @ world_to_camera)


def _turn(poses, turn):
    turned = np.array(poses, dtype=np.float32)
    root = roma.rotvec_to_rotmat(torch.from_numpy(turned[..., 0, :]).double())
    turned[..., 0, :] = roma.rotmat_to_rotvec(torch.as_tensor(turn.copy()).double() @ root).numpy()
    return turned
