# SPDX-License-Identifier: Apache-2.0
"""What the landmark network saw of a person, brought back to the picture: keypoints and how surely each is seen."""

import math

import numpy as np
import torch
from torch import Tensor

from .blazepose_unipose import BlazePoseConfig
from .image_processing_unipose import _normalize, _padded, _square_of_box

CROP_VIEW = 512  # side of the view that the bundled landmark network takes
KEYPOINT_NAMES = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
# Of BlazePose's landmarks, those that are COCO's keypoints.
_KEYPOINTS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
_LIMBS = _KEYPOINTS[5:]
_HIPS, _SHOULDERS, _HEAD = (23, 24), (11, 12), (0, 7, 8)
_TRUNK = (*_HIPS, *_SHOULDERS)
# of each joint of the pose, the landmarks nearest to it
_JOINTS = (
    *(_HIPS, (23,), (24,), _TRUNK, (25,), (26,), _TRUNK, (27,), (28,), _SHOULDERS, (31,), (32,)),
    *(_SHOULDERS, (11,), (12,), _HEAD, (11,), (12,), (13,), (14,), (15,), (16,)),
)
USUAL_MISFIT = 0.1
# Who is taken for a person: a box that the detector is sure of, or one in which the landmark network sees somebody.
SURE, SURE_PRESENCE = 0.4, 0.5


def is_blazepose(tower) -> bool:
    """Whether a pose encoder is a BlazePose, also one of a copy of this code that was loaded from the Hub."""
    return tower is not None and tower.config.model_type == BlazePoseConfig.model_type


def is_somebody(score: float, presence: float) -> bool:
    """Whether detector and landmark network together are sure enough of a person."""
    return score >= SURE or presence >= SURE_PRESENCE


def square_of(picture: dict, margin: float) -> tuple[float, float, float]:
    """Left, top and side of the square in which a person of `{"image", "box"}` is looked at, in pixels."""
    width, height = picture["image"].size
    square = _square_of_box(picture["box"], (width, height), margin)
    if square is None:
        side = max(width, height)
        square = ((width - side) / 2, (height - side) / 2, side)
    return square


def landmark_view(picture: dict, margin: float) -> np.ndarray:
    """That square as the landmark network takes it, (3, 512, 512) in [0, 1]."""
    return _normalize(_padded(picture["image"], square_of(picture, margin), CROP_VIEW), 1 / 255)


def box_in_view(picture: dict, margin: float, size: int) -> list[float]:
    """The box of a person in pixels of the view of its square; of somebody without a box, a point, which all fill."""
    if picture["box"] is None:
        return [0.0] * 4
    left, top, side = square_of(picture, margin)
    limits = picture["image"].size
    box = [min(max(edge, 0), limits[i % 2]) for i, edge in enumerate(picture["box"])]
    return [(edge - (left, top)[i % 2]) * size / side for i, edge in enumerate(box)]


def in_picture(landmarks: Tensor, unit: float, corner: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Landmarks `(39, 5)` in a view -> x and y `(39, 2)` in the picture's pixels, and how surely each is seen `(39,)`.

    Args:
        unit: pixels of the picture in one of the view.
        corner: (2,) the view's upper left corner in the picture.
        size: the picture's width and height; what lies outside is not seen.
    """
    xy = landmarks[:, :2] * unit + corner
    inside = ((xy >= 0) & (xy <= xy.new_tensor(size))).all(dim=1)
    return xy, landmarks[:, 3:].sigmoid().prod(dim=1) * inside


def keypoints(xy: Tensor, seen: Tensor) -> np.ndarray:
    """COCO's 17 keypoints `(17, 3)` of landmarks in the picture: x, y, how surely seen."""
    return torch.cat((xy, seen[:, None]), dim=1)[list(_KEYPOINTS)].numpy().astype(np.float32)


def visibility_of_joints(seen: Tensor) -> np.ndarray:
    """How surely each of the pose's joints is seen `(22,)`, of that of the landmarks `(39,)` nearest to it."""
    return np.array([float(seen[list(near)].mean()) for near in _JOINTS], dtype=np.float32)


def score_of(presence: float, seen: Tensor, misfit: float) -> float:
    """How sure a pose is, in [0, 1].

    Args:
        presence: of somebody in the square, as the landmark network says.
        seen: `(39,)`.
        misfit: how far the pose lies from the landmarks that are seen, in metres on the body.
    """
    return presence * float(seen[list(_LIMBS)].mean()) * math.exp(-misfit / USUAL_MISFIT)
