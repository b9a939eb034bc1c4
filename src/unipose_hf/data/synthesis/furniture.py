# SPDX-License-Identifier: Apache-2.0
"""Things that stand around people in photographs, as meshes: seats, tables, railings, boxes, posts and shrubs.

Everything is built from boxes and balls. The frame is the people's: metres, y up, and the viewer roughly at +z.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unipose_hf.visualization.garments import ball_mesh, box_mesh


class Mesh(NamedTuple):
    """Vertices (V, 3) in metres, faces (F, 3), and sRGB colours (V, 3) in [0, 1]."""

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray


def join(meshes: list[Mesh]) -> Mesh:
    """One mesh of all."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float32),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]).astype(np.int32),
        np.concatenate([mesh.colors for mesh in meshes]).astype(np.float32),
    )


def seat_under(joints: np.ndarray, floor: float, forward: np.ndarray, rng: np.random.Generator) -> Mesh:
    """A stool, chair, bench or armchair under somebody who sits.

    Args:
        joints: (22, 3) of the person, SMPL order.
        floor: height of the floor.
        forward: (3,) horizontal unit vector, where the person faces.
    """
    hips = joints[1:3].mean(0)
    height = hips[1] - 0.12
    color, wide, deep = _tone(rng), rng.uniform(0.4, 0.55), rng.uniform(0.38, 0.5)
    if rng.random() < 0.25:
        wide = rng.uniform(1.1, 2.0)  # a bench or a sofa
    parts = [_box((wide, 0.06, deep), (0, height - 0.03, 0.1), color)]
    if height - floor > 0.15:
        leg = (0.04, height - floor - 0.06, 0.04)
        for x in (-1, 1):
            for z in (-1, 1):
                position = (x * (wide / 2 - 0.03), (height + floor) / 2 - 0.03, 0.1 + z * (deep / 2 - 0.03))
                parts.append(_box(leg, position, color))
    if rng.random() < 0.7:
        tall = rng.uniform(0.3, 0.75)
        parts.append(_box((wide, tall, 0.05), (0, height + tall / 2 + 0.05, 0.1 - deep / 2 - 0.08), color))
    if rng.random() < 0.25:
        for x in (-1, 1):
            parts.append(_box((0.07, 0.22, deep), (x * (wide / 2 + 0.03), height + 0.11, 0.1), color))
    return _move(join(parts), np.array([hips[0], 0.0, hips[2]]), forward)


def thing_in_front(joints: np.ndarray, floor: float, toward: np.ndarray, rng: np.random.Generator) -> Mesh:
    """A table, counter, railing, box, post or shrub between a person and the camera.

    Args:
        joints: (22, 3) of the person.
        floor: height of the floor.
        toward: (3,) horizontal unit vector from the person to the camera.
    """
    nearest = (joints @ toward).max() - joints[0] @ toward  # the part of the body closest to the camera
    away = nearest + rng.uniform(0.15, 0.5)
    tall = np.ptp(joints[:, 1])
    color = _tone(rng)
    kind = rng.choice(("table", "counter", "railing", "box", "post", "shrub"), p=(0.25, 0.2, 0.15, 0.15, 0.1, 0.15))
    aside = rng.uniform(-0.3, 0.3)
    if kind == "table":
        wide, deep, height = rng.uniform(0.7, 1.8), rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.5) * tall
        parts = [_box((wide, 0.04, deep), (aside, height, deep / 2), color)]
        for x in (-1, 1):
            parts.append(_box((0.06, height, 0.06), (aside + x * (wide / 2 - 0.05), height / 2, deep - 0.08), color))
        for _ in range(int(rng.integers(0, 4))):  # plates, screens, bottles
            size = rng.uniform((0.05, 0.02, 0.05), (0.4, 0.3, 0.1))
            position = (aside + rng.uniform(-wide / 2, wide / 2), height + 0.02 + size[1] / 2, rng.uniform(0.1, deep))
            parts.append(_box(size, position, _tone(rng)))
    elif kind == "counter":
        height = rng.uniform(0.25, 0.6) * tall
        parts = [_box((rng.uniform(0.8, 3.0), height, 0.3), (aside, height / 2, 0.15), color)]
        parts.append(_box((3.0, 0.04, 0.4), (aside, height + 0.02, 0.15), _tone(rng)))
    elif kind == "railing":
        height = rng.uniform(0.4, 0.75) * tall
        parts = [
            _box((4.0, 0.05, 0.04), (0, y, 0.0), color) for y in np.linspace(0.1, height, int(rng.integers(2, 5)))
        ]
        parts += [
            _box((0.03, height, 0.03), (x, height / 2, 0.0), color) for x in np.arange(-2, 2, rng.uniform(0.1, 0.9))
        ]
    elif kind == "box":
        size = rng.uniform((0.3, 0.2, 0.2), (0.9, 0.55, 0.5)) * (1, tall, 1)
        parts = [_box(size, (aside + rng.choice((-1, 1)) * rng.uniform(0, 0.35), size[1] / 2, 0.25), color)]
    elif kind == "post":
        parts = [_box((rng.uniform(0.06, 0.25), 3.0, 0.1), (rng.uniform(-0.3, 0.3), 1.0, 0.0), color)]
    else:
        green = np.clip(np.array((0.22, 0.4, 0.16)) * rng.uniform(0.6, 1.5), 0, 1)
        height = rng.uniform(0.25, 0.6) * tall
        parts = []
        for _ in range(int(rng.integers(8, 20))):
            vertices, faces = ball_mesh(rng.uniform(0.12, 0.35))
            position = (rng.normal(aside, 0.35), rng.uniform(0.05, height), rng.normal(0.1, 0.08))
            shade = np.clip(green * rng.uniform(0.7, 1.3), 0, 1)
            parts.append(Mesh(vertices + position, faces, np.tile(shade, (len(vertices), 1))))
    mesh = _move(join(parts), np.zeros(3), toward)
    shift = joints[0] * (1, 0, 1) + away * toward + (0, floor, 0)
    return mesh._replace(vertices=(mesh.vertices + shift).astype(np.float32))


def _box(size, center, color):
    vertices, faces = box_mesh(size)
    return Mesh(vertices + np.asarray(center), faces, np.tile(np.asarray(color, float), (len(vertices), 1)))


def _move(mesh, position, forward):
    """A mesh that faces +z, turned to face `forward` and moved."""
    turn = np.stack([np.array([forward[2], 0, -forward[0]]), np.array([0.0, 1.0, 0.0]), forward], axis=1)
    return mesh._replace(vertices=(mesh.vertices @ turn.T + position).astype(np.float32))


def _tone(rng):
    """Wood, paint, metal or cloth: an sRGB colour (3,) in [0, 1]."""
    grey = rng.uniform(0.1, 0.9)
    if rng.random() < 0.4:
        return np.clip(np.array((1.0, 0.72, 0.48)) * grey, 0, 1)
    return np.clip(grey + rng.normal(0, rng.choice((0.02, 0.12)), 3), 0.03, 1)
