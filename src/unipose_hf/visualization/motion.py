# SPDX-License-Identifier: Apache-2.0
"""Renders motions: a body that moves over a floor with a grid, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from ..body import BodyModel
from ..modeling.pose_unipose import Pose, bundled_body
from .camera import Camera
from .outfit import Outfit
from .picture import paint_of, paper, with_shadow
from .renderer import Renderer, vertex_normals

GRID = 0.5  # metres between the lines on the floor
REACH = 3.0  # metres to which lines are drawn, from the body or from the edge of its path
LINE = (203, 208, 216)
LIGHT = ((0.2, 0.022, 0.36),)  # one shadow instead of a picture's two, since it takes as long to render as the body


def draw_motion(
    poses: Sequence[Pose],
    translation: np.ndarray | None = None,
    *,
    size: int | tuple[int, int] = 320,
    body: BodyModel | None = None,
    azimuth: float = 25.0,
    elevation: float = 10.0,
    follow: bool = True,
    outfit: Outfit | None = None,
    backend: str | None = None,
) -> Iterator[Image.Image]:
    """Draw a motion, one picture per pose, with a camera that does not turn.

    Args:
        poses: the poses; the body has the shape of the first one.
        translation: (F, 3) positions of the pelvis, metres; by default the origin.
        size: width and height in pixels, or one number for both.
        body: a body model, or None for the bundled one.
        azimuth, elevation: camera direction in degrees, as for `draw_pose`.
        follow: the camera goes along with the body, so that only the grid on the floor shows how far the body moves;
            otherwise it is still and sees the whole path.
        outfit: the person's appearance.
        backend: "opengl", "software" or None to choose automatically.

    The floor is at the height of the lowest point of the motion.

    Yields:
        RGB pictures.
    """
    width, height = (size, size) if isinstance(size, int) else size
    if min(width, height) < 16 or max(width, height) > 8192:
        raise ValueError(f"size is {size}; expected between 16 and 8192 pixels.")
    body = body or bundled_body()
    faces = body.faces.cpu().numpy()
    paths = np.zeros((len(poses), 3)) if translation is None else np.asarray(translation, dtype=np.float64)
    steps = paths * (1.0, 0.0, 1.0) if follow else np.zeros_like(paths)  # how far the camera goes
    colors, thickness = paint_of(body).dress(outfit or Outfit())

    def place(frame: int) -> np.ndarray:
        """The dressed vertices of a frame as the camera sees them, (V, 3)."""
        vertices = posed_vertices(body, poses[frame : frame + 1], poses[0].betas)[0]
        vertices = vertices + thickness[:, None] * vertex_normals(vertices, faces)
        return vertices + (paths[frame] - steps[frame]).astype(np.float32)

    # one vertex in sixteen shows how much room a frame needs; the lowest one is the floor
    some, ground = [], np.inf
    for frame in range(len(poses)):
        vertices = place(frame)
        some.append(vertices[::16])
        ground = min(ground, float(vertices[:, 1].min()))
    camera = Camera.fit(np.concatenate(some), width, height, azimuth=azimuth, elevation=elevation)
    renderer, backdrop = Renderer(width, height, backend=backend), paper(width, height)
    edges = np.concatenate(some)[:, [0, 2]]
    area = np.stack((edges.min(0) - REACH, edges.max(0) + REACH))
    for frame in range(len(poses)):
        vertices = place(frame)
        floor = _with_grid(backdrop, camera, ground, area, steps[frame, [0, 2]])
        floor = with_shadow(floor, vertices, faces, camera, renderer, ground, LIGHT)
        yield Image.fromarray(renderer.render(vertices, faces, camera=camera, vertex_colors=colors, background=floor))


def posed_vertices(body, poses: Sequence[Pose], betas: np.ndarray | None) -> np.ndarray:
    """Vertices (F, V, 3) of a body of one shape in several poses, pelvis at the origin."""
    matrices = torch.from_numpy(np.stack([pose.matrix for pose in poses]))
    with torch.no_grad():
        return body(matrices, None if betas is None else torch.from_numpy(betas.copy())).vertices.cpu().numpy()


def _with_grid(backdrop: np.ndarray, camera: Camera, ground: float, area: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The backdrop with lines on the floor, which fade towards the edge of `area`, [[x, z], [x, z]]."""
    height, width = backdrop.shape[:2]
    mask = Image.new("L", (2 * width, 2 * height))  # drawn at twice the size, against steps in the lines
    draw = ImageDraw.Draw(mask)
    middle, half = area.mean(0), (area[1] - area[0]) / 2
    for axis in (0, 1):  # lines of constant x, then of constant z, in short pieces
        first = np.ceil((area[0, axis] + moved[axis]) / GRID) * GRID - moved[axis]
        values, along = np.arange(first, area[1, axis], GRID), np.linspace(area[0, 1 - axis], area[1, 1 - axis], 16)
        points = np.full((len(values), len(along), 3), ground)
        points[..., 2 * axis], points[..., 2 - 2 * axis] = values[:, None], along
        pixels = 2 * camera.project(points)
        strength = 2 - 2 * np.linalg.norm((points[..., [0, 2]] - middle) / half, axis=-1)
        strength = np.minimum((strength[:, 1:] + strength[:, :-1]) / 2, 1.0)
        in_front = camera.to_camera(points)[..., 2] < -0.1
        for line, piece in zip(*np.nonzero((strength > 0) & in_front[:, 1:] & in_front[:, :-1]), strict=True):
            ends = pixels[line, piece : piece + 2].ravel().tolist()
            draw.line(ends, fill=round(255 * float(strength[line, piece])), width=2)
    share = np.asarray(mask.resize((width, height), Image.Resampling.BOX), dtype=np.float32)[..., None] / 255
    return (backdrop * (1 - share) + np.array(LINE) * share).astype(np.uint8)
