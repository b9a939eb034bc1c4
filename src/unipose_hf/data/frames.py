# SPDX-License-Identifier: Apache-2.0
"""Converts poses from other frames to ours (y up, z towards the viewer). Each source converts once, when read."""

import numpy as np
import roma
import torch

from unipose_hf.modeling.pose_unipose import Z_UP_TO_Y_UP

# An OpenCV camera looks along its z axis and has y pointing down: half a turn about x.
OPENCV_TO_OURS = np.diag([1.0, -1.0, -1.0])


def from_z_up(poses: np.ndarray) -> np.ndarray:
    """Poses `(..., 22, 3)` axis-angle of a z-up world, such as AMASS -> our frame, float32."""
    return _turn(poses, Z_UP_TO_Y_UP)


def from_opencv(poses: np.ndarray, world_to_camera: np.ndarray | None = None) -> np.ndarray:
    """Poses `(..., 22, 3)` axis-angle in an OpenCV camera frame -> our frame, float32.

    Args:
        world_to_camera: `(..., 3, 3)` rotations, if the poses are in world coordinates instead of the camera frame.
    """
    return _turn(poses, OPENCV_TO_OURS if world_to_camera is None else OPENCV_TO_OURS @ world_to_camera)


def _turn(poses, turn):
    turned = np.array(poses, dtype=np.float32)
    root = roma.rotvec_to_rotmat(torch.from_numpy(turned[..., 0, :]).double())
    turned[..., 0, :] = roma.rotmat_to_rotvec(torch.as_tensor(turn.copy()).double() @ root).numpy()
    return turned
