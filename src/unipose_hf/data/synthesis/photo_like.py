# SPDX-License-Identifier: Apache-2.0
"""Renders people as photographs show them: cut off, behind things, among others, far, dark, blurred, in wide clothes.

`render_training_images` shows the whole person, clearly. This module adds what makes photographs harder; the labels
are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch

from unipose_hf.body import load_body
from unipose_hf.body.kinematics import forward_kinematics
from unipose_hf.visualization.camera import Camera
from unipose_hf.visualization.garments import make_backpack, make_hat, make_held_thing, make_skirt
from unipose_hf.visualization.outfit import BodyPaint, Outfit
from unipose_hf.visualization.renderer import Light, Renderer, vertex_normals

from .furniture import Mesh, join, seat_under, thing_in_front
from .photo_poses import sits
from .rendering import TrainingImages, random_light
from .scenery import camera_faults, hide_face, photo_faults, random_background

_FRAMINGS = ("whole", "knees", "waist", "bust", "side", "far")
_FAITHFUL = Light(key=(0, 0, 0), fill=(0, 0, 0), sky=(1, 1, 1), ground=(1, 1, 1), gloss=0, rim=0)  # colours unchanged
_MIN_VISIBLE = 0.12  # share of the person's pixels
_SEAT = 0.38  # metres of the hip joints above the floor; whoever is lower sits on the floor or squats


@dataclass(frozen=True)
class PhotoShares:
    """How often each difficulty occurs.

    Attributes:
        framings: of the whole person, cut at the knees, waist or chest, cut at a side, and far away.
        wide_lens: fields of view of 65 to 100 degrees.
        thing: furniture in front. others: other people, half of them in front.
        skirt, coat, hat, backpack, held: clothes and things.
        hidden_face: pixelated or blurred, of those who face the camera.
        hard_light: against the light. faults: `photo_faults`, the others have the milder `camera_faults`.
    """

    framings: tuple[float, ...] = (0.34, 0.16, 0.17, 0.06, 0.1, 0.17)
    wide_lens: float = 0.2
    thing: float = 0.3
    others: float = 0.3
    skirt: float = 0.18
    coat: float = 0.14
    hat: float = 0.18
    backpack: float = 0.1
    held: float = 0.2
    hidden_face: float = 0.2
    hard_light: float = 0.15
    faults: float = 0.6


@torch.no_grad()
def render_photo_like_images(
    poses, *, seed: int = 0, size: int = 256, body=None, shares: PhotoShares | None = None, backend: str | None = None
) -> TrainingImages:
    """Render each pose once, as a photograph might show it. Picture `i` depends on `seed`, `i` and all poses.

    Args:
        poses: (B, 22, 3) axis-angle in our frame, the global orientation relative to a level camera.
        seed: random seed. size: width and height in pixels.
        body: "small" (default), "full" or a body model.
        shares: how often each difficulty occurs.
        backend: passed to `Renderer`.

    Returns:
        `TrainingImages`. `boxes` enclose what is visible; joints outside the picture have keypoints outside it, and
        `occluded` counts pixels behind things and outside the picture.
    """
    poses = torch.as_tensor(poses, dtype=torch.float32)
    if poses.ndim != 3 or poses.shape[1:] != (22, 3):
        raise ValueError(f"poses have shape {tuple(poses.shape)}; expected (B, 22, 3) axis-angle.")
    studio = _Studio(poses, size, body, shares or PhotoShares(), backend)
    taken = [studio.take(i, np.random.default_rng((seed, i))) for i in range(len(poses))]
    empty = ((size, size, 3), (22, 3), (22, 3), (22, 2), (4,), (3,), (10,), ())
    columns = zip(*taken, strict=True) if taken else [()] * len(empty)
    kinds = (np.uint8, *[np.float32] * (len(empty) - 1))
    return TrainingImages(
        *(
            np.array(column, dtype=kind).reshape(len(poses), *shape)
            for column, kind, shape in zip(columns, kinds, empty, strict=True)
        )
    )


class _Studio:
    def __init__(self, poses, size, body, shares, backend):
        self.poses, self.size, self.shares = poses, size, shares
        self.body = load_body(size=body or "small") if body is None or isinstance(body, str) else body
        self.faces = self.body.faces.cpu().numpy().astype(np.int32)
        self.paint = BodyPaint.of(self.body)
        self.renderer = Renderer(size, size, backend=backend)

    def take(self, i, rng):
        """One row of `TrainingImages`."""
        person, joints, betas = self.person(self.poses[i], rng)
        floor = float(person.vertices[:, 1].min())
        bare = person.vertices[: len(self.paint.vertices)]
        camera = self.camera(bare, rng)
        toward = camera.position - joints[0]
        toward = np.array([toward[0], 0, toward[2]]) / max(math.hypot(toward[0], toward[2]), 1e-6)
        things = []
        on_seat = sits(self.poses[i][None])[0] and joints[1:3, 1].mean() - floor > _SEAT
        if on_seat and rng.random() < 0.85:
            turn = roma.rotvec_to_rotmat(self.poses[i, 0]).numpy()
            forward = np.array([turn[0, 2], 0, turn[2, 2]])
            things.append(seat_under(joints, floor, forward / max(np.linalg.norm(forward), 1e-6), rng))
        if len(self.poses) > 1 and rng.random() < self.shares.others:
            things += self.others(i, person, floor, toward, camera, rng)
        if rng.random() < self.shares.thing:
            thing = thing_in_front(joints, floor, toward, rng)
            if (camera.to_camera(thing.vertices)[:, 2] < -0.3).all():  # in front of the lens
                things.append(thing)
        inside = self.inside(camera, bare)
        _, alone = self.draw([person], camera, return_mask=True)
        visible_mask = self.visible(person, things, camera)
        if visible_mask.sum() < max(_MIN_VISIBLE * (alone > 127).sum() / max(inside, 1e-3), 24):
            things, visible_mask = [], alone > 127  # nothing can be learnt from a hidden person
        picture = self.draw(
            [person, *things],
            camera,
            light=_against_the_light(rng) if rng.random() < self.shares.hard_light else random_light(rng),
            background=random_background(self.size, rng),
        )
        if rng.random() < self.shares.hidden_face:
            picture = self.without_face(picture, bare, camera, rng)
        columns, rows = np.flatnonzero(visible_mask.any(0)), np.flatnonzero(visible_mask.any(1))
        box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        span = max(box[2] - box[0], box[3] - box[1])
        faulty = rng.random() < self.shares.faults
        picture = photo_faults(picture, rng, span) if faulty else camera_faults(picture, rng)
        root = torch.from_numpy(camera.rotation) @ roma.rotvec_to_rotmat(self.poses[i, 0])
        pose = self.poses[i].numpy().copy()
        pose[0] = roma.rotmat_to_rotvec(root).numpy()
        occluded = 1 - inside * visible_mask.sum() / max((alone > 127).sum(), 1)
        eye = (camera.focal, *camera.center)
        return picture, pose, camera.to_camera(joints), camera.project(joints), box, eye, betas, occluded

    # -- people -----------------------------------------------------------------------------------------------------

    def person(self, pose, rng):
        """A dressed person `Mesh`, body vertices first, the joints (22, 3) and the shape (10,)."""
        betas = np.clip(rng.normal(0, 0.9, 10), -2, 2).astype(np.float32)
        turns = roma.rotvec_to_rotmat(pose)
        rest = self.body.rest(torch.from_numpy(betas))
        rest_joints, rest_vertices = rest.joints.numpy(), rest.vertices.numpy()
        vertices = self.body(turns, torch.from_numpy(betas)).vertices.numpy()
        joints, global_turns = (part.numpy() for part in forward_kinematics(turns, rest.joints))
        outfit, shares = Outfit.random(rng), self.shares
        kind = rng.choice(3, p=(shares.skirt, shares.coat, 1 - shares.skirt - shares.coat))
        worn = []
        if kind == 0:
            length = rng.uniform(0.2, 0.95)
            color = outfit.top if rng.random() < 0.4 else outfit.trousers  # a dress, or a skirt
            # where a thigh comes through the cloth, it has its colour
            outfit = replace(outfit, trousers=color, trousers_pattern="plain", hem=0.3 * length)
            worn.append(
                make_skirt(
                    rest_vertices,
                    rest_joints,
                    color,
                    length=length,
                    flare=rng.uniform(0.02, 0.25) * length,
                    looseness=0.02,
                )
            )
        elif kind == 1:
            outfit = replace(outfit, sleeve=0.97, looseness=rng.uniform(0.015, 0.035))
            loose = outfit.looseness + 0.012
            worn.append(
                make_skirt(
                    rest_vertices,
                    rest_joints,
                    outfit.top,
                    length=rng.uniform(0.15, 0.8),
                    flare=rng.uniform(0.0, 0.1),
                    waist=1.0,
                    looseness=loose,
                )
            )
        colors, thickness = self.paint.dress(outfit)
        if kind == 2 and rng.random() < 0.3:  # wide trousers
            thickness += np.where(self.paint.legs, rng.uniform(0.01, 0.04) * np.clip(self.paint.along_leg, 0, 1), 0)
        vertices = vertices + thickness[:, None] * vertex_normals(vertices, self.faces)
        if rng.random() < shares.hat:
            brim, peak = rng.uniform(0.02, 0.12), bool(rng.random() < 0.5)
            worn.append(make_hat(rest_vertices, rest_joints, outfit.shoes, brim=brim, peak=peak))
        if rng.random() < shares.backpack:
            size = rng.uniform((0.22, 0.3, 0.1), (0.36, 0.55, 0.22))
            worn.append(make_backpack(rest_vertices, rest_joints, rng.uniform(0.05, 0.8, 3), size=size))
        if rng.random() < shares.held:
            size = rng.uniform((0.05, 0.05, 0.01), (0.28, 0.35, 0.12))
            left, ball = rng.random(2) < 0.5
            worn.append(make_held_thing(rest_joints, rng.uniform(0, 1, 3), left=left, round_thing=ball, size=size))
        meshes = [Mesh(vertices, self.faces, colors)]
        meshes += [Mesh(g.posed(rest_joints, joints, global_turns), g.faces, g.colors) for g in worn]
        return join(meshes), joints, betas

    def others(self, i, person, floor, toward, camera, rng):
        """Up to three other people of the batch, beside, behind or in front of a person."""
        meshes = []
        aside = np.array([toward[2], 0, -toward[0]])
        for _ in range(int(rng.integers(1, 4))):
            j = int(rng.integers(len(self.poses) - 1))
            other, joints, _ = self.person(self.poses[j + (j >= i)], rng)
            front = rng.random() < 0.35
            depth = rng.uniform(0.4, 0.9) if front else -rng.uniform(0.3, 4.0)
            side = rng.choice((-1, 1)) * rng.uniform(0.35, 0.9) * (1 if front else 1 + 0.5 * abs(depth))
            position = person.vertices.mean(0) * (1, 0, 1) + depth * toward + side * aside
            shift = position - other.vertices.mean(0) * (1, 0, 1) + (0, floor - other.vertices[:, 1].min(), 0)
            moved = (other.vertices + shift).astype(np.float32)
            if (camera.to_camera(moved)[:, 2] < -0.4).all():  # in front of the lens
                meshes.append(other._replace(vertices=moved))
        return meshes

    def without_face(self, picture, vertices, camera, rng):
        head = vertices[self.paint.head]
        forward = vertices[self.paint.head & (self.paint.to_face > 0.5)].mean(0) - head.mean(0)
        if forward @ (camera.position - head.mean(0)) <= 0:
            return picture
        pixels = camera.project(head)
        low, high = pixels.min(0), pixels.max(0)
        if (high < 2).any() or (low > self.size - 2).any():
            return picture
        return hide_face(picture, (*low, *high), rng)

    # -- the camera ---------------------------------------------------------------------------------------------------

    def camera(self, vertices, rng):
        """A camera for one of the framings."""
        framing = str(rng.choice(_FRAMINGS, p=self.shares.framings))
        paint, size = self.paint, self.size
        shown = np.ones(len(vertices), dtype=bool)
        legs = paint.legs | paint.feet
        if framing == "knees":
            shown = ~legs | (paint.along_leg < rng.uniform(0.35, 0.7))
        elif framing in ("waist", "bust"):
            cut = rng.uniform(-0.2, 0.5) if framing == "waist" else rng.uniform(1.5, 3.0)
            arms = paint.arms | paint.hands
            shown = ~legs & ~arms & (paint.above_hip > cut)
        elif framing == "side":
            x = vertices @ np.array([1.0, 0, 0])
            low, high = np.quantile(x, (rng.uniform(0.15, 0.4), rng.uniform(0.6, 0.85)))
            shown = x > low if rng.random() < 0.5 else x < high
        if framing == "far":
            span = rng.uniform(0.15, 0.45) * size
            left, top = rng.uniform(0.02 * size, 0.98 * size - span, 2)
            box = (left, top, left + span, top + span)
        else:
            span = rng.uniform(0.55, 0.98) * size
            left, top = rng.uniform(0.01 * size, 0.99 * size - span, 2)
            box = (left, top, left + span, top + span)
            if framing in ("knees", "waist", "bust"):  # the lower edge of the picture cuts
                middle = rng.uniform(0.35, 0.65) * size
                box = (middle - size, size - span, middle + size, float(size))
            elif framing == "side":
                box = (0.0, top, float(size), top + span)
        wide = rng.random() < self.shares.wide_lens
        fov = rng.uniform(65, 100) if wide else rng.triangular(20, 40, 65)
        high = rng.random() < 0.15  # from above, as from a staircase or a camera on the wall
        camera = Camera.fit(
            vertices[shown],
            size,
            size,
            fov=fov,
            elevation=rng.uniform(20, 50) if high else rng.triangular(-25, 3, 25),
            roll=float(np.clip(rng.normal(0, 4), -12, 12)),
            box=box,
            center=tuple(size * (0.5 + rng.uniform(-0.4, 0.4, 2))) if rng.random() < 0.4 else None,
        )
        near = camera.to_camera(vertices)[:, 2].max()
        if near > -0.25:  # a limb would reach the lens
            camera = replace(camera, position=camera.position + camera.rotation[2] * (near + 0.25))
        return camera

    def inside(self, camera, vertices):
        """Share of a person's vertices inside the picture."""
        pixels = camera.project(vertices)
        return float(((pixels >= 0) & (pixels <= self.size)).all(1).mean())

    # -- pictures -----------------------------------------------------------------------------------------------------

    def draw(self, meshes, camera, **options):
        whole = join(meshes)
        return self.renderer.render(whole.vertices, whole.faces, camera=camera, vertex_colors=whole.colors, **options)

    def visible(self, person, things, camera):
        """Mask (S, S) of the person behind things."""
        marked = [mesh._replace(colors=np.zeros_like(mesh.colors)) for mesh in things]
        marked.append(person._replace(colors=np.ones_like(person.colors)))
        return self.draw(marked, camera, light=_FAITHFUL, background=(0, 0, 0))[..., 0] > 127


def _against_the_light(rng):
    """Sun or a window behind the person: dark in front, bright edges."""
    light = random_light(rng)
    x, y, z = light.key_direction
    dim = tuple(np.array(light.sky) * rng.uniform(0.25, 0.6))
    return replace(light, key_direction=(x, y, -abs(z) - 0.3), sky=dim, ground=dim, rim=rng.uniform(0.1, 0.5))
