# SPDX-License-Identifier: Apache-2.0
"""The perspective camera used for all renderings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


def turn_x(angle: float) -> np.ndarray:
    """Rotation matrix (3, 3) by `angle` radians about x."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=np.float32)


def turn_y(angle: float) -> np.ndarray:
    """Rotation matrix (3, 3) by `angle` radians about y."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=np.float32)


def turn_z(angle: float) -> np.ndarray:
    """Rotation matrix (3, 3) by `angle` radians about z."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=np.float32)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in our frame: x right, y up, looking along -z (metres).

    A world point `p` is at `q = rotation @ (p - position)` in the camera frame and projects to the pixel `(center_x -
    focal * q_x / q_z, center_y + focal * q_y / q_z)`: integer coordinates are at pixel corners, not centres, the
    picture spans `[0, width] x [0, height]`, and rows count downwards. The intrinsic matrix is that of OpenCV,
    `[[focal, 0, center_x], [0, focal, center_y], [0, 0, 1]]`, for points turned by 180 degrees about x.

    Attributes:
        focal: focal length in pixels.
        center: principal point `(x, y)` in pixels.
        rotation: (3, 3), from the world to the camera frame.
        position: (3,), the eye in the world, metres.
    """

    focal: float
    center: tuple[float, float]
    rotation: np.ndarray
    position: np.ndarray

    @classmethod
    def fit(
        cls,
        points: np.ndarray,
        width: int,
        height: int,
        *,
        fov: float = 30.0,
        azimuth: float = 0.0,
        elevation: float = 0.0,
        roll: float = 0.0,
        margin: float = 0.08,
        box: tuple[float, float, float, float] | None = None,
        center: tuple[float, float] | None = None,
    ) -> Camera:
        """The closest camera that sees all `points` (N, 3) inside a box of the picture.

        Args:
            fov: field of view over the picture's height, degrees.
            azimuth, elevation: degrees; move the camera around +y to the viewer's right, and up.
            roll: degrees by which the picture's content rotates anti-clockwise.
            margin: share of the picture left free on every side if no `box` is given.
            box: (left, top, right, bottom) in pixels, with or without the principal point inside.
            center: principal point in pixels, by default the picture's centre; elsewhere for a crop of a picture.
        """
        rotation = turn_z(math.radians(roll)) @ turn_x(math.radians(elevation)) @ turn_y(-math.radians(azimuth))
        points = np.asarray(points, dtype=np.float32).reshape(-1, 3) @ rotation.T
        focal = 0.5 * height / math.tan(math.radians(fov) / 2)
        cx, cy = center or (width / 2, height / 2)
        left, top, right, bottom = box or (
            margin * width,
            margin * height,
            (1 - margin) * width,
            (1 - margin) * height,
        )
        # Being inside an edge of the box, (x - eye_x) <= slope * (eye_z - z), is linear in the eye: two lines for each
        # axis, whose crossing is the closest eye for that axis.
        lines = []
        for axis, low, high in ((0, cx - left, right - cx), (1, bottom - cy, cy - top)):
            low, high = low / focal, high / focal
            low_bound = (-points[:, axis] + low * points[:, 2]).max()  # -eye_x + low * eye_z must reach it
            high_bound = (points[:, axis] + high * points[:, 2]).max()  # eye_x + high * eye_z must reach it
            lines.append((low, low_bound, high, high_bound))
        distance = max((low_bound + high_bound) / (low + high) for low, low_bound, high, high_bound in lines)
        eye = [
            (high_bound - high * distance + low * distance - low_bound) / 2
            for low, low_bound, high, high_bound in lines
        ]
        return cls(focal, (cx, cy), rotation, rotation.T @ np.array([*eye, distance], dtype=np.float32))

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) in the camera frame (..., 3)."""
        return (np.asarray(points, dtype=np.float32) - self.position) @ self.rotation.T

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) to pixels (..., 2); points behind the eye give meaningless pixels."""
        q = self.to_camera(points)
        z = np.minimum(q[..., 2], -1e-6)
        return np.stack(
            (self.center[0] - self.focal * q[..., 0] / z, self.center[1] + self.focal * q[..., 1] / z), axis=-1
        )

    def clip_matrix(self, width: int, height: int, near: float = 0.05, far: float = 100.0) -> np.ndarray:
        """OpenGL clip matrix (4, 4), world to clip, rows counted downwards (a read-back needs no flip)."""
        projection = np.zeros((4, 4), dtype=np.float32)
        projection[0, 0] = 2 * self.focal / width
        projection[0, 2] = 1 - 2 * self.center[0] / width
        projection[1, 1] = -2 * self.focal / height
        projection[1, 2] = 1 - 2 * self.center[1] / height
        projection[2, 2] = -(far + near) / (far - near)
        projection[2, 3] = -2 * far * near / (far - near)
        projection[3, 2] = -1
        view = np.eye(4, dtype=np.float32)
        view[:3, :3] = self.rotation
        view[:3, 3] = -self.rotation @ self.position
        return projection @ view
