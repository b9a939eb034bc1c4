# SPDX-License-Identifier: Apache-2.0
"""Depth and normal maps of posed bodies, in the colours that ControlNets for depth and normals were trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from ..visualization import vertex_normals
from ..visualization.software import rasterize
from .figures import Figure, checked_size, place_figures

MIN_GREY = 64  # of the farthest part of a body, so that it stands out from the black background
WALL = (128, 128, 255)  # the normals of a background that faces the viewer


def depth_map(
    people: Any,
    size: int | tuple[int, int] = 512,
    *,
    camera: Any = None,
    azimuth: float = 0.0,
    elevation: float = 0.0,
) -> Image.Image:
    """Inverse depth as MiDaS estimates it: the nearest point is white, the background black.

    Args:
        people, size, camera, azimuth, elevation: see `openpose_keypoints`.

    Returns:
        A grey RGB picture. Greys are linear in 1 / depth, from 255 at the nearest point of all bodies to 64 at the
        farthest.

    Raises:
        ValueError: a camera or the size is wrong.
    """
    depth, _ = _rendered(people, size, camera, azimuth, elevation)
    covered = np.isfinite(depth)
    grey = np.zeros_like(depth)
    if covered.any():
        inverse = 1 / depth[covered]
        spread = max(inverse.max() - inverse.min(), 1e-9)
        grey[covered] = MIN_GREY + (255 - MIN_GREY) * (inverse - inverse.min()) / spread
    return _picture(np.repeat(grey[..., None], 3, axis=2))


def normal_map(
    people: Any,
    size: int | tuple[int, int] = 512,
    *,
    camera: Any = None,
    azimuth: float = 0.0,
    elevation: float = 0.0,
) -> Image.Image:
    """Surface normals in the colours of ControlNet 1.1: red is left, green is up, blue is towards the viewer.

    Rendering programs paint normals that point to the right red; the published model was trained on the opposite.

    Args:
        people, size, camera, azimuth, elevation: see `openpose_keypoints`.

    Returns:
        An RGB picture. The background faces the viewer.

    Raises:
        ValueError: a camera or the size is wrong.
    """
    depth, normals = _rendered(people, size, camera, azimuth, elevation)
    colors = 127.5 * (1 + normals * (-1, 1, 1))
    return _picture(np.where(np.isfinite(depth)[..., None], colors, WALL))


def _rendered(people, size, camera, azimuth, elevation) -> tuple[np.ndarray, np.ndarray]:
    """Depths (2 H, 2 W), infinite where there is nobody, and unit normals (2 H, 2 W, 3) in the camera's frame."""
    width, height = checked_size(size)
    depth = np.full(4 * width * height, np.inf)
    normals = np.zeros((4 * width * height, 3))
    for figure in place_figures(people, (width, height), camera, azimuth, elevation):
        _render(figure, 2 * width, 2 * height, depth, normals)
    return depth.reshape(2 * height, 2 * width), normals.reshape(2 * height, 2 * width, 3)


def _render(figure: Figure, width: int, height: int, depth: np.ndarray, normals: np.ndarray) -> None:
    """Adds a person to flat maps, where it is nearer than what is there."""
    camera = figure.camera
    distance = -camera.to_camera(figure.vertices)[:, 2]
    covered, face, weights = rasterize(2 * camera.project(figure.vertices), distance, figure.faces, width, height)
    corners = figure.faces[face]  # (n, 3)
    found = (weights * distance[corners]).sum(1) + figure.shift
    nearer = found < depth[covered]
    covered, corners, weights = covered[nearer], corners[nearer], weights[nearer]
    turned = vertex_normals(figure.vertices, figure.faces) @ camera.rotation.T
    smooth = np.einsum("nk,nkd->nd", weights, turned[corners])
    depth[covered] = found[nearer]
    normals[covered] = smooth / np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-9)


def _picture(samples: np.ndarray) -> Image.Image:
    """The mean of 2 x 2 samples (2 H, 2 W, 3) a pixel."""
    height, width = samples.shape[0] // 2, samples.shape[1] // 2
    pixels = samples.reshape(height, 2, width, 2, 3).mean((1, 3))
    return Image.fromarray(np.round(pixels).astype(np.uint8))
