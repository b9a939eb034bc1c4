# SPDX-License-Identifier: Apache-2.0
"""People in front of a camera: where the bodies of poses, or of results of `image-to-pose`, are in a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..modeling.pose_unipose import Pose, bundled_body
from ..visualization import Camera

# The eye of a weak-perspective camera: so far away that a metre of depth changes the size by a thousandth.
FAR = 1000.0
GAP = 0.15  # metres between people in a row


@dataclass(frozen=True)
class Figure:
    """One person in front of a camera, in the camera's world (metres, y up, z towards the viewer).

    Attributes:
        joints: (22, 3).
        vertices: (V, 3) of the bundled body.
        faces: (F, 3).
        camera: the camera that sees this person.
        shift: metres to add to this camera's depths to compare them with those of the other people. A weak-perspective
            camera has no distance: its scale is taken for that of a lens that sees 53 degrees of the longer side.
    """

    joints: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    camera: Camera
    shift: float


def checked_size(size: int | Sequence[int]) -> tuple[int, int]:
    """Width and height in pixels; `ValueError` unless they are between 16 and 8192."""
    width, height = (size, size) if isinstance(size, int | np.integer) else (int(side) for side in size)
    if min(width, height) < 16 or max(width, height) > 8192:
        raise ValueError(f"size is {size}; expected between 16 and 8192 pixels.")
    return int(width), int(height)


def as_people(people: Any) -> list:
    """A list of people, from one person or several: poses, arrays (22, 3), or dicts with a `pose`."""
    single = isinstance(people, dict) or hasattr(people, "axis_angle") or getattr(people, "ndim", 0) == 2
    people = [people] if single else list(people)
    if not people:
        raise ValueError("There are no people to draw; pass at least one pose.")
    return people


def place_figures(
    people: Any, size: tuple[int, int], camera: Any = None, azimuth: float = 0.0, elevation: float = 0.0
) -> list[Figure]:
    """Places people in front of their cameras.

    Args:
        people: one person or several: poses, arrays (22, 3), or dicts with `pose` and `camera`.
        size: width and height of the picture, pixels.
        camera: for one person: (scale, x, y), pixels per metre and the pelvis in pixels, or a `Camera`. None takes
            the cameras of the dicts; without any, all stand in a row, on one floor, and fill the picture.
        azimuth, elevation: degrees, for a row alone: 0 looks at the front of people who face the viewer.

    Raises:
        ValueError: a camera is missing or wrong.
    """
    people = as_people(people)
    poses = [Pose(person["pose"]) if isinstance(person, dict) else Pose(person) for person in people]
    cameras = [person.get("camera") if isinstance(person, dict) else None for person in people]
    if camera is not None:
        if len(people) > 1:
            raise ValueError(f"One camera is given for {len(people)} people; give each of them its own `camera`.")
        cameras = [camera]
    given = sum(one is not None for one in cameras)
    if given not in (0, len(people)):
        raise ValueError(f"{given} of {len(people)} people have a camera; give one to all of them, or to none.")
    bodies = [_body_of(pose) for pose in poses]
    faces = bundled_body().faces.numpy()
    if given:
        if azimuth or elevation:
            raise ValueError("azimuth and elevation turn the default view; leave them out where a camera is given.")
        return [
            Figure(joints, vertices, faces, *_checked_camera(one, size))
            for (joints, vertices), one in zip(bodies, cameras, strict=True)
        ]
    bodies = _in_a_row(bodies, azimuth)
    everyone = np.concatenate([vertices for _, vertices in bodies])
    camera = Camera.fit(everyone, *size, azimuth=azimuth, elevation=elevation)
    return [Figure(joints, vertices, faces, camera, 0.0) for joints, vertices in bodies]


def _body_of(pose):
    betas = None if pose.betas is None else torch.from_numpy(pose.betas.copy())
    with torch.no_grad():
        body = bundled_body()(torch.from_numpy(pose.matrix), betas)
    return body.joints.numpy(), body.vertices.numpy()


def _checked_camera(camera, size):
    if isinstance(camera, Camera):
        return camera, 0.0
    try:
        scale, x, y = (float(value) for value in camera)
    except (TypeError, ValueError):
        scale = x = y = math.nan
    if not (math.isfinite(scale + x + y) and scale > 0):
        raise ValueError(
            f"camera is {camera!r}; expected (scale, x, y): pixels per metre above 0, and the pelvis in pixels."
        )
    position = np.array([0, 0, FAR], dtype=np.float32)
    return Camera(scale * FAR, (x, y), np.eye(3, dtype=np.float32), position), max(size) / scale - FAR


def _in_a_row(bodies, azimuth):
    """The bodies from the viewer's left to right, beside each other in the picture, on one floor."""
    angle = math.radians(azimuth)
    right = np.array([math.cos(angle), 0, -math.sin(angle)], dtype=np.float32)  # the viewer's, in the world
    row, edge = [], 0.0
    for joints, vertices in bodies:
        across = vertices @ right
        shift = (edge - across.min()) * right - np.array([0, vertices[:, 1].min(), 0], dtype=np.float32)
        row.append(((joints + shift).astype(np.float32), (vertices + shift).astype(np.float32)))
        edge += across.max() - across.min() + GAP
    return row
