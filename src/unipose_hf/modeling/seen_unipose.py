# SPDX-License-Identifier: Apache-2.0
"""What the landmark network saw of a person, brought back to the picture: keypoints and how surely each is seen."""

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


def in_picture(landmarks: Tensor, picture: dict, margin: float, size: int) -> tuple[Tensor, Tensor]:
    """Landmarks `(39, 5)` in a view of `size` pixels -> x and y `(39, 2)` in the picture's pixels, and how surely each
    is seen `(39,)`: not hidden, and inside the picture, as the network says and as it is."""
    left, top, side = square_of(picture, margin)
    xy = landmarks[:, :2] * (side / size) + landmarks.new_tensor([left, top])
    limit = xy.new_tensor(picture["image"].size)
    inside = ((xy >= 0) & (xy <= limit)).all(dim=1)
    return xy, landmarks[:, 3:].sigmoid().prod(dim=1) * inside


def keypoints(xy: Tensor, seen: Tensor) -> np.ndarray:
    """COCO's 17 keypoints `(17, 3)` of landmarks in the picture: x, y, how surely seen."""
    return torch.cat((xy, seen[:, None]), dim=1)[list(_KEYPOINTS)].numpy().astype(np.float32)
