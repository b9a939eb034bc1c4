# SPDX-License-Identifier: Apache-2.0
"""Samples endless plausible poses from few real ones.

Trunk, head, arms and legs come from different frames (possibly mirrored). Some limbs are aimed freely within a
person's reach, since a thousand frames contain few raised arms and hardly a chair. Every joint is then jittered and
clamped to its limits, and poses that intersect themselves are drawn again. A share of the frames stays real.
"""

import math

import roma
import torch
from torch import Tensor

from unipose_hf.body import JOINT_NAMES, load_body, mirror_pose

from .joint_limits import clamp_to_limits, measure_limits
from .self_contact import SelfContact


def _joints(*endings: str, side: str = "") -> list[int]:
    return [JOINT_NAMES.index(f"{side}{ending}") for ending in endings]


_HEAD = _joints("neck", "head")
_SPINE = _joints("spine1", "spine2", "spine3")
_ARMS = tuple(_joints("collar", "shoulder", "elbow", "wrist", side=s) for s in ("left_", "right_"))
_LEGS = tuple(_joints("hip", "knee", "ankle", "foot", side=s) for s in ("left_", "right_"))

# Standard deviation of the jitter, degrees about each axis. Toes are not jittered.
_JITTER = {
    "hip": 5.0,
    "knee": 5.0,
    "ankle": 4.0,
    "foot": 0.0,
    "collar": 3.0,
    "shoulder": 8.0,
    "elbow": 7.0,
    "wrist": 6.0,
}
_JITTER |= {"pelvis": 4.0, "spine1": 2.5, "spine2": 2.5, "spine3": 2.5, "neck": 4.0, "head": 4.0}

# Probability of each change to a recombined pose.
_SWAP_HEAD, _SWAP_LEGS, _SWAP_ONE_LEG, _SWAP_ARM = 0.4, 0.4, 0.3, 0.6
_AIM_ARM, _AIM_BOTH_ARMS, _AIM_LEG, _AIM_BOTH_LEGS, _BEND_TRUNK = 0.2, 0.1, 0.1, 0.15, 0.2
_DONORS = 4  # legs come from the one of this many frames whose pelvis orientation is closest to the trunk's
_ROUNDS = 4
_CHUNK = 4096


class PoseSampler:
    """Draws poses.

    Args:
        poses: `(N, 22, 3)` real poses, axis-angle, our frame; mirrored ones are added.
        clip_id: `(N,)` the clip of each pose. A clip is weighted by the square root of its length, so that long clips
            do not dominate. None: all poses have the same weight.
        rest_joints: `(22, 3)` T-pose joints of the body used to test for self-intersection; None = the bundled body's.
        real: share of the drawn poses that are unchanged frames (or their mirror images).
    """

    def __init__(
        self, poses: Tensor, clip_id: Tensor | None = None, *, rest_joints: Tensor | None = None, real: float = 0.25
    ):
        if poses.ndim != 3 or len(poses) == 0:
            raise ValueError(f"poses must have shape (N, 22, 3) with N > 0, found {tuple(poses.shape)}.")
        self.frames = torch.cat([poses, mirror_pose(poses)]).float()
        self.rotations = roma.rotvec_to_rotmat(self.frames)  # (2N, 22, 3, 3)
        weight = torch.ones(len(poses))
        if clip_id is not None:
            weight = clip_id.bincount()[clip_id].float().rsqrt()
        self.weight = torch.cat([weight, weight])
        self.real = real
        self.limits = measure_limits(self.rotations)
        if rest_joints is None:
            rest_joints = load_body(size="small").rest_joints
        self.contact = SelfContact(self.rotations, rest_joints.float())
        # The world's up direction in the pelvis frame: standing, lying on the back, upside down.
        self.up = self.rotations[:, 0, 1]
        self.jitter = torch.deg2rad(torch.tensor([_JITTER[name.split("_")[-1]] for name in JOINT_NAMES]))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`(count, 22, 3)` axis-angle, radians, float32; the result depends only on the generator's state."""
        chunks = [self._sample_chunk(min(_CHUNK, count - done), generator) for done in range(0, count, _CHUNK)]
        return torch.cat(chunks) if chunks else self.frames.new_empty(0, *self.frames.shape[1:])

    def _sample_chunk(self, count: int, generator: torch.Generator) -> Tensor:
        # Rows that stay real, and rows for which all rounds fail, use these frames.
        out = self.frames[self._draw(count, generator)]
        todo = (torch.rand(count, generator=generator) >= self.real).nonzero()[:, 0]
        for _ in range(_ROUNDS):
            if len(todo) == 0:
                break
            made = self._recombine(len(todo), generator)
            clear = self.contact.clear(made)
            out[todo[clear]] = roma.rotmat_to_rotvec(made[clear])
            todo = todo[~clear]
        return out

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.multinomial(self.weight, count, replacement=True, generator=generator)

    def _recombine(self, count: int, generator: torch.Generator) -> Tensor:
        """`(count, 22, 3, 3)` new poses, not yet tested for self-contact."""

        def chance(share: float) -> Tensor:
            return torch.rand(count, generator=generator) < share

        base = self._draw(count, generator)
        pose = self.rotations[base].clone()

        def take(rows: Tensor, joints: list[int], donors: Tensor) -> None:
            rows = rows.nonzero()[:, 0]
            pose[rows[:, None], joints] = self.rotations[donors[rows][:, None], joints]

        take(chance(_SWAP_HEAD), _HEAD, self._draw(count, generator))
        for arm in _ARMS:
            take(chance(_SWAP_ARM), arm, self._draw(count, generator))
        take(chance(_SWAP_LEGS), _LEGS[0] + _LEGS[1], self._like(base, generator))
        one = chance(_SWAP_ONE_LEG)
        left = chance(0.5)
        take(one & left, _LEGS[0], self._like(base, generator))
        take(one & ~left, _LEGS[1], self._like(base, generator))

        bent = chance(_BEND_TRUNK)[:, None, None, None]
        pose[:, _SPINE] = torch.where(bent, _free_spine(count, generator), pose[:, _SPINE])
        _aim(pose, _ARMS, _free_arm, (chance(_AIM_ARM), chance(_AIM_ARM), chance(_AIM_BOTH_ARMS)), generator)
        # Freely aimed legs only fit a roughly upright trunk.
        upright = self.up[base, 1] > 0.5
        legs = (upright & chance(_AIM_LEG), upright & chance(_AIM_LEG), upright & chance(_AIM_BOTH_LEGS))
        _aim(pose, _LEGS, _free_leg, legs, generator)

        scale = 1.5 * torch.rand(count, 1, 1, generator=generator)
        noise = torch.randn(count, len(JOINT_NAMES), 3, generator=generator) * self.jitter[:, None] * scale
        return clamp_to_limits(pose @ roma.rotvec_to_rotmat(noise), self.limits)

    def _like(self, base: Tensor, generator: torch.Generator) -> Tensor:
        """Frames whose pelvis has a similar inclination to that of `base`."""
        candidates = self._draw(len(base) * _DONORS, generator).view(len(base), _DONORS)
        best = (self.up[candidates] * self.up[base][:, None]).sum(-1).argmax(dim=-1, keepdim=True)
        return candidates.gather(1, best)[:, 0]


def random_turns(count: int, generator: torch.Generator | None = None, *, full_yaw: bool = False) -> Tensor:
    """`(count, 3, 3)` random global rotations: up to 45 degrees about the vertical, 20 about x and z (supplement B.1).

    Args:
        generator: random generator; torch's default one if None.
        full_yaw: any rotation about the vertical instead of at most 45 degrees, for images.
    """
    limits = torch.deg2rad(torch.tensor([20.0, 180.0 if full_yaw else 45.0, 20.0]))
    angles = (2 * torch.rand(count, 3, generator=generator) - 1) * limits
    tilt = roma.rotvec_to_rotmat(angles * torch.tensor([1.0, 0.0, 0.0]))
    tilt = roma.rotvec_to_rotmat(angles * torch.tensor([0.0, 0.0, 1.0])) @ tilt
    return roma.rotvec_to_rotmat(angles * torch.tensor([0.0, 1.0, 0.0])) @ tilt


def random_global_turn(poses: Tensor, generator: torch.Generator, *, full_yaw: bool = False) -> Tensor:
    """Poses `(..., 22, 3)`, axis-angle, rotated by `random_turns`; only the global orientation changes."""
    flat = poses.reshape(-1, *poses.shape[-2:])
    turns = random_turns(len(flat), generator, full_yaw=full_yaw)
    turned = roma.rotmat_to_rotvec(turns.to(flat) @ roma.rotvec_to_rotmat(flat[:, 0]))
    return torch.cat([turned[:, None], flat[:, 1:]], dim=1).reshape(poses.shape)


def _aim(pose: Tensor, limbs, free, rows: tuple[Tensor, Tensor, Tensor], generator: torch.Generator) -> None:
    """Writes freely aimed limbs into `pose`: left rows, right rows, and rows where both sides are nearly symmetric."""
    left, right, both = rows
    one, other = free(len(pose), generator), free(len(pose), generator)
    # Limbs are generated for the left side and mirrored for the right.
    mirrored = torch.tensor([1.0, -1.0, -1.0])
    mirrored = mirrored[:, None] * mirrored
    for limb, made, chosen in (
        (limbs[0], one, left | both),
        (limbs[1], torch.where(_wide(both), one, other), right | both),
    ):
        made = made if limb is limbs[0] else made * mirrored
        joints = limb[: made.shape[1]]
        pose[:, joints] = torch.where(_wide(chosen), made, pose[:, joints])


def _wide(rows: Tensor) -> Tensor:
    return rows[:, None, None, None]


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """`(count,)` radians, from degrees."""
    return torch.deg2rad(low + (high - low) * torch.rand(count, generator=generator))


def _about(x=0.0, y=0.0, z=0.0) -> Tensor:
    """Rotation matrices of the rotation vectors (x, y, z), each `(count,)` or 0."""
    shape = next(a for a in (x, y, z) if torch.is_tensor(a))
    parts = [a if torch.is_tensor(a) else torch.zeros_like(shape) for a in (x, y, z)]
    return roma.rotvec_to_rotmat(torch.stack(parts, dim=-1))


def _free_arm(count: int, generator: torch.Generator) -> Tensor:
    """Left collar, shoulder and elbow `(count, 3, 3, 3)`, the upper arm aimed anywhere in reach of the chest."""
    aim = torch.randn(8, count, 3, generator=generator)
    aim = aim / aim.norm(dim=-1, keepdim=True)
    x, y, z = aim.unbind(-1)
    # Not far across the chest, hardly behind the back, even less when raised.
    reach = (x > -0.3) & (z > -0.55) & ((y < 0) | (z > -0.25)) & ((x > 0) | (z > 0.3) | (y.abs() > 0.9))
    first = reach.float().argmax(dim=0)
    aim = aim[first, torch.arange(count)]
    x, y, z = aim.unbind(-1)
    # The shoulder blade takes a fifth of the lift.
    collar = _about(z=0.2 * torch.asin(y.clamp(-0.3, 1.0)), y=-0.1 * torch.asin(z))
    swing = torch.acos(x.clamp(-1, 1)) / torch.sqrt((y * y + z * z).clamp_min(1e-6))
    swing = _about(y=-z * swing, z=y * swing)
    # The lower the arm, the more it can turn inwards; the higher, the more outwards.
    low = torch.deg2rad(torch.where(y < 0, -80 - 50 * y, -80 - 10 * y))
    high = torch.deg2rad(torch.where(y < 0, 55 - 20 * y, 55 - 45 * y))
    twist = low + (high - low) * torch.rand(count, generator=generator)
    straight = torch.rand(count, generator=generator) < 0.35
    bend = torch.where(straight, _uniform(count, 0, 20, generator), _uniform(count, 20, 145, generator))
    shoulder = collar.mT @ swing @ _about(x=twist)
    elbow = _about(y=-bend) @ _about(x=_uniform(count, -40, 40, generator))
    return torch.stack([collar, shoulder, elbow], dim=1)


def _free_leg(count: int, generator: torch.Generator) -> Tensor:
    """Left hip, knee and ankle `(count, 3, 3, 3)`: standing, stepping, sitting, squatting, kneeling."""
    lift = _uniform(count, -20, 110, generator)
    spread = torch.rand(count, generator=generator).square() * math.radians(60) - math.radians(13)
    outwards = _uniform(count, -20, 45, generator)
    hip = _about(x=-lift) @ _about(z=spread) @ _about(y=outwards)
    straight = torch.rand(count, generator=generator) < 0.3
    knee = torch.where(straight, _uniform(count, 0, 15, generator), _uniform(count, 15, 140, generator))
    # Half of the feet are level with the ground as far as the ankle allows, the others are arbitrary.
    level = torch.rand(count, generator=generator) < 0.5
    ankle = torch.where(level, (lift - knee).clamp(-0.6, 0.5), _uniform(count, -15, 30, generator))
    return torch.stack([hip, _about(x=knee), _about(x=ankle)], dim=1)


def _free_spine(count: int, generator: torch.Generator) -> Tensor:
    """The three spine joints `(count, 3, 3, 3)`: one bend, lean and twist in equal shares."""
    forward = _uniform(count, -20, 60, generator) / 3
    lean = _uniform(count, -30, 30, generator) / 3
    twist = _uniform(count, -35, 35, generator) / 3
    coordinates = torch.stack([forward, twist, lean], dim=-1)
    share = roma.rotvec_to_rotmat(coordinates)
    return share[:, None].expand(-1, 3, -1, -1)
