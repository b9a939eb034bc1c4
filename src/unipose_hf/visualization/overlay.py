# SPDX-License-Identifier: Apache-2.0
"""Draws the bodies of the people in a picture on top of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from ..modeling.pose_unipose import bundled_body
from .camera import Camera
from .renderer import Renderer

FAR = 30.0  # distance of the camera in metres: almost no perspective, like the fitted weak-perspective cameras
MAX_SIDE = 1600
COLORS = ((0.42, 0.68, 0.90), (0.95, 0.66, 0.36), (0.55, 0.80, 0.47), (0.88, 0.52, 0.62), (0.72, 0.62, 0.88))


def draw_overlay(
    picture: Image.Image, people: Sequence[dict], opacity: float = 0.8, max_side: int = MAX_SIDE
) -> Image.Image:
    """Draw bodies on the picture they were estimated from.

    Args:
        picture: an RGB picture.
        people: dicts with `pose` and `camera`, (scale, x, y): pixels per metre, and the pelvis in pixels. The first
            person is drawn last, on top. `number` chooses the colour, by default the index in the list.
        opacity: opacity of the bodies, in [0, 1].
        max_side: pixels; a picture whose longer side exceeds it is resized.

    Returns:
        An RGB picture.
    """
    shrink = min(1.0, max_side / max(picture.size))
    picture = picture.convert("RGB").resize([max(1, round(side * shrink)) for side in picture.size])
    width, height = picture.size
    canvas, body, faces = np.asarray(picture), bundled_body(), None
    renderer = Renderer(width, height)
    for number, person in reversed(list(enumerate(people))):
        scale, x, y = (float(value) * shrink for value in person["camera"])
        camera = Camera(scale * FAR, (x, y), np.eye(3, dtype=np.float32), np.array([0, 0, FAR], dtype=np.float32))
        with torch.no_grad():
            vertices = body(torch.from_numpy(person["pose"].matrix)).vertices.numpy()
        faces = body.faces.numpy() if faces is None else faces
        color = COLORS[person.get("number", number) % len(COLORS)]
        covered = np.asarray(renderer.render(vertices, faces, camera=camera, color=color, background=canvas))
        canvas = np.round(opacity * covered + (1 - opacity) * canvas.astype(np.float32)).astype(np.uint8)
    return Image.fromarray(canvas)
