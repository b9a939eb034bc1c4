# SPDX-License-Identifier: Apache-2.0
"""Maps the landmark network's output back to the picture: keypoints, visibility and scores."""

import math

import numpy as np
import torch
from torch import Tensor

from .blazepose_unipose import BlazePoseConfig
from .image_processing_unipose import _normalize, _padded, _square_of_box

CROP_VIEW = 512  # input size of the bundled landmark network
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
# Indices of the COCO keypoints among BlazePose's landmarks.
_KEYPOINTS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
_LIMBS = _KEYPOINTS[5:]
_HIPS, _SHOULDERS, _HEAD = (23, 24), (11, 12), (0, 7, 8)
_TRUNK = (*_HIPS, *_SHOULDERS)
# the landmarks nearest to each joint of the pose
_JOINTS = (
    *(_HIPS, (23,), (24,), _TRUNK, (25,), (26,), _TRUNK, (27,), (28,), _SHOULDERS, (31,), (32,)),
    *(_SHOULDERS, (11,), (12,), _HEAD, (11,), (12,), (13,), (14,), (15,), (16,)),
)
TYPICAL_MISFIT = 0.1
# A detection counts as a person if its detector score or the landmark network's presence reaches these thresholds.
MIN_DETECTOR_SCORE, MIN_PRESENCE = 0.4, 0.5


def is_blazepose(tower) -> bool:
    """Whether a pose encoder is a BlazePose, including the class of remote code loaded from the Hub."""
    return tower is not None and tower.config.model_type == BlazePoseConfig.model_type


def is_somebody(score: float, presence: float) -> bool:
    """Whether the detector or the landmark network is confident that this is a person."""
    return score >= MIN_DETECTOR_SCORE or presence >= MIN_PRESENCE


def square_of(picture: dict, margin: float) -> tuple[float, float, float]:
    """Left, top and side, in pixels, of the square crop around the person in `{"image", "box"}`."""
    width, height = picture["image"].size
    square = _square_of_box(picture["box"], (width, height), margin)
    if square is None:
        side = max(width, height)
        square = ((width - side) / 2, (height - side) / 2, side)
    return square


def landmark_view(picture: dict, margin: float) -> np.ndarray:
    """The crop as input of the landmark network, (3, 512, 512) in [0, 1]."""
    return _normalize(_padded(picture["image"], square_of(picture, margin), CROP_VIEW), 1 / 255)


def box_in_view(picture: dict, margin: float, size: int) -> list[float]:
    """The person's box in pixels of the crop; a single point (zeros) if there is no box."""
    if picture["box"] is None:
        return [0.0] * 4
    left, top, side = square_of(picture, margin)
    limits = picture["image"].size
    box = [min(max(edge, 0), limits[i % 2]) for i, edge in enumerate(picture["box"])]
    return [(edge - (left, top)[i % 2]) * size / side for i, edge in enumerate(box)]


def in_picture(landmarks: Tensor, unit: float, corner: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Landmarks `(39, 5)` in a crop -> x and y `(39, 2)` in pixels of the picture, and their visibility `(39,)`.

    Args:
        unit: picture pixels per pixel of the crop.
        corner: (2,) upper left corner of the crop in the picture.
        size: width and height of the picture; landmarks outside it have visibility 0.
    """
    xy = landmarks[:, :2] * unit + corner
    inside = ((xy >= 0) & (xy <= xy.new_tensor(size))).all(dim=1)
    return xy, landmarks[:, 3:].sigmoid().prod(dim=1) * inside


def keypoints(xy: Tensor, visibility: Tensor) -> np.ndarray:
    """The 17 COCO keypoints `(17, 3)`: x, y and visibility."""
    return torch.cat((xy, visibility[:, None]), dim=1)[list(_KEYPOINTS)].numpy().astype(np.float32)


def visibility_of_joints(visibility: Tensor) -> np.ndarray:
    """Visibility of each pose joint `(22,)`, the mean over its nearest landmarks `(39,)`."""
    return np.array([float(visibility[list(near)].mean()) for near in _JOINTS], dtype=np.float32)


def score_of(presence: float, visibility: Tensor, misfit: float) -> float:
    """Confidence of a pose, in [0, 1].

    Args:
        presence: the landmark network's probability of a person in the crop.
        visibility: visibility of the landmarks, `(39,)`.
        misfit: mean distance of the pose from the visible landmarks, in metres on the body.
    """
    return presence * float(visibility[list(_LIMBS)].mean()) * math.exp(-misfit / TYPICAL_MISFIT)
