# SPDX-License-Identifier: Apache-2.0
"""The bodies of the people found in a picture, drawn on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from ..modeling.pose_unipose import bundled_body
from .camera import Camera
from .renderer import Renderer

FAR = 30.0  # metres from the eye: nearly without perspective, as the cameras that were fitted have none
LARGEST_SIDE = 1600
COLORS = ((0.42, 0.68, 0.90), (0.95, 0.66, 0.36), (0.55, 0.80, 0.47), (0.88, 0.52, 0.62), (0.72, 0.62, 0.88))


def draw_overlay(picture: Image.Image, people: Sequence[dict], opacity: float = 0.8) -> Image.Image:
    """Draw bodies on the picture that they were seen in.

    Args:
        picture: an RGB picture; one whose longer side has more than 1600 pixels is made smaller.
        people: dicts with `pose` and `camera`, (scale, x, y): pixels a metre, and the pixel of the pelvis. The first
            is drawn last, over the others.
        opacity: of the bodies, in [0, 1].

    Returns:
        An RGB picture.
    """
    shrink = min(1.0, LARGEST_SIDE / max(picture.size))
    picture = picture.convert("RGB").resize([max(1, round(side * shrink)) for side in picture.size])
    width, height = picture.size
    drawn, body, faces = np.asarray(picture), bundled_body(), None
    renderer = Renderer(width, height)
    for number, person in reversed(list(enumerate(people))):
        scale, x, y = (float(value) * shrink for value in person["camera"])
        camera = Camera(scale * FAR, (x, y), np.eye(3, dtype=np.float32), np.array([0, 0, FAR], dtype=np.float32))
        with torch.no_grad():
            vertices = body(torch.from_numpy(person["pose"].matrix)).vertices.numpy()
        faces = body.faces.numpy() if faces is None else faces
        color = COLORS[number % len(COLORS)]
        covered = np.asarray(renderer.render(vertices, faces, camera=camera, color=color, background=drawn))
        drawn = np.round(opacity * covered + (1 - opacity) * drawn.astype(np.float32)).astype(np.uint8)
    return Image.fromarray(drawn)
