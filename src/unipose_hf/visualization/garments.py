# SPDX-License-Identifier: Apache-2.0
"""Clothes and things with a silhouette of their own: skirts, coats, hats, bags, and what a hand holds.

Each is a small mesh on the T-pose of the body that wears it and follows the body's joints by linear blend skinning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unipose_hf.body.joints import JOINT_NAMES

_PELVIS, _SPINE1, _CHEST, _HEAD = (JOINT_NAMES.index(name) for name in ("pelvis", "spine1", "spine3", "head"))
_HIPS, _KNEES, _ANKLES, _WRISTS = (
    tuple(JOINT_NAMES.index(f"{side}_{name}") for side in ("left", "right"))
    for name in ("hip", "knee", "ankle", "wrist")
)
_AROUND, _RINGS = 32, 14  # vertices of a tube


@dataclass(frozen=True)
class Garment:
    """A mesh on a body in the T-pose.

    Attributes:
        vertices: (V, 3) metres. faces: (F, 3). weights: (V, 22) skinning weights. colors: (V, 3) sRGB in [0, 1].
    """

    vertices: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    colors: np.ndarray

    def posed(self, rest_joints: np.ndarray, joints: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """Vertices (V, 3) on the posed body.

        Args:
            rest_joints: (22, 3) in the T-pose. joints, turns: (22, 3) and (22, 3, 3) from `forward_kinematics`.
        """
        from_joint = self.vertices[:, None] - rest_joints  # (V, 22, 3)
        moved = np.einsum("jab,vjb->vja", turns, from_joint) + joints
        return np.einsum("vj,vja->va", self.weights, moved).astype(np.float32)


def make_skirt(
    body: np.ndarray,
    joints: np.ndarray,
    color,
    *,
    length: float,
    flare: float = 0.1,
    waist: float = 0.6,
    looseness: float = 0.012,
) -> Garment:
    """A skirt, or the lower half of a dress or coat.

    Args:
        body: (V, 3) vertices and joints: (22, 3) of the wearer in the T-pose.
        color: sRGB in [0, 1].
        length: hem, 0 = at the hip joints, 1 = at the ankles.
        flare: metres by which the hem is wider than the hips.
        waist: upper edge, 0 = at the hip joints, 1 = at the lowest spine joint.
        looseness: distance from the body in metres.
    """
    hip, ankle = joints[list(_HIPS), 1].mean(), joints[list(_ANKLES), 1].mean()
    knee = joints[list(_KNEES), 1].mean()
    top = hip + waist * (joints[_SPINE1, 1] - hip)
    heights = np.linspace(top, hip + length * (ankle - hip), _RINGS)
    torso = body[(np.abs(body[:, 0]) < 0.3) & (body[:, 1] < joints[_CHEST, 1])]
    wide = np.array([_half_widths(torso, y, looseness) for y in heights])  # (rings, 3): x, back, front
    wide = np.maximum.accumulate(wide, axis=0)  # cloth hangs from the widest place above
    down = np.clip((hip - heights) / max(hip - heights[-1], 1e-6), 0, 1)[:, None]
    wide = wide + flare * down
    angle = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    x = wide[:, :1] * np.cos(angle)
    z = np.where(np.sin(angle) > 0, wide[:, 2:], wide[:, 1:2]) * np.sin(angle)
    pleats = 1 + 0.03 * down * np.sin(8 * angle)
    middle = joints[list(_HIPS), 2].mean()
    vertices = np.stack([x * pleats, np.repeat(heights[:, None], _AROUND, 1), z * pleats + middle], axis=-1)
    # A point follows the leg on its side, halfway both; the lower, the more. Below the knees, it follows the shins.
    side = _smooth(0.5 + 0.5 * x / wide[:, :1])
    leg = 0.9 * _smooth((hip + 0.04 - heights) / 0.2)[:, None] * np.ones_like(x)
    shin = 0.7 * _smooth((knee - heights) / 0.25)[:, None] * leg
    weights = np.zeros((*x.shape, len(JOINT_NAMES)))
    weights[..., _PELVIS] = 1 - leg
    for share, thigh, calf in ((side, _HIPS[0], _KNEES[0]), (1 - side, _HIPS[1], _KNEES[1])):
        weights[..., thigh] = share * (leg - shin)
        weights[..., calf] = share * shin
    shape = (_RINGS * _AROUND, -1)
    colors = np.broadcast_to(np.asarray(color, float), (_RINGS * _AROUND, 3)) * (1 - 0.06 * np.sin(8 * angle) ** 2)[
        None, :
    ].repeat(_RINGS, 0).reshape(-1, 1)
    return _garment(vertices.reshape(shape), _tube(_RINGS, _AROUND), weights.reshape(shape), colors)


def make_hat(body: np.ndarray, joints: np.ndarray, color, *, brim: float = 0.06, peak: bool = False) -> Garment:
    """A hat with a brim of some metres all around, or a cap with a `peak` in front."""
    head = body[body[:, 1] > joints[_HEAD, 1] + 0.05]
    low, high = head.min(0), head.max(0)
    center, half = (low + high) / 2, (high - low) / 2 + 0.012
    base = high[1] - 0.45 * (high[1] - joints[_HEAD, 1])
    angle = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    reach = brim * (np.clip(np.sin(angle), 0, 1) ** 0.5 if peak else np.ones(_AROUND))
    rows = (  # height, how far the brim reaches, width
        (base, reach, 1.0),
        (base + 0.004, reach * 0, 1.0),
        (high[1] - 0.02, reach * 0, 0.95),
        (high[1] + 0.02, reach * 0, 0.7),
        (high[1] + 0.028, reach * 0, 0.01),
    )
    rings = [
        np.stack(
            [
                center[0] + (half[0] * wide + out) * np.cos(angle),
                np.full(_AROUND, y),
                center[2] + (half[2] * wide + out) * np.sin(angle),
            ],
            axis=-1,
        )
        for y, out, wide in rows
    ]
    return _rigid(np.concatenate(rings), _tube(len(rings), _AROUND), _HEAD, color)


def make_backpack(body: np.ndarray, joints: np.ndarray, color, *, size=(0.3, 0.42, 0.16)) -> Garment:
    """A box on the back, `size` metres wide, high and deep."""
    chest = joints[_CHEST]
    near = body[(np.abs(body[:, 1] - chest[1]) < 0.1) & (np.abs(body[:, 0]) < 0.15)]
    vertices, faces = box_mesh(size)
    vertices = vertices + (0, chest[1] - 0.1, near[:, 2].min() - size[2] / 2)
    return _rigid(vertices, faces, _CHEST, color)


def make_held_thing(joints: np.ndarray, color, *, left: bool, round_thing: bool, size=(0.08, 0.16, 0.03)) -> Garment:
    """A box or a ball in a hand; `size` metres, a ball's diameter first."""
    wrist = _WRISTS[0 if left else 1]
    vertices, faces = ball_mesh(size[0]) if round_thing else box_mesh(size)
    away = (0.1 if left else -0.1, -0.05, 0.02)
    return _rigid(vertices + joints[wrist] + away, faces, wrist, color)


def box_mesh(size) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (24, 3) and faces (12, 3) of a box around the origin; its sides share no vertices and stay flat."""
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * np.asarray(size) / 2
    sides = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    faces = [(4 * n + a, 4 * n + b, 4 * n + c) for n in range(6) for a, b, c in ((0, 1, 2), (0, 2, 3))]
    return corners[np.array(sides).reshape(-1)], np.array(faces, dtype=np.int32)


def ball_mesh(diameter: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of a ball around the origin."""
    lift, turn = np.linspace(-np.pi / 2, np.pi / 2, 9), np.linspace(0, 2 * np.pi, 16, endpoint=False)
    lift, turn = (part.reshape(-1) for part in np.meshgrid(lift, turn, indexing="ij"))
    vertices = np.stack([np.cos(lift) * np.cos(turn), np.sin(lift), np.cos(lift) * np.sin(turn)], axis=-1)
    return vertices * diameter / 2, _tube(9, 16)[:, ::-1]


def _half_widths(body, height, looseness):
    """Half width, depth of the back and of the front of a body around a height, in metres."""
    near = body[np.abs(body[:, 1] - height) < 0.06]
    if not len(near):
        return np.full(3, 0.05)
    return np.array([np.abs(near[:, 0]).max(), -near[:, 2].min(), near[:, 2].max()]).clip(0.04) + looseness


def _smooth(x):
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _tube(rings, around):
    """Faces between rings from top to bottom, each anti-clockwise from x to z, seen from outside."""
    first, next_one = np.arange(around), (np.arange(around) + 1) % around
    quads = [
        np.stack([r * around + first, r * around + next_one, (r + 1) * around + first, (r + 1) * around + next_one])
        for r in range(rings - 1)
    ]
    a, b, c, d = np.concatenate(quads, axis=1)
    return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)


def _rigid(vertices, faces, joint, color):
    weights = np.zeros((len(vertices), len(JOINT_NAMES)))
    weights[:, joint] = 1
    return _garment(vertices, faces, weights, np.broadcast_to(np.asarray(color, float), (len(vertices), 3)))


def _garment(vertices, faces, weights, colors):
    return Garment(
        vertices.astype(np.float32), faces, weights.astype(np.float32), np.clip(colors, 0, 1).astype(np.float32)
    )
