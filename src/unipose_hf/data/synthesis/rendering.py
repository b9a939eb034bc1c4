# SPDX-License-Identifier: Apache-2.0
"""Renders labelled images of people: each given pose with a random person, camera, light and background."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import roma
import torch

from unipose_hf.visualization.camera import Camera
from unipose_hf.visualization.outfit import BodyPaint, Outfit
from unipose_hf.visualization.renderer import Light, Renderer, vertex_normals

from .scenery import camera_faults, hide_face, random_background, random_occluder

BODY_BATCH_SIZE = 64


@dataclass
class TrainingImages:
    """`B` images of `S` x `S` pixels with their labels.

    Attributes:
        images: (B, S, S, 3) uint8.
        axis_angle: (B, 22, 3) float32, the poses in the camera frame: only the global orientation differs from the
            input, by the camera's pitch and roll.
        joints: (B, 22, 3) float32, metres, in the camera frame (our frame: the eye at the origin looking along -z).
        keypoints: (B, 22, 2) float32, the joints in pixels (x to the right, y down, picture corner at 0).
        boxes: (B, 4) float32, left, top, right, bottom of the visible person in pixels, before occluders.
        intrinsics: (B, 3) float32, focal length and principal point x, y in pixels.
        betas: (B, 10) float32, the random body shapes.
        occluded: (B,) float32, share of the person's pixels behind an occluder.
    """

    images: np.ndarray
    axis_angle: np.ndarray
    joints: np.ndarray
    keypoints: np.ndarray
    boxes: np.ndarray
    intrinsics: np.ndarray
    betas: np.ndarray
    occluded: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


@torch.no_grad()
def render_training_images(
    poses,
    *,
    seed: int = 0,
    size: int = 256,
    body=None,
    occlusion: float = 0.2,
    hidden_faces: float = 0.0,
    faults: bool = True,
    backend: str | None = None,
) -> TrainingImages:
    """Render each pose once, with everything else random.

    The person fills 40 to 95 % of the picture, seen through a lens of 25 to 70 degrees from 20 degrees below to 25
    degrees above. Picture `i` depends only on `seed`, `i` and pose `i` (and on the rendering backend, by a grey level
    or two).

    Args:
        poses: (B, 22, 3) axis-angle in our frame, tensor or array, with the global orientation relative to a level
            camera (include the full range of yaw you want to train on).
        seed: random seed. size: width and height `S` in pixels.
        body: "small" (default: fast), "full" (smoother) or a body model.
        occlusion: share of the pictures with a rectangle or disc in front of the person.
        hidden_faces: share of the people facing the camera whose face is pixelated or blurred.
        faults: simulate exposure, noise, blur and JPEG artefacts.
        backend: passed to `Renderer`.

    Returns:
        `TrainingImages`.
    """
    poses = torch.as_tensor(poses, dtype=torch.float32)
    if poses.ndim != 3 or poses.shape[1:] != (22, 3):
        raise ValueError(f"poses have shape {tuple(poses.shape)}; expected (B, 22, 3) axis-angle.")
    if body is None or isinstance(body, str):
        from unipose_hf.body import load_body

        body = load_body(size=body or "small")
    faces = body.faces.cpu().numpy().astype(np.int32)
    paint = BodyPaint.of(body)
    renderer = Renderer(size, size, backend=backend)

    count = len(poses)
    result = TrainingImages(
        images=np.zeros((count, size, size, 3), dtype=np.uint8),
        axis_angle=poses.cpu().numpy().copy(),
        joints=np.zeros((count, 22, 3), dtype=np.float32),
        keypoints=np.zeros((count, 22, 2), dtype=np.float32),
        boxes=np.zeros((count, 4), dtype=np.float32),
        intrinsics=np.zeros((count, 3), dtype=np.float32),
        betas=np.zeros((count, 10), dtype=np.float32),
        occluded=np.zeros(count, dtype=np.float32),
    )
    generators = [np.random.default_rng((seed, i)) for i in range(count)]
    for i, rng in enumerate(generators):
        result.betas[i] = np.clip(rng.normal(0, 0.9, 10), -2, 2)
    for start in range(0, count, BODY_BATCH_SIZE):
        rows = slice(start, start + BODY_BATCH_SIZE)
        posed = body(roma.rotvec_to_rotmat(poses[rows]), torch.from_numpy(result.betas[rows]))
        vertices, joints = posed.vertices.cpu().numpy(), posed.joints.cpu().numpy()
        for k, i in enumerate(range(start, min(start + BODY_BATCH_SIZE, count))):
            _render_one(
                result,
                i,
                vertices[k],
                joints[k],
                faces,
                paint,
                renderer,
                generators[i],
                occlusion,
                hidden_faces,
                faults,
            )
    return result


def _render_one(result, i, vertices, joints, faces, paint, renderer, rng, occlusion, hidden_faces, faults) -> None:
    size = renderer.width
    colors, thickness = paint.dress(Outfit.random(rng))
    vertices = vertices + thickness[:, None] * vertex_normals(vertices, faces)
    camera = _random_camera(vertices, size, rng)
    picture, mask = renderer.render(
        vertices,
        faces,
        camera=camera,
        vertex_colors=colors,
        light=random_light(rng),
        background=random_background(size, rng),
        return_mask=True,
    )
    person = mask > 127
    columns, rows = np.flatnonzero(person.any(0)), np.flatnonzero(person.any(1))
    box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    if rng.random() < occlusion:
        thing, where = random_occluder(size, box, rng)
        result.occluded[i] = (where & person).sum() / person.sum()
        picture = np.where(where[..., None], thing, picture)
    if hidden_faces:
        head = vertices[paint.head]
        forward = vertices[paint.head & (paint.to_face > 0.5)].mean(0) - head.mean(0)
        if forward @ (camera.position - head.mean(0)) > 0 and rng.random() < hidden_faces:
            pixels = camera.project(head)
            picture = hide_face(picture, (*pixels.min(0), *pixels.max(0)), rng)
    result.images[i] = camera_faults(picture, rng) if faults else picture
    result.boxes[i] = box
    result.joints[i] = camera.to_camera(joints)
    result.keypoints[i] = camera.project(joints)
    result.intrinsics[i] = camera.focal, *camera.center
    root = torch.from_numpy(camera.rotation) @ roma.rotvec_to_rotmat(torch.from_numpy(result.axis_angle[i, 0]))
    result.axis_angle[i, 0] = roma.rotmat_to_rotvec(root).numpy()


def _random_camera(vertices: np.ndarray, size: int, rng: np.random.Generator) -> Camera:
    """A roughly level camera with a random lens; the person fills 40 to 95 % of the image, anywhere in it."""
    span = rng.triangular(0.4, 0.85, 0.95) * size
    left, top = rng.uniform(0.02 * size, 0.98 * size - span, 2)
    return Camera.fit(
        vertices,
        size,
        size,
        fov=rng.triangular(25, 40, 70),
        elevation=rng.triangular(-20, 2, 25),
        roll=float(np.clip(rng.normal(0, 2.5), -8, 8)),
        box=(left, top, left + span, top + span),
        # half of the images are off-centre crops of a larger one
        center=tuple(size * (0.5 + rng.uniform(-0.4, 0.4, 2))) if rng.random() < 0.5 else None,
    )


def random_light(rng: np.random.Generator) -> Light:
    """Lamp or sun from any side in front or above, bright enough to see the person."""
    turn, lift = rng.uniform(-1.5, 1.5), rng.uniform(0.1, 1.3)
    key = rng.uniform(0.5, 1.1) * (1 + rng.normal(0, 0.05, 3))
    ambient = rng.uniform(0.25, 0.6) * (1 + rng.normal(0, 0.05, 3))
    return Light(
        key_direction=(math.sin(turn) * math.cos(lift), math.sin(lift), math.cos(turn) * math.cos(lift)),
        key=tuple(key),
        fill_direction=tuple(rng.normal(0, 1, 3) + (0, 0, 1)),
        fill=tuple(rng.uniform(0.1, 0.35) * (1 + rng.normal(0, 0.05, 3))),
        sky=tuple(ambient),
        ground=tuple(ambient * rng.uniform(0.4, 0.8)),
        gloss=rng.uniform(0, 0.12),
        rim=rng.uniform(0, 0.1),
    )
