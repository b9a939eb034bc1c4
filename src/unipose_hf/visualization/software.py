# SPDX-License-Identifier: Apache-2.0
"""A z-buffer in numpy, for machines without OpenGL."""

from __future__ import annotations

import numpy as np

CANDIDATES_AT_ONCE = 2_000_000  # limits memory: about 200 MB of temporaries


def rasterize(
    pixels: np.ndarray, depth: np.ndarray, faces: np.ndarray, width: int, height: int, near: float = 0.05
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the nearest face at the centre of every pixel.

    Args:
        pixels: (V, 2) projected vertices.
        depth: (V,) distance along the viewing axis, metres, positive in front of the eye.
        faces: (F, 3) vertex indices. Faces with a vertex nearer than `near` are dropped.

    Returns:
        `covered` (n,) flat indices of the covered pixels, `face` (n,) the face seen there, `weights` (n, 3) its
        perspective-correct barycentric weights.
    """
    corners = pixels[faces].astype(np.float32)  # (F, 3, 2)
    inverse = (1 / np.maximum(depth, near))[faces].astype(np.float32)  # 1 / depth is linear on the screen
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    limit = (width - 1, height - 1)
    first = np.clip(np.ceil(corners.min(1) - 0.5), 0, None).astype(np.int64)
    last = np.minimum(np.floor(np.clip(corners.max(1), -1, 1e6) - 0.5), limit).astype(np.int64)
    extent = np.maximum(last - first + 1, 0)
    keep = np.flatnonzero((extent.prod(1) > 0) & (np.abs(area) > 1e-9) & (depth[faces].min(1) > near))

    seen = np.full(width * height, -1, dtype=np.int64)
    nearest = np.zeros(width * height, dtype=np.float32)  # largest 1 / depth so far
    for part in _parts(keep, extent[keep].prod(1)):
        size = extent[part].prod(1)
        owner = np.repeat(np.arange(len(part)), size)
        place = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        columns = extent[part, 0][owner]
        x = first[part, 0][owner] + place % columns
        y = first[part, 1][owner] + place // columns
        weights = _barycentric(corners[part][owner], area[part][owner], x + 0.5, y + 0.5)
        inside = (weights >= 0).all(1)
        owner, flat = owner[inside], (y * width + x)[inside]
        value = (weights[inside] * inverse[part][owner]).sum(1)
        better = value > nearest[flat]
        owner, flat, value = owner[better], flat[better], value[better]
        order = np.argsort(value)  # of equal targets numpy keeps the last, hence the nearest
        seen[flat[order]] = part[owner[order]]
        nearest[flat[order]] = value[order]

    covered = np.flatnonzero(seen >= 0)
    face = seen[covered]
    weights = _barycentric(corners[face], area[face], covered % width + 0.5, covered // width + 0.5) * inverse[face]
    return covered, face, weights / weights.sum(1, keepdims=True)


def _barycentric(corners: np.ndarray, area: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Screen-space barycentric weights (n, 3) of points in triangles `corners` (n, 3, 2)."""
    x, y = x.astype(np.float32), y.astype(np.float32)
    dx, dy = corners[:, :, 0] - x[:, None], corners[:, :, 1] - y[:, None]
    first = (dx[:, 1] * dy[:, 2] - dy[:, 1] * dx[:, 2]) / area
    second = (dx[:, 2] * dy[:, 0] - dy[:, 2] * dx[:, 0]) / area
    return np.stack((first, second, 1 - first - second), axis=1)


def _parts(items: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """Cut `items` where the running total of `sizes` passes the memory bound."""
    if len(items) == 0:
        return []
    batch = np.cumsum(sizes) // CANDIDATES_AT_ONCE
    return np.split(items, np.flatnonzero(np.diff(batch)) + 1)
