# SPDX-License-Identifier: Apache-2.0
"""The 18 keypoints of OpenPose's COCO model (Cao et al. 2017), found on a posed body and projected to a picture."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..body import JOINT_NAMES
from ..modeling.pose_unipose import bundled_body
from .figures import Figure, checked_size, place_figures

# "left" is the person's left, as in our joints
OPENPOSE_NAMES: tuple[str, ...] = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)
# Where the bundled body has them, metres from the head joint in the T-pose.
FACE: dict[str, tuple[float, float, float]] = {
    "nose": (0.0, 0.054, 0.144),
    "right_eye": (-0.030, 0.092, 0.117),
    "left_eye": (0.030, 0.092, 0.117),
    "right_ear": (-0.0865, 0.086, 0.013),
    "left_ear": (0.0865, 0.086, 0.013),
}
# A point is hidden if its own body is more than this many metres in front of it: the surface itself for the face, and
# about the thickness of the limb for joints. Neck, shoulders and hips are always kept: the trunk around them shows
# where they are, and a limb cannot be drawn without them.
DEEPEST: dict[str, float] = {
    **dict.fromkeys(FACE, 0.025),
    **dict.fromkeys(("right_elbow", "left_elbow"), 0.10),
    **dict.fromkeys(("right_wrist", "left_wrist"), 0.08),
    **dict.fromkeys(("right_knee", "left_knee"), 0.13),
    **dict.fromkeys(("right_ankle", "left_ankle"), 0.10),
}


def openpose_keypoints(
    people: Any,
    size: int | tuple[int, int] = 512,
    *,
    camera: Any = None,
    azimuth: float = 0.0,
    elevation: float = 0.0,
    keep_hidden: bool = False,
) -> np.ndarray:
    """The keypoints of people in a picture.

    Args:
        people: one person or several: poses, arrays (22, 3) of axis-angle, or dicts with `pose` and `camera` such as
            `pipeline("image-to-pose")` returns. Without cameras they stand in a row and fill the picture.
        size: width and height of the picture in pixels, or one number for both.
        camera: for one person: (scale, x, y), pixels per metre and the pelvis in pixels, or a `Camera`.
        azimuth, elevation: degrees; without cameras, move the view to the viewer's right, and up.
        keep_hidden: keep points that the person's own body hides.

    Returns:
        (people, 18, 3) float32: x and y in pixels, and 1; or three zeros for a point that is hidden or outside of the
        picture. The order is that of `OPENPOSE_NAMES`. The neck is the middle between the shoulders.

    Raises:
        ValueError: a camera or the size is wrong.
    """
    size = checked_size(size)
    figures = place_figures(people, size, camera, azimuth, elevation)
    return np.stack([_keypoints(figure, size, keep_hidden) for figure in figures])


def _keypoints(figure: Figure, size: tuple[int, int], keep_hidden: bool) -> np.ndarray:
    points = _points(figure)
    pixels = figure.camera.project(points)
    seen = (pixels >= 0).all(1) & (pixels < size).all(1)
    depth = -figure.camera.to_camera(points)[:, 2]
    seen &= depth > 0
    if not keep_hidden:
        limit = np.array([DEEPEST.get(name, np.inf) for name in OPENPOSE_NAMES])
        seen &= depth - _surface_depth(figure, pixels) < limit
    return np.where(seen[:, None], np.concatenate([pixels, np.ones((18, 1))], axis=1), 0).astype(np.float32)


def _points(figure: Figure) -> np.ndarray:
    """(18, 3) points in the world."""
    points = {name: figure.joints[JOINT_NAMES.index(name)] for name in OPENPOSE_NAMES if name in JOINT_NAMES}
    points |= {name: figure.vertices[number] for name, number in _face_vertices().items()}
    points["neck"] = (points["left_shoulder"] + points["right_shoulder"]) / 2  # OpenPose's, above our joint "neck"
    return np.stack([points[name] for name in OPENPOSE_NAMES])


@functools.cache
def _face_vertices() -> dict[str, int]:
    """The vertex of the bundled body at each point of the face; vertices follow the pose and the body's shape."""
    body = bundled_body()
    from_head = (body.v_template - body.rest_joints[JOINT_NAMES.index("head")]).numpy()
    return {name: int(np.square(from_head - place).sum(1).argmin()) for name, place in FACE.items()}


def _surface_depth(figure: Figure, pixels: np.ndarray) -> np.ndarray:
    """(n,) metres from the eye to the nearest surface of the body that covers each pixel; infinite where none does."""
    corners = figure.camera.project(figure.vertices)[figure.faces]  # (F, 3, 2)
    depth = -figure.camera.to_camera(figure.vertices)[:, 2][figure.faces]  # (F, 3)
    nearest = np.full(len(pixels), np.inf)
    low, high = corners.min(1), corners.max(1)
    for number, pixel in enumerate(pixels):
        near = np.flatnonzero((low <= pixel).all(1) & (high >= pixel).all(1))
        a, b, c = (corners[near, k].astype(np.float64) - pixel for k in range(3))
        areas = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=1)  # (n, 3), of one sign inside
        total = areas.sum(1)
        inside = ((areas >= 0).all(1) | (areas <= 0).all(1)) & (np.abs(total) > 1e-12)
        if inside.any():
            weights = areas[inside] / total[inside, None]
            nearest[number] = (weights * depth[near[inside]]).sum(1).min()
    return nearest


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
