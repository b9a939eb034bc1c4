# SPDX-License-Identifier: Apache-2.0
"""Renders poses: a single one on a floor, or many in a contact sheet."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from ..body import BodyModel
from ..modeling.pose_unipose import Pose, bundled_body
from .camera import Camera
from .outfit import BodyPaint, Outfit
from .renderer import Renderer, vertex_normals
from .text import wrapped

PAPER_TOP, PAPER_BOTTOM = (247, 248, 250), (226, 229, 234)
SHADOW = (70, 78, 92)
SKY_AND_LAMP = ((0.0, 0.035, 0.30), (0.45, 0.012, 0.22))  # a wide shadow from above, a narrower one of the key light


def draw_pose(
    pose: Pose | ArrayLike,
    *,
    size: int | tuple[int, int] = 512,
    body: BodyModel | None = None,
    azimuth: float = 25.0,
    elevation: float = 10.0,
    outfit: Outfit | None = None,
    floor: bool = True,
    backend: str | None = None,
) -> Image.Image:
    """Draw a body in a pose, standing in a bright studio.

    Args:
        pose: a `Pose` or (22, 3) axis-angle in our frame.
        size: width and height in pixels, or one number for both.
        body: a body model, or None for the bundled one.
        azimuth, elevation: camera direction in degrees: 0 is straight in front (the viewer of our frame), positive
            azimuth moves to the viewer's right, positive elevation looks down.
        outfit: the person's appearance.
        floor: draw a soft shadow on the floor under the body's lowest point.
        backend: "opengl", "software" or None to choose automatically.

    Returns:
        An RGB `PIL.Image.Image`.
    """
    width, height = (size, size) if isinstance(size, int) else size
    if min(width, height) < 16 or max(width, height) > 8192:
        raise ValueError(f"size is {size}; expected between 16 and 8192 pixels.")
    pose = Pose(pose)
    body = body or bundled_body()
    betas = None if pose.betas is None else torch.from_numpy(pose.betas.copy())
    with torch.no_grad():
        vertices = body(torch.from_numpy(pose.matrix), betas).vertices.cpu().numpy()
    faces = body.faces.cpu().numpy()
    colors, thickness = paint_of(body).dress(outfit or Outfit())
    vertices = vertices + thickness[:, None] * vertex_normals(vertices, faces)

    renderer = Renderer(width, height, backend=backend)
    camera = Camera.fit(vertices, width, height, azimuth=azimuth, elevation=elevation)
    background = paper(width, height)
    if floor:
        background = with_shadow(background, vertices, faces, camera, renderer)
    return Image.fromarray(
        renderer.render(vertices, faces, camera=camera, vertex_colors=colors, background=background)
    )


@functools.lru_cache(maxsize=4)
def paint_of(body) -> BodyPaint:
    return BodyPaint.of(body)


def paper(width: int, height: int) -> np.ndarray:
    """A light backdrop, a little darker below."""
    ramp = np.linspace(0, 1, height)[:, None] ** 1.5
    column = np.array(PAPER_TOP) * (1 - ramp) + np.array(PAPER_BOTTOM) * ramp
    return np.broadcast_to(np.round(column)[:, None], (height, width, 3)).astype(np.uint8)


def with_shadow(
    background,
    vertices,
    faces,
    camera: Camera,
    renderer: Renderer,
    ground: float | None = None,
    lights: Sequence[tuple[float, float, float]] = SKY_AND_LAMP,
) -> np.ndarray:
    """The backdrop with the body's shadows on a floor at height `ground`, by default under the body's lowest point.

    Each of `lights` has a slant, a blur (as a share of the picture's side) and a strength.
    """
    ground = vertices[:, 1].min() if ground is None else ground
    height = vertices[:, 1] - ground
    darkness = np.zeros(background.shape[:2], dtype=np.float32)
    for slant, blur, strength in lights:
        flat = vertices.copy()
        flat[:, 1] = ground
        flat[:, 0] += slant * height  # the lamp stands to the viewer's left
        flat[:, 2] -= 0.6 * slant * height
        _, mask = renderer.render(flat, faces, camera=camera, return_mask=True)
        soft = Image.fromarray(mask).filter(ImageFilter.GaussianBlur(blur * min(mask.shape)))
        darkness = np.maximum(darkness, 0) + strength * np.asarray(soft, dtype=np.float32) / 255
    darkness = np.clip(darkness, 0, 0.6)[..., None]
    return (background * (1 - darkness) + np.array(SHADOW) * darkness).astype(np.uint8)


def contact_sheet(
    images: Sequence, *, columns: int | None = None, labels: Sequence[str] | None = None, cell: int = 256, gap: int = 8
) -> Image.Image:
    """Arrange pictures in a grid.

    Args:
        images: PIL images, arrays (H, W, 3) uint8 or poses (`Pose`, which are rendered). Each is resized to fit a
            square `cell`.
        columns: pictures per row; by default about as many as rows.
        labels: text under each picture, wrapped to the cell's width.
        cell, gap: pixels.

    Returns:
        An RGB `PIL.Image.Image`.
    """
    images = list(images)
    if not images:
        raise ValueError("images is empty; a contact sheet needs at least one picture.")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"There are {len(labels)} labels for {len(images)} images; expected one each.")
    columns = columns or math.ceil(math.sqrt(len(images)))
    size = max(11, cell // 18)
    font = ImageFont.load_default(size=size)
    texts = ["\n".join(wrapped(str(label), font, cell)) for label in labels or [""] * len(images)]
    line = size * 1.25
    rows = math.ceil(len(images) / columns)
    text_heights = [
        math.ceil(max((text.count("\n") + 1) * line if text else 0 for text in texts[row * columns :][:columns]))
        for row in range(rows)
    ]
    width = columns * cell + (columns + 1) * gap
    sheet = Image.new("RGB", (width, rows * (cell + gap) + gap + sum(text_heights)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        left = gap + column * (cell + gap)
        top = gap + row * (cell + gap) + sum(text_heights[:row])
        picture = _as_image(image, cell)
        sheet.paste(picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2))
        if texts[i]:
            draw.multiline_text((left, top + cell + 2), texts[i], fill=(40, 44, 52), font=font, spacing=0.25 * size)
    return sheet


def _as_image(image, cell: int) -> Image.Image:
    if hasattr(image, "axis_angle"):
        return draw_pose(image, size=cell)
    picture = image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image))
    picture = picture.convert("RGB")
    scale = cell / max(picture.size)
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
